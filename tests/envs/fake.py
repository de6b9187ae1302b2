"""An environment that does nothing but count, so that tests can expect exact values."""

from typing import Any

import gymnasium as gym
import numpy as np


class Counting(gym.Env[Any, Any]):
    """Observes (t, 10 t, 100 t), pays the action, ends after ``length`` steps.

    ``strength`` and ``parts`` are numbers for tests of dynamics.
    """

    observation_space = gym.spaces.Box(0, 1000, (3,), np.float32)

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
        return self._observe(), float(np.sum(action)), self.t == self.length, False, {}

    def _observe(self) -> Any:
        return np.array([1, 10, 100], np.float32) * self.t
