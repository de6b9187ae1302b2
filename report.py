"""Compare runs on one page: ``python report.py RUNS... --out report``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from configs import one_line
from reports import output
from reports.building import build
from reports.loading import load


def main(args: Sequence[str] | None = None) -> int:
    """Runs the program.

    Returns:
        The exit code: 0, 1 if the disk does not take the report, 2 for bad input, 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="report.py", description=__doc__)
    parser.add_argument(
        "runs", type=Path, nargs="+", help="run directories, or folders that contain some"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("report"), help="folder of the report (default: report)"
    )
    parser.add_argument(
        "--baseline",
        metavar="ARM",
        help="label of the arm to compare with (default: relu without remedies, else the first)",
    )
    parser.add_argument(
        "--page-only", action="store_true", help="write the page alone, without figures and tables"
    )
    given = list(sys.argv[1:] if args is None else args)
    options = parser.parse_args(given)
    matplotlib.use("Agg")  # no display is needed
    console = Console(stderr=True)
    columns = ("[progress.description]{task.description}",)
    bar = Progress(
        TextColumn(*columns, markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    try:
        output.check(options.out)
        with bar:
            reading = bar.add_task("reading runs", total=None)
            sections, notes = load(
                options.runs, lambda done, count: bar.update(reading, completed=done, total=count)
            )
            drawing = bar.add_task("drawing", total=len(sections))
            page = build(
                sections, notes, options.out, options.baseline, ["python", "report.py", *given],
                lambda title: bar.update(drawing, advance=1), options.page_only,
            )  # fmt: skip
    except ValueError as error:
        print(f"report.py: error: {one_line(error)}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"report.py: stopped: {one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("report.py: interrupted; nothing was written", file=sys.stderr)
        return 130
    for section in sections:
        arms = "; ".join(f"{arm.label} (n={len(arm.seeds)})" for arm in section.arms)
        print(one_line(ValueError(f"{section.title}: {arms}")))
    print(f"the report is {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
