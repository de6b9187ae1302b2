"""The benchmarks, and ``make``: any benchmark or Gymnasium id to an environment."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from envs.action import ActionPermutation
from envs.dynamics import Parameter, log_uniform
from envs.observation import ObservationOffset, ObservationPermutation
from envs.schedules import Cyclic, EverySteps, Schedule, Stationary
from envs.sequence import EnvSequence, SelectEnv
from envs.shift import Continual, Shift

Env = gym.Env[Any, Any]


@dataclass(frozen=True)
class Benchmark:
    """A named non-stationary environment.

    Attributes:
        description: What changes, in one line.
        source: Where the parameters come from; "ours" where they are this project's choice.
        bases: Gymnasium ids; several are a sequence of whole environments.
        shifts: Makes the shifts, anew for each environment.
        num_tasks: Number of tasks.
        steps_per_task: Environment steps of one visit, per seed.
        small_steps: The same for the small version, which runs in minutes.
        cyclic: Whether task 0 follows the last task; else the last one stays.
    """

    description: str
    source: str
    bases: tuple[str, ...]
    shifts: Callable[[], Sequence[Shift]]
    num_tasks: int
    steps_per_task: int
    small_steps: int
    cyclic: bool = False

    def schedule(self, steps_per_task: int | None = None) -> Schedule:
        """Returns the schedule, with a visit length other than the published one if given."""
        period = self.steps_per_task if steps_per_task is None else steps_per_task
        return (Cyclic if self.cyclic else EverySteps)(period, self.num_tasks)


_PUBLISHED: dict[str, Benchmark] = {
    "obs-shift-cartpole": Benchmark(
        "CartPole with a N(0, 2) offset on the observation, new for each task",
        "C-CHAIN (bluecontra/C-CHAIN)",
        ("CartPole-v1",),
        lambda: [ObservationOffset(2.0)],
        num_tasks=10,
        steps_per_task=160_000,
        small_steps=15_000,
    ),
    "obs-permute-cartpole": Benchmark(
        "CartPole with the observation permuted, anew for each task",
        "ours, after permuted MNIST",
        ("CartPole-v1",),
        lambda: [ObservationPermutation()],
        num_tasks=10,
        steps_per_task=160_000,
        small_steps=10_000,
    ),
    "action-permute-acrobot": Benchmark(
        "Acrobot with the actions permuted, anew for each task",
        "ours",
        ("Acrobot-v1",),
        lambda: [ActionPermutation()],
        num_tasks=10,
        steps_per_task=160_000,
        small_steps=20_000,
    ),
    "cartpole-gravity": Benchmark(
        "CartPole with gravity times 1, 2, 0.5, 3, 0.25",
        "ours",
        ("CartPole-v1",),
        lambda: [Parameter("gravity", (1.0, 2.0, 0.5, 3.0, 0.25), relative=True)],
        num_tasks=5,
        steps_per_task=160_000,
        small_steps=10_000,
        cyclic=True,
    ),
    "classic-cycle": Benchmark(
        "CartPole, Acrobot, MountainCar in turn, spaces padded to the widest",
        "ours",
        ("CartPole-v1", "Acrobot-v1", "MountainCar-v0"),
        lambda: [SelectEnv()],
        num_tasks=3,
        steps_per_task=160_000,
        small_steps=10_000,
        cyclic=True,
    ),
    "slippery-ant": Benchmark(
        "Ant with the sliding friction of every geom log-uniform in [0.02, 2]",
        "shibhansh/loss-of-plasticity (which waits for the end of the episode)",
        ("Ant-v5",),
        # Contacts take the larger friction of the two geoms, so the floor alone changes nothing.
        lambda: [Parameter("model.geom_friction[:, 0]", log_uniform(0.02, 2.0))],
        num_tasks=10,
        steps_per_task=2_000_000,
        small_steps=20_000,
    ),
    "cheetah-gravity": Benchmark(
        "HalfCheetah with gravity times 1, 0.5, 1.5, 0.75, 1.25",
        "ours, a common setting",
        ("HalfCheetah-v5",),
        lambda: [Parameter("model.opt.gravity[2]", (1.0, 0.5, 1.5, 0.75, 1.25), relative=True)],
        num_tasks=5,
        steps_per_task=500_000,
        small_steps=20_000,
        cyclic=True,
    ),
}

BENCHMARKS: dict[str, Benchmark] = {
    name: benchmark
    for id, published in _PUBLISHED.items()
    for name, benchmark in (
        (id, published),
        (f"{id}-small", replace(published, steps_per_task=published.small_steps)),
    )
}
"""All benchmarks by id, each beside its ``-small`` version."""

_EXTRAS = {"mujoco": "mujoco", "box2d": "box2d", "atari": "atari"}  # package of the id -> extra


def make(
    id: str,
    *,
    seed: int = 0,
    steps_per_task: int | None = None,
    start_step: int = 0,
    stride: int = 1,
    **kwargs: Any,
) -> Continual:
    """Makes a benchmark, or any Gymnasium environment as a benchmark of one task.

    Args:
        id: A key of ``BENCHMARKS`` or the id of a Gymnasium environment.
        seed: Seed of the sequence of tasks (``reset`` takes the seed of the episodes).
        steps_per_task: Steps of one visit; default: the benchmark's.
        start_step: Lifetime step to begin at.
        stride: Lifetime steps per step, the number of copies that share the lifetime.
        **kwargs: Passed to ``gymnasium.make``.

    Raises:
        ValueError: If there is no such environment, a package for it is missing, or
            ``steps_per_task`` is given for an environment that does not change.
    """
    benchmark = BENCHMARKS.get(id)
    if benchmark is None:
        if steps_per_task is not None:
            raise ValueError(
                f"`steps_per_task` is for environments that change; {id!r} does not. "
                f"Received {steps_per_task}"
            )
        base, schedule, shifts = _make_base(id, kwargs), Stationary(), ()
        return Continual(base, schedule, shifts, start_step=start_step, stride=stride)
    if len(benchmark.bases) == 1:
        base = _make_base(benchmark.bases[0], kwargs)
    else:
        base = EnvSequence([partial(_make_base, id, kwargs) for id in benchmark.bases])
    settings: dict[str, Any] = dict(seed=seed, start_step=start_step, stride=stride)
    env = Continual(base, benchmark.schedule(steps_per_task), benchmark.shifts(), **settings)
    made_by: dict[str, Any] = dict(id=id, steps_per_task=steps_per_task, **settings, **kwargs)
    env.made_by = EnvSpec(gym_id(id), entry_point="envs.registry:make", kwargs=made_by)
    return env


def gym_id(id: str) -> str:
    """The id of a benchmark in Gymnasium: ``slippery-ant`` is ``continual/SlipperyAnt-v0``."""
    return f"continual/{''.join(part.capitalize() for part in id.split('-'))}-v0"


def _make_base(id: str, kwargs: dict[str, Any]) -> Env:
    check_id(id)
    try:
        with _quiet_mujoco():
            # The checker looks at the first steps only and slows all others.
            return gym.make(id, disable_env_checker=True, **kwargs)
    except ImportError as error:  # a package of the environment's own, or a version that has left
        raise ValueError(f"{id} cannot be made here: {error}") from None
    except gym.error.DependencyNotInstalled as error:
        entry_point = str(gym.spec(id).entry_point)
        for package, extra in _EXTRAS.items():
            if package in entry_point:
                raise ValueError(
                    f"{id} needs the extra {extra!r}, which is not installed: "
                    f"pip install -c constraints.txt -e '.[{extra}]'"
                ) from None
        raise ValueError(f"{id} needs a package that is not installed: {error}") from None


def check_id(id: str) -> None:
    """Raises a ValueError with the nearest names if ``id`` is no environment."""
    if id.startswith("ALE/"):
        import ale_py

        gym.register_envs(ale_py)
    if id in BENCHMARKS:
        return
    for name in BENCHMARKS:
        if id == gym_id(name):
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
