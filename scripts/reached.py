"""When did each seed of a run reach a return?  ``python scripts/reached.py RUN_DIR 450``."""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

WINDOW = 10
"""Episodes that a mean is over."""


def report(run_dir: Path, goal: float) -> None:
    """Prints for each seed the last and the best mean, and the step of the first at the goal."""
    episodes: dict[str, list[tuple[int, float]]] = defaultdict(list)
    with (run_dir / "metrics.csv").open() as file:
        for row in csv.DictReader(file):
            if row["name"] == "return/episode":
                episodes[row["seed"]].append((int(row["step"]), float(row["value"])))
    last = []
    for seed, rows in sorted(episodes.items()):
        if len(rows) < WINDOW:
            print(f"seed {seed}: only {len(rows)} episodes")
            continue
        means = np.convolve([ret for _, ret in rows], np.ones(WINDOW) / WINDOW, "valid")
        first = next((rows[i + WINDOW - 1][0] for i, m in enumerate(means) if m >= goal), None)
        reached = "never" if first is None else f"at step {first}"
        last.append(means[-1])
        print(f"seed {seed}: last {means[-1]:.1f}, best {means.max():.1f}, {goal:g} {reached}")
    if last:
        print(f"mean of the last {WINDOW} episodes over {len(last)} seeds: {np.mean(last):.1f}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python scripts/reached.py RUN_DIR RETURN")
    report(Path(sys.argv[1]), float(sys.argv[2]))
