"""Figures over time, and over the visits, with bands over the seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from reports import names, style
from reports.arms import Arm, Section
from reports.names import Inside
from reports.runs import Visit
from reports.style import Chart
from training.summary import intervals

Array = np.ndarray[Any, np.dtype[Any]]
BAND = (
    "A line is the mean of the seeds, its band the 95% interval of that mean (Student's t over "
    "seeds); bands much wider than the curves are cut at the edge of the chart."
)
MOST_LINES = 40
"""Switches that are drawn."""
FEW = 14
"""Visits that are drawn as points with bars; more become curves."""
CSV = ("n", "mean", "ci95_low", "ci95_high")


def learning(section: Section) -> list[Chart]:
    """Returns the learning curves."""
    charts = []
    for name, label in names.CURVES.items():
        if not any(name in run.curves for arm in section.arms for run in arm.runs):
            continue
        figure, axes = style.make(1, 1, 3.0, legend(section))
        rows = _draw(section, axes[0, 0], name, label)
        axes[0, 0].set_xlabel(steps(section))
        each = f"Values are averaged in bins of {section.width:,} {_unit(section)}s. "
        if name == "train/accuracy":
            each += "A value is the mean over the updates since the one before (--log-every). "
        title = "Learning curves: " + label.removesuffix(" (share)")
        caption = f"{each}{BAND}{_switches(section)}"
        charts.append(
            Chart(name.replace("/", "-"), title, caption, figure, ("arm", "step", *CSV), rows)
        )
    return charts


def inside(section: Section) -> Chart | None:
    """Returns what happens in the networks: a row for each metric, a column for each network."""
    there = {
        key
        for arm in section.arms
        for run in arm.runs
        for key in run.curves
        if isinstance(key, Inside)
    }
    metrics = [metric for metric in names.INSIDE if metric in {key.metric for key in there}]
    networks = sorted({key.network for key in there})
    if not metrics:
        return None
    figure, axes = style.make(len(metrics), len(networks), 1.75, legend(section), sharex=True)
    rows: list[Sequence[Any]] = []
    for i, metric in enumerate(metrics):
        for j, network in enumerate(networks):
            axis = axes[i, j]
            label = style.wrapped(names.INSIDE[metric], 20) if j == 0 else ""
            if Inside(network, metric) in there:
                drawn = _draw(section, axis, Inside(network, metric), label)
                rows += [(network, metric, *row) for row in drawn]
            else:
                axis.set_axis_off()
            if i == 0:
                axis.set_title(f"network: {style.plain(network)}", loc="left")
    for axis in axes[-1]:
        axis.set_xlabel(steps(section))
        axis.locator_params(axis="x", nbins=5)  # so that numbers side by side do not touch
    caption = (
        f"The step axis is that of the learning curves. {BAND} Dormant: a unit whose mean activity "
        "is at most 0.1 of that of its layer. Effective rank: exp of the entropy of the singular "
        "values of the last hidden layer's features. Alpha: how far AdaLin opens its linear path; "
        "arms without AdaLin have none."
    )
    header = ("network", "metric", "arm", "step", *CSV)
    return Chart("inside", "Inside the networks", caption, figure, header, rows)


def by_visit(
    section: Section,
    name: str,
    title: str,
    label: str,
    table: Callable[[Arm], Array | None],
    caption: str,
    visits: Sequence[Visit],
    line: float | None = None,
) -> Chart | None:
    """Returns a measure of each visit, with 95% intervals over seeds; None if there is none.

    Args:
        section: The arms.
        name: Of the files.
        title: Of the figure.
        label: Of its axis.
        table: Gives the measure of an arm, ``(V, S)``.
        caption: How to read it.
        visits: The V visits.
        line: Where to draw a level to compare with.
    """
    rows: list[Sequence[Any]] = []
    figure, axes = style.make(1, 1, 2.8, legend(section))
    axis = axes[0, 0]
    found, extents = False, []
    for i, arm in enumerate(section.arms):
        values = table(arm)
        if values is None or not np.isfinite(values).any():
            continue
        found = True
        mean, low, high = intervals(values)
        extents.append((mean, low, high))
        shift = (i - (len(section.arms) - 1) / 2) * min(0.7 / len(section.arms), 0.14)
        x = np.arange(1, len(visits) + 1)
        if len(visits) <= FEW:
            axis.errorbar(
                x + shift, mean, [mean - low, high - mean], color=style.colour(i), capsize=2,
                fmt=style.marker(i), markersize=4.5, elinewidth=1.1,
            )  # fmt: skip
        else:
            style.band(axis, x, mean, low, high, i)
        count = np.isfinite(values).sum(1)
        rows += [
            (arm.label, visit.task, visit.visit, visit.start, visit.end, *row)
            for visit, *row in zip(visits, count, mean, low, high, strict=True)
        ]
    if not found:
        return None
    if line is not None:
        axis.axhline(line, color="#555555", linewidth=1, linestyle="--")
    _limit(axis, extents, line)
    axis.set_ylabel(style.wrapped(label, 24))
    axis.set_xlabel("task visit, in the order of the run")
    if len(visits) <= FEW:
        ticks = [f"{i}\ntask {v.task}" for i, v in enumerate(visits, 1)]
        axis.set_xticks(range(1, len(visits) + 1), ticks)
        axis.grid(axis="x", visible=False)
        mark = "A point is the mean of the seeds, its bar the 95% interval (Student's t over seeds)"
    else:
        mark = "A line is the mean of the seeds, its band the 95% interval (Student's t over seeds)"
    caption = f"{caption} {mark}; only visits that a seed has completed count."
    return Chart(name, title, caption, figure, ("arm", "task", "visit", "start", "end", *CSV), rows)


def legend(section: Section) -> list[str]:
    """Returns the labels of the arms with the number of seeds."""
    return [f"{arm.label} (n={len(arm.seeds)})" for arm in section.arms]


def steps(section: Section) -> str:
    """Returns the label of the step axis."""
    return f"{_unit(section)}s of each seed"


def _unit(section: Section) -> str:
    return "update" if section.supervised else "environment step"


def _draw(section: Section, axis: Axes, name: str | Inside, label: str) -> list[Sequence[Any]]:
    """Draws a curve of all arms; returns what was drawn."""
    rows: list[Sequence[Any]] = []
    extents = []
    x = (np.arange(section.bins) + 0.5) * section.width
    factor = names.factor(name.metric if isinstance(name, Inside) else name)
    for i, arm in enumerate(section.arms):
        values = factor * arm.curve(name, section.bins)
        there = np.isfinite(values).any(0)
        if not there.any():
            continue
        mean, low, high = intervals(values.T)
        marked = {"marker": style.marker(i), "markersize": 3} if there.sum() < 30 else {}
        style.band(axis, x[there], mean[there], low[there], high[there], i, **marked)
        extents.append((mean, low, high))
        count = np.isfinite(values).sum(0)
        columns = zip(x[there], count[there], mean[there], low[there], high[there], strict=True)
        rows += [(arm.label, *row) for row in columns]
    _limit(axis, extents)
    axis.set_ylabel(label)
    axis.set_xlim(0, section.bins * section.width)
    starts = [visit.start for visit in section.visits[1:]]
    for start in starts if len(starts) <= MOST_LINES else []:
        axis.axvline(start, color="#999999", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0.5)
    return rows


def _limit(axis: Axes, extents: Sequence[tuple[Array, ...]], line: float | None = None) -> None:
    """Keeps wide bands of few seeds from flattening the curves."""
    if not extents:
        return
    means = np.concatenate([mean[np.isfinite(mean)] for mean, *_ in extents])
    edges = np.concatenate([edge[np.isfinite(edge)] for _, *both in extents for edge in both])
    bottom, top = float(means.min()), float(means.max())
    room = 0.75 * (top - bottom) or 0.1 * abs(top) or 1.0
    if len(edges):
        bottom = max(bottom - room, min(bottom, float(edges.min())))
        top = min(top + room, max(top, float(edges.max())))
    if line is not None:
        bottom, top = min(bottom, line), max(top, line)
    rim = 0.05 * (top - bottom) or room
    axis.set_ylim(bottom - rim, top + rim)


def _switches(section: Section) -> str:
    count = len(section.visits) - 1
    if count < 1:
        return " The task does not change."
    if count > MOST_LINES:
        return f" The {count} task switches are too many to draw."
    return " Dashed vertical lines: the task switches."
