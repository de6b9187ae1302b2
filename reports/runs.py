"""A run, reduced to what a report shows: its task visits, and its curves in bins of steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reports import columns, names
from reports.finding import SUMMARY, TABLE, Found

Array = np.ndarray[Any, np.dtype[Any]]
MOST_VISITS = 1 << 14


class Visit(NamedTuple):
    """A task visit: task, how often it was shown before, first and last step, in full or not."""

    task: int
    visit: int
    start: int
    end: int
    complete: bool


@dataclass
class Run:
    """What a run has brought, S seeds and V visits.

    Attributes:
        found: Where it is, and its settings.
        steps: The last step.
        finished: Whether all its steps were taken.
        visits: The visits.
        measures: ``area`` and ``final``, of supervised runs ``test`` too, ``(V, S)``.
        at_end: Of each metric of a network the last value of each visit, ``(V, S)``.
        curves: Means in bins of steps, ``(S, B)``.
        rows: Number of rows of its table.
        unknown: Names that this version does not know.
        notes: What a reader should know.
    """

    found: Found
    steps: int = 0
    finished: bool = False
    visits: list[Visit] = field(default_factory=list)
    measures: dict[str, Array] = field(default_factory=dict)
    at_end: dict[names.Inside, Array] = field(default_factory=dict)
    curves: dict[str | names.Inside, Array] = field(default_factory=dict)
    rows: int = 0
    unknown: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.found.path


def read(found: Found, width: int, bins: int) -> Run:
    """Reads a run.

    Args:
        found: The run directory.
        width: Steps of a bin of the curves.
        bins: Number of bins B; what comes later is left out.

    Raises:
        ValueError: If its table is damaged.
    """
    file = found.path / TABLE
    table = columns.read(file, names.is_needed)
    run = Run(found, rows=table.count, notes=list(found.notes))
    run.unknown = sorted(name for name in table.names if not names.is_known(name))
    if table.cut:
        run.notes.append(f"the last line of {TABLE} is only half there, and was left out")
    if not table.count:
        run.notes.append(f"{TABLE} holds no numbers yet")
    seeds = np.array(found.seeds)
    for rows in table.rows.values():
        if not np.isin(rows["seed"], seeds).all():
            raise ValueError(f"{file} is damaged: it has seeds that {found.path} was not run with")
        rows["seed"] -= seeds[0]
    _find_visits(run, table.rows, file)
    if not run.finished:
        run.notes.append("it has not taken all its steps: it is running, or was broken off")
    places = _Places(run)
    if found.supervised:
        for measure, name in (
            ("area", "accuracy/online"),
            ("final", "accuracy/train"),
            ("test", "accuracy/test"),
        ):
            if name in table.rows:
                run.measures[measure] = places.last(table.rows[name])
    else:
        _returns(run, table.rows, places, file)
    odd = 0
    curves: dict[str | names.Inside, list[Array]] = {}
    for name, rows in table.rows.items():
        key = names.inside(name)
        if key is not None and key.metric != names.ALPHA:
            run.at_end[key] = places.last(rows)
        drawn = name in names.CURVES or (key is not None and key.metric in names.INSIDE)
        if drawn:
            odd += int((~np.isfinite(rows["value"])).sum())
            curves.setdefault(key or name, []).append(rows)
    for of, parts in curves.items():
        run.curves[of] = _binned(np.concatenate(parts), len(seeds), width, bins)
        if isinstance(of, names.Inside) and of.metric == names.ALPHA:
            run.at_end[of] = np.mean([places.last(rows) for rows in parts], axis=0)
    if odd:
        run.notes.append(f"{odd:,} values are not finite, and were left out of curves")
    return run


def _find_visits(run: Run, tables: Mapping[str, Array], file: Path) -> None:
    """Finds the visits from the rows: those of networks and updates end with their visit."""
    settings = run.found.settings
    # Episodes and evaluations may end later: only a run without other rows is measured by them.
    sure = {n: t for n, t in tables.items() if not n.startswith(("return/", "eval/"))}
    ends: dict[tuple[int, int], int] = {}
    for rows in (sure or tables).values():
        visits, last = _last_of_each(rows)
        for (task, visit), step in zip(visits, last, strict=True):
            ends[task, visit] = max(ends.get((task, visit), 0), step)
        if len(ends) > MOST_VISITS:
            raise ValueError(f"{file} has more than {MOST_VISITS:,} task visits")
    order = sorted(ends, key=lambda key: (ends[key], key))
    run.steps = max((int(rows["step"].max()) for rows in tables.values()), default=0)
    if run.found.supervised:
        count = settings.get("num_tasks")
        online = tables.get("accuracy/online", np.zeros(0, columns.ROW))
        there = set(_last_of_each(online)[0])
        complete = [key in there for key in order]
        run.finished = bool(complete) and sum(complete) == count
    else:
        total = settings.get("total_steps")
        run.finished = isinstance(total, int) and run.steps >= total
        complete = [i < len(order) - 1 or run.finished for i in range(len(order))]
    start = 0
    for key, whole in zip(order, complete, strict=True):
        run.visits.append(Visit(*key, start, ends[key], whole))
        start = ends[key]


def _last_of_each(rows: Array) -> tuple[list[tuple[int, int]], list[int]]:
    """Returns the (task, visit) pairs of rows, and the last step of each."""
    key = rows["task"].astype(np.int64) << 32 | rows["visit"]
    pairs, at = np.unique(key, return_inverse=True)
    last = np.zeros(len(pairs), np.int64)
    np.maximum.at(last, at, rows["step"])
    return [(int(p) >> 32, int(p) & 0xFFFFFFFF) for p in pairs], last.tolist()


class _Places:
    """Where rows belong in tables of visits and seeds."""

    def __init__(self, run: Run) -> None:
        self.shape = len(run.visits), len(run.found.seeds)
        keys = [visit.task << 32 | visit.visit for visit in run.visits]
        self.order = np.argsort(keys) if keys else np.zeros(0, int)
        self.keys = np.array(keys, np.int64)[self.order]

    def of(self, rows: Array) -> tuple[Array, Array]:
        """Returns index of visit and of seed of each row, and leaves rows of no visit out."""
        key = rows["task"].astype(np.int64) << 32 | rows["visit"]
        at = np.searchsorted(self.keys, key).clip(max=max(len(self.keys) - 1, 0))
        there = self.keys[at] == key if len(self.keys) else np.zeros(len(rows), bool)
        return np.where(there, self.order[at] if len(self.order) else 0, -1), rows["seed"]

    def last(self, rows: Array) -> Array:
        """Returns the last value of each visit and seed, ``(V, S)``; NaN where there is none."""
        table = np.full(self.shape, math.nan)
        visit, seed = self.of(rows)
        there = visit >= 0
        table[visit[there], seed[there]] = rows["value"][there]  # of several the last one stays
        return table


def _returns(run: Run, tables: Mapping[str, Array], places: _Places, file: Path) -> None:
    """Area under the curve and final return of each visit, as ``training.summary`` has them."""
    nothing = np.zeros(0, columns.ROW)
    returns, lengths = (tables.get(f"return/{n}", nothing) for n in ("episode", "length"))
    count = min(len(returns), len(lengths))  # the last one may lack its length
    returns, lengths = returns[:count], lengths[:count]
    if any((returns[c] != lengths[c]).any() for c in ("step", "seed", "task", "visit")):
        raise ValueError(f"{file} is damaged: returns and lengths of episodes do not go together")
    visit, seed = places.of(returns)
    there = visit >= 0
    returns, lengths, visit, seed = (x[there] for x in (returns, lengths, visit, seed))
    at = visit * places.shape[1] + seed
    size = math.prod(places.shape)
    ret, length = returns["value"], lengths["value"]
    with np.errstate(invalid="ignore", divide="ignore"):
        area = np.bincount(at, ret * length, size) / np.bincount(at, length, size)
        since = np.array([v.end - 0.1 * (v.end - v.start) for v in run.visits])
        late = returns["step"] > since[visit] if len(since) else np.zeros(0, bool)
        final = np.bincount(at[late], ret[late], size) / np.bincount(at[late], minlength=size)
    last = places.last(returns)
    final = final.reshape(places.shape)
    run.measures["area"] = area.reshape(places.shape)
    run.measures["final"] = np.where(np.isnan(final), last, final)


def _binned(rows: Array, seeds: int, width: int, bins: int) -> Array:
    """Mean of each seed in each bin, ``(S, B)``; NaN where there is nothing."""
    at = np.maximum(rows["step"] - 1, 0) // width
    there = np.isfinite(rows["value"]) & (at < bins)
    place = rows["seed"][there] * bins + at[there]
    total = np.bincount(place, rows["value"][there], seeds * bins)
    count = np.bincount(place, minlength=seeds * bins)
    with np.errstate(invalid="ignore"):
        return np.asarray((total / count).reshape(seeds, bins))


def missing(run: Run) -> list[str]:
    """Returns what a report would show, had the run written it."""
    lacks = []
    if "area" not in run.measures or not np.isfinite(run.measures["area"]).any():
        lacks.append("accuracy/online" if run.found.supervised else "return/episode")
    there = {key.metric for key in run.at_end}
    lacks += [name for name in names.INSIDE if name not in there and name != names.ALPHA]
    if not run.found.summary:
        lacks.append(SUMMARY)
    return lacks
