"""What every run does: steps, looks at what they have brought, and an end with all on disk."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.device import without_denormals
from training.finite import NonFiniteError, check_finite, to_lists
from training.going_on import Results, Resumable
from training.interrupt import on_interrupt
from training.progress import ProgressLine
from training.rundir import write_json
from training.worlds import WorldError


class Loop(Resumable):
    """Takes steps until the last, a signal or an error; probes, logs and saves at cadences."""

    stride = 1
    """Steps that ``advance`` takes."""

    @property
    @abstractmethod
    def total_steps(self) -> int:
        """Steps of the whole run."""

    @abstractmethod
    def phase(self) -> tuple[int, int]:
        """Task and visit of the next step; all seeds share them."""

    @abstractmethod
    def phase_end(self) -> float:
        """The step at which the task of the next step ends."""

    @abstractmethod
    def advance(self) -> None:
        """Takes one step, with the updates that it brings."""

    @abstractmethod
    def probe_batch(self) -> Any:
        """Draws a batch by the generators of the probe; None if there is nothing to draw."""

    @abstractmethod
    def print_header(self) -> None:
        """Prints what will be trained."""

    @abstractmethod
    def log(self) -> None:
        """Writes what training came to since the last call, and shows where the run is."""

    @abstractmethod
    def results(self) -> dict[str, Any]:
        """Returns what ``summary.json`` holds beside steps, seconds and seeds."""

    def evaluate(self, ends: bool) -> bool:
        """Measures what a look needs; False if a signal breaks it off.

        Args:
            ends: Whether the task or the run ends here.
        """
        return True

    def on_switch(self) -> None:
        """Does what a run does that is told of switches."""

    def before_saving(self) -> None:
        """Brings the run to where it can go on from."""

    def draw(self) -> None:
        """Draws the part that ends."""

    def cadences(self) -> tuple[int | None, ...]:
        """Returns the numbers of steps between two looks of each kind."""
        config = self.config
        return config.log_every, config.probe.every, config.checkpoint_every

    @property
    def finished(self) -> bool:
        """Whether all steps have been taken."""
        return self.step >= self.total_steps and self.looked

    def run(self) -> Results:
        """Trains until the last step, a signal or an error; what was learned is on disk then.

        Raises:
            NonFiniteError: If a loss or a parameter is no longer finite.
            WorldError: If an environment fails, more often than it may.
            OSError: If the disk does not take what is written.
        """
        self.print_header()
        if self.finished:
            self.shut()
            return self.summary
        self.progress = ProgressLine(self.console, self.total_steps)
        self.progress.go_on_from(self.seconds_before)
        try:
            with on_interrupt(self._interrupt), without_denormals():
                try:
                    self._loop()
                except NonFiniteError:
                    self.diverged = True
                    self.checkpoints.save_failed(self.state())
                    raise
                except WorldError:
                    if self.begun:
                        self.save()
                    raise
                else:
                    self.save()
        finally:
            self.progress.stop()
            try:
                if self.begun:
                    self._write_summary()
            finally:
                self.shut()
        return self.summary

    def begin(self) -> None:
        """Does what comes before the first step of a new run."""
        self.summary.begin(*self.phase(), start=0)

    def _loop(self) -> None:
        if not self.resumed:
            self.begin()
        self.begun = True
        if self.resumed and self.looked and self._switched():  # a run that ended here goes on
            self._switch()
        while self.interrupted is None and not self.finished:
            while self.looked and self.interrupted is None:  # there is nothing to see before
                self.advance()
            if not self.looked:
                self._look()

    def _look(self) -> None:
        """Looks at what the step has brought; a signal may break it off before anything is done."""
        config = self.config
        switch, last = self._switched(), self.step >= self.total_steps
        if not self.evaluate(switch or last):
            return
        self.looked, self.next_look = True, self._following()
        if switch or last or self.due(config.probe.every):
            self._probe()
        if switch or last or self.due(config.log_every):
            check_finite(self.metrics, self.learners, config.seeds, self.step)
            self.log()
        if switch or last:
            self.draw()
        if switch and not last:
            self._switch()
        if self.due(config.checkpoint_every or self.total_steps) and not last:
            self.before_saving()
            self.save()
        self.on_look()

    def _switched(self) -> bool:
        now = self.summary.now
        return self.phase() != (now.task, now.visit)

    def _switch(self) -> None:
        self.summary.begin(*self.phase(), start=self.step)
        self.tracker.switch(self.step, *self.phase())
        self.on_switch()

    def _probe(self) -> None:
        check_finite(self.metrics, self.learners, self.config.seeds, self.step)
        batch = self.probe_batch()
        if batch is None:
            return
        settings = self.config.probe
        dear = self._probe_is_due(settings.dear_every) or self.step >= self.total_steps
        refit = settings.refit_every is not None and self._probe_is_due(settings.refit_every)
        measured = self.probe.measure(self.learners, batch, dear=dear, refit=refit)
        measured |= self.watch.take()
        rows = to_lists(measured)
        if dear:
            self.tracker.histograms(self.step, self.probe.distributions())
        now = self.summary.now
        self.tracker.rows(self.step, now.task, now.visit, rows)
        names = (f"plasticity/{network}/dormant_fraction@0.1" for network in self.learners)
        pooled = [rows[name] for name in names if name in rows]
        if pooled:  # a network without hidden layers has no neurons to look at
            now.dormant = np.mean(pooled, axis=0).tolist()
            now.probes.append((self.step, now.dormant))
            self.dormant = float(np.mean(pooled))

    def update(self, learn: Callable[[], dict[str, Tensor]], count: int = 1) -> None:
        """Does so many updates, the first of which may compile."""
        if count in self.compiled or not self.config.compile:
            self.metrics |= learn()
            return
        begin = time.perf_counter()
        self.progress.say("compiling the update" if count == 1 else f"compiling {count} updates")
        self.metrics |= learn()
        self.tracker.scalar("time/compile_seconds", time.perf_counter() - begin, self.step)
        self.compiled.add(count)

    def due(self, every: int) -> bool:
        """Whether the last steps have passed a multiple of so many."""
        return self.step // every > (self.step - self.stride) // every

    def _probe_is_due(self, every: int) -> bool:
        """Whether this is the first probe since a multiple of so many steps."""
        cadence = self.config.probe.every
        reached = self.step // cadence * cadence
        before = reached - cadence if self.due(cadence) else reached
        before = max(before, self.summary.now.start)  # there was one at the switch
        return self.step // every > before // every

    def _following(self) -> float:
        """The next step at which there is something to look at."""
        due = ((self.step // every + 1) * every for every in self.cadences() if every)
        return min(self.phase_end(), self.total_steps, *due)

    def _write_summary(self) -> None:
        """Writes ``summary.json``, and the last points of the charts."""
        found = {
            "finished": self.finished,
            "steps": self.step,
            "seconds": round(self.progress.seconds, 1),
            "seeds": list(self.config.seeds),
            "version": package_version(),
            "torch": torch.__version__,
            "cpu": torch.backends.cpu.get_cpu_capability(),  # others round differently
        }
        write_json(self.run_dir / "summary.json", found | self.results())

    def _interrupt(self, number: int) -> None:
        """Ends the run after the current step."""
        self.interrupted = number


def package_version() -> str:
    """Returns the version of this package; a clone may run without being installed."""
    try:
        return version("adalin-rl")
    except PackageNotFoundError:
        return "not installed"
