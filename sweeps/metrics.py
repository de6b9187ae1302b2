"""What runs are compared by: a number of ``summary.json``, by its path."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

METRICS: dict[str, tuple[str, ...]] = {
    "train": (
        "visits.area_under_curve",
        "visits.return",
        "visits.dormant_fraction@0.1",
        "evaluation.average_performance",
    ),
    "supervise": (
        "average_online_accuracy",
        "slope_of_online_accuracy",
        "tasks.accuracy/online",
        "tasks.accuracy/train",
        "tasks.accuracy/test",
    ),
}
"""Of each program; the first is the default."""
DEFAULT_METRICS = {program: names[0] for program, names in METRICS.items()}


def read_metric(summary: Mapping[str, Any], name: str) -> float | None:
    """Returns a number of a summary: the mean of the seeds, and of all parts that have one.

    ``visits.return`` is the mean over the visits of the mean return of each; None if there is none.
    """
    value: Any = summary
    for at, key in enumerate(name.split(".", 1)):
        if at and isinstance(value, Sequence):
            return _mean([_number(part.get(key)) for part in value])
        value = value.get(key) if isinstance(value, Mapping) else None
    return _number(value)


def _number(value: Any) -> float | None:
    """A measure counts as its mean."""
    if isinstance(value, Mapping):
        value = value.get("mean")
    fine = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if fine else None


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None
