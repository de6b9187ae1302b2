"""From a sweep to its runs: every combination, its seeds packed, checked, and with a name."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from configs import RunConfig, as_flags, parse_as
from configs.limits import check_sizes
from sweeps.definition import Definition

MOST_CHARACTERS = 120
"""Of a name; file systems take 255."""


@dataclass(frozen=True)
class Trial:
    """A run of a sweep.

    Attributes:
        name: Of its folder: what differs, and a hash of all settings.
        settings: What differs, by name.
        config: All settings, but for the folder.
    """

    name: str
    settings: dict[str, Any]
    config: RunConfig


def expand(definition: Definition) -> list[Trial]:
    """Returns all runs of a grid.

    Raises:
        ValueError: For the first that the program would refuse, and for runs that are the same.
    """
    found: dict[str, tuple[str, Trial]] = {}
    for label, settings in combinations(definition):
        for trial in trials_of(definition, label, settings):
            key = trial.name.rpartition(",")[2]  # the hash
            if key in found:
                first, same = found[key][0], label or trial.name
                raise ValueError(f"{first} and {same} are the same run")
            found[key] = label or trial.name, trial
    return [trial for _, trial in found.values()]


def combinations(definition: Definition) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields a label and the settings of each combination of arm and grid."""
    arms = definition.arms or {"": {}}
    for arm, settings in arms.items():
        for values in itertools.product(*definition.grid.values()):
            point = dict(zip(definition.grid, values, strict=True))
            parts = [arm] * bool(arm) + [f"{_last(k)}={v}" for k, v in point.items()]
            yield ",".join(parts), settings | point


def trials_of(definition: Definition, label: str, settings: Mapping[str, Any]) -> list[Trial]:
    """Returns the runs that differ by their seeds alone.

    Args:
        definition: The sweep.
        label: What the runs are called, before their seeds.
        settings: What they have beside the base.

    Raises:
        ValueError: If the program would refuse them.
    """
    where = label or "base"
    kind = definition.config_type
    try:
        preset = as_flags(kind, definition.base, "base")
        config = parse_as(kind, as_flags(kind, settings, where), preset)
    except ValueError as error:
        at = "" if str(error).endswith(("(in base)", f"(in {where})")) else f" (in {where})"
        raise ValueError(f"{error}{at}") from None
    if not definition.gpu:
        if config.device == "cuda":
            raise ValueError(
                f"device cuda needs a share of a GPU: set `resources.gpu` (in {where})"
            )
        config = replace(config, device="cpu")  # whatever the node has
    trials = []
    first, count, per_trial = definition.seeds
    for seed in range(first, first + count, per_trial):
        num_seeds = min(per_trial, first + count - seed)
        own = replace(config, seed=seed, num_seeds=num_seeds)
        check_sizes(own)
        last = seed + num_seeds - 1
        seeds = f"seed={seed}" if last == seed else f"seeds={seed}-{last}"
        name = ",".join(part for part in (label, seeds) if part)
        name = re.sub(r"[^\w.=,+@-]", "-", name)[:MOST_CHARACTERS].lstrip(".-")
        differs = {**settings, "seed": seed, "num-seeds": num_seeds}
        chosen = "compile" in settings or "compile" in definition.base
        trials.append(Trial(f"{name},{_hash(definition.program, own, chosen)}", differs, own))
    return trials


def _hash(program: str, config: RunConfig, compile_chosen: bool) -> str:
    """Of all settings that are used, so that equal runs have equal ones."""
    settings = config.used()
    del settings["run_dir"]
    if not compile_chosen:  # it follows from the machine, which may be another next time
        del settings["compile"]
    content = json.dumps([program, settings], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:8]


def _last(name: str) -> str:
    """``learning-rate`` of ``dqn.learning-rate``."""
    return name.rpartition(".")[2]
