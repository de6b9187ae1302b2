"""Shifts of what the agent does."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from envs.shift import Shift, nth_permutation


class ActionPermutation(Shift):
    """Permutes the actions of a discrete space; task 0 is as it was, no task as before."""

    def setup(self, env: gym.Env[Any, Any]) -> None:
        space = env.action_space
        if not isinstance(space, gym.spaces.Discrete):
            raise ValueError(f"ActionPermutation needs a Discrete action space. Received {space}")
        self.start, self.size = int(space.start), int(space.n)

    def enter(self, task: int, rng: np.random.Generator) -> None:
        self.permutation = nth_permutation(task, self.size, rng)

    def action(self, action: Any) -> Any:
        return self.start + self.permutation[int(action) - self.start]
