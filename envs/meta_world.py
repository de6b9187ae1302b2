"""Meta-World (Yu et al. 2020): a robot arm and what it can do on a table."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np


class MetaWorld(gym.Env[Any, Any]):
    """One task; object and goal are drawn at each reset from its 50 training variations.

    Args:
        name: Name of the task, such as ``"hammer-v3"``.

    Raises:
        ValueError: If there is no such task.
    """

    def __init__(self, name: str) -> None:
        import metaworld

        if name not in metaworld.ALL_V3_ENVIRONMENTS:
            raise ValueError(f"there is no Meta-World task {name!r}")
        benchmark = metaworld.MT1(name, seed=0)
        self.env = benchmark.train_classes[name]()
        self.variations = benchmark.train_tasks
        self.env.set_task(self.variations[0])
        self.action_space = self.env.action_space
        size = self.env.observation_space.shape[0]
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (size,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.env.set_task(self.variations[self.np_random.integers(len(self.variations))])
        observation, info = self.env.reset(seed=seed, options=options)
        return observation.astype(np.float32), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation.astype(np.float32), float(reward), terminated, truncated, info

    def close(self) -> None:
        self.env.close()
