"""What an experiment is: worlds, arms, tuning and hypotheses, fixed before its runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Table = np.ndarray[Any, np.dtype[np.float64]]
"""A value of each task visit and seed, ``(V, S)``."""


@dataclass(frozen=True)
class World:
    """What is learned.

    Attributes:
        flags: Those of all runs.
        tuning: Those of trials, on seeds of their own.
        final: Those of the runs that count.
        rate: The flag of the learning rate.
        rates: Learning rates to choose from.
        fewer: Those of arms with a setting of their own.
        every_rate: Whether the arms that are asked are run at every learning rate.
        turn: So many tasks come in turn, again and again, so that a loss from visit to visit is
            one between visits of the same task; 1: each visit is a new task, as good as another.
    """

    flags: str
    tuning: str
    final: str
    rate: str
    rates: tuple[str, ...]
    fewer: tuple[str, ...]
    every_rate: bool = True
    turn: int = 1


@dataclass(frozen=True)
class Arm:
    """An activation, perhaps with a remedy.

    Attributes:
        flags: Its flags.
        values: Values of a setting of its own to choose from, as flags.
    """

    flags: str
    values: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class Protocol:
    """An experiment.

    Attributes:
        name: Its name, of the files with its results, too.
        program: ``train`` or ``supervise``.
        worlds: By name.
        arms: By name.
        losers: Arms that should lose from task to task.
        pairs: Hypotheses: what is said, and of which two arms the first should be better.
        best: The arm that should be the best of all.
        drawn: Arms of the figure.
        unit: What is measured of each task.
        form: How numbers are written.
        oracles: Flags by name: an agent that is told of switches, and what it does then.
        asked: Arms that are run with each of them, too, with the settings that were chosen, and
            at every learning rate where the world says so.
    """

    name: str
    program: str
    worlds: dict[str, World]
    arms: dict[str, Arm]
    losers: tuple[str, ...]
    pairs: tuple[tuple[str, str, str], ...]
    best: str
    drawn: tuple[str, ...]
    unit: str
    form: str
    oracles: dict[str, str] = field(default_factory=dict)
    asked: tuple[str, ...] = ()

    def trials(self, world: str, arm: str) -> Iterator[str]:
        """Yields the flags of the trials of an arm: as many for each."""
        of, own = self.worlds[world], self.arms[arm]
        for rate in of.fewer if len(own.values) > 1 else of.rates:
            for value in own.values:
                yield " ".join(f"{own.flags} {value} {of.rate} {rate}".split())

    def own(self, arm: str, trial: str) -> str:
        """Returns what of the flags of a trial is not that of the arm."""
        return trial.removeprefix(self.arms[arm].flags).strip().replace("--", "")

    def final(self, world: str, best: dict[str, str]) -> dict[str, str]:
        """Returns the flags of the runs that count, by arms, and of those that tell causes.

        Args:
            world: Where.
            best: The flags of the chosen trial of each arm.
        """
        of = self.worlds[world]
        found = {arm: f"{of.flags} {of.final} {best[arm]}" for arm in self.arms}
        told = {
            oracle(arm, name): f"{found[arm]} {flags}"
            for name, flags in self.oracles.items()
            for arm in self.asked
        }
        rated = {
            at_rate(arm, rate): f"{of.flags} {of.final} {trial}"
            for arm in self.asked
            for rate, trial in self.rated(world, arm).items()
            if of.every_rate and trial != best[arm]
        }
        return found | told | rated

    def rated(self, world: str, arm: str) -> dict[str, str]:
        """Returns the trial of an arm without values of its own at each learning rate."""
        return dict(zip(self.worlds[world].rates, self.trials(world, arm), strict=True))

    def folder(
        self, runs: Path, world: str, name: str | None = None, trial: str | None = None
    ) -> Path:
        """Returns where runs are kept: all that count, that of an arm or oracle, or a trial."""
        arm = name or ""
        name = arm.replace(", ", "-").replace(" + ", "-").replace(" ", "-")
        if trial is None:
            return runs / self.name / world / "final" / name
        own = self.own(arm, trial).replace(" ", "-")
        return runs / self.name / world / "tuning" / f"{name}-{own}"

    def read(self, run_dir: Path, measure: str = "area_under_curve") -> Table:
        """Returns what was measured of each visit and seed; nothing if the run has diverged.

        Args:
            run_dir: The run.
            measure: Of reinforcement learning; ``return`` is that of the last 10% of a visit.
        """
        if (run_dir / "diverged").exists():
            return np.zeros((0, 0))
        summary = json.loads((run_dir / "summary.json").read_text())
        if self.program == "supervise":
            rows = [task["accuracy/online"]["per_seed"] for task in summary["tasks"]]
        else:
            rows = [visit[measure]["per_seed"] for visit in summary["visits"]]
        return np.array(rows, float)

    def dormant(self, run_dir: Path) -> list[float]:
        """Returns the dormant share at the end of a run, of each seed."""
        summary = json.loads((run_dir / "summary.json").read_text())
        last = summary["tasks" if self.program == "supervise" else "visits"][-1]
        return [float(x) for x in last["dormant_fraction@0.1"]["per_seed"]]


def oracle(arm: str, name: str) -> str:
    """Returns what the run of an arm with an oracle is called."""
    return f"{arm}, {name}"


def at_rate(arm: str, rate: str) -> str:
    """Returns what the run of an arm at a learning rate that was not chosen is called."""
    return f"{arm}, rate {rate}"
