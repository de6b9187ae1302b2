"""What the page says of the arms in one world."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from reports import comparison, conclusions, continual, curves, page
from reports.arms import Arm, Section, baseline
from reports.output import Files
from reports.runs import Visit
from reports.statistics import Estimate
from reports.style import Chart
from training.summary import intervals

Array = np.ndarray[Any, np.dtype[Any]]
SHOWN = 20
"""Rows of a table: of more, some are shown."""
SHORT = 0.9
"""Share of the steps of a visit of which one that has fewer is told."""


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
        continual.plasticity(self)
        continual.forgetting(self)
        self.show(curves.inside(self.section), "No metric of a network was recorded.")
        conclusions.aggregates(self)
        conclusions.correlations(self)
        return self.parts

    def show(self, chart: Chart | None, absent: str = "") -> None:
        """Adds a figure, or says why there is none."""
        if chart is None:
            if absent:
                self.parts.append(page.paragraph(absent))
            return
        svg, files = self.keep(chart, chart.title)
        self.parts.append(page.heading(3, chart.title))
        self.parts.append(page.figure(svg, chart.title, chart.caption, files))

    def keep(self, chart: Chart, title: str) -> tuple[bytes, list[str]]:
        """Writes a figure and its table, if there are files; returns it, and their names."""
        svg, files = self.files.add(self.prefix, chart)
        if files:
            self.drawn.append((f"{self.section.title}: {title}", files[-1]))
        return svg, files

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
        self.parts.append(page.table(header, rows, (0, 2, 5)))
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
            for run in arm.runs:
                last = run.visits[-1] if run.visits else None
                of = [v for v in section.visits if last is not None and v[:2] == last[:2]]
                if last is not None and last.complete and of and not section.supervised:
                    steps, most = last.end - last.start, of[0].end - of[0].start
                    if steps < SHORT * most:
                        found.append(
                            f"{arm.label}: the last visit of {run.path} has {steps:,} of {most:,} "
                            "steps, and counts as it is in the charts of single visits"
                        )
            lengths = {run.steps for run in arm.runs if run.finished}
            if len(lengths) > 1:
                found.append(f"{arm.label}: its runs differ in length, and are pooled anyway")
        return found + section.notes

    def visits(self) -> None:
        """Area under the curve and performance at the end, of each visit."""
        area = (
            "Mean accuracy on the batches of a task, each before it was learned from."
            if self.section.supervised
            else "Mean over the steps of a visit of the return of their (complete) episode."
        )
        final = (
            "Accuracy at the end of a task on the images that were learned from."
            if self.section.supervised
            else "Mean return of episodes that ended in the last 10% of a visit, else of the last."
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
            self.per_visit(name, title, label, caption, visits, partial(_pooled, name, visits))

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
        cells = [
            estimates(t) if t is not None else [Estimate(*[math.nan] * 3)] * len(visits)
            for t in tables
        ]
        at = sorted({round(i) for i in np.linspace(0, len(visits) - 1, min(len(visits), SHOWN))})
        rows = [
            (i + 1, visits[i].task, f"{visits[i].start:,} to {visits[i].end:,}",
             *(page.cell(column[i]) for column in cells))
            for i in at
        ]  # fmt: skip
        steps = "updates" if self.section.supervised else "steps"
        header = ("visit", "task", steps, *(arm.label for arm in self.section.arms))
        self.parts.append(page.table(header, rows))
        more = (
            f"; {len(at)} of {len(visits)} visits"
            + ("" if self.files.page_only else ", all are in the csv")
            if len(at) < len(visits)
            else ""
        )
        self.parts.append(
            page.paragraph(f"Mean of the seeds (95% interval, Student's t){more}.", "small")
        )


def _pooled(measure: str, visits: Sequence[Visit], arm: Arm) -> Array:
    return arm.pooled(measure, visits)


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
