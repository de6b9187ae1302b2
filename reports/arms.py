"""Groups runs: worlds become sections, settings that differ become arms, seeds are pooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reports.finding import Found
from reports.names import Inside
from reports.runs import Run, Visit

Array = np.ndarray[Any, np.dtype[Any]]
WORLD = {
    "env": ("env", "task", "task_seed", "steps_per_task", "cyclic"),
    "stream": ("stream", "data", "images_per_task", "classes_per_task", "epochs", "augment"),
}
"""What runs must share to be compared: the first is the name."""
SAME = {
    "run_dir", "seed", "num_seeds", "device", "threads", "compile", "log_every", "eval_every",
    "eval_episodes", "save_replay", "env_restarts", "vector", "data_dir", "total_steps",
    "num_tasks",
}.union(*WORLD.values())  # fmt: skip
"""Settings that make no arm: those of the world, and those that do not change what is learned, but
how long and where.  So are those of the probe."""
FIRST = ("agent", "activation", "mitigation")
"""Settings that labels begin with, without their names."""


@dataclass
class Arm:
    """Runs whose settings are the same, S seeds of all of them.

    Attributes:
        label: Activation, remedies, and what else differs from other arms: ``relu + redo, tau=1``.
        runs: The runs.
        seeds: Of each seed, its number.
        used: Of each run, which of its seeds are used.
    """

    label: str
    runs: list[Run] = field(default_factory=list)
    used: list[list[int]] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, Any]:
        return self.runs[0].found.settings

    @property
    def seeds(self) -> list[int]:
        return [s for run, used in zip(self.runs, self.used, strict=True) for s in used]

    def pooled(self, measure: str | Inside, visits: Sequence[Visit]) -> Array:
        """Returns a measure, or a metric at the end, of each visit that is complete.

        Returns:
            ``(V, S)``; NaN where a seed has not completed the visit, or has no such measure.
        """
        table = np.full((len(visits), len(self.seeds)), np.nan)
        at = 0
        for run, used in zip(self.runs, self.used, strict=True):
            source: dict[Any, Array] = dict(run.measures) | dict(run.at_end)
            columns = [run.found.seeds.index(seed) for seed in used]
            where = {(v.task, v.visit): i for i, v in enumerate(run.visits) if v.complete}
            for i, visit in enumerate(visits):
                j = where.get((visit.task, visit.visit))
                if j is not None and measure in source:
                    table[i, at : at + len(used)] = source[measure][j, columns]
            at += len(used)
        return table

    def curve(self, name: str | Inside, bins: int) -> Array:
        """Returns a curve of all seeds, ``(S, B)``."""
        parts = []
        for run, used in zip(self.runs, self.used, strict=True):
            columns = [run.found.seeds.index(seed) for seed in used]
            nothing = np.full((len(used), bins), np.nan)
            parts.append(run.curves[name][columns] if name in run.curves else nothing)
        return np.concatenate(parts)


@dataclass
class Section:
    """Arms in one world.

    Attributes:
        title: The world, in words.
        arms: The arms, by label.
        visits: All visits that a run has begun, with the furthest end.
        notes: What a reader should know.
    """

    title: str
    arms: list[Arm]
    supervised: bool
    visits: list[Visit] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    width: int = 1
    bins: int = 1

    @property
    def name(self) -> str:
        settings = self.arms[0].settings
        return str(settings["stream" if self.supervised else "env"])


def worlds(found: Sequence[Found]) -> dict[tuple[Any, ...], list[Found]]:
    """Splits run directories by their worlds, in the order of their titles."""
    groups: dict[tuple[Any, ...], list[Found]] = {}
    for one in found:
        kind = "stream" if one.supervised else "env"
        # What is off may be missing: runs of earlier versions lack what did not exist then.
        shared = ((name, one.settings.get(name)) for name in WORLD[kind])
        key = tuple((name, None if value is False else value) for name, value in shared)
        groups.setdefault(key, []).append(one)
    return dict(sorted(groups.items(), key=lambda item: str(item[0])))


def title(world: tuple[Any, ...]) -> str:
    """Returns a world in words."""
    (_, name), *rest = world
    more = [text(key, value) for key, value in rest if value not in (None, False)]
    return ", ".join([str(name), *more])


def section(world: tuple[Any, ...], runs: Sequence[Run]) -> Section:
    """Groups the runs of a world into arms, and pools their seeds."""
    groups: dict[tuple[Any, ...], list[Run]] = {}
    for run in sorted(runs, key=lambda run: (-run.steps, str(run.path))):
        own = sorted(
            (k, v) for k, v in run.found.settings.items()
            if k not in SAME and not k.startswith("probe.")
        )  # fmt: skip
        groups.setdefault(tuple((k, repr(v)) for k, v in own), []).append(run)
    labels = _labels([group[0].found.settings for group in groups.values()])
    arms, notes = [], []
    for label, group in zip(labels, groups.values(), strict=True):
        arm, dropped = _arm(label, group)
        arms.append(arm)
        notes += dropped
    found = Section(title(world), sorted(arms, key=lambda arm: arm.label), runs[0].found.supervised)
    found.visits, found.notes = _visits(runs), notes
    return found


def _arm(label: str, runs: Sequence[Run]) -> tuple[Arm, list[str]]:
    """Pools the seeds of runs; of the same seed twice, the run that got further counts."""
    arm, notes = Arm(label), []
    owner: dict[int, Path] = {}
    for run in runs:
        twice = [seed for seed in run.found.seeds if seed in owner]
        fresh = [seed for seed in run.found.seeds if seed not in owner]
        for seed in twice:
            notes.append(
                f"{label}: seed {seed} of {run.path} is left out, as {owner[seed]} has it, too"
            )
        owner |= dict.fromkeys(fresh, run.path)
        if fresh:
            arm.runs.append(run)
            arm.used.append(fresh)
    return arm, notes


def _visits(runs: Sequence[Run]) -> list[Visit]:
    """Returns all visits that some run has begun, in order."""
    found: dict[tuple[int, int], Visit] = {}
    for run in runs:
        for visit in run.visits:
            key = visit.task, visit.visit
            if key not in found or (visit.complete, visit.end) > (
                found[key].complete, found[key].end,
            ):  # fmt: skip
                found[key] = visit
    return sorted(found.values(), key=lambda visit: (visit.start, visit.end))


def common(section: Section) -> list[Visit]:
    """Returns the visits that all seeds of all arms have completed, at the same length."""
    shared = []
    for visit in section.visits:
        lengths = []
        for arm in section.arms:
            for run in arm.runs:
                same = [v for v in run.visits if (v.task, v.visit) == (visit.task, visit.visit)]
                whole = bool(same) and same[0].complete
                lengths.append(same[0].end - same[0].start if whole else None)
        if None not in lengths and (section.supervised or len(set(lengths)) == 1):
            shared.append(visit)
    return shared


def baseline(section: Section, name: str | None) -> Arm:
    """Returns the arm that others are compared with: the named one, with relu, or the first."""
    named = [arm for arm in section.arms if arm.label == name]
    relu = [arm for arm in section.arms if arm.settings.get("activation") == "relu"]
    plain = [arm for arm in relu if not arm.settings.get("mitigation")]
    untold = [arm for arm in plain if arm.settings.get("on_switch", "keep") == "keep"]
    return (named or untold or plain or relu or section.arms)[0]


def _labels(settings: Sequence[dict[str, Any]]) -> list[str]:
    """Names each group by its activation, remedies, and what else differs among the groups.

    What is no number is left out where it is as in most groups.
    """
    keys = sorted({key for one in settings for key in one} - SAME - {*FIRST})
    keys = [key for key in keys if not key.startswith("probe.")]
    given = {key: [repr(one[key]) for one in settings if key in one] for key in keys}
    differ = [key for key in keys if len(set(given[key])) > 1]
    agents = {one.get("agent") for one in settings}

    def label(one: dict[str, Any], lacking: Sequence[str] = ()) -> str:
        head = ([str(one.get("agent"))] if len(agents) > 1 else []) + [str(one.get("activation"))]
        name = " + ".join([" ".join(head), *map(str, one.get("mitigation") or ())])
        shown = [key for key in differ if key in one and _is_telling(one[key], given[key])]
        prefix = f"{one.get('agent')}."
        values = (
            text(key.removeprefix(prefix), one.get(key, "absent"))
            for key in dict.fromkeys((*shown, *lacking))
        )
        return ", ".join([name, *values])

    labels = [label(one) for one in settings]
    if len(set(labels)) < len(labels):  # some lack a setting, as runs of other versions may
        labels = [
            label(one, [k for k in keys if len(given[k]) < len(settings)]) for one in settings
        ]
    return labels


def _is_telling(value: Any, given: Sequence[str]) -> bool:
    """Whether a value is a number, or not that of most."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number or given.count(repr(value)) <= len(given) / 2


def text(key: str, value: Any) -> str:
    """Writes a setting: ``hidden=64-64``."""
    if isinstance(value, tuple):
        value = "-".join(map(str, value)) or None
    return f"{key}={'none' if value is None else value}"
