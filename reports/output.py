"""Writes a report: all of it aside first, then in place, the page last."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from reports.page import GENERATOR
from reports.style import Chart, image

PAGE = "index.html"
FOLDERS = ("figures", "tables")


def check(out: Path) -> None:
    """Raises a ValueError unless a folder is new, empty, or holds an earlier report."""
    if not os.path.lexists(out):
        return
    if not out.is_dir():
        raise ValueError(f"`out` should be a folder. Received {out}")
    if any(out.iterdir()) and not _is_report(out / PAGE):
        raise ValueError(f"`out` should be a new folder or hold an earlier report. Received {out}")


def _is_report(page: Path) -> bool:
    if page.is_symlink() or not page.is_file():
        return False
    with page.open("rb") as file:
        return f'content="{GENERATOR}"'.encode() in file.read(1000)


class Files:
    """The files of a report, in a folder aside until all of them are there.

    Args:
        folder: Where.
        page_only: Whether figures and tables are nowhere but in the page.
    """

    def __init__(self, folder: Path, page_only: bool = False) -> None:
        self.folder, self.page_only = folder, page_only
        for name in () if page_only else FOLDERS:
            (folder / name).mkdir()

    def add(self, prefix: str, chart: Chart) -> tuple[bytes, list[str]]:
        """Writes a figure and its table; returns the figure, and the names of the files."""
        files: list[str] = []
        svg = b"" if chart.figure is None else image(chart.figure, "svg")
        if self.page_only:
            return svg, files
        if chart.figure is not None:
            for kind, content in (("svg", svg), ("png", image(chart.figure, "png"))):
                files.append(f"figures/{prefix}-{chart.name}.{kind}")
                (self.folder / files[-1]).write_bytes(content)
        files.append(f"tables/{prefix}-{chart.name}.csv")
        with (self.folder / files[-1]).open(
            "w", newline="", encoding="utf-8", errors="backslashreplace"
        ) as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(chart.header)
            table.writerows([_cell(value) for value in row] for row in chart.rows)
        return svg, files

    def page(self, text: str) -> None:
        """Writes the page."""
        (self.folder / PAGE).write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def staged(out: Path, page_only: bool = False) -> Iterator[Files]:
    """Within, files are written aside; at the end they take the place of an earlier report.

    After an error or Ctrl-C everything is as it was.

    Raises:
        ValueError: If the folder cannot be written to, or holds something else.
    """
    check(out)
    new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".new-", dir=out))
    except OSError as error:
        raise ValueError(f"`out` cannot be written to: {error}") from None
    done = False
    try:
        yield Files(aside, page_only)
        with _undisturbed():
            for name in FOLDERS:
                if (out / name).is_symlink():
                    (out / name).unlink()
                elif (out / name).exists():
                    shutil.rmtree(out / name)
                if not page_only:
                    (aside / name).rename(out / name)
            (aside / PAGE).replace(out / PAGE)
        done = True
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if new and not done:
            out.rmdir()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C waits for the few renames."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        came.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def _cell(value: object) -> object:
    """Numbers with six digits; NaN becomes empty."""
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    return value
