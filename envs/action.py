"""Shifts of what the agent does."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from envs.schedules import whole
from envs.shift import (
    NumericShift,
    PerTask,
    Shift,
    brief,
    check_permutations,
    choose_permutation,
    in_turn,
)


class ActionPermutation(Shift):
    """Permutes the actions of a discrete space; task 0 is as it was, no task as before.

    Args:
        permutations: One for each task, in turn; default: drawn.
    """

    def __init__(self, permutations: Sequence[Sequence[int]] | None = None) -> None:
        self.permutations = permutations

    def setup(self, env: gym.Env[Any, Any]) -> None:
        space = env.action_space
        if not isinstance(space, gym.spaces.Discrete):
            raise ValueError(
                f"ActionPermutation needs a Discrete action space. Received {brief(space)}"
            )
        self.start, self.size = int(space.start), int(space.n)
        check_permutations(self.permutations, self.size)

    def enter(self, task: int, rng: np.random.Generator) -> None:
        self.permutation = choose_permutation(self.permutations, task, self.size, rng).tolist()

    def action(self, action: Any) -> Any:
        return self.start + self.permutation[int(action) - self.start]


class ActionScale(NumericShift):
    """Multiplies continuous actions by a factor, and clips them to the bounds.

    Args:
        factors: One for each task.
    """

    def __init__(self, factors: PerTask) -> None:
        self.factor_of = in_turn("factors", factors)

    def setup(self, env: gym.Env[Any, Any]) -> None:
        self.space = _box(env.action_space, self)

    def numbers(self, task: int, rng: np.random.Generator) -> Any:
        return np.asarray(self.factor_of(task), float)

    def set(self, numbers: Any) -> None:
        self.factor = numbers

    def action(self, action: Any) -> Any:
        scaled = (action * self.factor).astype(self.space.dtype, copy=False)
        return np.minimum(np.maximum(scaled, self.space.low), self.space.high)


class ActionDelay(Shift):
    """Lets actions take effect some steps later.

    Until the first one does, the environment gets the first discrete action, or zeros within the
    bounds.

    Args:
        delays: Steps, for each task.
    """

    def __init__(self, delays: PerTask) -> None:
        self.delay_of = in_turn("delays", delays, least=0)

    def setup(self, env: gym.Env[Any, Any]) -> None:
        space = env.action_space
        if isinstance(space, gym.spaces.Discrete):
            self.idle: Any = int(space.start)
        else:
            box = _box(space, self)
            self.idle = np.clip(np.zeros_like(box.low), box.low, box.high)
        self.waiting: deque[Any] = deque()

    def enter(self, task: int, rng: np.random.Generator) -> None:
        self.delay = self.delay_of(task)

    def begin(self, rng: np.random.Generator) -> None:
        self.waiting.clear()

    def action(self, action: Any) -> Any:
        waiting = self.waiting
        waiting.append(np.array(action) if isinstance(action, np.ndarray) else action)
        if len(waiting) <= self.delay:
            return self.idle
        while len(waiting) > self.delay + 1:  # the delay has become shorter
            waiting.popleft()
        return waiting.popleft()


class DeadActuator(Shift):
    """Sets components of continuous actions to zero; task 0 has none, no task those of before.

    Args:
        count: Number of dead components, drawn anew for each task.
    """

    def __init__(self, count: int = 1) -> None:
        whole("count", count)
        self.count = count

    def setup(self, env: gym.Env[Any, Any]) -> None:
        self.space = _box(env.action_space, self)
        self.size = self.space.low.size
        if self.count >= self.size:
            raise ValueError(
                f"`count` should be below the {self.size} components of an action. "
                f"Received {self.count}"
            )

    def enter(self, task: int, rng: np.random.Generator) -> None:
        dead: set[int] = set()
        for _ in range(task):
            before = dead
            while dead == before:
                dead = set(rng.choice(self.size, self.count, replace=False).tolist())
        alive = np.ones(self.size, self.space.dtype)
        alive[list(dead)] = 0
        self.alive = alive.reshape(self.space.shape)

    def action(self, action: Any) -> Any:
        return action * self.alive


def _box(space: gym.Space[Any], shift: Shift) -> gym.spaces.Box:
    if not isinstance(space, gym.spaces.Box):
        name = type(shift).__name__
        raise ValueError(f"{name} needs a Box as action space. Received {brief(space)}")
    return space
