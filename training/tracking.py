"""Where numbers go: ``metrics.csv`` for programs, TensorBoard for eyes."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from training.dashboard import Charts, metrics_guide
from training.summary import intervals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEEDLE = 8
"""Points of each part of a needle, one step apart: TensorBoard smooths curves, and keeps one point
for each step, so that a needle of a single point would vanish."""
TABLE = "metrics.csv"
FRESH_SUFFIX = ".fresh"
"""Of the event file that ``training.fresh`` writes: not the tracker's."""
HEADER = ("step", "seed", "task", "visit", "name", "value")


class Tracker:
    """Writes the numbers of a run.

    ``metrics.csv`` is in long form, a row for each step, seed and name, and holds no times, so that
    equal runs give equal files.  TensorBoard gets the mean over the seeds by the same name and, of
    several seeds, the bounds of its 95% interval as ``ci_low/<name>`` and ``ci_high/<name>``.

    Args:
        run_dir: Folder of the run.
        seeds: The seeds.
        charts: What TensorBoard shows first.
        guide: How to read it.
        state: From ``state_dict``, to go on from: what was written later is cut off.

    Raises:
        ValueError: If what the state counts on is no longer there.
    """

    def __init__(
        self,
        run_dir: Path,
        seeds: Sequence[int],
        charts: Charts,
        guide: str,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self.seeds = seeds
        self.run_dir = run_dir
        self._recent: list[tuple[int, int, float]] = []  # (seed index, task, return)
        self._lowest, self._highest = math.inf, -math.inf
        if state is not None:
            self._recent = [(int(s), int(task), float(ret)) for s, task, ret in state["recent"]]
            self._lowest, self._highest = state["lowest"], state["highest"]
        cut_back(run_dir, state["sizes"] if state is not None else {})
        self._file = (run_dir / TABLE).open("a", newline="")
        self._csv = csv.writer(self._file, lineterminator="\n")
        self._board = SummaryWriter(str(run_dir))
        if state is None:
            self._csv.writerow(HEADER)
            self._board.add_custom_scalars(charts)
            self._board.add_text("guide/how to read this", guide)
            self._board.add_text("guide/metrics", metrics_guide())

    def episode(
        self, step: int, index: int, task: int, visit: int, ret: float, length: int
    ) -> None:
        """Writes a complete episode of seed number ``index``."""
        for name, value in (("return/episode", ret), ("return/length", length)):
            self._csv.writerow((step, self.seeds[index], task, visit, name, value))
        self._recent.append((index, task, ret))

    def rows(self, step: int, task: int, visit: int, values: Mapping[str, Sequence[float]]) -> None:
        """Writes metrics of all seeds: for each name a value per seed."""
        self._csv.writerows(
            (step, seed, task, visit, name, float(value))
            for name, per_seed in values.items()
            for seed, value in zip(self.seeds, per_seed, strict=True)
        )
        self._scalars_with_intervals(values, step)

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
        self._scalars_with_intervals({"return/mean": per_seed}, step)
        if len(self.seeds) > 1:
            for seed, value in zip(self.seeds, per_seed, strict=True):
                if not math.isnan(value):
                    self.scalar(f"return/seed_{seed}", value, step)
        for task in np.unique(tasks):
            self.scalar(f"return/task_{task}", float(returns[tasks == task].mean()), step)
        self.widen(float(returns.min()), float(np.nanmax(per_seed)))

    def widen(self, lowest: float, highest: float) -> None:
        """Makes the needles of switches as high as what was reached."""
        self._lowest = min(self._lowest, lowest)
        self._highest = max(self._highest, highest)

    def switch(self, step: int, task: int, visit: int) -> None:
        """Marks the beginning of a task visit: a needle as high as what was reached so far."""
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

    def histograms(self, step: int, values: Mapping[str, Tensor]) -> None:
        """Draws how the values of all seeds are distributed, for each name."""
        for name, value in values.items():
            finite = value[value.isfinite()]
            if len(finite):
                self._board.add_histogram(name, finite, step)

    def figure(self, name: str, figure: Figure, step: int) -> None:
        """Draws a picture."""
        self._board.add_figure(name, figure, step)  # which closes it

    def _scalars_with_intervals(self, values: Mapping[str, Sequence[float]], step: int) -> None:
        """Draws means and bounds, all in one event: one for each number would be slow."""
        if not values:
            return
        means, lows, highs = intervals(np.array(list(values.values()), float)).tolist()
        drawn = []
        for name, mean, low, high in zip(values, means, lows, highs, strict=True):
            if not math.isnan(mean):
                drawn.append(Summary.Value(tag=name, simple_value=mean))
            if not math.isnan(low):
                drawn.append(Summary.Value(tag=f"ci_low/{name}", simple_value=low))
                drawn.append(Summary.Value(tag=f"ci_high/{name}", simple_value=high))
        self._board._get_file_writer().add_summary(Summary(value=drawn), step)

    def flush(self) -> None:
        """Brings everything to the disk."""
        self._file.flush()
        self._board.flush()

    def state_dict(self) -> dict[str, Any]:
        """Brings all to the disk for good, and returns what to go on from."""
        self.flush()
        sizes = {}
        for file in written(self.run_dir):
            with file.open("rb") as descriptor:
                os.fsync(descriptor.fileno())
            sizes[file.name] = file.stat().st_size
        return {
            "sizes": sizes,
            "recent": [list(row) for row in self._recent],
            "lowest": self._lowest,
            "highest": self._highest,
        }

    def close(self) -> None:
        """Flushes and closes the files."""
        self._file.close()
        self._board.close()


def written(run_dir: Path) -> list[Path]:
    """Returns the files that trackers have written in a run directory."""
    events = sorted(run_dir.glob("events.out.tfevents*"))
    return [run_dir / TABLE, *(file for file in events if not file.name.endswith(FRESH_SUFFIX))]


def cut_back(run_dir: Path, sizes: Mapping[str, int]) -> None:
    """Cuts the files of trackers back to sizes, and deletes those that have none."""
    for name, size in sizes.items():
        file = run_dir / name
        if file not in written(run_dir) or not file.exists() or file.stat().st_size < size:
            raise ValueError(
                f"{file} is missing, or shorter than its {size} bytes at the last checkpoint"
            )
        os.truncate(file, size)
    for file in written(run_dir):
        if file.name not in sizes:
            file.unlink(missing_ok=True)
