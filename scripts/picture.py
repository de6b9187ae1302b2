"""Draws the picture of the README from a run: ``python scripts/picture.py RUN_DIR picture.png``."""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no display is needed
import matplotlib.pyplot as plt
import numpy as np

from training.summary import interval

PANELS = (
    ("return/episode", "return of an episode", 1.0),
    ("plasticity/{network}/dormant_fraction@0.1", "dormant neurons (%)", 100.0),
    ("adalin/{network}/{layer}/alpha_abs", "mean |alpha|, {layer}", 1.0),
)
BIN = 1000
"""Environment steps that one point of a curve averages."""

Curves = dict[str, dict[str, dict[int, list[float]]]]  # name -> seed -> bin -> values


def read(run_dir: Path) -> tuple[Curves, dict[int, str]]:
    """Reads ``metrics.csv``: values by name, seed and bin, and the task of each bin."""
    curves: Curves = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    tasks: dict[int, str] = {}
    with (run_dir / "metrics.csv").open() as file:
        for row in csv.DictReader(file):
            at = (int(row["step"]) - 1) // BIN
            curves[row["name"]][row["seed"]][at].append(float(row["value"]))
            tasks[at] = row["task"]
    return curves, tasks


def draw(run_dir: Path, picture: Path) -> None:
    """Draws return, dormant neurons and alpha over the lifetime, with the switches."""
    curves, tasks = read(run_dir)
    network = next(name.split("/")[1] for name in curves if name.startswith("plasticity/"))
    layers = [name.split("/")[2] for name in curves if name.startswith(f"adalin/{network}/layer")]
    names = {"network": network, "layer": max(layers, default="")}  # the last one
    panels = [
        (name.format(**names), label.format(**names).replace("_", " "), factor)
        for name, label, factor in PANELS
    ]
    panels = [panel for panel in panels if panel[0] in curves]  # not every run has alpha
    figure, grid = plt.subplots(len(panels), 1, figsize=(9, 7), sharex=True, squeeze=False)
    axes = grid[:, 0]
    for axis, (name, label, factor) in zip(axes, panels, strict=True):
        seeds = curves[name]
        bins = sorted({at for bins in seeds.values() for at in bins})
        table = np.array(
            [
                [factor * np.mean(s[at]) if at in s else np.nan for s in seeds.values()]
                for at in bins
            ]
        )
        middle, low, high = (np.array(x) for x in zip(*map(interval, table.tolist()), strict=True))
        steps = (np.array(bins) + 0.5) * BIN
        axis.plot(steps, table, color="C0", linewidth=0.6, alpha=0.5)
        axis.plot(steps, middle, color="C0", linewidth=2)
        axis.fill_between(steps, low, high, color="C0", alpha=0.25, linewidth=0)
        axis.set_ylabel(label)
        axis.set_ylim(bottom=min(0.0, float(np.nanmin(middle)) * 1.1))
        for at in sorted(tasks):
            if at and tasks.get(at - 1, tasks[at]) != tasks[at]:
                axis.axvline(at * BIN, color="grey", linestyle="--", linewidth=0.8)
    axes[-1].set_xlabel("environment steps of each seed")
    shown = f"{len(seeds)} seeds (thin), mean and 95% interval" if len(seeds) > 1 else "1 seed"
    axes[0].set_title(
        f"{run_dir.name}: {shown}, dashed: task switches",
        fontsize=10,
    )
    figure.tight_layout()
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python scripts/picture.py RUN_DIR picture.png")
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
