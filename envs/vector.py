"""Many environments at once: N copies for each of S seeds."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from envs.benchmarks import Benchmark, find_benchmark
from envs.continual import Switch
from envs.registry import check_id, check_settings, make
from envs.same_step import SameStepVector
from envs.schedules import Schedule, Stationary, whole

VectorMode = Literal["auto", "sync", "async", "native"]


def make_vec(
    id: str,
    num_envs: int = 1,
    *,
    seeds: Sequence[int] = (0,),
    task: int | None = None,
    task_seed: int | None = None,
    steps_per_task: int | None = None,
    cyclic: bool = False,
    start_step: int = 0,
    switch: Switch | None = None,
    show_task: bool = False,
    vectorization_mode: VectorMode = "auto",
    **kwargs: Any,
) -> VectorEnv[Any, Any, Any]:
    """Makes ``len(seeds) * num_envs`` environments, the copies of a seed side by side.

    Ended episodes are reset in the same step (``AutoresetMode.SAME_STEP``): the last observation is
    in ``infos["final_obs"]``.  The copies of a seed share its lifetime, so that it advances
    ``num_envs`` steps at each step, and show the same task; where a change waits for the end of an
    episode, each copy waits for its own.

    Args:
        id: A benchmark or Gymnasium id.
        num_envs: Number of copies N for each seed.
        seeds: The seeds, which also seed the tasks.
        task: Stays at this task for ever; default: the sequence of tasks.
        task_seed: Seed of the tasks for all seeds; default: each seed's own.
        steps_per_task: Steps of one visit per seed; default: the benchmark's.
        cyclic: Lets the first task follow the last one, where the last one would stay.
        start_step: Lifetime step to begin at.
        switch: What a change does to a running episode; default: the benchmark's.
        show_task: Appends the task to the observation, one-hot.
        vectorization_mode: Step the copies in this process (``"sync"``) or in processes of their
            own (``"async"``), or games of ALE and MinAtar by a vector of their own
            (``"native"``, which has other random numbers); ``"auto"``: native for ALE and for 16 or
            more copies of MinAtar, else sync.
        **kwargs: Passed to ``envs.make``.

    Raises:
        ValueError: As ``envs.make`` does, or if ``num_envs`` is below 1.
    """
    whole("num_envs", num_envs)
    whole("start_step", start_step, 0)
    if not isinstance(seeds, Sequence) or not len(seeds):
        raise ValueError(f"`seeds` should be a list of at least one seed. Received {seeds}")
    for seed in seeds:
        whole("seeds", seed, 0)
    if vectorization_mode not in get_args(VectorMode):
        raise ValueError(
            f"`vectorization_mode` should be one of {', '.join(get_args(VectorMode))}. "
            f"Received {vectorization_mode!r}"
        )
    check_id(id)
    check_settings(id, steps_per_task=steps_per_task, task=task, switch=switch, cyclic=cyclic)
    benchmark = find_benchmark(id)
    native = None
    if vectorization_mode in ("auto", "native"):
        native = native_vector(id, benchmark)
        known = native.settings if native else set()
        plain = switch in (None, "cut") and not show_task and kwargs.keys() <= known
        few = native is not None and num_envs < native.least_copies
        if vectorization_mode == "native" and not (native and plain):
            raise ValueError(
                "`vectorization_mode` native is for games of ALE or MinAtar whose settings do not "
                f"change. Received {id}"
                + (f" with {', '.join(kwargs) or 'other settings'}" if native else "")
            )
        if not plain or (few and vectorization_mode == "auto"):
            native = None
    if native is not None:
        made: VectorEnv[Any, Any, Any] = native(
            benchmark.bases if benchmark else (id,),
            len(seeds) * num_envs,
            schedule_of(id, steps_per_task, task, cyclic),
            start_step=start_step,
            stride=num_envs,
            **{**(benchmark.kwargs if benchmark else {}), **kwargs},
        )
        return made
    makers = [
        partial(
            make,
            id,
            task=task,
            task_seed=seed if task_seed is None else task_seed,
            steps_per_task=steps_per_task,
            cyclic=cyclic,
            start_step=start_step,
            stride=num_envs,
            switch=switch,
            show_task=show_task,
            **kwargs,
        )
        for seed in seeds
        for _ in range(num_envs)
    ]
    if vectorization_mode == "async":
        with _deaf_to_interrupts():
            return AsyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
    return SameStepVector(makers)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Makes processes that start here ignore Ctrl-C, which the main program handles."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def native_vector(id: str, benchmark: Benchmark | None) -> Any:
    """Returns the vector that steps whole games all at once, if there is one for these."""
    # A sequence of games has one shift, which selects them; a single game may have others.
    games = (id,) if benchmark is None else benchmark.bases if len(benchmark.bases) > 1 else ()
    if games and all(game.startswith("ALE/") for game in games):
        from envs.atari import NativeAtari

        return NativeAtari
    if games and all(game.startswith("MinAtar/") for game in games):
        from envs.minatar.vector import MinAtarVector

        return MinAtarVector
    return None


def frame_stack(id: str, *, show_task: bool = False) -> int:
    """Returns how many frames an observation of ``make`` stacks along its first axis.

    Each step moves the stack on by one frame, unless an episode begins or pixels change.  1: an
    observation is no stack, as are those of games to which channels of the task are appended.
    """
    benchmark = find_benchmark(id)
    games = benchmark.bases if benchmark else (id,)
    return 4 if all(game.startswith("ALE/") for game in games) and not show_task else 1


def schedule_of(
    id: str, steps_per_task: int | None = None, task: int | None = None, cyclic: bool = False
) -> Schedule:
    """Returns when ``make`` with these settings changes the task.

    Raises:
        ValueError: If the environment does not change, has no such task, or has an order of its
            own.
    """
    check_settings(id, steps_per_task=steps_per_task, task=task, cyclic=cyclic)
    benchmark = find_benchmark(id)
    if benchmark is None:
        return Stationary()
    return benchmark.schedule(steps_per_task, cyclic) if task is None else Stationary(task)


def show_task(vector: VectorEnv[Any, Any, Any], task: int) -> None:
    """Lets every environment of ``make_vec`` stay at a task from the next reset on."""
    if isinstance(vector, SyncVectorEnv | AsyncVectorEnv):
        vector.call("show", task)
    else:
        vector.show(task)  # type: ignore[attr-defined]  # the native vector


def reset_seeds(seeds: Sequence[int], num_envs: int, *when: int) -> list[int]:
    """Returns a seed of its own for each copy of each seed, in the order of ``make_vec``.

    Args:
        seeds: The seeds.
        num_envs: Number of copies N for each seed.
        *when: Numbers of at least 0 that tell one reset from another.
    """
    return [
        int(np.random.SeedSequence((seed, copy, *when)).generate_state(1)[0] >> 1)
        for seed in seeds
        for copy in range(num_envs)
    ]
