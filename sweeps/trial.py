"""One run of a sweep, in the process that does it."""

from __future__ import annotations

import json
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from configs import Config, RunConfig, SupervisedConfig, one_line
from sweeps.metrics import read_metric
from sweeps.storage import open_storage
from training import SupervisedTrainer, Trainer
from training.checkpoints import forget_unsaved
from training.loop import Loop
from training.rundir import BusyError

FAILED, LOG = "failed", "log.txt"
"""A folder of the sweep with a line for each run that failed; what a run printed, beside it."""
PATIENCE = 180.0
"""Seconds in which the process that had the run before, whose machine is lost, has to end, or the
server of a shared folder to take its lock back (NFS: 90)."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: done, failed, or stopped: it goes on from where it is.
        step: The last step.
        value: What runs are compared by.
        error: What made it fail.
    """

    status: str
    step: int = 0
    value: float | None = None
    error: str = ""


def run_trial(
    root: str, name: str, config: RunConfig, metric: str, until: float = float("inf")
) -> Outcome:
    """Does a run, or goes on with it, as ``train.py`` and ``supervise.py`` do.

    Args:
        root: Where the sweep lies.
        name: The folder of the run in it.
        config: All settings, but for the folder.
        metric: What to tell of it, see ``sweeps.metrics``.
        until: The run stops, to go on later, at the first look (a row of metrics, say) from this
            step on.

    Returns:
        How it ended; whatever it raised is told, too.
    """
    storage = open_storage(root)
    with storage.work(name) as (folder, bring):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            forget_unsaved(folder)
            with (folder / LOG).open("a") as file:
                loop = _open(replace(config, run_dir=str(folder)), Console(file=file, width=100))
                _follow(loop, until, bring)
                loop.run()
            summary = json.loads((folder / "summary.json").read_text())
            status = "done" if loop.finished else "stopped"
            bring()
            return Outcome(status, loop.step, read_metric(summary, metric))
        except Exception as error:  # the others go on
            line = f"{type(error).__name__}: {one_line(error)}"
            storage.write(f"{FAILED}/{name}", line + "\n")
            with suppress(OSError):
                bring()
            return Outcome("failed", error=line)


def _open(config: RunConfig, console: Console) -> Loop:
    """Makes the run; waits while its folder is taken."""
    begin = time.monotonic()
    while True:
        try:
            if isinstance(config, SupervisedConfig):
                return SupervisedTrainer(config, console)
            assert isinstance(config, Config)
            return Trainer(config, console)
        except BusyError:
            if time.monotonic() - begin > PATIENCE:
                raise
            time.sleep(1.0)


def _follow(loop: Loop, until: float, bring: Any) -> None:
    """Lets the run stop when it should, and copies each checkpoint."""

    def look() -> None:
        if loop.step >= until and not loop.finished:
            loop.interrupted = signal.SIGTERM

    def saved() -> None:
        try:
            bring()
        except OSError as error:
            loop.warn(f"the checkpoint at step {loop.step} cannot be copied: {error}")

    loop.on_look, loop.on_saved = look, saved
    look()
