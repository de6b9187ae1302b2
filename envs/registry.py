"""``make``: any benchmark or id to an environment."""

from __future__ import annotations

import contextlib
import json
import re
import warnings
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import TimeLimit

from envs.benchmarks import BENCHMARKS, find_benchmark
from envs.continual import Continual, Switch
from envs.schedules import Stationary
from envs.sequence import EnvSequence

Env = gym.Env[Any, Any]

# Package that an entry point is in -> extra of this project.
_EXTRAS = {"mujoco": "mujoco", "box2d": "box2d", "ale_py": "atari"}
_SCORES = Path(__file__).with_name("scores.json")


def make(
    id: str,
    *,
    task: int | None = None,
    task_seed: int = 0,
    steps_per_task: int | None = None,
    cyclic: bool = False,
    start_step: int = 0,
    stride: int = 1,
    switch: Switch | None = None,
    show_task: bool = False,
    **kwargs: Any,
) -> Continual:
    """Makes a benchmark, or any Gymnasium environment as a benchmark of one task.

    Args:
        id: A key of ``BENCHMARKS``, a member of a family such as ``obs-permute-Hopper-v5``, or the
            id of an environment.
        task: Stays at this task for ever, so that there are no switches; default: the sequence of
            tasks.
        task_seed: Seed of the sequence of tasks, where tasks are drawn (``reset`` takes the seed
            of the episodes).
        steps_per_task: Steps of one visit; default: the benchmark's.
        cyclic: Lets the first task follow the last one, where the last one would stay.
        start_step: Lifetime step to begin at.
        stride: Lifetime steps per step, the number of copies that share the lifetime.
        switch: What a change does to a running episode: ``"cut"``, ``"episode"`` or ``"step"``
            (see ``Continual``); default: the benchmark's.
        show_task: Appends the task to the observation, one-hot.
        **kwargs: Passed to ``gymnasium.make``.

    Raises:
        ValueError: If there is no such environment or task, a package for it is missing, or a
            setting is given that the environment does not use.
    """
    benchmark = find_benchmark(id)
    check_settings(id, steps_per_task=steps_per_task, task=task, switch=switch, cyclic=cyclic)
    if benchmark is None:
        if show_task:
            raise ValueError(f"`show_task` is for environments that change; {id!r} does not")
        base = _make_base(id, kwargs)
        return Continual(base, Stationary(), (), start_step=start_step, stride=stride)
    schedule = benchmark.schedule(steps_per_task, cyclic) if task is None else Stationary(task)
    base_kwargs = {**benchmark.kwargs, **kwargs}
    if len(benchmark.bases) == 1:
        base = _make_base(benchmark.bases[0], base_kwargs)
    else:
        base = EnvSequence([partial(_make_base, id, base_kwargs) for id in benchmark.bases])
    env = Continual(
        base,
        schedule,
        benchmark.shifts(),
        seed=task_seed,
        start_step=start_step,
        stride=stride,
        switch=switch or benchmark.switch,
        show_tasks=benchmark.num_tasks if show_task else 0,
    )
    made_by: dict[str, Any] = dict(
        benchmark=id,
        task=task,
        task_seed=task_seed,
        steps_per_task=steps_per_task,
        cyclic=cyclic,
        start_step=start_step,
        stride=stride,
        switch=switch,
        show_task=show_task,
        **kwargs,
    )
    env.made_by = EnvSpec(
        gym_id(id),
        entry_point="envs.registry:make_benchmark",
        # A drift moves on between two resets with the same seed.
        nondeterministic=env.phase.position is not None,
        kwargs=made_by,
    )
    return env


def make_benchmark(benchmark: str, **settings: Any) -> Continual:
    """Is ``make`` for Gymnasium, whose own functions have an argument ``id``."""
    return make(benchmark, **settings)


def gym_id(id: str) -> str:
    """The id of a benchmark in Gymnasium: ``slippery-ant`` is ``continual/SlipperyAnt-v0``."""
    return f"continual/{''.join(part.capitalize() for part in re.split('[^A-Za-z0-9]', id))}-v0"


def check_settings(id: str, **settings: Any) -> None:
    """Raises a ValueError if an environment does not use a setting, or has no such task."""
    benchmark = find_benchmark(id)
    if benchmark is None:
        for name, value in settings.items():
            if value is not None and value is not False:  # 0 is a value
                raise ValueError(
                    f"`{name}` is for environments that change; {id!r} does not. Received {value}"
                )
        return
    if settings.get("cyclic") and not benchmark.ends:
        raise ValueError(
            f"`cyclic` is for tasks that come once, one after the other; those of {id} have an "
            "order of their own. Received True"
        )
    task, last = settings.get("task"), benchmark.num_tasks - 1
    if task is not None and not (isinstance(task, int | np.integer) and 0 <= task <= last):
        raise ValueError(f"`task` should be from 0 to {last} for {id}. Received {task}")


