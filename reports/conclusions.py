"""What the page concludes of a section: aggregates, and which metrics go with the next visit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reports import charts, comparison, page
from reports.prediction import Prediction, predictions
from reports.style import Chart

if TYPE_CHECKING:
    from reports.sections import Writer

SHOWN = 10
"""Correlations in the table."""


def aggregates(writer: Writer) -> None:
    """All visits and seeds together."""
    section = writer.section
    writer.parts.append(page.heading(3, "Aggregates"))
    found = comparison.aggregate(section, writer.baseline)
    if found is None:
        writer.parts.append(page.paragraph("No task visit was completed by all seeds of all arms."))
        return
    known = (
        "Returns are normalised task by task: 0 is a random policy, 1 the reference."
        if writer.normalized
        else "Accuracies are shares."
        if section.supervised
        else "There are no reference scores for this environment: returns are raw, so tasks "
        "with larger returns weigh more."
    )
    same = "" if section.supervised else " at the same length"
    writer.parts.append(
        page.paragraph(
            f"Over the {len(found.visits)} of {len(section.visits)} task visits that all "
            f"seeds of all arms have completed{same}. {known}"
        )
    )
    writer.show(charts.aggregates(section, found, writer.baseline, writer.unit))
    rows = [
        (arm.label, len(arm.seeds), page.cell(found.iqm[i]), page.cell(found.final[i]),
         "baseline" if arm is writer.baseline else page.cell(found.improvement[i]),
         page.cell(found.ranks[i]))
        for i, arm in enumerate(section.arms)
    ]  # fmt: skip
    header = ("arm", "n", "IQM of area", "IQM at the end", "P(improvement)", "mean rank")
    writer.parts.append(page.table(header, rows))
    writer.parts.append(
        page.paragraph(
            "Mean rank: at each visit arms are ranked by the mean area of their seeds, 1 is "
            "best; the mean over visits. 95% intervals by the same bootstrap.", "small",
        )
    )  # fmt: skip
    writer.show(charts.profiles(section, found, writer.unit))


def correlations(writer: Writer) -> None:
    """Which metric goes with the next visit?"""
    found = predictions(writer.section, SHOWN)
    if not found:
        writer.parts.append(page.heading(3, "Which metrics go with the next visit?"))
        writer.parts.append(
            page.paragraph("Too few visits and seeds to relate metrics to the next visit.")
        )
        return
    writer.show(charts.scatter(writer.section, found, writer.unit))
    header = ("network", "metric", "points", "seeds", "rho_area", "rho_area_low", "rho_area_high",
              "rho_change", "rho_change_low", "rho_change_high")  # fmt: skip
    rows = [correlation(one) for one in found]
    chart = Chart("correlations", "Correlations", "", None, header, rows)
    writer.keep(chart, "correlations (table)")
    writer.parts.append(
        page.table(
            ("metric", "n points", "n seeds", "with the next area", "with its change"),
            [
                (one.metric.label, len(one.x), one.seeds,
                 page.cell(one.of_area), page.cell(one.of_change))
                for one in found[:SHOWN]
            ],
        )
    )  # fmt: skip
    writer.parts.append(
        page.paragraph(
            f"Spearman's rank correlation (95% bootstrap interval over seeds), over all arms, "
            f"the {min(len(found), SHOWN)} strongest of {len(found)} metrics. The change "
            "is the next area minus that of the visit before. A correlation is not a cause: arms, "
            "tasks and time act on metric and area at once; and among so many metrics, some "
            "correlate by chance.", "small",
        )
    )  # fmt: skip


def correlation(one: Prediction) -> Sequence[Any]:
    """Returns the row of a prediction."""
    return (one.metric.network, one.metric.metric, len(one.x), one.seeds,
        *one.of_area, *one.of_change)  # fmt: skip
