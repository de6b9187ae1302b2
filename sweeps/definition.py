"""What a sweep file says: which settings, which values of them, which seeds, on what share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs import Config, RunConfig, SupervisedConfig, read_yaml
from sweeps.fields import check_known, finite, flat, flat_section, section_of, whole
from sweeps.metrics import DEFAULT_METRICS
from sweeps.spaces import Search, read_search

PROGRAMS: dict[str, type[RunConfig]] = {"train": Config, "supervise": SupervisedConfig}
KEYS = ("program", "base", "grid", "arms", "search", "seeds", "resources")


@dataclass(frozen=True)
class Definition:
    """A sweep.

    Attributes:
        program: Which program each run is of.
        base: Settings of all runs, by name as flags spell it; as a preset they may be overruled.
        grid: The values of settings that are combined with each other.
        arms: Settings that go together, by a name for them.
        search: How settings are drawn, instead of grid and arms.
        seeds: The first seed, how many, and how many are trained side by side in one run.
        cpu: CPUs that a run takes.
        gpu: GPUs that a run takes, also fractions.
    """

    program: str
    base: dict[str, Any]
    grid: dict[str, list[Any]]
    arms: dict[str, dict[str, Any]]
    search: Search | None
    seeds: tuple[int, int, int]
    cpu: float
    gpu: float

    @property
    def config_type(self) -> type[RunConfig]:
        """The settings of the program."""
        return PROGRAMS[self.program]

    @property
    def metric(self) -> tuple[str, str]:
        """What runs are compared by, and whether max or min is best."""
        if self.search is not None:
            return self.search.metric, self.search.mode
        return DEFAULT_METRICS[self.program], "max"

    def stored(self) -> dict[str, Any]:
        """What makes the sweep the one that it is, as JSON: not where and on what it runs."""
        first, count, per_trial = self.seeds
        search = None if self.search is None else dict(vars(self.search))
        if search is not None:
            search["space"] = {n: {kind: of} for n, (kind, of) in search["space"].items()}
        return {
            "program": self.program,
            "base": self.base,
            "grid": self.grid,
            "arms": self.arms,
            "search": search,
            "seeds": {"first": first, "count": count, "per_trial": per_trial},
        }


def read_sweep(path: Path) -> Definition:
    """Reads a sweep file.

    Raises:
        ValueError: With one line that says what is wrong.
    """
    content = read_yaml(path)
    check_known("key", content, KEYS)
    program = content.get("program")
    if not isinstance(program, str) or program not in PROGRAMS:
        raise ValueError(f"`program` should be {' or '.join(PROGRAMS)}. Received {program}")
    grid = _settings(content, "grid")
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"`grid.{name}` should be a list of values. Received {values}")
        if any(values.index(value) != i for i, value in enumerate(values)):
            raise ValueError(f"`grid.{name}` holds a value twice. Received {values}")
    arms = {name: _arm(name, arm) for name, arm in section_of(content, "arms").items()}
    for name in ("grid", "arms"):
        if name in content and not content[name]:
            raise ValueError(f"`{name}` is empty")
    for arm, settings in arms.items():
        for name in settings.keys() & grid.keys():
            raise ValueError(f"`{name}` is set by arm {arm} and by the grid")
    search = read_search(content, program)
    if search is not None and (grid or arms):
        raise ValueError("give `search`, or `grid` and `arms`, not both")
    seeds = _seeds(section_of(content, "seeds"))
    if search is not None and seeds[2] < seeds[1]:
        raise ValueError(
            f"`seeds.per_trial` should be {seeds[1]}, as `seeds.count`, in a search: "
            f"a sample is one run. Received {seeds[2]}"
        )
    resources = section_of(content, "resources")
    check_known("key", resources, ("cpu", "gpu"), "resources")
    return Definition(
        program=program,
        base=_base(content, path),
        grid=grid,
        arms=arms,
        search=search,
        seeds=seeds,
        cpu=_number(resources, "resources", "cpu", 1, above=True),
        gpu=_number(resources, "resources", "gpu", 0),
    )


def _settings(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    return flat_section(section_of(content, key), key)


def _arm(name: str, settings: Any) -> dict[str, Any]:
    if not isinstance(settings, dict):
        raise ValueError(f"`arms.{name}` should hold settings. Received {settings}")
    return flat_section(settings, f"arms.{name}")


def _base(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The settings of all runs, those of a preset included; its name is relative to the file's."""
    section = dict(section_of(content, "base"))
    preset = section.pop("preset", None)
    given = flat_section(section, "base")
    if preset is None:
        return given
    if not isinstance(preset, str):
        raise ValueError(f"`base.preset` should be the name of a file. Received {preset}")
    settings = dict(flat(read_yaml(path.parent / preset)))
    for name in ("seed", "num-seeds"):
        settings.pop(name, None)  # `seeds` stands for them
    return settings | given


def _seeds(section: Mapping[str, Any]) -> tuple[int, int, int]:
    check_known("key", section, ("first", "count", "per_trial"), "seeds")
    first = whole(section, "seeds", "first", 0, 0)
    count = whole(section, "seeds", "count", 1, 1)
    per_trial = whole(section, "seeds", "per_trial", count, 1)
    if per_trial > count:
        raise ValueError(f"`seeds.per_trial` should be at most {count}. Received {per_trial}")
    return first, count, per_trial


def _number(
    section: Mapping[str, Any], of: str, name: str, default: float, *, above: bool = False
) -> float:
    value = finite(f"`{of}.{name}`", section.get(name, default))
    if value < 0 or (above and value == 0):
        bound = "above 0" if above else "at least 0"
        raise ValueError(f"`{of}.{name}` should be {bound}. Received {value:g}")
    if value > 1 and value != int(value):
        raise ValueError(f"`{of}.{name}` should be whole if above 1. Received {value:g}")
    return value
