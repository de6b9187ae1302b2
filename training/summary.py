"""What a run came to: returns and dormant neurons of each task visit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from rich.table import Table
from scipy.special import stdtrit


def intervals(
    table: np.ndarray[Any, Any], level: float = 0.95
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Mean and confidence interval (Student's t) of many rows of one value per seed.

    Args:
        table: ``(M, S)``; NaN (a seed without data) is left out.
        level: Of the intervals.

    Returns:
        Mean, lower and upper bound, ``(3, M)``; all NaN without data, both bounds NaN with a
        single value.
    """
    there = ~np.isnan(table)
    count = there.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(there, table, 0.0).sum(1) / count
        deviation = np.where(there, table - mean[:, None], 0.0)
        std = np.sqrt(np.square(deviation).sum(1) / (count - 1))
        half = stdtrit(np.maximum(count - 1, 1), (1 + level) / 2) * std / np.sqrt(count)
    half = np.where(count > 1, half, np.nan)
    return np.stack((mean, mean - half, mean + half))


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean and bounds of one value per seed; see ``intervals``."""
    mean, low, high = intervals(np.asarray(values, float).reshape(1, -1), level)[:, 0].tolist()
    return mean, low, high


@dataclass
class Visit:
    """One visit of one task, all seeds.

    Attributes:
        task: Index of the task.
        visit: How often it was shown before.
        start: Lifetime step at which it began.
        end: Last lifetime step so far.
        episodes: Of each seed, (last step, return, length) of each complete episode.
        dormant: Of each seed, the pooled dormant fraction (tau = 0.1, mean of the networks) at the
            last probe of the visit.
        probes: The same at each probe: (step, of each seed).
    """

    task: int
    visit: int
    start: int
    end: int
    episodes: list[list[tuple[int, float, int]]]
    dormant: list[float]
    probes: list[tuple[int, list[float]]] = field(default_factory=list)

    def final_return(self, seed: int) -> float:
        """Mean return of the episodes that ended in the last 10% of the visit, else of the last."""
        since = self.end - 0.1 * (self.end - self.start)
        last = [ret for step, ret, _ in self.episodes[seed] if step > since]
        if not last:
            last = [ret for _, ret, _ in self.episodes[seed][-1:]]
        return float(np.mean(last)) if last else math.nan

    def area(self, seed: int) -> float:
        """Area under the return curve per step: the mean over steps of their episode's return."""
        steps = sum(length for _, _, length in self.episodes[seed])
        area = sum(ret * length for _, ret, length in self.episodes[seed])
        return area / steps if steps else math.nan


@dataclass
class Summary:
    """Collects the visits of a run."""

    seeds: Sequence[int]
    visits: list[Visit] = field(default_factory=list)

    def begin(self, task: int, visit: int, start: int) -> None:
        """Opens a visit."""
        num_seeds = len(self.seeds)
        episodes: list[list[tuple[int, float, int]]] = [[] for _ in range(num_seeds)]
        self.visits.append(Visit(task, visit, start, start, episodes, [math.nan] * num_seeds))

    @property
    def now(self) -> Visit:
        """The visit that is running."""
        return self.visits[-1]

    def find(self, task: int, visit: int) -> Visit:
        """Returns a visit; the one that is running if it never began."""
        same = (v for v in reversed(self.visits) if (v.task, v.visit) == (task, visit))
        return next(same, self.now)

    def state_dict(self) -> dict[str, Any]:
        """Returns all visits, as JSON takes them."""
        return {"visits": [asdict(visit) for visit in self.visits]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state that ``state_dict`` returned."""
        self.visits = [Visit(**visit) for visit in state["visits"]]

    def as_dict(self) -> list[dict[str, Any]]:
        """Returns one entry for each visit, as ``summary.json`` holds it; NaN becomes null."""
        rows = []
        for v in self.visits:
            measures = {
                "return": [v.final_return(s) for s in range(len(self.seeds))],
                "area_under_curve": [v.area(s) for s in range(len(self.seeds))],
                "dormant_fraction@0.1": v.dormant,
            }
            row: dict[str, Any] = {
                "task": v.task,
                "visit": v.visit,
                "start": v.start,
                "end": v.end,
                "episodes": [len(episodes) for episodes in v.episodes],
            }
            row |= {name: measure(per_seed) for name, per_seed in measures.items()}
            rows.append(row)
        return rows

    def table(self) -> Table:
        """Returns the table that is shown at the end of a run."""
        several = f"{len(self.seeds)} seeds, mean (95% interval)"
        table = Table(title=several if len(self.seeds) > 1 else "1 seed", title_justify="left")
        for title in ("task", "visit", "steps", "return", "area under curve", "dormant at end"):
            table.add_column(title, justify="right")
        for row in self.as_dict():
            table.add_row(
                str(row["task"]),
                str(row["visit"]),
                f"{row['start']}-{row['end']}",
                cell(row["return"], "{:.1f}"),
                cell(row["area_under_curve"], "{:.1f}"),
                cell(row["dormant_fraction@0.1"], "{:.1%}"),
            )
        return table


def measure(per_seed: Sequence[float]) -> dict[str, Any]:
    """Returns mean, 95% interval and values of the seeds, ready for JSON: NaN becomes null."""

    def number(x: float) -> float | None:
        return None if math.isnan(x) else x

    mean, low, high = interval(per_seed)
    return {
        "mean": number(mean),
        "ci95": [number(low), number(high)],
        "per_seed": [number(x) for x in per_seed],
    }


def cell(measure: dict[str, Any], form: str) -> str:
    """Returns a measure as tables show it: mean (bounds), or a dash if there is none."""
    if measure["mean"] is None:
        return "-"
    text = form.format(measure["mean"])
    low, high = measure["ci95"]
    return text if low is None else f"{text} ({form.format(low)} to {form.format(high)})"
