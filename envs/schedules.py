"""When the world changes: pure functions of the lifetime step.

A schedule divides the lifetime of an environment into phases.  It holds no state, so a run can be
continued at any step by asking for that step again.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Phase(NamedTuple):
    """A stretch of lifetime without a change.

    Attributes:
        task: Index of the task that is shown, from 0.
        visit: How often this task was shown before.
        end: First lifetime step that no longer belongs to the phase; infinite for the last phase.
    """

    task: int
    visit: int
    end: float


class Schedule(Protocol):
    """Anything that can say which phase a lifetime step belongs to."""

    def at(self, step: int) -> Phase:
        """Returns the phase of lifetime step ``step``, counted from 0."""
        ...


@dataclass(frozen=True)
class Stationary:
    """One task for ever."""

    def at(self, step: int) -> Phase:
        return Phase(0, 0, math.inf)


@dataclass(frozen=True)
class EverySteps:
    """The next task after every ``period`` steps.

    Args:
        period: Length of a phase in steps, at least 1.
        num_tasks: Number of tasks; the last one stays. ``None``: a new task for ever.

    >>> EverySteps(100, num_tasks=3).at(250)
    Phase(task=2, visit=0, end=inf)
    """

    period: int
    num_tasks: int | None = None

    def __post_init__(self) -> None:
        _at_least_one("period", self.period)
        if self.num_tasks is not None:
            _at_least_one("num_tasks", self.num_tasks)

    def at(self, step: int) -> Phase:
        task = step // self.period
        if self.num_tasks is not None and task >= self.num_tasks - 1:
            return Phase(self.num_tasks - 1, 0, math.inf)
        return Phase(task, 0, (task + 1) * self.period)


@dataclass(frozen=True)
class Cyclic:
    """``num_tasks`` tasks in turn, ``period`` steps each, again and again.

    >>> Cyclic(100, num_tasks=3).at(350)
    Phase(task=0, visit=1, end=400)
    """

    period: int
    num_tasks: int

    def __post_init__(self) -> None:
        _at_least_one("period", self.period)
        _at_least_one("num_tasks", self.num_tasks)

    def at(self, step: int) -> Phase:
        level = step // self.period
        return Phase(level % self.num_tasks, level // self.num_tasks, (level + 1) * self.period)


@dataclass(frozen=True)
class AtSteps:
    """The next task at each of the listed lifetime steps.

    >>> AtSteps((100, 500)).at(100)
    Phase(task=1, visit=0, end=500)
    """

    steps: Sequence[int]

    def __post_init__(self) -> None:
        if not self.steps or self.steps[0] < 1 or sorted(set(self.steps)) != list(self.steps):
            raise ValueError(
                f"`steps` should be positive and increasing. Received {list(self.steps)}"
            )

    def at(self, step: int) -> Phase:
        task = bisect_right(self.steps, step)
        return Phase(task, 0, self.steps[task] if task < len(self.steps) else math.inf)


def once(step: int) -> AtSteps:
    """One change, at lifetime step ``step``."""
    return AtSteps((step,))


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"`{name}` should be at least 1. Received {value}")
