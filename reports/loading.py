"""From paths to sections: finds runs, reads their tables in several processes, groups them."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from reports import arms, columns, runs
from reports.arms import Section
from reports.finding import TABLE, Found, find

BINS = 100
"""Points of a curve, at most."""
LARGE = 100_000_000
"""Bytes of tables from which several processes read them."""


def load(
    paths: Sequence[Path], told: Callable[[int, int], None] = lambda done, count: None
) -> tuple[list[Section], list[str]]:
    """Reads runs and groups them.

    Args:
        paths: Run directories, or folders with run directories below.
        told: Hears how many runs have been read, and how many there are.

    Returns:
        A section for each world, and notes on what was left out.

    Raises:
        ValueError: If there is no run, or one is damaged.
    """
    found, left_out = find(paths)
    notes = [f"{path} is left out: fresh agents that runs are compared with" for path in left_out]
    groups = arms.worlds(found)
    jobs: list[tuple[Found, int, int]] = []
    sizes = []
    for group in groups.values():
        last = max(columns.last_step(one.path / TABLE) for one in group)
        width = bin_width(last)
        sizes.append((width, max(-(-last // width), 1)))
        jobs += [(one, *sizes[-1]) for one in group]
    done = iter(_read_all(jobs, told))
    sections = []
    for (world, group), (width, bins) in zip(groups.items(), sizes, strict=True):
        section = arms.section(world, [next(done) for _ in group])
        section.width, section.bins = width, bins
        sections.append(section)
    return sections, notes


def bin_width(last: int) -> int:
    """Returns 1, 2 or 5 times a power of ten: the least of which at most BINS bins are needed."""
    least = max(last / BINS, 1)
    power = 10 ** math.floor(math.log10(least))
    return int(next(m * power for m in (1, 2, 5, 10) if m * power >= least))


def _read_all(
    jobs: Sequence[tuple[Found, int, int]], told: Callable[[int, int], None]
) -> list[runs.Run]:
    read = []
    size = sum((found.path / TABLE).stat().st_size for found, *_ in jobs)
    workers = min(os.cpu_count() or 1, len(jobs), 8)
    if size < LARGE or workers < 2:
        for job in jobs:
            read.append(runs.read(*job))
            told(len(read), len(jobs))
        return read
    pool = ProcessPoolExecutor(workers, initializer=_worker)
    try:
        for run in pool.map(runs.read, *zip(*jobs, strict=True)):
            read.append(run)
            told(len(read), len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)
    return read


def _worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
