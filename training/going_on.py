"""A run on disk: its folder, its states, and how it goes on where it was broken off."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from agents import Learner, Replay, Streams
from agents.descent import can_compile
from agents.saving import DamagedError
from configs import RunConfig
from plasticity import Mitigations, Probe, UpdateWatch
from training.checkpoints import Checkpoints
from training.dashboard import Charts, network_charts
from training.device import pick_device
from training.progress import ProgressLine
from training.rundir import open_run
from training.tracking import Tracker
from training.worlds import WorldError


class Part(Protocol):
    """A part of a run, in which the task is the same.

    Attributes:
        task: Index of the task.
        visit: How often it was shown before.
        start: The step at which it began.
        dormant: Of each seed, the pooled dormant fraction (tau = 0.1) at the last probe.
        probes: The same at each probe: (step, of each seed).
    """

    task: int
    visit: int
    start: int
    dormant: list[float]
    probes: list[tuple[int, list[float]]]


class Results(Protocol):
    """What a run comes to, part by part."""

    @property
    def now(self) -> Part:
        """The part that is running."""
        ...

    def begin(self, task: int, visit: int, start: int) -> None:
        """Opens a part."""
        ...

    def table(self) -> Table:
        """Returns the table that is shown at the end."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Returns all parts, as JSON takes them."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state that ``state_dict`` returned."""
        ...


class Resumable(ABC):
    """A run that is saved, and goes on bit for bit from where it was.

    Args:
        config: The settings.
        console: Where progress goes.

    Raises:
        ValueError: If the settings do not fit the machine.
    """

    learners: dict[str, Learner]
    mitigations: Mitigations
    summary: Results
    progress: ProgressLine

    def __init__(self, config: RunConfig, console: Console) -> None:
        self.config, self.console = config, console
        torch.set_num_threads(config.threads)
        self.device = pick_device(config.device)
        if config.compile and not can_compile():
            raise ValueError("`compile` needs a C++ compiler, and there is none: give --no-compile")
        self.num_seeds = config.num_seeds
        self.probe_streams = Streams(config.seeds, "probe", self.device)
        self.step = 0
        self.interrupted: int | None = None  # the signal
        self.begun = False  # there is something to go on from
        self.diverged = False
        self.metrics: dict[str, Tensor] = {}
        self.dormant = math.nan
        self.looked = True  # at what the last step has brought
        self.next_look = 0.0  # the step at which there is something to see
        self.seconds_before = 0.0  # before an interruption
        self.on_look: Callable[[], None] = _nothing  # for somebody who follows the run
        self.on_saved: Callable[[], None] = _nothing  # after each checkpoint

    @abstractmethod
    def make_agent(self) -> None:
        """Makes an agent that has learned nothing; ends with ``observe_learners``."""

    def observe_learners(self, mitigations: Mitigations) -> None:
        """Sets remedies and metrics on networks that are made anew."""
        self.mitigations = mitigations
        noise = Streams(self.config.seeds, "probe noise", self.device)
        self.probe = Probe(noise, self.config.probe.refit_steps)
        self.watch = UpdateWatch(noise)
        self.compiled: set[int] = set()  # how many updates in one call

    def parts(self) -> dict[str, Any]:
        """What has a state; remedies may change networks, so they come before the agent."""
        return {
            "mitigations": self.mitigations,
            "probe_streams": self.probe_streams,
            "probe": self.probe,
            "watch": self.watch,
            "summary": self.summary,
        }

    def open(
        self, replay: Replay | None, charts: Charts, guide: str, *, whole: bool = True
    ) -> None:
        """Opens the run directory, and goes on with the run in it, if there is one.

        Args:
            replay: What is saved beside each state.
            charts: What TensorBoard shows first.
            guide: How to read it.
            whole: Whether a state is all that a run goes on from.

        Raises:
            ValueError: If the directory can't be used, or there is nothing sound to go on from.
        """
        self._own = open_run(self.config)
        self.run_dir: Path = self._own.path
        self.checkpoints = Checkpoints(self.run_dir, replay, whole=whole)
        self.resumed = self._own.exists and self.checkpoints.exist()
        if not self.resumed and (self.run_dir / "summary.json").exists():
            raise ValueError(
                f"{self.run_dir} holds a run without a checkpoint to go on from: give another "
                "--run-dir"
            )
        tracked: Mapping[str, Any] | None = None
        if self.resumed:
            try:
                tracked = self.go_on()
            except (DamagedError, WorldError) as error:
                raise ValueError(str(error)) from error
        networks = [name for name, learner in self.learners.items() if learner.inputs is not None]
        charts = charts | network_charts(networks, self.num_seeds > 1, self.config.mitigation)
        self.tracker = Tracker(self.run_dir, self.config.seeds, charts, guide, tracked)

    def state(self) -> dict[str, Any]:
        """Returns all that a run goes on from, but for the rows of the replay."""
        own = {
            "step": self.step,
            "looked": self.looked,
            "seconds": self.progress.seconds,
            "dormant": self.dormant,
            "metrics": self.metrics,
        }
        parts = {name: part.state_dict() for name, part in self.parts().items()}
        return {"trainer": own, "tracker": self.tracker.state_dict(), **parts}

    def take(self, state: Mapping[str, Any]) -> None:
        """Takes over a state, but for environments and files."""
        own = state["trainer"]
        self.step, self.looked = int(own["step"]), bool(own["looked"])
        self.dormant, self.seconds_before = float(own["dormant"]), float(own["seconds"])
        self.metrics = {name: value.to(self.device) for name, value in own["metrics"].items()}
        self.make_agent()  # a state may have been half taken before it turned out to be damaged
        for name, part in self.parts().items():
            part.load_state_dict(state[name])

    def go_on(self) -> Mapping[str, Any]:
        """Goes to the last checkpoint; returns what the tracker goes on from.

        Raises:
            DamagedError: If there is none that is sound.
            ValueError: If it is not of this run.
        """
        taken: dict[str, Any] = {}

        def take(state: dict[str, Any]) -> None:
            self.take(state)
            taken.update(state)

        for problem in self.checkpoints.load(take):
            self.warn(problem)
        self.took(taken)
        tracked: Mapping[str, Any] = taken["tracker"]
        return tracked

    def took(self, state: Mapping[str, Any]) -> None:  # noqa: B027  # few have such things
        """Brings what is not a part to where the state is, which was taken over."""

    def save(self) -> None:
        """Saves a state; a disk that does not take it is warned of."""
        try:
            saved = self.checkpoints.save(self.step, self.state)
        except OSError as error:
            self.warn(
                f"the checkpoint at step {self.step} cannot be written ({error}); those before it "
                "are as they were"
            )
            return
        self.tracker.scalar("time/checkpoint_seconds", saved.seconds, self.step)
        self.tracker.scalar("time/checkpoint_megabytes", saved.bytes / 1e6, self.step)
        self.on_saved()

    def warn(self, text: str) -> None:
        """Tells of something that does not stop the run."""
        self.say(f"warning: {text}")

    def say(self, text: str) -> None:
        """Prints a line."""
        self.console.print(text, highlight=False, soft_wrap=True)

    def close(self) -> None:  # noqa: B027  # few have something
        """Closes what else is open."""

    def shut(self) -> None:
        """Closes all files."""
        self.tracker.close()
        self.close()
        self.checkpoints.close()
        self._own.lock.close()


def _nothing() -> None:
    pass
