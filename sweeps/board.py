"""What a sweep has come to: on the screen, and in ``sweep.json``."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from configs import differences
from sweeps.definition import Definition
from sweeps.expansion import Trial
from sweeps.storage import Storage

FILE = "sweep.json"
SHARE = 0.05
"""Of the time at most goes into writing ``FILE``, which grows with the runs."""
SHOWN = 12
"""Runs in the table at most."""


@dataclass
class Row:
    """What is known of a run; its status is running, done, failed, stopped or halted."""

    settings: dict[str, Any]
    status: str
    step: int = 0
    value: float | None = None
    error: str = ""
    since: float = 0.0


class Board:
    """Keeps the score.

    Args:
        definition: The sweep.
        storage: Where it lies.
        console: Where to show it.
    """

    def __init__(self, definition: Definition, storage: Storage, console: Console) -> None:
        self.definition, self.storage, self.console = definition, storage, console
        self.metric, self.mode = definition.metric
        self.rows: dict[str, Row] = {}
        self.total = 0
        self.records: Sequence[dict[str, Any]] = ()
        self._due = 0.0
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def set(self, trial: Trial, status: str, **found: Any) -> None:
        """Changes the row of a run."""
        row = self.rows.setdefault(trial.name, Row(trial.settings, status))
        row.status, row.since = status, time.monotonic()
        for name, value in found.items():
            setattr(row, name, value)

    def count(self) -> Counter[str]:
        """Returns how many runs have each status."""
        return Counter(row.status for row in self.rows.values())

    def best(self) -> tuple[str, float] | None:
        """Returns the best run with its value: of those that are done, or else came furthest."""
        sign = -1.0 if self.mode == "min" else 1.0
        rows = {name: row for name, row in self.rows.items() if row.value is not None}
        found = {name: row for name, row in rows.items() if row.status == "done"}
        if not found:
            waiting = {n: row for n, row in rows.items() if row.status in ("stopped", "halted")}
            step = max((row.step for row in waiting.values()), default=0)
            found = {name: row for name, row in waiting.items() if row.step == step}
        valued = ((name, row.value) for name, row in found.items() if row.value is not None)
        return max(valued, key=lambda item: sign * item[1], default=None)

    def line(self) -> str:
        """Returns the score as a line."""
        count = self.count()
        parts = [f"{count['done']}/{self.total} done", f"{count['running']} running"]
        parts += [f"{count[s]} {s}" for s in ("failed", "halted", "stopped") if count[s]]
        best = self.best()
        if best is not None:
            parts.append(f"best {self.metric} {best[1]:.4g} ({best[0]})")
        return ", ".join(parts)

    def table(self) -> Group:
        """Returns the score, and what runs."""
        table = Table()
        for title in ("running", "since"):
            table.add_column(title, justify="right" if title == "since" else "left")
        running = [(n, r) for n, r in self.rows.items() if r.status == "running"]
        for name, row in running[:SHOWN]:
            table.add_row(name, f"{time.monotonic() - row.since:.0f} s")
        if len(running) > SHOWN:
            table.add_row(f"and {len(running) - SHOWN} more", "")
        return Group(Text(self.line()), table) if running else Group(Text(self.line()))

    def say(self, text: str) -> None:
        """Prints a line; above the table, if there is one."""
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)

    def tell(self, name: str) -> None:
        """Tells what has become of a run, where there is no table that shows it."""
        row = self.rows[name]
        if row.status == "failed":
            self.say(f"failed: {name}: {row.error}")
        elif self._live is None:
            value = "" if row.value is None else f", {self.metric} {row.value:.4g}"
            count = self.count()
            self.say(f"{count['done'] + count['failed']}/{self.total} {row.status}: {name}{value}")

    def show(self) -> None:
        """Brings the table up to date."""
        if self._live is not None:
            self._live.update(self.table(), refresh=True)

    def __enter__(self) -> Board:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def save(self, *, now: bool = False) -> None:
        """Writes ``sweep.json``, now or if it was not long ago."""
        begin = time.monotonic()
        if not now and begin < self._due:
            return
        rows = []
        for name, row in self.rows.items():
            kept = {"step": row.step, "value": row.value, "settings": row.settings}
            error = {"error": row.error} if row.error else {}
            rows.append({"name": name, "status": row.status, **error, **kept})
        best = self.best()
        content = {
            "definition": self.definition.stored(),
            "metric": {"name": self.metric, "mode": self.mode},
            "count": {"all": self.total, **self.count()},
            "best": best and {"name": best[0], "value": best[1]},
            "records": list(self.records),
            "trials": rows,
        }
        self.storage.write(FILE, json.dumps(content, indent=1) + "\n")
        end = time.monotonic()
        self._due = end + (end - begin) / SHARE


def open_before(definition: Definition, storage: Storage, root: str) -> list[dict[str, Any]]:
    """Returns the records of the sweep that lies there, none if there is no sweep.

    Raises:
        ValueError: If it is another sweep.
    """
    text = storage.read(FILE)
    if text is None:
        return []
    try:
        content = json.loads(text)
        old, records = content["definition"], content["records"]
        different = differences(old, json.loads(json.dumps(definition.stored())))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{root}/{FILE} is not of a sweep: {error}") from None
    if different:
        raise ValueError(f"{root} holds another sweep ({'; '.join(different)}): give another --out")
    return list(records)
