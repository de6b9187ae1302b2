"""When the world changes little by little: schedules whose place between the tasks moves.

At position 2.25 a shift with numbers stands a quarter of the way from those of task 2 to those of
task 3; a shift that cannot stand between two tasks, such as a permutation, is at the nearer one.
A drift never cuts an episode.  It shows task 0 all the time and counts a visit for each period, so
that tables have rows.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from envs.schedules import Phase, at_least, whole


@dataclass(frozen=True)
class _Drift(ABC):
    """What drifts have in common.

    Args:
        period: The time scale in steps, at least 1.
        num_tasks: Number of tasks between which the position moves, at least 2; a linear drift
            may go on for ever (``None``).
        every: Steps between two moves; 1 is the smoothest.
        visit: Steps that are counted as a visit; default: a period.
    """

    period: float
    num_tasks: int | None
    every: int = 1
    visit: int | None = None

    def __post_init__(self) -> None:
        at_least(1, "period", self.period)
        if self.num_tasks is not None:
            whole("num_tasks", self.num_tasks, 2)
        elif not isinstance(self, LinearDrift):
            raise ValueError(
                f"`num_tasks` should be a number for {type(self).__name__}. Received None"
            )
        whole("every", self.every)
        if self.visit is not None:
            whole("visit", self.visit)

    def at(self, step: int) -> Phase:
        moved = step // self.every * self.every
        return Phase(
            0, int(moved // (self.visit or self.period)), moved + self.every, self.position(moved)
        )

    @property
    def _last(self) -> float:
        return math.inf if self.num_tasks is None else self.num_tasks - 1

    @abstractmethod
    def position(self, step: int) -> float:
        """Returns the place between the tasks, from 0 to ``num_tasks - 1``."""


@dataclass(frozen=True)
class LinearDrift(_Drift):
    """From each task to the next in ``period`` steps, and stays at the last one.

    >>> LinearDrift(100, num_tasks=3).at(150).position
    1.5
    """

    def position(self, step: int) -> float:
        return min(step / self.period, self._last)


@dataclass(frozen=True)
class SineDrift(_Drift):
    """From task 0 to the last task and back in ``period`` steps, as a sine.

    Args:
        start: Where in the period step 0 lies: 0 is task 0, 0.25 the middle, 0.5 the last task.

    >>> SineDrift(100, num_tasks=3).at(50).position
    2.0
    """

    start: float = 0.0

    def position(self, step: int) -> float:
        turn = 2 * math.pi * (step / self.period + self.start)
        return self._last * (1 - math.cos(turn)) / 2


@dataclass(frozen=True)
class RandomWalk(_Drift):
    """A random walk from task 0, reflected at both ends.

    Its standard deviation grows by one task in the first ``period`` steps.  Normal increments are
    drawn for each hundredth of a period, and the path between is straight.

    Args:
        seed: Seed of the walk; all seeds of a run share it.
    """

    seed: int = 0

    def position(self, step: int) -> float:
        knot, share = divmod(step / self.period * 100, 1)
        before, after = (_walk(self.seed, int(knot) + k) / 10 for k in (0, 1))
        # Reflection at 0 and at the last task, by unfolding: up and down again.
        width = self._last
        turned = (before + share * (after - before)) % (2 * width)
        return min(turned, 2 * width - turned)


@lru_cache(maxsize=4096)
def _walk(seed: int, knot: int) -> float:
    """Sum of the first ``knot`` standard normal increments, drawn a hundred at a time."""
    chunks, rest = divmod(knot, 100)
    whole = sum(float(_increments(seed, chunk).sum()) for chunk in range(chunks))
    return whole + float(_increments(seed, chunks)[:rest].sum())


@lru_cache(maxsize=4096)
def _increments(seed: int, chunk: int) -> np.ndarray:
    return np.random.default_rng((seed, chunk)).standard_normal(100)
