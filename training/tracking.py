"""Where numbers go: ``metrics.csv`` for programs, TensorBoard for eyes."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from training.summary import interval

NEEDLE = 8
"""Points of each part of a needle, one step apart: TensorBoard smooths curves, and keeps one point
for each step, so that a needle of a single point would vanish."""
HEADER = ("step", "seed", "task", "visit", "name", "value")


class Tracker:
    """Writes the numbers of a run.

    ``metrics.csv`` is in long form, a row for each step, seed and name, and holds no times, so that
    equal runs give equal files.  TensorBoard gets the mean over the seeds by the same name and, of
    several seeds, the bounds of its 95% interval as ``ci_low/<name>`` and ``ci_high/<name>``.

    Args:
        run_dir: Folder of the run.
        seeds: The seeds.
        networks: Names of the networks, for the charts.
        evaluation: Whether there are evaluations to chart.
    """

    def __init__(
        self, run_dir: Path, seeds: Sequence[int], networks: Sequence[str], evaluation: bool = False
    ) -> None:
        self.seeds = seeds
        self._file = (run_dir / "metrics.csv").open("w", newline="")
        self._csv = csv.writer(self._file, lineterminator="\n")
        self._csv.writerow(HEADER)
        self._board = SummaryWriter(str(run_dir))
        self._board.add_custom_scalars(layout(networks, len(seeds) > 1, evaluation))
        self._recent: list[tuple[int, int, float]] = []  # (seed index, task, return)
        self._lowest, self._highest = math.inf, -math.inf

    def episode(
        self, step: int, index: int, task: int, visit: int, ret: float, length: int
    ) -> None:
        """Writes a complete episode of seed number ``index``."""
        for name, value in (("return/episode", ret), ("return/length", length)):
            self._csv.writerow((step, self.seeds[index], task, visit, name, value))
        self._recent.append((index, task, ret))

    def rows(self, step: int, task: int, visit: int, values: Mapping[str, Sequence[float]]) -> None:
        """Writes metrics of all seeds: for each name a value per seed."""
        for name, per_seed in values.items():
            for seed, value in zip(self.seeds, per_seed, strict=True):
                self._csv.writerow((step, seed, task, visit, name, float(value)))
            self._scalar_with_interval(name, per_seed, step)

    def returns(self, step: int) -> None:
        """Draws the returns of the episodes since the last call."""
        if not self._recent:
            return
        index, tasks, returns = (np.array(column) for column in zip(*self._recent, strict=True))
        self._recent.clear()
        per_seed = [
            float(returns[index == s].mean()) if (index == s).any() else math.nan
            for s in range(len(self.seeds))
        ]
        self._scalar_with_interval("return/mean", per_seed, step)
        if len(self.seeds) > 1:
            for seed, value in zip(self.seeds, per_seed, strict=True):
                if not math.isnan(value):
                    self.scalar(f"return/seed_{seed}", value, step)
        for task in np.unique(tasks):
            self.scalar(f"return/task_{task}", float(returns[tasks == task].mean()), step)
        self._lowest = min(self._lowest, float(returns.min()))
        self._highest = max(self._highest, float(np.nanmax(per_seed)))

    def switch(self, step: int, task: int, visit: int) -> None:
        """Marks the beginning of a task visit: a needle as high as the returns so far."""
        self._board.add_text("task/switches", f"step {step}: task {task}, visit {visit}", step)
        if math.isfinite(self._highest):
            heights = [
                h for h in (self._lowest, self._highest, self._lowest) for _ in range(NEEDLE)
            ]
            for i, height in enumerate(heights):
                self.scalar("task/switch", height, step + i)

    def scalar(self, name: str, value: float, step: int) -> None:
        """Draws one number that ``metrics.csv`` does not hold."""
        self._board.add_scalar(name, value, step)

    def _scalar_with_interval(self, name: str, per_seed: Sequence[float], step: int) -> None:
        mean, low, high = interval(per_seed)
        if math.isnan(mean):
            return
        self.scalar(name, mean, step)
        if not math.isnan(low):
            self.scalar(f"ci_low/{name}", low, step)
            self.scalar(f"ci_high/{name}", high, step)

    def flush(self) -> None:
        """Brings everything to the disk."""
        self._file.flush()
        self._board.flush()

    def close(self) -> None:
        """Flushes and closes the files."""
        self._file.close()
        self._board.close()


def layout(
    networks: Sequence[str], intervals: bool, evaluation: bool
) -> dict[str, dict[str, list[Any]]]:
    """Returns the charts of TensorBoard's Custom Scalars page, by group and title."""

    def band(name: str) -> list[Any]:
        return ["Margin", [name, f"ci_low/{name}", f"ci_high/{name}"]]

    def lines(*patterns: str) -> list[Any]:
        return ["Multiline", list(patterns)]

    charts: dict[str, dict[str, list[Any]]] = {"return": {}, "dormant neurons": {}, "alpha": {}}
    returns, dormant, alpha = charts.values()
    if intervals:
        returns["return, mean of the seeds with 95% interval"] = band("return/mean")
    returns["return, needles at task switches"] = lines("^return/mean$", "^task/switch$")
    returns["return of each task"] = lines("^return/task_")
    if intervals:
        returns["return of each seed, needles at task switches"] = lines(
            "^return/seed_", "^task/switch$"
        )
    if evaluation:
        charts["evaluation"] = {
            "average of all tasks, normalised": lines("^eval/average_performance$"),
            "return of each task": lines("^eval/return/task_"),
        }
    for network in networks:
        name = f"plasticity/{network}/dormant_fraction@"
        if intervals:
            dormant[f"{network}: dormant neurons, tau 0.1, with 95% interval"] = band(f"{name}0.1")
        dormant[f"{network}: dormant neurons, tau 0, 0.025 and 0.1"] = lines(f"^{name}[^/]*$")
        dormant[f"{network}: dormant neurons of each layer, tau 0.1"] = lines(f"^{name}0.1/")
    alpha["mean alpha of each layer"] = lines("^adalin/.*/alpha_mean$")
    alpha["mean absolute alpha of each layer"] = lines("^adalin/.*/alpha_abs$")
    return charts
