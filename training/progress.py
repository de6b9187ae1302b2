"""How a run shows that it lives: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_EVERY = 10.0
"""Seconds between two plain lines."""


class ProgressLine:
    """Shows step, task, what was reached, dormant neurons, speed and time left.

    Args:
        console: Where to write.
        total: Steps of each seed.
    """

    def __init__(self, console: Console, total: int) -> None:
        self.console = console
        self.total = total
        self._started = self._printed = time.monotonic()
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (
                TextColumn("{task.completed}/{task.total} steps"),
                BarColumn(),
                TextColumn("{task.description}"),
                TimeRemainingColumn(),
                TextColumn("left"),
            )
            self._bar = Progress(*columns, console=console)
            self._id = self._bar.add_task("", total=total)
            self._bar.start()

    @property
    def seconds(self) -> float:
        """Seconds of training, those before an interruption included."""
        return time.monotonic() - self._started

    def go_on_from(self, seconds: float) -> None:
        """Counts seconds of training before an interruption."""
        self._started -= seconds

    def show(self, step: int, task: int, reached: str, dormant: float) -> None:
        """Shows where the run is.

        Args:
            step: Steps of each seed so far.
            task: Index of the task.
            reached: What was reached lately, such as ``return 9.3``; empty if nothing yet.
            dormant: Share of dormant neurons; NaN before the first probe.
        """
        speed = step / max(self.seconds, 1e-9)
        parts = [f"task {task}"]
        if reached:
            parts.append(reached)
        if not math.isnan(dormant):
            parts.append(f"dormant {dormant:.1%}")
        text = ", ".join([*parts, f"{speed:.0f} steps/s"])
        if self._bar is not None:
            self._bar.update(self._id, completed=step, description=text)
        elif time.monotonic() - self._printed >= PLAIN_EVERY or step >= self.total:
            self._printed = time.monotonic()
            left = (self.total - step) / max(speed, 1e-9)
            self.console.print(
                f"step {step}/{self.total}, {text}, {left:.0f} s left", highlight=False
            )

    def say(self, text: str) -> None:
        """Says what takes a while."""
        if self._bar is not None:
            self._bar.update(self._id, description=text)
            self._bar.refresh()
        else:
            self.console.print(text, highlight=False)

    def stop(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.stop()
