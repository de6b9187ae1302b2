"""Environments that do nothing but count, so that tests can expect exact values."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np


class Counting(gym.Env[Any, Any]):
    """Observes (t, 10 t, 100 t), pays the action, ends after ``length`` steps.

    ``strength`` and ``parts`` are numbers for tests of dynamics.
    """

    observation_space: gym.Space[Any] = gym.spaces.Box(0, 1000, (3,), np.float32)

    def __init__(self, length: int = 100, action_space: gym.Space[Any] | None = None) -> None:
        self.action_space = action_space or gym.spaces.Discrete(4)
        self.length, self.strength, self.parts = length, 2.0, np.array([1.0, 2.0])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return self._observe(), float(np.sum(action)), self.t == self.length, False, self._tell()

    def _observe(self) -> Any:
        return np.array([1, 10, 100], np.float32) * self.t

    def _tell(self) -> dict[str, Any]:
        return {}


class Images(Counting):
    """Observes an image (2, 2, 3) of the bytes t, t + 1, ..., t + 11."""

    observation_space = gym.spaces.Box(0, 255, (2, 2, 3), np.uint8)

    def _observe(self) -> Any:
        return np.arange(12, dtype=np.uint8).reshape(2, 2, 3) + np.uint8(self.t)


class Runner(Counting):
    """Runs at velocity t, at a control cost of 4."""

    _forward_reward_weight = 1.0

    def _tell(self) -> dict[str, Any]:
        return {"x_velocity": float(self.t), "reward_ctrl": -4.0}


def play(
    env: gym.Env[Any, Any], actions: int | Sequence[Any], seed: int = 0
) -> list[dict[str, Any]]:
    """Steps through episodes, of a number with action 1; returns what each step gave."""
    env.reset(seed=seed)
    rows = []
    for action in [1] * actions if isinstance(actions, int) else actions:
        obs, reward, terminated, truncated, info = env.step(action)
        rows.append({"obs": obs, "reward": reward, "end": (terminated, truncated), **info})
        if terminated or truncated:
            env.reset()
    return rows
