"""Sweep files for tests, and workers that need no Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from sweeps.search import Job
from sweeps.trial import Outcome

TINY = """
program: supervise
base: {num-tasks: 2, images-per-task: 32, hidden: [8], checkpoint-every: 1}
"""
"""Two tasks of two updates, a fraction of a second."""


def write(folder: Path, text: str, name: str = "sweep.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


class Inline:
    """Does each run when it is waited for, in this process, by a function of a test."""

    def __init__(self, work: Callable[[Job], Outcome], slots: int = 2) -> None:
        self.work, self.most = work, slots
        self.running: list[Job] = []
        self.seen: list[str] = []
        self.at_once = 0

    def slots(self) -> int:
        return self.most

    def start(self, job: Job) -> None:
        self.running.append(job)
        self.at_once = max(self.at_once, len(self.running))
        self.seen.append(job.trial.name)

    def wait(self, seconds: float) -> Iterator[tuple[Job, Outcome]]:
        job = self.running.pop(0)
        yield job, self.work(job)

    def stop(self) -> None:
        pass