class Scores(NamedTuple):
    """What returns are measured against, for each task; one value stands for all tasks.

    Attributes:
        random: Mean return of uniformly random actions, measured.
        reference: Return of an agent that has learned the task, or of a person.
        reference_source: Where ``reference`` comes from, "measured: ..." or "cited: ...".
        observations: The observation space, in words.
        actions: The action space, in words.
    """

    random: tuple[float, ...]
    reference: tuple[float, ...]
    reference_source: str
    observations: str
    actions: str

    def normalize(self, task: int, value: float) -> float:
        """Maps a return to 0 for random actions and 1 for the reference."""
        low = self.random[task % len(self.random)]
        return (value - low) / (self.reference[task % len(self.reference)] - low)


@cache
def all_scores() -> dict[str, Scores]:
    """Reads the stored scores, by benchmark, as ``scripts/scores.py`` has measured them."""
    rows = json.loads(_SCORES.read_text())
    return {
        id: Scores(
            random=tuple(row["random"]),
            reference=tuple(row["reference"]),
            reference_source=row["reference_source"],
            observations=row["observations"],
            actions=row["actions"],
        )
        for id, row in rows.items()
    }


def scores(id: str) -> Scores | None:
    """Returns the scores of a benchmark, if there are any; a small version has the same."""
    return all_scores().get(id.removesuffix("-small"))


def _make_base(id: str, kwargs: dict[str, Any]) -> Env:
    check_id(id)
    namespace, _, name = id.rpartition("/")
    try:
        with _quiet_mujoco(), warnings.catch_warnings():
            # Box2D's import crashes the process where its deprecation warnings are errors.
            warnings.simplefilter("ignore", DeprecationWarning)
            if namespace == "ALE":
                from envs.atari import make_atari

                return make_atari(id, **kwargs)
            if namespace == "MinAtar":
                from envs.minatar import MinAtar

                # Space Invaders and Freeway may go on for ever; 10,000 steps as agents of old had.
                return TimeLimit(MinAtar(name.removesuffix("-v0"), **kwargs), 10_000)
            if namespace == "Meta-World":
                from envs.meta_world import MetaWorld

                return TimeLimit(MetaWorld(name, **kwargs), 200)
            # The checker looks at the first steps only and slows all others.
            return gym.make(id, disable_env_checker=True, **kwargs)
    except TypeError as error:
        if not kwargs:
            raise
        listed = ", ".join(f"{name}={value!r}" for name, value in kwargs.items())
        raise ValueError(f"{id} cannot be made with {listed}: {error}") from None
    except gym.error.DependencyNotInstalled as error:
        entry_point = str(gym.spec(id).entry_point)
        for package, extra in _EXTRAS.items():
            if package in entry_point:
                raise ValueError(_missing(id, extra)) from None
        raise ValueError(f"{id} needs a package that is not installed: {error}") from None
    except ModuleNotFoundError as error:
        for extra in ("minatar", "metaworld"):
            if error.name == extra:
                raise ValueError(_missing(id, extra)) from None
        raise ValueError(f"{id} cannot be made here: {error}") from None
    except ImportError as error:  # a package of the environment's own, or a version that has left
        raise ValueError(f"{id} cannot be made here: {error}") from None
    except ValueError:  # says what is wrong
        raise
    except Exception as error:  # of the environment's own, of a simulator, of a driver
        problem = f"{type(error).__name__}: {error}"
        raise ValueError(f"{id} cannot be made here: {problem}") from error


def _missing(id: str, extra: str) -> str:
    command = f"pip install -c constraints.txt -e '.[{extra}]'"
    if extra == "metaworld":  # it wants a MuJoCo of its own
        command = "pip install -e '.[metaworld]' in a virtual environment of its own"
    return f"{id} needs the extra {extra!r}, which is not installed: {command}"


def check_id(id: str) -> None:
    """Raises a ValueError with the nearest names if ``id`` is no environment."""
    if len(id) > 200:
        raise ValueError(f"an environment is named by at most 200 letters. Received {len(id)}")
    if ":" in id and not id.startswith("envs:"):
        # Gymnasium would import what stands before the colon, which may come from a stranger.
        raise ValueError(f"an environment is named without its module. Received {id!r}")
    if id.startswith("ALE/"):
        import ale_py

        gym.register_envs(ale_py)
    if id.startswith("MinAtar/"):
        from envs.minatar import check_game

        check_game(id.removeprefix("MinAtar/").removesuffix("-v0"))
        if not id.endswith("-v0"):
            raise ValueError(f"there is no environment {id!r}. Did you mean '{id}-v0'?")
        return
    if id.startswith("Meta-World/"):
        return
    benchmark = find_benchmark(id)
    if id in BENCHMARKS:
        return
    if benchmark is not None:
        check_id(benchmark.bases[0])
        return
    for name in BENCHMARKS:
        if id.removeprefix("envs:") == gym_id(name):
            raise ValueError(f"{id!r} is the benchmark {name!r}: give that name")
    try:
        gym.spec(id)
    except gym.error.Error as error:
        known = [*BENCHMARKS, *(name for name in gym.registry if "continual/" not in name)]
        near = get_close_matches(id, known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "--list-envs shows the benchmarks."
        raise ValueError(f"there is no environment {id!r}. {hint}") from error


@contextlib.contextmanager
def _quiet_mujoco() -> Iterator[None]:
    """Keeps MuJoCo's warning about Gymnasium's own model files, and its log file, from the user."""
    try:
        import mujoco
    except ImportError:
        yield
        return
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)
