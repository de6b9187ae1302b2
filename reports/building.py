"""Puts the page together: what was compared, a part for each world, and where numbers come from."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from reports import page, runs, style
from reports.arms import Section
from reports.output import PAGE, staged
from reports.sections import Writer, span
from reports.statistics import FEWEST, REPEATS

HOW = (
    "An arm is a group of runs that differ in nothing but seeds, length or how they were computed "
    "(device, threads, compile); the seeds of its runs are pooled. An interval or band says how "
    "certain the mean of the seeds is, not how far seeds differ. Two arms whose intervals overlap "
    "may still differ, and few seeds give wide intervals."
)


def build(
    sections: Sequence[Section],
    notes: Sequence[str],
    out: Path,
    named: str | None,
    command: Sequence[str],
    told: Callable[[str], None] = lambda what: None,
    page_only: bool = False,
) -> Path:
    """Writes the report.

    Args:
        sections: What was loaded.
        notes: What was left out.
        out: Folder of the report.
        named: Label of the arm that others are compared with.
        command: What the user has called, to be shown.
        told: Hears what is drawn now.
        page_only: Whether no files of figures and tables are written beside the page.

    Returns:
        The page.

    Raises:
        ValueError: If there is no arm of that name, or the folder cannot be written to.
    """
    labels = sorted({arm.label for section in sections for arm in section.arms})
    if named is not None and named not in labels:
        raise ValueError(f"`baseline` should be one of {'; '.join(labels)}. Received {named}")
    with style.style(), staged(out, page_only) as files:
        parts, drawn = [], []
        for i, section in enumerate(sections, 1):
            told(section.title)
            writer = Writer(section, files, f"{i}-{slug(section.name)}", named)
            parts.append(page.heading(2, section.title, f"section-{i}"))
            parts += writer.write()
            drawn += writer.drawn
        title = "Comparison of runs: " + ", ".join(dict.fromkeys(s.name for s in sections))
        files.page(
            page.document(
                title, [*_top(title, sections, notes), *parts, *_trace(sections, drawn, command)]
            )
        )
    return out / PAGE


def slug(name: str) -> str:
    """Returns a name as part of a file's: no more than letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "runs"


def _top(title: str, sections: Sequence[Section], notes: Sequence[str]) -> list[str]:
    all_runs = [run for section in sections for arm in section.arms for run in arm.runs]
    links = "".join(
        f'<li><a href="#section-{i}">{page.esc(section.title)}</a>: '
        f"{page.esc('; '.join(f'{arm.label} (n={len(arm.seeds)})' for arm in section.arms))}</li>"
        for i, section in enumerate(sections, 1)
    )
    finished = sum(run.finished for run in all_runs)
    return [
        page.heading(1, title),
        page.heading(2, "What was compared", kind="first"),
        page.paragraph(
            f"{len(all_runs)} runs, {finished} of them finished, in {len(sections)} "
            f"{'world' if len(sections) == 1 else 'worlds'}:"
        ),
        f'<ul>{links}<li><a href="#trace">Where the numbers come from</a></li></ul>',
        page.paragraph(HOW, "small"),
        page.notes(notes),
    ]


def _made_with(summary: Mapping[str, Any]) -> list[str]:
    """Returns the version of this package and of PyTorch, and what its kernels were made for."""
    names = {"version": "adalin-rl", "torch": "torch", "cpu": "CPU"}
    return [f"{name} {summary[key]}" for key, name in names.items() if key in summary]


def _trace(
    sections: Sequence[Section], drawn: Sequence[tuple[str, str]], command: Sequence[str]
) -> list[str]:
    """Returns the tables that trace every number."""
    rows, told = [], []
    for section in sections:
        program = "supervise.py" if section.supervised else "train.py"
        for arm in section.arms:
            for run, used in zip(arm.runs, arm.used, strict=True):
                config = shlex.quote(str(run.path / "config.yaml"))
                rows.append(
                    (arm.label, run.path, span(used), f"{run.steps:,}", f"{run.rows:,}",
                     "yes" if run.finished else "no",
                     ", ".join(_made_with(run.found.summary)) or "not recorded",
                     f"python {program} --config {config}")
                )  # fmt: skip
                told += [f"{run.path}: {note}" for note in run.notes]
                if run.unknown:
                    names = ", ".join(run.unknown[:20]) + (" ..." if run.unknown[20:] else "")
                    told.append(f"{run.path}: names that are not known, and ignored: {names}")
                absent = runs.missing(run)
                if absent:
                    told.append(f"{run.path}: absent: {', '.join(absent)}")
    try:
        made_by = version("adalin-rl")
    except PackageNotFoundError:
        made_by = "unknown"
    header = ("arm", "run directory", "seeds used", "steps", "rows", "finished", "made with",
              "to repeat it")  # fmt: skip
    tables = [
        page.heading(3, "Each figure and the table it was drawn from"),
        page.table(("figure", "table"), drawn, (0, 1)),
    ]
    return [
        page.heading(2, "Where the numbers come from", "trace"),
        page.table(header, rows, (0, 1, 2, 5, 6, 7)),
        *(tables if drawn else []),
        page.notes(told),
        page.paragraph(
            f"Made by adalin-rl {made_by} with: {shlex.join(command)}. Bootstraps: {REPEATS:,} "
            f"resamples, or at least {FEWEST} for very many scores; generator seeded with 0, so "
            "that the same runs give the same page.",
            "small",
        ),
    ]
