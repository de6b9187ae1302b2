"""Shifts of what the agent sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from envs.schedules import at_least
from envs.shift import (
    NumericShift,
    PerTask,
    Shift,
    brief,
    channels_last,
    check_permutations,
    choose_permutation,
    in_turn,
    nth_permutation,
)


class ObservationOffset(NumericShift):
    """Adds a fixed Gaussian offset to every observation of a task; task 0 has none.

    The offsets of C-CHAIN (github.com/bluecontra/C-CHAIN): each component is drawn from
    N(0, scale^2), anew for each task.  The result is not clipped, so the space becomes unbounded.

    Args:
        scale: Standard deviation of the offset.
    """

    def __init__(self, scale: float) -> None:
        at_least(0, "scale", scale)
        self.scale = scale

    def setup(self, env: gym.Env[Any, Any]) -> None:
        self.space = _float_box(env.observation_space, self)

    def observation_space(self, space: gym.Space[Any]) -> gym.Space[Any]:
        return _unbounded(self.space)

    def numbers(self, task: int, rng: np.random.Generator) -> Any:
        offsets = rng.normal(0.0, self.scale, (task, *self.space.shape))
        return np.concatenate((np.zeros((1, *self.space.shape)), offsets))[-1]

    def set(self, numbers: Any) -> None:
        self.offset = numbers.astype(self.space.dtype)

    def observation(self, observation: Any) -> Any:
        return observation + self.offset


class ObservationScale(NumericShift):
    """Multiplies every component of the observation by a factor of its own; in task 0 by 1.

    Args:
        low: Least factor.
        high: Greatest factor; factors are log-uniform between the two.
    """

    def __init__(self, low: float, high: float) -> None:
        if not 0 < low <= high:
            raise ValueError(f"`low` and `high` should be 0 < low <= high. Received {low}, {high}")
        self.low, self.high = low, high

    def setup(self, env: gym.Env[Any, Any]) -> None:
        self.space = _float_box(env.observation_space, self)

    def observation_space(self, space: gym.Space[Any]) -> gym.Space[Any]:
        return _unbounded(self.space)

    def numbers(self, task: int, rng: np.random.Generator) -> Any:
        factors = rng.uniform(np.log(self.low), np.log(self.high), (task, *self.space.shape))
        return np.exp(np.concatenate((np.zeros((1, *self.space.shape)), factors))[-1])

    def set(self, numbers: Any) -> None:
        self.factors = numbers.astype(self.space.dtype)

    def observation(self, observation: Any) -> Any:
        return observation * self.factors


class ObservationNoise(NumericShift):
    """Adds Gaussian noise, new at every step.

    Args:
        stds: Standard deviation for each task.
    """

    def __init__(self, stds: PerTask) -> None:
        self.std_of = in_turn("stds", stds, least=0)

    def setup(self, env: gym.Env[Any, Any]) -> None:
        self.space = _float_box(env.observation_space, self)

    def observation_space(self, space: gym.Space[Any]) -> gym.Space[Any]:
        return _unbounded(self.space)

    def numbers(self, task: int, rng: np.random.Generator) -> Any:
        return self.std_of(task)

    def set(self, numbers: Any) -> None:
        self.std = float(numbers)

    def begin(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.noise: Iterator[Any] = iter(())

    def observation(self, observation: Any) -> Any:
        noise = next(self.noise, None)
        if noise is None:  # drawn many at a time, which gives the same numbers and is faster
            count = max(4096 // observation.size, 1)
            self.noise = iter(self.rng.standard_normal((count, *observation.shape), np.float32))
            noise = next(self.noise)
        return (observation + self.std * noise).astype(self.space.dtype, copy=False)


class ObservationMask(Shift):
    """Hides components of the observation: they read 0.  Task 0 hides none.

    Args:
        share: Share of the components that are hidden, at least one if it is above 0; drawn anew
            for each task.
    """

    def __init__(self, share: float) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"`share` should be between 0 and 1. Received {share}")
        self.share = share

    def setup(self, env: gym.Env[Any, Any]) -> None:
        self.space = _float_box(env.observation_space, self)
        self.size = int(np.prod(self.space.shape))
        self.count = max(round(self.share * self.size), int(self.share > 0))

    def observation_space(self, space: gym.Space[Any]) -> gym.Space[Any]:
        assert isinstance(space, gym.spaces.Box)  # 0 belongs to it now
        low, high = np.minimum(space.low, 0), np.maximum(space.high, 0)
        return gym.spaces.Box(low, high, dtype=self.space.dtype.type)

    def enter(self, task: int, rng: np.random.Generator) -> None:
        keep = np.ones(self.size, self.space.dtype)
        for _ in range(task):
            hidden = rng.choice(self.size, self.count, replace=False)
            keep = np.ones(self.size, self.space.dtype)
            keep[hidden] = 0
        self.keep = keep.reshape(self.space.shape)

    def observation(self, observation: Any) -> Any:
        return observation * self.keep


class ObservationInversion(Shift):
    """Turns observations around: vectors change their sign, images of bytes their colours.

    Args:
        inverted: Whether a task is inverted, for each task.
    """

    def __init__(self, inverted: PerTask = (False, True)) -> None:
        self.inverted_in = in_turn("inverted", inverted)

    def setup(self, env: gym.Env[Any, Any]) -> None:
        space = env.observation_space
        if not isinstance(space, gym.spaces.Box) or (
            space.dtype != np.uint8 and not np.issubdtype(space.dtype, np.floating)
        ):
            raise ValueError(
                f"ObservationInversion needs a Box of floats or bytes. Received {brief(space)}"
            )
        # Bytes are reflected between their bounds, so that black and white change places.
        self.top = space.high if space.dtype == np.uint8 else None

    def observation_space(self, space: gym.Space[Any]) -> gym.Space[Any]:
        assert isinstance(space, gym.spaces.Box)
        if self.top is not None:
            return space
        high = np.maximum(space.high, -space.low)
        return gym.spaces.Box(-high, high, dtype=space.dtype.type)

    def enter(self, task: int, rng: np.random.Generator) -> None:
        self.inverted = self.inverted_in(task)

    def observation(self, observation: Any) -> Any:
        if not self.inverted:
            return observation
        return -observation if self.top is None else self.top - observation


class ObservationPermutation(Shift):
    """Permutes the components of every observation; task 0 is as it was, no task as before.

    Args:
        permutations: One for each task, in turn; default: drawn.
    """

    def __init__(self, permutations: Sequence[Sequence[int]] | None = None) -> None:
        self.permutations = permutations

    def setup(self, env: gym.Env[Any, Any]) -> None:
        space = _float_box(env.observation_space, self)
        if len(space.shape) != 1:
            raise ValueError(f"ObservationPermutation permutes vectors. Received {brief(space)}")
        self.size = space.shape[0]
        check_permutations(self.permutations, self.size)

    def observation_space(self, space: gym.Space[Any]) -> gym.Space[Any]:
        # Any component can stand at any place, so each place takes the widest bounds.
        assert isinstance(space, gym.spaces.Box)
        return gym.spaces.Box(space.low.min(), space.high.max(), space.shape, space.dtype.type)

    def enter(self, task: int, rng: np.random.Generator) -> None:
        self.permutation = choose_permutation(self.permutations, task, self.size, rng)

    def observation(self, observation: Any) -> Any:
        return observation[self.permutation]


class PixelPermutation(Shift):
    """Permutes the pixels of every image (C, H, W), all channels alike; task 0 is as it was."""

    def setup(self, env: gym.Env[Any, Any]) -> None:
        shape = env.observation_space.shape or ()
        space = env.observation_space
        if len(shape) != 3 or (isinstance(space, gym.spaces.Box) and channels_last(space)):
            raise ValueError(f"PixelPermutation permutes images (C, H, W). Received {brief(space)}")
        self.size = shape[1] * shape[2]

    def enter(self, task: int, rng: np.random.Generator) -> None:
        self.permutation = nth_permutation(task, self.size, rng)

    def observation(self, observation: Any) -> Any:
        pixels = np.reshape(observation, (len(observation), -1))
        return pixels[:, self.permutation].reshape(np.shape(observation))


def _float_box(space: gym.Space[Any], shift: Shift) -> gym.spaces.Box:
    if not isinstance(space, gym.spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        name = type(shift).__name__
        raise ValueError(
            f"{name} needs a Box of floats as observation space. Received {brief(space)}"
        )
    return space


def _unbounded(space: gym.spaces.Box) -> gym.spaces.Box:
    return gym.spaces.Box(-np.inf, np.inf, space.shape, space.dtype.type)
