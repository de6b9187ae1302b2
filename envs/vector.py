"""Many environments at once: N copies for each of S seeds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from envs.benchmarks import Benchmark, find_benchmark
from envs.registry import check_id, check_task, make
from envs.schedules import Schedule, Stationary

VectorMode = Literal["auto", "sync", "async"]


def make_vec(
    id: str,
    num_envs: int = 1,
    *,
    seeds: Sequence[int] = (0,),
    task: int | None = None,
    task_seed: int | None = None,
    steps_per_task: int | None = None,
    start_step: int = 0,
    show_task: bool = False,
    vectorization_mode: VectorMode = "auto",
    **kwargs: Any,
) -> VectorEnv[Any, Any, Any]:
    """Makes ``len(seeds) * num_envs`` environments, the copies of a seed side by side.

    Ended episodes are reset in the same step (``AutoresetMode.SAME_STEP``): the last observation is
    in ``infos["final_obs"]``.  The copies of a seed share its lifetime, so that it advances
    ``num_envs`` steps at each step, and show the same task.

    Args:
        id: A benchmark or Gymnasium id.
        num_envs: Number of copies N for each seed.
        seeds: The seeds, which also seed the tasks.
        task: Stays at this task for ever; default: the sequence of tasks.
        task_seed: Seed of the tasks for all seeds; default: each seed's own.
        steps_per_task: Steps of one visit per seed; default: the benchmark's.
        start_step: Lifetime step to begin at.
        show_task: Appends the task to the observation, one-hot.
        vectorization_mode: Step the copies in this process (``"sync"``) or in processes of their
            own (``"async"``); ``"auto"``: the native vector for games of ALE without modes, else
            in this process.
        **kwargs: Passed to ``envs.make``.

    Raises:
        ValueError: As ``envs.make`` does, or if ``num_envs`` is below 1.
    """
    if num_envs < 1:
        raise ValueError(f"`num_envs` should be at least 1. Received {num_envs}")
    check_id(id)
    benchmark = find_benchmark(id)
    if vectorization_mode == "auto" and not show_task and is_native(id, benchmark):
        from envs.atari import NativeAtari

        games = benchmark.bases if benchmark else (id,)
        native_kwargs = {**(benchmark.kwargs if benchmark else {}), **kwargs}
        return NativeAtari(
            games,
            len(seeds) * num_envs,
            schedule_of(id, steps_per_task, task),
            start_step=start_step,
            stride=num_envs,
            **native_kwargs,
        )
    makers = [
        partial(
            make,
            id,
            task=task,
            task_seed=seed if task_seed is None else task_seed,
            steps_per_task=steps_per_task,
            start_step=start_step,
            stride=num_envs,
            show_task=show_task,
            **kwargs,
        )
        for seed in seeds
        for _ in range(num_envs)
    ]
    vector = AsyncVectorEnv if vectorization_mode == "async" else SyncVectorEnv
    return vector(makers, autoreset_mode=AutoresetMode.SAME_STEP)


def is_native(id: str, benchmark: Benchmark | None) -> bool:
    """Whether the native vector of ALE can show this: whole games, no settings that change."""
    if benchmark is None:
        return id.startswith("ALE/")
    # A sequence of games has one shift, which selects them.
    return len(benchmark.bases) > 1 and all(base.startswith("ALE/") for base in benchmark.bases)


def schedule_of(id: str, steps_per_task: int | None = None, task: int | None = None) -> Schedule:
    """Returns when ``make`` with these settings changes the task.

    Raises:
        ValueError: If the benchmark has no such task.
    """
    benchmark = find_benchmark(id)
    if benchmark is None:
        return Stationary()
    check_task(id, benchmark, task)
    return benchmark.schedule(steps_per_task) if task is None else Stationary(task)


def show_task(vector: VectorEnv[Any, Any, Any], task: int) -> None:
    """Lets every environment of ``make_vec`` stay at a task from the next reset on."""
    if isinstance(vector, SyncVectorEnv | AsyncVectorEnv):
        vector.call("show", task)
    else:
        vector.show(task)  # type: ignore[attr-defined]  # the native vector


def reset_seeds(seeds: Sequence[int], num_envs: int) -> list[int]:
    """Returns a seed of its own for each copy of each seed, in the order of ``make_vec``."""
    return [
        int(np.random.SeedSequence((seed, copy)).generate_state(1)[0] >> 1)
        for seed in seeds
        for copy in range(num_envs)
    ]
