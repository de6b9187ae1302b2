"""Tiny run directories, written by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

HEADER = "step,seed,task,visit,name,value"
Row = tuple[int, int, int, int, str, float]


def write(
    folder: Path,
    rows: Iterable[Sequence[Any]],
    settings: dict[str, Any] | None = None,
    summary: dict[str, Any] | None = None,
) -> Path:
    """Writes a run directory with some rows, and returns it."""
    folder.mkdir(parents=True)
    basic = {"activation": "relu", "seed": 0, "num_seeds": 1, "mitigation": []}
    if "stream" not in (settings or {}):
        basic |= {"agent": "dqn", "env": "classic-cycle", "total_steps": 40, "steps_per_task": 10}
    (folder / "config.yaml").write_text(yaml.safe_dump(basic | (settings or {})))
    lines = [HEADER, *(",".join(map(str, row)) for row in rows)]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    if summary is not None:
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def lifetime(
    seeds: Sequence[int] = (0,), visits: int = 4, better: float = 0.0, length: int = 10
) -> list[Row]:
    """Returns the rows of a lifetime: two episodes and a probe in each visit of a task.

    Episodes of visit v and seed s have the returns ``10 v + s + better`` and one more.
    """
    rows: list[Row] = []
    for visit in range(visits):
        begin = visit * length
        for half in (1, 2):
            end = begin + half * length // 2
            for seed in seeds:
                at = end, seed, visit % 3, visit // 3
                rows.append((*at, "return/episode", 10.0 * visit + seed + better + half - 1))
                rows.append((*at, "return/length", length // 2))
        for seed in seeds:
            at = begin + length, seed, visit % 3, visit // 3
            rows.append((*at, "plasticity/q/dormant_fraction@0.1", 0.1 * visit + 0.01 * seed))
            rows.append((*at, "plasticity/q/weight_rms", 1.0 - 0.1 * visit + 0.01 * seed))
    return rows


def tasks(seeds: Sequence[int] = (0,), count: int = 3, better: float = 0.0) -> list[Row]:
    """Returns the rows of a supervised run: tasks of 5 updates."""
    rows: list[Row] = []
    for task in range(count):
        end = 5 * (task + 1)
        for seed in seeds:
            accuracy = 0.5 + 0.1 * task + 0.01 * seed + better
            rows.append((end, seed, task, 0, "train/accuracy", accuracy))
            rows.append((end, seed, task, 0, "accuracy/online", accuracy))
            rows.append((end, seed, task, 0, "accuracy/train", accuracy + 0.1))
            rows.append((end, seed, task, 0, "plasticity/classifier/effective_rank", 5.0 + task))
    return rows
