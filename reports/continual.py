"""What the page says of plasticity and forgetting, where runs have measured them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from reports import comparison, page
from reports.arms import Arm
from reports.statistics import Estimate
from reports.style import Chart
from training.summary import intervals

if TYPE_CHECKING:
    from reports.sections import Writer

Array = np.ndarray[Any, np.dtype[Any]]
SHOWN = 20
"""Tasks in the table."""


def plasticity(writer: Writer) -> None:
    """Plasticity against fresh agents, where it was measured."""
    section = writer.section
    writer.parts.append(page.heading(3, "Plasticity"))
    if section.supervised:
        writer.parts.append(
            page.paragraph(
                "There are no fresh networks to compare with; in a stream whose tasks are "
                "equally hard, areas that sink from task to task mean that plasticity is lost."
            )
        )
        return
    found = {arm.label: comparison.fresh(arm, section.visits) for arm in section.arms}
    lacking = [
        f"{arm.label}: no fresh agents: run python -m training.fresh {run.path}"
        for arm in section.arms
        for run in arm.runs
        if not isinstance(run.found.summary.get("fresh"), dict)
    ]
    writer.parts.append(page.notes(lacking))

    def ratio(arm: Arm) -> Array | None:
        of = found[arm.label]
        return None if of is None else of["plasticity"]

    writer.per_visit(
        "plasticity",
        "Plasticity of each visit against a fresh agent",
        "area of the visit / area of a fresh agent",
        "1, dashed: nothing was lost. Each seed is compared with a fresh agent of the same "
        "seed and budget in the same task; where the fresh agent is no better than random "
        "actions there is no ratio. A fresh agent explores and fills its replay from scratch, "
        "which the run did in its first visit alone: that lowers the fresh agent's area, and "
        "raises the ratio of later visits. Only seeds of runs that were compared count.",
        section.visits,
        ratio,
        line=1.0,
    )


def forgetting(writer: Writer) -> None:
    """Forgetting of each task, where runs were evaluated."""
    rows = []
    for arm in writer.section.arms:
        found = comparison.forgetting(arm)
        if found is not None:
            count = np.isfinite(found[1]).sum(1).tolist()
            for task, n, of in zip(found[0], count, intervals(found[1]).T.tolist(), strict=True):
                rows.append((arm.label, task, n, *of))
    writer.parts.append(page.heading(3, "Forgetting"))
    if not rows:
        why = (
            "Supervised runs are not tested on tasks of the past."
            if writer.section.supervised
            else "No finished run was evaluated on all tasks: train with --eval-every."
        )
        writer.parts.append(page.paragraph(why))
        return
    header = ("arm", "task", "n", "forgetting", "ci95_low", "ci95_high")
    chart = Chart("forgetting", "Forgetting", "", None, header, rows)
    writer.keep(chart, "Forgetting (table)")
    tasks = sorted({row[1] for row in rows})
    cells = {(row[0], row[1]): page.cell(Estimate(*row[3:])) for row in rows}
    shown = [
        (
            task,
            *(cells.get((arm.label, task), page.number(math.nan)) for arm in writer.section.arms),
        )
        for task in tasks[:SHOWN]
    ]
    writer.parts.append(page.table(("task", *(arm.label for arm in writer.section.arms)), shown))
    unit = "normalised return" if writer.normalized else "return"
    writer.parts.append(
        page.paragraph(
            f"Evaluated {unit} at the end of the task's own last visit, less that at the end "
            "of the run; above 0: it was forgotten; 0 for the task that the run ends in. Mean "
            "of the seeds (95% interval).", "small",
        )
    )  # fmt: skip
