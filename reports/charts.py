"""Figures of aggregates: points with intervals, profiles, and what goes with what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from reports import names, style
from reports.arms import Arm, Section
from reports.comparison import Aggregate
from reports.curves import legend
from reports.prediction import Prediction
from reports.statistics import Estimate
from reports.style import Chart

MANY = 1_000
"""Points from which they become a picture within the figure, which would be huge otherwise."""
SHOWN = 6
"""Metrics whose points are drawn."""
BOOTSTRAP = (
    "Bars are 95% intervals of a bootstrap over the seeds of each arm (2,000 resamples, or at "
    "least 200 for very many scores; seeds drawn with all their visits; percentile method)."
)


def aggregates(section: Section, found: Aggregate, baseline: Arm, unit: str) -> Chart:
    """Returns interquartile means, and the probability of improvement over the baseline."""
    count = len(section.arms)
    labels = [style.wrapped(label) for label in legend(section)]
    tall = sum(label.count("\n") + 1 for label in labels)
    figure, axes = style.make(1, 3, 0.9 + max(0.2 * tall, 0.34 * count), (), sharey=True)
    panels = (
        (found.iqm, f"IQM, area under the curve\n({unit})", None),
        (found.final, f"IQM, end of the visits\n({unit})", None),
        (found.improvement, "probability of improvement\nover the baseline", 0.5),
    )
    for axis, (estimates, label, line) in zip(axes[0], panels, strict=True):
        _dots(axis, estimates, line, section.arms.index(baseline) if line else None)
        axis.set_xlabel(label)
    axes[0, 2].set_xlim(-0.03, 1.03)
    axes[0, 0].set_yticks(range(count), labels)
    axes[0, 0].set_ylim(count - 0.4, -0.6)
    rows = [
        (arm.label, len(arm.seeds), len(found.visits), measure, *estimate)
        for measure, estimates in (
            ("iqm_area", found.iqm),
            ("iqm_final", found.final),
            ("probability_of_improvement", found.improvement),
            ("mean_rank", found.ranks),
        )
        for arm, estimate in zip(section.arms, estimates, strict=True)
        if measure != "probability_of_improvement" or arm is not baseline
    ]
    caption = (
        "IQM: mean of the middle half of all (seed, visit) scores. Probability of improvement: "
        "chance that a random seed of the arm has a larger area under the curve at a visit than "
        f"one of the baseline ({style.plain(baseline.label)}), mean over visits; ties count "
        f"one half, dashed: no difference. {BOOTSTRAP}"
    )
    header = ("arm", "n", "visits", "measure", "value", "ci95_low", "ci95_high")
    return Chart("aggregates", "All visits and seeds together", caption, figure, header, rows)


def profiles(section: Section, found: Aggregate, unit: str) -> Chart:
    """Returns the performance profiles."""
    figure, axes = style.make(1, 1, 2.6, legend(section))
    axis = axes[0, 0]
    rows = []
    for i, (arm, of) in enumerate(zip(section.arms, found.profiles, strict=True)):
        style.band(axis, found.thresholds, *of, i)
        columns = zip(found.thresholds, *of, strict=True)
        rows += [(arm.label, *row) for row in columns]
    axis.set_xlabel(f"area under the curve of a visit, threshold ({unit})")
    axis.set_ylabel("share of (seed, visit)\nabove the threshold")
    axis.set_ylim(-0.02, 1.02)
    caption = (
        "A curve further up and to the right is better: more areas lie above each threshold. "
        "Where curves cross, neither arm is better throughout. "
        + BOOTSTRAP.replace("Bars", "Bands")
    )
    header = ("arm", "threshold", "share", "ci95_low", "ci95_high")
    return Chart("profiles", "Performance profiles", caption, figure, header, rows)


def scatter(section: Section, found: Sequence[Prediction], unit: str) -> Chart:
    """Returns areas of visits against metrics at the end of the visits before."""
    shown = found[:SHOWN]
    across = min(3, len(shown))
    down = -(-len(shown) // across)
    figure, axes = style.make(down, across, 2.5, legend(section), sharey=True)
    for axis, one in zip(axes.flat, shown, strict=False):
        factor = names.factor(one.metric.metric)
        for i in np.unique(one.arm):
            of = one.arm == i
            axis.plot(
                factor * one.x[of], one.area[of], style.marker(i), color=style.colour(i),
                markersize=3.7, alpha=0.6, markeredgewidth=0, rasterized=len(one.x) > MANY,
            )  # fmt: skip
        percent = " (%)" if factor > 1 else ""
        axis.set_xlabel(style.wrapped(style.plain(one.metric.label) + percent, 30))
        axis.locator_params(axis="x", nbins=5)
        axis.set_title(f"rank correlation {one.of_area.value:+.2f}", loc="left")
    for axis in axes.flat[len(shown) :]:
        axis.set_axis_off()
    for row in axes:
        row[0].set_ylabel(f"area of the next visit\n({unit})")
    rows = [
        (one.metric.network, one.metric.metric, section.arms[arm].label, *values)
        for one in shown
        for arm, *values in zip(one.arm, one.x, one.area, one.change, strict=True)
    ]
    caption = (
        "A point is one seed at one switch: a metric at the end of a visit, and the area under the "
        "curve of the visit that follows. Drawn are the metrics with the strongest correlation."
    )
    header = ("network", "metric", "arm", "at_end_of_visit", "next_area", "change_of_area")
    title = "Which metrics go with the next visit?"
    return Chart("prediction", title, caption, figure, header, rows)


def _dots(axis: Axes, estimates: Sequence[Estimate], line: float | None, but: int | None) -> None:
    for i, one in enumerate(estimates):
        if i == but:  # the baseline is not compared with itself
            continue
        axis.plot([one.low, one.high], [i, i], color=style.colour(i), linewidth=2)
        axis.plot(one.value, i, style.marker(i), color=style.colour(i), markersize=6)
    if line is not None:
        axis.axvline(line, color="#555555", linewidth=1, linestyle="--")
    axis.grid(axis="y", visible=False)
    axis.locator_params(axis="x", nbins=5)
