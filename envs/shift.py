"""What a shift is, and what shifts have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

PerTask = Sequence[Any] | Callable[[int], Any]
"""A value for each task: a list that is taken in turn, or a function of the task."""


class Shift:
    """One kind of change of an environment.

    A subclass overrides what it changes.  ``enter`` prepares the shift for a task and may draw from
    ``rng``.  That generator is seeded by (seed, position of the shift) alone and starts anew at
    each call: a shift that draws its tasks draws all of them up to ``task``, in order.  So the k-th
    task of a seed is the same whenever it is shown, and may depend on the ones before it.
    """

    midway = True
    """Whether the change can come in the middle of an episode."""

    def setup(self, env: gym.Env[Any, Any]) -> None:
        """Looks at the environment once, before the first task; raises if it does not fit."""

    def enter(self, task: int, rng: np.random.Generator) -> None:
        """Prepares for task ``task``."""

    def begin(self, rng: np.random.Generator) -> None:
        """Prepares for an episode; ``rng`` is for noise within it."""

    def observation_space(self, space: gym.Space[Any]) -> gym.Space[Any]:
        """Returns the space of shifted observations."""
        return space

    def observation(self, observation: Any) -> Any:
        """Changes what the agent sees."""
        return observation

    def action(self, action: Any) -> Any:
        """Changes what the agent does."""
        return action

    def reward(self, reward: float, info: dict[str, Any], ended: bool) -> float:
        """Changes what the agent is paid.

        Args:
            reward: The reward so far.
            info: What the environment says of the step.
            ended: Whether the episode ends with this step, for whatever reason.
        """
        return reward


class NumericShift(Shift, ABC):
    """A shift that consists of numbers, so that it can also stand between two tasks.

    A subclass says which numbers a task has and what to do with them; a drift interpolates.
    """

    @abstractmethod
    def numbers(self, task: int, rng: np.random.Generator) -> Any:
        """Returns the numbers of a task, an array of floats or a float."""

    @abstractmethod
    def set(self, numbers: Any) -> None:
        """Puts numbers into effect, those of a task or, as an array, those between two."""

    def enter(self, task: int, rng: np.random.Generator) -> None:
        self.set(self.numbers(task, rng))


def channels_last(space: gym.spaces.Box) -> bool:
    """Whether this looks like an image whose channels come last."""
    return len(space.shape) == 3 and space.shape[2] in (1, 3, 4) and space.shape[0] > 4


def nth_permutation(task: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draws the permutation of ``size`` things for ``task``: the identity for task 0, and never the
    one of the task before, so that every switch changes something (if ``size`` is above 1).
    """
    permutation = np.arange(size)
    for _ in range(task):
        before = permutation
        while size > 1 and np.array_equal(permutation, before):
            permutation = rng.permutation(size)
    return permutation


def brief(thing: object) -> str:
    """Returns a space or environment in one line."""
    return " ".join(str(thing).split())


def in_turn(
    name: str, values: PerTask, least: float = -np.inf, most: float = np.inf
) -> Callable[[int], Any]:
    """Returns the function from a task to its value.

    Args:
        name: What the values are called in messages.
        values: One for each task, in turn; or the function itself.
        least: The least number that is allowed in a list.
        most: The greatest one.

    Raises:
        ValueError: If there are no values, or one is too small.
    """
    if callable(values):
        return values
    if not len(values):
        raise ValueError(f"`{name}` should hold at least one value. Received none")
    if least > -np.inf and not (least <= min(values) and max(values) <= most):
        rule = f"at least {least:g}" + (f" and at most {most:g}" if most < np.inf else "")
        raise ValueError(f"`{name}` should be {rule}. Received {list(values)}")
    listed = tuple(values)
    return lambda task: listed[task % len(listed)]


def check_permutations(permutations: Sequence[Sequence[int]] | None, size: int) -> None:
    """Raises a ValueError if one of the permutations is not one of ``size`` things."""
    if permutations is not None and not len(permutations):
        raise ValueError("`permutations` should hold at least one. Received none")
    for permutation in () if permutations is None else permutations:
        if sorted(permutation) != list(range(size)):
            raise ValueError(
                f"a permutation should hold each of 0 to {size - 1} once. "
                f"Received {list(permutation)}"
            )


def choose_permutation(
    permutations: Sequence[Sequence[int]] | None, task: int, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Returns the given permutation of a task, or the drawn one."""
    if permutations is not None:
        return np.asarray(permutations[task % len(permutations)])
    return nth_permutation(task, size, rng)
