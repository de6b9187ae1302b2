"""Many environments at once: N copies for each of S seeds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from envs.registry import check_id, make


def make_vec(
    id: str,
    num_envs: int = 1,
    *,
    seeds: Sequence[int] = (0,),
    steps_per_task: int | None = None,
    start_step: int = 0,
    vectorization_mode: Literal["sync", "async"] = "sync",
) -> VectorEnv[Any, Any, Any]:
    """Makes ``len(seeds) * num_envs`` environments, the copies of a seed side by side.

    Ended episodes are reset in the same step (``AutoresetMode.SAME_STEP``): the last observation is
    in ``infos["final_obs"]``.  The copies of a seed share its lifetime, so that it advances
    ``num_envs`` steps at each step, and show the same task.  ``ALE/...`` ids give the native Atari
    vector: 84 x 84 grey frames, four stacked, rewards clipped to their sign, sticky actions;
    they do not change, so lifetimes mean nothing to them.

    Args:
        id: A benchmark or Gymnasium id.
        num_envs: Number of copies N for each seed.
        seeds: The seeds, which also seed the tasks.
        steps_per_task: Steps of one visit per seed; default: the benchmark's.
        start_step: Lifetime step to begin at.
        vectorization_mode: Step the copies in this process or in processes of their own.

    Raises:
        ValueError: As ``envs.make`` does, or if ``num_envs`` is below 1.
    """
    if num_envs < 1:
        raise ValueError(f"`num_envs` should be at least 1. Received {num_envs}")
    check_id(id)
    if id.startswith("ALE/"):
        from envs.atari import make_native

        return make_native(id, len(seeds) * num_envs)
    makers = [
        partial(
            make,
            id,
            seed=seed,
            steps_per_task=steps_per_task,
            start_step=start_step,
            stride=num_envs,
        )
        for seed in seeds
        for _ in range(num_envs)
    ]
    vector = SyncVectorEnv if vectorization_mode == "sync" else AsyncVectorEnv
    return vector(makers, autoreset_mode=AutoresetMode.SAME_STEP)


def reset_seeds(seeds: Sequence[int], num_envs: int) -> list[int]:
    """Returns a seed of its own for each copy of each seed, in the order of ``make_vec``."""
    return [
        int(np.random.SeedSequence((seed, copy)).generate_state(1)[0] >> 1)
        for seed in seeds
        for copy in range(num_envs)
    ]
