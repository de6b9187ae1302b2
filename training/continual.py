"""What a continual learner is measured by: plain functions of arrays.

T is the number of tasks, S of seeds.  Performances and areas are normalised: 0 is a random policy,
1 the reference of the task.  Tasks that were never visited or evaluated are NaN.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def average_performance(performance: Array) -> Array:
    """Mean over all tasks, ``(T, S)`` to ``(S,)`` (Chaudhry et al. 2018; Wolczyk et al. 2021)."""
    # Tasks last in memory: so a sum does not depend on the number of seeds.
    return np.asarray(np.ascontiguousarray(performance.T).mean(1))


def forgetting(at_visit_end: Array, at_end: Array) -> Array:
    """Performance at the end of a task's own last visit minus that at the end of the run.

    Wolczyk et al. 2021, Continual World.  Above 0: it was forgotten.

    Args:
        at_visit_end: ``(T, S)``.
        at_end: ``(T, S)``.
    """
    return at_visit_end - at_end


def forward_transfer(area: Array, fresh: Array) -> Array:
    """Share of the room above a fresh agent that was gained: (area - fresh) / (1 - fresh).

    Wolczyk et al. 2021.  NaN where the fresh agent already has the reference (no room).

    Args:
        area: Normalised area under the curve of a visit, ``(S,)``.
        fresh: The same of a fresh agent with the same budget, ``(S,)``.
    """
    room = np.where(fresh < 1, 1 - fresh, np.nan)
    return (area - fresh) / room


def relative_gain(area: Array, fresh: Array) -> Array:
    """The form of forward transfer that needs no reference: (area - fresh) / abs(fresh)."""
    return (area - fresh) / np.where(fresh != 0, np.abs(fresh), np.nan)


def plasticity(area: Array, fresh: Array) -> Array:
    """Area of a visit over that of a fresh agent with the same budget; 1: nothing was lost.

    NaN where the fresh agent is no better than random actions: a ratio says nothing there.

    Args:
        area: Normalised area under the curve of a visit, ``(S,)``.
        fresh: The same of a fresh agent with the same budget, ``(S,)``.
    """
    return area / np.where(fresh > 0, fresh, np.nan)
