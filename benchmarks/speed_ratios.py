"""From seconds to steps per second, their ratios, and the middle half of the rounds."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import quantiles
from typing import Any


def middle_half(values: Sequence[float]) -> tuple[float, float, float]:
    """Returns the quartiles: lower, median, upper; of one round three times the same."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = quantiles(values, n=4)
    return low, middle, high


def speeds(entry: dict[str, Any]) -> list[float]:
    """Steps per second of all seeds together, in each round."""
    return [entry["steps"] / seconds for seconds in entry["seconds"]]


def times(entry: dict[str, Any], other: dict[str, Any]) -> list[float]:
    """How many times as fast as the other, in each round."""
    return [a / b for a, b in zip(speeds(entry), speeds(other), strict=True)]


def against(found: dict[str, Any], work: str, one: str, other: str) -> list[float]:
    """How many times as fast as another contender, in each round; [] if one was left out."""
    both = found.get(work, {})
    return times(both[one], both[other]) if one in both and other in both else []
