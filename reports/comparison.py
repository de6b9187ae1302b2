"""Compares the arms of a section: scores of visits, aggregates, and against fresh agents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import envs
from reports import statistics as st
from reports.arms import Arm, Section, common
from reports.runs import Visit

Array = np.ndarray[Any, np.dtype[Any]]
THRESHOLDS = 101
"""Of a performance profile."""
FRESH = ("area", "area_of_fresh", "plasticity")


@dataclass
class Aggregate:
    """What the arms come to over seeds and visits.

    Attributes:
        visits: The visits that all seeds of all arms have completed.
        iqm: Interquartile mean of the area under the curve, of each arm.
        final: The same at the end of the visits.
        improvement: Probability that an arm beats the baseline, of each arm.
        thresholds: Of the profiles.
        profiles: Share of scores above each threshold, with bounds, of each arm.
        ranks: Mean rank of each arm.
    """

    visits: list[Visit]
    iqm: list[st.Estimate]
    final: list[st.Estimate]
    improvement: list[st.Estimate]
    thresholds: Array
    profiles: list[tuple[Array, Array, Array]]
    ranks: list[st.Estimate]


def normalized(section: Section) -> bool:
    """Whether returns are measured against random actions and a reference."""
    return not section.supervised and envs.scores(section.name) is not None


def scores(section: Section, arm: Arm, measure: str, visits: Sequence[Visit]) -> Array:
    """Returns a measure of complete visits, normalised where that can be done, ``(V, S)``."""
    table = arm.pooled(measure, visits)
    known = None if section.supervised else envs.scores(section.name)
    if known is not None:
        for i, visit in enumerate(visits):
            zero, one = (known.normalize(visit.task, x) for x in (0.0, 1.0))
            table[i] = zero + (one - zero) * table[i]
    return table


def aggregate(section: Section, baseline: Arm) -> Aggregate | None:
    """Aggregates all arms over their common visits; None if there is none.

    Visits of which a seed has no number (no episode ended in them) are left out.
    """
    visits = common(section)
    tables = {
        m: np.stack([scores(section, arm, m, visits).mean(1) for arm in section.arms])
        for m in ("area", "final")
    }
    there = np.isfinite(np.stack(list(tables.values()))).all((0, 1))
    visits = [visit for visit, fine in zip(visits, there, strict=True) if fine]
    if not visits:
        return None
    area, final = (
        [scores(section, arm, m, visits).T for arm in section.arms] for m in ("area", "final")
    )
    base = area[section.arms.index(baseline)]
    everything = np.concatenate([arm.ravel() for arm in area])
    thresholds = np.linspace(everything.min(), everything.max(), THRESHOLDS)
    value, low, high = st.bootstrap(lambda *arms: st.ranks(arms), *area)
    return Aggregate(
        visits,
        [st.estimate(st.iqm, arm) for arm in area],
        [st.estimate(st.iqm, arm) for arm in final],
        [st.estimate(st.probability_of_improvement, arm, base) for arm in area],
        thresholds,
        [st.bootstrap(lambda s: st.performance_profile(s, thresholds), arm) for arm in area],
        [st.Estimate(*row) for row in np.stack((value, low, high), -1).tolist()],
    )


def fresh(arm: Arm, visits: Sequence[Visit]) -> dict[str, Array] | None:
    """Areas of the visits, of fresh agents, and their ratio, as ``training.fresh`` has stored them.

    Returns:
        ``(V, S)`` each, NaN where there is none; None if no run has been compared.
    """
    tables = {name: np.full((len(visits), len(arm.seeds)), np.nan) for name in FRESH}
    where = {(v.task, v.visit): i for i, v in enumerate(visits)}
    for visit, stored, columns in _stored(arm, ("fresh", "visits")):
        key = visit.get("task"), visit.get("visit")
        i = where.get(key) if all(isinstance(part, int) for part in key) else None
        for name, table in tables.items():
            if i is not None:
                table[i, columns] = stored(name)
    return tables if any(np.isfinite(t).any() for t in tables.values()) else None


def forgetting(arm: Arm) -> tuple[list[int], Array] | None:
    """Forgetting of each task, as evaluations of finished runs have measured it.

    Returns:
        The tasks, and ``(T, S)``; None if there is none.
    """
    rows = list(_stored(arm, ("evaluation", "tasks"), finished=True))
    tasks = sorted({row["task"] for row, _, _ in rows if isinstance(row.get("task"), int)})
    table = np.full((len(tasks), len(arm.seeds)), np.nan)
    for row, stored, columns in rows:
        if isinstance(row.get("task"), int):
            table[tasks.index(row["task"]), columns] = stored("forgetting")
    there = np.isfinite(table).any(1)
    if not there.any():
        return None
    return [task for task, fine in zip(tasks, there, strict=True) if fine], table[there]


def _stored(arm: Arm, path: tuple[str, str], finished: bool = False) -> Any:
    """Yields rows of ``summary.json``, how to read their numbers, and whose seeds they are.

    A summary may be a stranger's: what is not as it should be is taken as absent.
    """
    at = 0
    for run, used in zip(arm.runs, arm.used, strict=True):
        columns = slice(at, at + len(used))
        at += len(used)
        found = run.found.summary.get(path[0])
        rows = found.get(path[1]) if isinstance(found, dict) else None
        if not isinstance(rows, list) or (finished and not run.finished):
            continue
        seeds = run.found.seeds
        wanted = [seeds.index(seed) for seed in used]
        for row in rows:
            if isinstance(row, dict):
                yield row, _reader(row, len(seeds), wanted), columns


def _number(value: Any) -> float:
    """Returns a finite number, or NaN for whatever is none."""
    try:
        found = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        return math.nan
    return found if math.isfinite(found) else math.nan


def _reader(row: dict[str, Any], seeds: int, wanted: list[int]) -> Any:
    def read(name: str) -> Array:
        measure = row.get(name)
        values = measure.get("per_seed") if isinstance(measure, dict) else None
        if not isinstance(values, list) or len(values) != seeds:
            return np.full(len(wanted), np.nan)
        return np.array([_number(value) for value in values])[wanted]

    return read
