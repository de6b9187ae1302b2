"""When the world changes: pure functions of the lifetime step.

A schedule divides the lifetime of an environment into phases.  It holds no state, so a run can be
continued at any step by asking for that step again.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain, count
from typing import NamedTuple, Protocol

import numpy as np


class Phase(NamedTuple):
    """A stretch of lifetime without a change.

    Attributes:
        task: Index of the task that is shown, from 0.
        visit: How often this task was shown before.
        end: First lifetime step that no longer belongs to the phase; infinite for the last phase.
        position: Of a drift, the place between the tasks: 2.25 is a quarter of the way from task 2
            to task 3.  ``None``: the task itself.
    """

    task: int
    visit: int
    end: float
    position: float | None = None


class Schedule(Protocol):
    """Anything that can say which phase a lifetime step belongs to."""

    def at(self, step: int) -> Phase:
        """Returns the phase of lifetime step ``step``, counted from 0."""
        ...


@dataclass(frozen=True)
class Stationary:
    """One task for ever."""

    task: int = 0

    def __post_init__(self) -> None:
        whole("task", self.task, 0)

    def at(self, step: int) -> Phase:
        return Phase(self.task, 0, math.inf)


@dataclass(frozen=True)
class EverySteps:
    """The next task after every ``period`` steps.

    Args:
        period: Length of a phase in steps, at least 1.
        num_tasks: Number of tasks; the last one stays. ``None``: a new task for ever.

    >>> EverySteps(100, num_tasks=3).at(250)
    Phase(task=2, visit=0, end=inf, position=None)
    """

    period: int
    num_tasks: int | None = None

    def __post_init__(self) -> None:
        whole("period", self.period)
        if self.num_tasks is not None:
            whole("num_tasks", self.num_tasks)

    def at(self, step: int) -> Phase:
        task = step // self.period
        if self.num_tasks is not None and task >= self.num_tasks - 1:
            return Phase(self.num_tasks - 1, 0, math.inf)
        return Phase(task, 0, (task + 1) * self.period)


@dataclass(frozen=True)
class Cyclic:
    """``num_tasks`` tasks in turn, ``period`` steps each, again and again.

    >>> Cyclic(100, num_tasks=3).at(350)
    Phase(task=0, visit=1, end=400, position=None)
    """

    period: int
    num_tasks: int

    def __post_init__(self) -> None:
        whole("period", self.period)
        whole("num_tasks", self.num_tasks)

    def at(self, step: int) -> Phase:
        level = step // self.period
        return Phase(level % self.num_tasks, level // self.num_tasks, (level + 1) * self.period)


@dataclass(frozen=True)
class InOrder:
    """The listed tasks, ``period`` steps each; the last one stays.

    >>> InOrder(100, (2, 0, 2)).at(250)
    Phase(task=2, visit=1, end=inf, position=None)
    """

    period: int
    tasks: Sequence[int]

    def __post_init__(self) -> None:
        whole("period", self.period)
        if not len(self.tasks) or min(self.tasks) < 0:
            raise ValueError(f"`tasks` should be indices from 0. Received {list(self.tasks)}")
        object.__setattr__(self, "tasks", tuple(map(int, self.tasks)))

    def at(self, step: int) -> Phase:
        level = min(step // self.period, len(self.tasks) - 1)
        task = self.tasks[level]
        end = (level + 1) * self.period if level < len(self.tasks) - 1 else math.inf
        return Phase(task, tuple(self.tasks[:level]).count(task), end)


@dataclass(frozen=True)
class AtSteps:
    """The next task at each of the listed lifetime steps.

    >>> AtSteps((100, 500)).at(100)
    Phase(task=1, visit=0, end=500, position=None)
    """

    steps: Sequence[int]

    def __post_init__(self) -> None:
        steps = list(self.steps)
        if not steps or steps[0] < 1 or sorted(set(steps)) != steps:
            raise ValueError(f"`steps` should be positive and increasing. Received {steps}")
        object.__setattr__(self, "steps", tuple(map(int, steps)))

    def at(self, step: int) -> Phase:
        task = bisect_right(self.steps, step)
        return Phase(task, 0, self.steps[task] if task < len(self.steps) else math.inf)


def once(step: int) -> AtSteps:
    """One change, at lifetime step ``step``."""
    return AtSteps((step,))


@dataclass(frozen=True)
class RandomTimes:
    """The next task at random times: the length of each phase is geometric.

    The times are those of ``seed`` alone, so that all seeds of a run switch together.

    Args:
        mean: Mean length of a phase in steps, at least 1.
        num_tasks: Number of tasks; ``None``: a new task for ever.
        cyclic: Whether task 0 follows the last task; else the last one stays.
        seed: Seed of the times.
    """

    mean: float
    num_tasks: int | None = None
    cyclic: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.mean < math.inf:
            raise ValueError(f"`mean` should be at least 1 and finite. Received {self.mean}")
        whole("seed", self.seed, 0)
        if self.num_tasks is not None:
            whole("num_tasks", self.num_tasks)

    def at(self, step: int) -> Phase:
        chunks = (_lengths(self.mean, self.seed, chunk) for chunk in count())
        ends = accumulate(chain.from_iterable(chunks))
        return self._phase(*next((level, end) for level, end in enumerate(ends) if step < end))

    def _phase(self, level: int, end: int) -> Phase:
        if self.num_tasks is None:
            return Phase(level, 0, end)
        if self.cyclic:
            return Phase(level % self.num_tasks, level // self.num_tasks, end)
        last = self.num_tasks - 1
        return Phase(level, 0, end) if level < last else Phase(last, 0, math.inf)


@lru_cache(maxsize=1024)
def _lengths(mean: float, seed: int, chunk: int) -> tuple[int, ...]:
    """Draws the lengths of phases 64 chunk, ..., 64 chunk + 63."""
    return tuple(np.random.default_rng((seed, chunk)).geometric(1 / mean, 64).tolist())


def whole(name: str, value: int, least: int = 1) -> None:
    """Raises a ValueError that names the setting if it is no integer or below its least value."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"`{name}` should be an integer. Received {value!r}")
    at_least(least, name, value)


def at_least(least: float, name: str, value: float) -> None:
    """Raises a ValueError that names the setting if it is below its least value."""
    if not value >= least:
        raise ValueError(f"`{name}` should be at least {least:g}. Received {value}")
