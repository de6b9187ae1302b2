"""How figures look: colours that the colour-blind can tell apart, one legend, no text on text."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#7F7F7F")
"""Okabe & Ito 2008, without their yellow, which is pale on white, and with a grey."""
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
MARKERS = "osD^vPX*"
WIDTH = 8.6
"""Inches of a figure."""
SETTINGS: dict[Any, Any] = {
    "text.parse_math": False,  # a dollar in a name is a dollar
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.edgecolor": "#777777",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "svg.hashsalt": "report",  # equal runs give equal files
    "figure.max_open_warning": 0,
}


@dataclass
class Chart:
    """A figure, and the table that it was drawn from.

    Attributes:
        name: Of its files.
        title: What it shows.
        caption: How to read it.
        figure: The figure; None where only the table is shown.
        header: Names of the columns.
        rows: The table.
    """

    name: str
    title: str
    caption: str
    figure: Figure | None
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


@contextmanager
def style() -> Iterator[None]:
    """Within, figures look as those of a report."""
    with matplotlib.rc_context(SETTINGS):
        yield


def colour(i: int) -> str:
    """Returns the colour of arm number ``i``."""
    return COLOURS[i % len(COLOURS)]


def dash(i: int) -> Any:
    """Returns the line style of an arm: arms that share a colour have different ones."""
    return DASHES[i // len(COLOURS) % len(DASHES)]


def marker(i: int) -> str:
    """Returns the marker of an arm: arms that share a colour have different ones."""
    return MARKERS[(i + 3 * (i // len(COLOURS))) % len(MARKERS)]


def plain(text: object) -> str:
    """Returns a name as it can be drawn: characters that are not to be seen become escapes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


def wrapped(label: str, width: int = 34, lines: int = 4) -> str:
    """Breaks a label into lines, and cuts it where there would be too many."""
    parts = textwrap.wrap(plain(label), width) or [""]
    if len(parts) > lines:
        parts = [*parts[: lines - 1], parts[lines - 1][: width - 3] + "..."]
    return "\n".join(parts)


def make(rows: int, columns: int, height: float, labels: Sequence[str], **grid: Any) -> Any:
    """Makes a figure with one legend above its axes.

    Args:
        rows: Rows of axes.
        columns: Columns of axes.
        height: Inches of a row.
        labels: Of the arms; a single one needs no legend.
        **grid: Passed on to ``Figure.subplots``.

    Returns:
        The figure, and its axes as an array of two dimensions.
    """
    shown = [wrapped(label, 52, 3) for label in labels]
    lines = 0
    if shown:
        across = 2 if max(len(line) for label in shown for line in label.split("\n")) > 22 else 3
        tall = max(label.count("\n") + 1 for label in shown)
        lines = -(-len(shown) // across) * tall
    figure = Figure(figsize=(WIDTH, height * rows + 0.19 * lines + 0.15), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **grid)
    if shown:
        handles = [
            Line2D([], [], color=colour(i), linestyle=dash(i), marker=marker(i), markersize=4,
                   label=label)
            for i, label in enumerate(shown)
        ]  # fmt: skip
        figure.legend(handles=handles, loc="outside upper left", ncols=across, handlelength=3.2)
    return figure, axes


def band(axis: Axes, x: Any, mean: Any, low: Any, high: Any, i: int, **line: Any) -> None:
    """Draws a mean and its band."""
    axis.plot(x, mean, color=colour(i), linestyle=dash(i), linewidth=1.5, **line)
    axis.fill_between(x, low, high, color=colour(i), alpha=0.18, linewidth=0)


def image(figure: Figure, kind: str) -> bytes:
    """Returns a figure as a file, without the time at which it was made."""
    file = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with style():
        figure.savefig(file, format=kind, dpi=130, metadata=metadata)
    return file.getvalue()
