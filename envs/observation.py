"""Shifts of what the agent sees."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from envs.shift import Shift, nth_permutation


class ObservationOffset(Shift):
    """Adds a fixed Gaussian offset to every observation of a task; task 0 has none.

    The offsets of C-CHAIN (github.com/bluecontra/C-CHAIN): each component is drawn from
    N(0, scale^2), anew for each task.  The result is not clipped, so the space becomes unbounded.

    Args:
        scale: Standard deviation of the offset.
    """

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def setup(self, env: gym.Env[Any, Any]) -> None:
        self.space = _float_box(env.observation_space, type(self).__name__)

    def observation_space(self, space: gym.Space[Any]) -> gym.Space[Any]:
        return gym.spaces.Box(-np.inf, np.inf, self.space.shape, self.space.dtype.type)

    def enter(self, task: int, rng: np.random.Generator) -> None:
        offsets = rng.normal(0.0, self.scale, (task, *self.space.shape))
        self.offset = np.concatenate((np.zeros((1, *self.space.shape)), offsets))[-1].astype(
            self.space.dtype
        )

    def observation(self, observation: Any) -> Any:
        return observation + self.offset


class ObservationPermutation(Shift):
    """Permutes the components of every observation; task 0 is as it was, no task as before."""

    def setup(self, env: gym.Env[Any, Any]) -> None:
        space = _float_box(env.observation_space, type(self).__name__)
        if len(space.shape) != 1:
            raise ValueError(f"ObservationPermutation permutes vectors. Received {space}")
        self.size = space.shape[0]

    def observation_space(self, space: gym.Space[Any]) -> gym.Space[Any]:
        # Any component can stand at any place, so each place takes the widest bounds.
        assert isinstance(space, gym.spaces.Box)
        return gym.spaces.Box(space.low.min(), space.high.max(), space.shape, space.dtype.type)

    def enter(self, task: int, rng: np.random.Generator) -> None:
        self.permutation = nth_permutation(task, self.size, rng)

    def observation(self, observation: Any) -> Any:
        return observation[self.permutation]


def _float_box(space: gym.Space[Any], name: str) -> gym.spaces.Box:
    if not isinstance(space, gym.spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        raise ValueError(f"{name} needs a Box of floats as observation space. Received {space}")
    return space
