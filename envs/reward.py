"""Shifts of what the agent is paid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from envs.shift import Shift


class RewardScale(Shift):
    """Multiplies the reward by a factor for each task, in turn.

    Args:
        scales: Factor of task k is ``scales[k % len(scales)]``; -1 turns the goal around.
    """

    def __init__(self, scales: Sequence[float]) -> None:
        if not scales:
            raise ValueError("`scales` should hold at least one factor. Received none")
        self.scales = tuple(scales)

    def enter(self, task: int, rng: np.random.Generator) -> None:
        self.scale = self.scales[task % len(self.scales)]

    def reward(self, reward: float) -> float:
        return reward * self.scale
