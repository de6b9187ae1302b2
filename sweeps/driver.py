"""The loop of a sweep: hands out runs, takes what they come to, and loses none."""

from __future__ import annotations

import json
import math
import signal
from collections import Counter
from typing import Any, Protocol

from sweeps.board import Board
from sweeps.metrics import read_metric
from sweeps.search import Chooser, Job
from sweeps.storage import Storage
from sweeps.trial import FAILED, Outcome
from training.interrupt import on_interrupt

DEATHS = 3
"""Processes that a run may lose one after the other, without a checkpoint in between."""
OWN_FAULT = ("NonFiniteError:", "ValueError:")
"""Failures that would come again; others (a full disk, say) are tried again by the next sitting."""
TICK = 0.5
"""Seconds between two looks at the runs."""


class Workers(Protocol):
    """Machines; see ``sweeps.cluster.Cluster``."""

    @property
    def running(self) -> list[Job]:
        """What has not ended."""
        ...

    def slots(self) -> int:
        """How many runs fit at once."""
        ...

    def start(self, job: Job) -> None:
        """Begins a run."""
        ...

    def wait(self, seconds: float) -> Any:
        """Yields pairs of job and outcome."""
        ...

    def stop(self) -> None:
        """Lets all runs save and end; called again, those that it was not called for."""
        ...


class Driver:
    """Does a sweep.

    All that counts is in the folders of the runs: their checkpoints, their summaries and the
    lines in ``failed/``.  So any driver goes on where another one was ended, however it was.

    Args:
        chooser: What says which runs there are.
        board: What keeps the score.
        storage: Where the runs are.
        workers: What does them.
        most: Runs at once at most.
    """

    def __init__(
        self, chooser: Chooser, board: Board, storage: Storage, workers: Workers, most: int | None
    ) -> None:
        self.chooser, self.board, self.storage = chooser, board, storage
        self.workers, self.most = workers, most or 1 << 30
        self.interrupted: int | None = None  # the signal
        self._again: list[Job] = []  # broken off
        self._deaths: Counter[str] = Counter()
        self._reached: dict[str, int] = {}  # the last checkpoint at a death
        board.total, board.records = chooser.total, chooser.records
        for trial, step, value in chooser.paused():
            board.set(trial, "stopped", step=step, value=value)

    def run(self) -> int:
        """Does all runs that are not done; returns the exit code of the program."""
        with on_interrupt(self._interrupt), self.board:
            self.board.save(now=True)
            while self._hand_out() or self.workers.running:
                if self.interrupted is not None:
                    self.workers.stop()
                for job, outcome in self.workers.wait(TICK):
                    self._take(job, outcome)
                self.board.save()
                self.board.show()
        if self.interrupted is None:
            for row in self.board.rows.values():
                row.status = "halted" if row.status == "stopped" else row.status
        self.board.save(now=True)
        if self.interrupted is not None:
            return 75 if self.interrupted == signal.SIGTERM else 130
        return 1 if self.board.count()["failed"] else 0

    def _hand_out(self) -> bool:
        """Starts as many runs as fit; returns whether there was one."""
        before = len(self.workers.running)
        fit = max(1, min(self.most, self.workers.slots()))
        while self.interrupted is None and len(self.workers.running) < fit:
            job = self._again.pop() if self._again else self.chooser.next()
            if job is None:
                break
            if not self._known(job):
                # A search must know, after whatever end, what it has drawn.
                self.board.set(job.trial, "running")
                if self.chooser.records:
                    self.board.save(now=True)
                self.workers.start(job)
        return len(self.workers.running) > before

    def _known(self, job: Job) -> bool:
        """Takes what a run came to in an earlier sitting, if it had ended."""
        name = job.trial.name
        failed = self.storage.read(f"{FAILED}/{name}")
        if failed is not None and failed.startswith(OWN_FAULT):
            self._end(job, Outcome("failed", error=failed.strip()))
            return True
        text = self.storage.read(f"{name}/summary.json")
        summary = {} if text is None else json.loads(text)
        if not summary.get("finished"):
            return False
        value = read_metric(summary, self.board.metric)
        self._end(job, Outcome("done", summary["steps"], value))
        return True

    def _take(self, job: Job, outcome: Outcome) -> None:
        name = job.trial.name
        if outcome.status in ("done", "failed"):
            self._end(job, outcome)
            self.board.tell(name)
        elif outcome.status == "stopped" and job.until <= outcome.step < math.inf:
            self._asked(job, outcome)
        elif self.interrupted is not None:
            self.board.set(job.trial, "stopped", step=outcome.step)
        elif outcome.status == "stopped":  # by a signal to its machine
            self._resume(job, "was stopped")
        elif self._hopeless(name):
            line = f"{outcome.error}: the process ended {DEATHS} times without a new checkpoint"
            self.storage.write(f"{FAILED}/{name}", line + "\n")
            self._end(job, Outcome("failed", error=line))
            self.board.tell(name)
        else:
            self._resume(job, f"was lost ({outcome.error})")

    def _resume(self, job: Job, what: str) -> None:
        step = self._checkpoint(job.trial.name)
        self.board.say(f"{job.trial.name} {what}; it goes on from step {step}")
        self._again.append(job)

    def _hopeless(self, name: str) -> bool:
        """Counts a death; whether there were too many."""
        step = self._checkpoint(name)
        if step > self._reached.get(name, 0):
            self._deaths[name] = 0
        self._reached[name] = step
        self._deaths[name] += 1
        return self._deaths[name] >= DEATHS

    def _checkpoint(self, name: str) -> int:
        """The step of the last checkpoint, 0 without one."""
        steps = (int(n) for n in self.storage.names(f"{name}/checkpoint") if n.isdecimal())
        return max(steps, default=0)

    def _asked(self, job: Job, outcome: Outcome) -> None:
        """A run has stopped where its search wants to be asked."""
        self.chooser.tell(job.trial.name, outcome.step, outcome.value, ended=False)
        self.board.set(job.trial, "stopped", step=outcome.step, value=outcome.value)
        self.board.save(now=True)

    def _end(self, job: Job, outcome: Outcome) -> None:
        self.chooser.tell(job.trial.name, outcome.step, outcome.value, ended=True)
        found = {"step": outcome.step, "value": outcome.value, "error": outcome.error}
        self.board.set(job.trial, outcome.status, **found)
        if self.chooser.records:
            self.board.save(now=True)

    def _interrupt(self, number: int) -> None:
        """Ends the sweep; what runs have is saved."""
        self.interrupted = number
        self.board.say("stopping: runs save where they are; the same command goes on")
