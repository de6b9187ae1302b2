"""What the page says of the arms in one world."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from reports import charts, comparison, curves, page
from reports.arms import Arm, Section, baseline
from reports.output import Files
from reports.prediction import Prediction, predictions
from reports.runs import Visit
from reports.statistics import Estimate
from reports.style import Chart
from training.summary import intervals

Array = np.ndarray[Any, np.dtype[Any]]
SHOWN = 20
"""Rows of a table: of more, some are shown."""
CORRELATIONS = 15


class Writer:
    """Collects the parts of a section.

    Args:
        section: The arms.
        files: Where figures and tables go.
        prefix: Of their names.
        named: Label of the baseline, if one was named.
    """

    def __init__(self, section: Section, files: Files, prefix: str, named: str | None) -> None:
        self.section, self.files, self.prefix = section, files, prefix
        self.baseline = baseline(section, named)
        self.parts: list[str] = []
        self.drawn: list[tuple[str, str]] = []  # (figure, its table)
        measured = "accuracy" if section.supervised else "return"
        self.normalized = comparison.normalized(section)
        self.measure = measured
        self.unit = "normalised return" if self.normalized else measured
        if section.supervised:
            self.unit = "accuracy, share"

    def write(self) -> list[str]:
        """Returns the parts, in order."""
        self.introduce()
        for chart in curves.learning(self.section):
            self.show(chart)
        self.visits()
        self.fresh()
        self.forgetting()
        self.show(curves.inside(self.section), "No metric of a network was recorded.")
        self.aggregates()
        self.predictions()
        return self.parts

    def show(self, chart: Chart | None, absent: str = "") -> None:
        """Adds a figure, or says why there is none."""
        if chart is None:
            if absent:
                self.parts.append(page.paragraph(absent))
            return
        svg, files = self.files.add(self.prefix, chart)
        self.drawn.append((f"{self.section.title}: {chart.title}", files[-1]))
        self.parts.append(page.heading(3, chart.title))
        self.parts.append(page.figure(svg, chart.title, chart.caption, files))

    def introduce(self) -> None:
        """Says what is compared, and what a reader should know."""
        section = self.section
        count = len(section.arms)
        kind = "supervised stream" if section.supervised else "environment"
        arms = "1 arm" if count == 1 else f"{count} arms (groups of runs with the same settings)"
        self.parts.append(
            page.paragraph(
                f"{kind.capitalize()} {section.title}: {arms}. n is the number of seeds of an arm."
            )
        )
        rows = [
            (arm.label, len(arm.seeds), span(arm.seeds), len(arm.runs),
             f"{max(run.steps for run in arm.runs):,}",
             "baseline" if arm is self.baseline and count > 1 else "")
            for arm in section.arms
        ]  # fmt: skip
        steps = "updates" if section.supervised else "environment steps"
        header = ("arm", "n", "seeds", "runs", steps, "")
        self.parts.append(page.table(header, rows, (2, 5)))
        self.parts.append(page.notes(self.warnings()))

    def warnings(self) -> list[str]:
        """Returns what limits the comparison."""
        section = self.section
        found = [
            f"{arm.label} has a single seed: it has no interval, and no band is drawn"
            for arm in section.arms
            if len(arm.seeds) == 1
        ]
        for arm in section.arms:
            short = [run for run in arm.runs if not run.finished]
            if short:
                at = ", ".join(f"{run.path} at step {run.steps:,}" for run in short[:5])
                more = f" and {len(short) - 5} more" if len(short) > 5 else ""
                found.append(
                    f"{arm.label}: not finished: {at}{more}; curves end where the runs do, and "
                    "the mean is then of the seeds that are left"
                )
            lengths = {run.steps for run in arm.runs if run.finished}
            if len(lengths) > 1:
                found.append(f"{arm.label}: its runs have different lengths, pooled all the same")
        return found + section.notes

    def visits(self) -> None:
        """Area under the curve and performance at the end, of each visit."""
        area = (
            "Mean accuracy on the batches of a task, each before it was learned from."
            if self.section.supervised
            else "Mean return over all steps of a visit, of complete episodes."
        )
        final = (
            "Accuracy at the end of a task on the images that were learned from."
            if self.section.supervised
            else "Mean return of the episodes in the last 10% of a visit."
        )
        label = f"{self.measure} (share)" if self.section.supervised else self.measure
        measures = [
            ("area", "Area under the curve of each visit", f"area under the curve: {label}", area),
            ("final", "Performance at the end of each visit", f"{label} at the end", final),
        ]
        if any("test" in run.measures for arm in self.section.arms for run in arm.runs):
            text = "Accuracy at the end of a task on images that were not learned from."
            measures.append(("test", "Test accuracy of each task", f"{label} at the end", text))
        visits = [
            v for v in self.section.visits
            if any((v.task, v.visit) == w[:2] and w.complete
                   for arm in self.section.arms for run in arm.runs for w in run.visits)
        ]  # fmt: skip
        if not visits:
            self.parts.append(page.paragraph("No seed has completed a task visit yet."))
            return
        for name, title, label, caption in measures:
            self.per_visit(name, title, label, caption, visits, lambda arm, m=name: arm.pooled(m, visits))  # type: ignore[misc]  # noqa: E501

    def per_visit(
        self,
        name: str,
        title: str,
        label: str,
        caption: str,
        visits: Sequence[Visit],
        table: Callable[[Arm], Array | None],
        line: float | None = None,
    ) -> None:
        """Adds a measure of each visit as figure and table."""
        of = self.section, name, title, label, table, caption, visits
        chart = curves.by_visit(*of, line=line)
        if chart is None:
            return
        self.show(chart)
        tables = [table(arm) for arm in self.section.arms]
        cells = [estimates(t) if t is not None else [Estimate(*[math.nan] * 3)] * len(visits) for t in tables]  # noqa: E501
        at = sorted({round(i) for i in np.linspace(0, len(visits) - 1, min(len(visits), SHOWN))})
        rows = [
            (i + 1, visits[i].task, f"{visits[i].start:,} to {visits[i].end:,}",
             *(page.cell(column[i]) for column in cells))
            for i in at
        ]  # fmt: skip
        steps = "updates" if self.section.supervised else "steps"
        header = ("visit", "task", steps, *(arm.label for arm in self.section.arms))
        self.parts.append(page.table(header, rows))
        more = f"; {len(at)} of {len(visits)} visits, all are in the csv" if len(at) < len(visits) else ""  # noqa: E501
        self.parts.append(
            page.paragraph(f"Mean of the seeds (95% interval, Student's t){more}.", "small")
        )

    def fresh(self) -> None:
        """Plasticity against fresh agents, where it was measured."""
        section = self.section
        self.parts.append(page.heading(3, "Plasticity"))
        if section.supervised:
            self.parts.append(
                page.paragraph(
                    "There are no fresh networks to compare with; in a stream whose tasks are "
                    "equally hard, areas that sink from task to task mean that plasticity is lost."
                )
            )
            return
        found = {arm.label: comparison.fresh(arm, section.visits) for arm in section.arms}
        for label, of in found.items():
            if of is None:
                runs = next(arm.runs for arm in section.arms if arm.label == label)
                self.parts.append(
                    page.paragraph(
                        f"{label}: no fresh agents: run python -m training.fresh {runs[0].path}"
                        + (f" (and its {len(runs) - 1} other runs)" if len(runs) > 1 else "")
                    )
                )

        def ratio(arm: Arm) -> Array | None:
            of = found[arm.label]
            return None if of is None else of["plasticity"]

        self.per_visit(
            "plasticity",
            "Plasticity of each visit against a fresh agent",
            "area of the visit / area of a fresh agent",
            "1, dashed: nothing was lost. Each seed is compared with a fresh agent of the same "
            "seed and budget in the same task; where the fresh agent is no better than random "
            "actions there is no ratio.",
            section.visits,
            ratio,
            line=1.0,
        )

    def forgetting(self) -> None:
        """Forgetting of each task, where runs were evaluated."""
        rows = []
        for arm in self.section.arms:
            found = comparison.forgetting(arm)
            if found is not None:
                for task, of in zip(found[0], estimates(found[1]), strict=True):
                    rows.append((arm.label, task, len(arm.seeds), *of))
        self.parts.append(page.heading(3, "Forgetting"))
        if not rows:
            why = "in supervised runs" if self.section.supervised else "(--eval-every)"
            self.parts.append(page.paragraph(f"No finished run was evaluated on all tasks {why}."))
            return
        header = ("arm", "task", "n", "forgetting", "ci95_low", "ci95_high")
        chart = Chart("forgetting", "Forgetting", "", None, header, rows)
        _, files = self.files.add(self.prefix, chart)
        self.drawn.append((f"{self.section.title}: Forgetting (table)", files[-1]))
        tasks = sorted({row[1] for row in rows})
        cells = {(row[0], row[1]): page.cell(Estimate(*row[3:])) for row in rows}
        shown = [
            (task, *(cells.get((arm.label, task), page.number(math.nan)) for arm in self.section.arms))
            for task in tasks[:SHOWN]
        ]
        self.parts.append(page.table(("task", *(arm.label for arm in self.section.arms)), shown))
        unit = "normalised return" if self.normalized else "return"
        self.parts.append(
            page.paragraph(
                f"Evaluated {unit} at the end of the task's own last visit, less that at the end "
                "of the run; above 0: it was forgotten. Mean of the seeds (95% interval).", "small",
            )
        )  # fmt: skip

    def aggregates(self) -> None:
        """All visits and seeds together."""
        section = self.section
        self.parts.append(page.heading(3, "Aggregates"))
        found = comparison.aggregate(section, self.baseline)
        if found is None:
            self.parts.append(
                page.paragraph("No task visit was completed by all seeds of all arms.")
            )
            return
        known = (
            "Returns are normalised task by task: 0 is a random policy, 1 the reference."
            if self.normalized
            else "Accuracies are shares."
            if section.supervised
            else "There are no reference scores for this environment: returns are raw, so tasks "
            "with larger returns weigh more."
        )
        self.parts.append(
            page.paragraph(
                f"Over the {len(found.visits)} of {len(section.visits)} task visits that all "
                f"seeds of all arms have completed. {known}"
            )
        )
        self.show(charts.aggregates(section, found, self.baseline, self.unit))
        rows = [
            (arm.label, len(arm.seeds), page.cell(found.iqm[i]), page.cell(found.final[i]),
             "baseline" if arm is self.baseline else page.cell(found.improvement[i]),
             page.cell(found.ranks[i]))
            for i, arm in enumerate(section.arms)
        ]  # fmt: skip
        header = ("arm", "n", "IQM of area", "IQM at the end", "P(improvement)", "mean rank")
        self.parts.append(page.table(header, rows))
        self.parts.append(
            page.paragraph(
                "Mean rank: at each visit arms are ranked by the mean area of their seeds, 1 is "
                "best; the mean over visits. 95% intervals by the same bootstrap.", "small",
            )
        )  # fmt: skip
        self.show(charts.profiles(section, found, self.unit))

    def predictions(self) -> None:
        """Which metric goes with the next visit?"""
        found = predictions(self.section)
        if not found:
            self.parts.append(page.heading(3, "What goes with the next visit?"))
            self.parts.append(
                page.paragraph("Too few visits and seeds to relate metrics to the next visit.")
            )
            return
        self.show(charts.scatter(self.section, found, self.unit))
        header = ("network", "metric", "points", "seeds", "rho_area", "ci95_low", "ci95_high",
                  "rho_change", "ci95_low", "ci95_high")  # fmt: skip
        rows = [correlation(one) for one in found]
        chart = Chart("correlations", "Correlations", "", None, header, rows)
        _, files = self.files.add(self.prefix, chart)
        self.drawn.append((f"{self.section.title}: correlations (table)", files[-1]))
        self.parts.append(
            page.table(
                ("metric", "n points", "n seeds", "with the next area", "with its change"),
                [
                    (one.metric.label, len(one.x), one.seeds,
                     page.cell(one.of_area), page.cell(one.of_change))
                    for one in found[:CORRELATIONS]
                ],
            )
        )  # fmt: skip
        self.parts.append(
            page.paragraph(
                f"Spearman's rank correlation (95% bootstrap interval over seeds), over all arms, "
                f"the {min(len(found), CORRELATIONS)} strongest of {len(found)} metrics. Which "
                "metric predicts the loss of plasticity? A correlation is not a cause: arms, tasks "
                "and time differ in both at once; and among so many metrics, some correlate by "
                "chance.", "small",
            )
        )  # fmt: skip


def correlation(one: Prediction) -> Sequence[Any]:
    """Returns the row of a prediction."""
    return (one.metric.network, one.metric.metric, len(one.x), one.seeds,
            *one.of_area, *one.of_change)  # fmt: skip


def estimates(table: Array) -> list[Estimate]:
    """Returns mean and 95% interval over the seeds, of each row."""
    return [Estimate(*row) for row in intervals(table).T.tolist()]


def span(seeds: Sequence[int]) -> str:
    """Writes seeds shortly: ``0-4, 10``."""
    parts: list[list[int]] = []
    for seed in sorted(seeds):
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ", ".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)
