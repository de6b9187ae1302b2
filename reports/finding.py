"""Finds run directories, and reads what their ``config.yaml`` and ``summary.json`` say."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs import read_yaml
from reports.columns import open_plain

CONFIG, TABLE, SUMMARY = "config.yaml", "metrics.csv", "summary.json"
FRESH = "fresh"
"""Name of the folder in which ``training.fresh`` keeps the runs that it compares with."""
MOST_SEEDS = 1 << 10
MOST_SUMMARY = 1 << 26
"""Bytes."""


@dataclass
class Found:
    """A run directory, before its table is read.

    Attributes:
        path: Where it is.
        settings: All settings of its ``config.yaml``, flat: ``dqn.tau``.
        summary: Its ``summary.json``; empty if there is none.
        notes: What a reader should know.
    """

    path: Path
    settings: dict[str, Any]
    summary: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    @property
    def supervised(self) -> bool:
        return "stream" in self.settings

    @property
    def seeds(self) -> list[int]:
        first = self.settings["seed"]
        return list(range(first, first + self.settings["num_seeds"]))


def find(paths: Iterable[Path]) -> tuple[list[Found], list[Path]]:
    """Returns the runs at or below some paths, each once, and what was left out.

    Left out are the runs in folders called ``fresh`` below a path: agents that others are compared
    with.  Links below a path are not followed.

    Raises:
        ValueError: If a path holds no run, or a run is damaged.
    """
    found: dict[Path, Found] = {}
    left_out: list[Path] = []
    for path in paths:
        if not path.is_dir():
            raise ValueError(f"{path} is no folder")
        here = list(_search(path, left_out))
        if not here:
            hint = f"; the fresh agents in {left_out[0]} do not count" if left_out else ""
            raise ValueError(f"{path} holds no run (a folder with {CONFIG} and {TABLE}){hint}")
        for folder in here:
            key = folder.resolve()
            if key not in found:
                found[key] = _read(folder)
    return list(found.values()), left_out


def _search(path: Path, left_out: list[Path]) -> Iterator[Path]:
    for folder, below, files in os.walk(path, onerror=_refuse):
        here = Path(folder)
        if CONFIG in files or TABLE in files:
            yield here
            below.clear()
            continue
        if FRESH in below:
            below.remove(FRESH)
            left_out.append(here / FRESH)
        below.sort()


def _refuse(error: OSError) -> None:
    raise ValueError(f"{error.filename} cannot be read: {error.strerror}")


def _read(path: Path) -> Found:
    for name in (CONFIG, TABLE):
        open_plain(path / name).close()
    settings = dict(flat(read_yaml(path / CONFIG)))
    _check(settings, path / CONFIG)
    found = Found(path, settings, {})
    if (path / SUMMARY).exists() or (path / SUMMARY).is_symlink():
        try:
            found.summary = _summary(path / SUMMARY)
        except ValueError as error:
            found.notes.append(f"{error}; what it says is taken as absent")
    return found


def _check(settings: dict[str, Any], file: Path) -> None:
    kind = "stream" if "stream" in settings else "env"
    if not isinstance(settings.get(kind), str):
        raise ValueError(f"{file} names neither an env nor a stream")
    if not isinstance(settings.get("activation", ""), str):
        raise ValueError(f"{file}: `activation` should be a name")
    mitigation = settings.get("mitigation") or ()
    if not isinstance(mitigation, tuple) or not all(isinstance(m, str) for m in mitigation):
        raise ValueError(f"{file}: `mitigation` should be a list of names. Received {mitigation}")
    for name, least, most in (("seed", 0, 1 << 30), ("num_seeds", 1, MOST_SEEDS)):
        value = settings.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(
                f"{file}: `{name}` should be a number from {least} to {most}. Received {value}"
            )


def _summary(file: Path) -> dict[str, Any]:
    with open_plain(file) as opened:
        content = opened.read(MOST_SUMMARY + 1)
    if len(content) > MOST_SUMMARY:
        raise ValueError(f"{file} has more than {MOST_SUMMARY:,} bytes")
    try:
        summary = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError(f"{file} is not JSON") from None
    if not isinstance(summary, dict):
        raise ValueError(f"{file} is not the summary of a run")
    return summary


def flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields ``("dqn.tau", 0.01)`` for nested settings; lists become tuples."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, tuple(value) if isinstance(value, list) else value
