"""What a supervised run came to: the accuracy of each task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from training.summary import cell, measure

SHOWN = 20
"""Rows of the table: of more tasks, some are shown."""
MEASURES = ("online", "train", "test")


@dataclass
class TaskResult:
    """One task, all seeds; accuracies are NaN before its end.

    Attributes:
        task: Index of the task.
        visit: 0.
        start: Update at which it began.
        online: Mean accuracy on each batch before it was learned from, of each seed.
        train: Accuracy at its end on the images that were learned from.
        test: Accuracy at its end on images that were not; NaN where there are none.
        dormant: The pooled dormant fraction (tau = 0.1) at the last probe.
        probes: The same at each probe: (update, of each seed).
    """

    task: int
    visit: int
    start: int
    online: list[float]
    train: list[float]
    test: list[float]
    dormant: list[float]
    probes: list[tuple[int, list[float]]] = field(default_factory=list)


@dataclass
class Accuracies:
    """Collects the tasks of a run."""

    seeds: Sequence[int]
    tasks: list[TaskResult] = field(default_factory=list)

    @property
    def now(self) -> TaskResult:
        """The task that is running."""
        return self.tasks[-1]

    def begin(self, task: int, visit: int, start: int) -> None:
        """Opens a task."""
        online, train, test, dormant = ([math.nan] * len(self.seeds) for _ in range(4))
        self.tasks.append(TaskResult(task, visit, start, online, train, test, dormant))

    def average(self) -> list[float]:
        """Mean online accuracy of the complete tasks, of each seed."""
        online = self._online()
        if not len(online):
            return [math.nan] * len(self.seeds)
        return [float(mean) for mean in online.mean(0)]

    def slope(self) -> list[float]:
        """Change of the online accuracy from task to task, by least squares, of each seed.

        Below 0: tasks are learned worse and worse, plasticity is lost.
        """
        online = self._online()
        if len(online) < 2:
            return [math.nan] * len(self.seeds)
        tasks = np.arange(len(online)) - (len(online) - 1) / 2
        return [float(slope) for slope in tasks @ online / (tasks @ tasks)]

    def _online(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Online accuracies of the complete tasks, ``(T, S)``."""
        complete = [task.online for task in self.tasks if not math.isnan(task.online[0])]
        return np.array(complete, float).reshape(-1, len(self.seeds))

    def state_dict(self) -> dict[str, Any]:
        """Returns all tasks, as JSON takes them."""
        return {"tasks": [asdict(task) for task in self.tasks]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state that ``state_dict`` returned."""
        self.tasks = [TaskResult(**task) for task in state["tasks"]]

    def as_dict(self) -> dict[str, Any]:
        """Returns what ``summary.json`` holds; NaN becomes null."""
        rows = []
        for task in self.tasks:
            row: dict[str, Any] = {"task": task.task, "start": task.start}
            row |= {f"accuracy/{name}": measure(getattr(task, name)) for name in MEASURES}
            rows.append(row | {"dormant_fraction@0.1": measure(task.dormant)})
        return {
            "average_online_accuracy": measure(self.average()),
            "slope_of_online_accuracy": measure(self.slope()),
            "tasks": rows,
        }

    def table(self) -> Table:
        """Returns the table that is shown at the end of a run."""
        found = self.as_dict()
        many = f"{len(self.seeds)} seeds, mean (95% interval)" if len(self.seeds) > 1 else "1 seed"
        table = Table(
            title=f"{many}; online accuracy, all tasks: "
            f"{cell(found['average_online_accuracy'], '{:.1%}')}, from task to task: "
            f"{cell(found['slope_of_online_accuracy'], '{:+.2%}')}",
            title_justify="left",
        )
        for title in ("task", "online", "train, at end", "test, at end", "dormant at end"):
            table.add_column(title, justify="right")
        count = len(self.tasks)
        for i in sorted({round(i) for i in np.linspace(0, count - 1, min(count, SHOWN))}):
            row = found["tasks"][i]
            cells = (cell(row[f"accuracy/{name}"], "{:.1%}") for name in MEASURES)
            table.add_row(str(row["task"]), *cells, cell(row["dormant_fraction@0.1"], "{:.1%}"))
        return table


class Meter:
    """Means of the accuracy before updates: since the task began, and since the last row.

    Args:
        num_seeds: Number of seeds S.
        device: Where accuracies come from.
    """

    def __init__(self, num_seeds: int, device: torch.device) -> None:
        self._sums = torch.zeros(2, num_seeds, dtype=torch.float64, device=device)
        self._counts = [0, 0]

    def add(self, accuracy: Tensor) -> None:
        """Counts an update: ``(S,)``."""
        self._sums += accuracy
        self._counts = [count + 1 for count in self._counts]

    def task(self) -> Tensor:
        """Mean of the task ``(S,)``, which ends here."""
        return self._take(0)

    def recent(self) -> Tensor:
        """Mean since the last call ``(S,)``."""
        return self._take(1)

    def _take(self, i: int) -> Tensor:
        mean = self._sums[i] / max(self._counts[i], 1)
        self._sums[i], self._counts[i] = 0, 0
        return mean

    def state_dict(self) -> dict[str, Any]:
        """Returns what has been counted."""
        return {"sums": self._sums, "counts": self._counts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state that ``state_dict`` returned."""
        self._sums.copy_(state["sums"])
        self._counts = list(state["counts"])
