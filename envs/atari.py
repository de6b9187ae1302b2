"""The native vector of the Arcade Learning Environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode


class NativeAtari(AtariVectorEnv):
    """ALE's own vector, which takes a list of seeds as Gymnasium's other vectors do."""

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        return super().reset(
            seed=np.asarray(seed) if isinstance(seed, Sequence) else seed, options=options
        )


def make_native(id: str, num_envs: int) -> NativeAtari:
    """Makes the vector of a registered ``ALE/...`` id with the sticky actions of that id."""
    settings = gym.spec(id).kwargs
    return NativeAtari(
        settings["game"],
        num_envs,
        repeat_action_probability=settings["repeat_action_probability"],
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
