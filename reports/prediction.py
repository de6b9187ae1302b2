"""Which metric of a network, at the end of a visit, goes with how the next visit is learned?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from reports import statistics as st
from reports.arms import Section
from reports.comparison import scores
from reports.names import Inside

Array = np.ndarray[Any, np.dtype[Any]]
LEAST = 6
"""Points that a correlation needs."""


@dataclass
class Prediction:
    """A metric at the end of a visit against the area under the curve of the next.

    Attributes:
        metric: The metric.
        x: Its values ``(N,)``.
        area: Areas of the next visits, ``(N,)``.
        change: Those less the areas of the visits before, ``(N,)``.
        arm: Of each point, the number of its arm ``(N,)``.
        seed: Of each point, the number of its seed among those of all arms ``(N,)``.
        of_area: Rank correlation with the area.
        of_change: Rank correlation with the change.
    """

    metric: Inside
    x: Array
    area: Array
    change: Array
    arm: Array
    seed: Array
    of_area: st.Estimate
    of_change: st.Estimate

    @property
    def seeds(self) -> int:
        """How many seeds, of all arms, the points come from."""
        return len(np.unique(self.seed))


def predictions(section: Section, most: int) -> list[Prediction]:
    """Returns a prediction for each metric that has enough points, the strongest first.

    Args:
        section: The arms.
        most: How many of them have intervals, which take their time.
    """
    metrics = sorted({m for arm in section.arms for run in arm.runs for m in run.at_end})
    areas = [scores(section, arm, "area", section.visits) for arm in section.arms]
    found = []
    for metric in metrics:
        parts = []
        at = 0
        for number, (arm, area) in enumerate(zip(section.arms, areas, strict=True)):
            before = arm.pooled(metric, section.visits)[:-1]  # (V - 1, S)
            seed = np.broadcast_to(at + np.arange(before.shape[1]), before.shape)
            at += before.shape[1]
            rows = (before, area[1:], np.diff(area, axis=0), seed, np.full(before.shape, number))
            parts.append(np.stack([row.ravel() for row in rows]))
        points = np.concatenate(parts, 1)
        x, area_, change, seed, of_arm = points[:, np.isfinite(points).all(0)]
        if len(x) < LEAST or len(np.unique(x)) < 3:
            continue
        plain = (st.Estimate(float(st.spearman(x, y)), np.nan, np.nan) for y in (area_, change))
        found.append(Prediction(metric, x, area_, change, of_arm.astype(int), seed, *plain))
    found.sort(key=lambda p: -abs(np.nan_to_num(p.of_area.value)))
    for one in found[:most]:
        one.of_area, one.of_change = (
            st.clustered_spearman(one.x, y, one.seed) for y in (one.area, one.change)
        )
    return found
