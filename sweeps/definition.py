"""What a sweep file says: which settings, which values of them, which seeds, on what share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs import Config, RunConfig, SupervisedConfig, read_yaml
from configs.messages import unknown
from sweeps.metrics import DEFAULT_METRICS, check_metric

PROGRAMS: dict[str, type[RunConfig]] = {"train": Config, "supervise": SupervisedConfig}
KEYS = ("program", "base", "grid", "arms", "search", "seeds", "resources")
METHODS = ("random", "asha", "optuna")
KINDS = ("uniform", "loguniform", "choice")
RESERVED = {
    "seed": "give `seeds`",
    "num-seeds": "give `seeds`",
    "run-dir": "each run gets one of its own in --out",
}


@dataclass(frozen=True)
class Search:
    """How settings are drawn.

    Attributes:
        method: random: all samples to their ends; asha: the worst stop early; optuna: the next
            sample follows from those before.
        num_samples: How many are drawn.
        metric: What counts, see ``sweeps.metrics``.
        mode: max or min.
        space: For each setting, how it is drawn (one of ``KINDS``) and the bounds or the choices.
        seed: Of the draws.
        grace_period: Steps that each sample has at least (asha).
        reduction_factor: One of so many goes on; the next stop comes so many times later (asha).
    """

    method: str
    num_samples: int
    metric: str
    mode: str
    space: dict[str, tuple[str, list[Any]]]
    seed: int = 0
    grace_period: int = 0
    reduction_factor: int = 4


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
    _known("key", content, KEYS)
    program = content.get("program")
    if program not in PROGRAMS:
        raise ValueError(f"`program` should be {' or '.join(PROGRAMS)}. Received {program}")
    grid = _settings(content, "grid")
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"`grid.{name}` should be a list of values. Received {values}")
        if any(values.index(value) != i for i, value in enumerate(values)):
            raise ValueError(f"`grid.{name}` holds a value twice. Received {values}")
    arms = {name: _arm(name, arm) for name, arm in _section(content, "arms").items()}
    for name in ("grid", "arms"):
        if name in content and not content[name]:
            raise ValueError(f"`{name}` is empty")
    for arm, settings in arms.items():
        for name in settings.keys() & grid.keys():
            raise ValueError(f"`{name}` is set by arm {arm} and by the grid")
    search = _search(content, program)
    if search is not None and (grid or arms):
        raise ValueError("give `search`, or `grid` and `arms`, not both")
    seeds = _seeds(_section(content, "seeds"))
    if search is not None and seeds[2] < seeds[1]:
        raise ValueError(
            "`seeds.per_trial` should be `seeds.count` in a search: a sample is one run. "
            f"Received {seeds[2]}"
        )
    resources = _section(content, "resources")
    _known("key", resources, ("cpu", "gpu"), "resources")
    return Definition(
        program=program,
        base=_base(content, path),
        grid=grid,
        arms=arms,
        search=search,
        seeds=seeds,
        cpu=_number(resources, "resources", "cpu", 1, least=0.0, above=True),
        gpu=_number(resources, "resources", "gpu", 0, least=0.0),
    )


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields nested settings by the names that flags have."""
    for key, value in settings.items():
        name = f"{prefix}{key}".replace("_", "-")
        if isinstance(value, dict) and value:
            yield from flat(value, f"{name}.")
        else:
            yield name, value


def _settings(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    return _flat(_section(content, key), key)


def _flat(section: Mapping[str, Any], where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in flat(section):
        if name in RESERVED:
            raise ValueError(f"`{where}` cannot set {name}: {RESERVED[name]}")
        if name in found:
            raise ValueError(f"{name} is there twice (in `{where}`)")
        found[name] = value
    return found


def _arm(name: str, settings: Any) -> dict[str, Any]:
    if not isinstance(settings, dict):
        raise ValueError(f"`arms.{name}` should hold settings. Received {settings}")
    return _flat(settings, f"arms.{name}")


def _base(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The settings of all runs, those of a preset included; its name is relative to the file's."""
    section = dict(_section(content, "base"))
    preset = section.pop("preset", None)
    given = _flat(section, "base")
    if preset is None:
        return given
    if not isinstance(preset, str):
        raise ValueError(f"`base.preset` should be the name of a file. Received {preset}")
    settings = dict(flat(read_yaml(path.parent / preset)))
    for name in ("seed", "num-seeds"):
        settings.pop(name, None)  # `seeds` stands for them
    return settings | given


def _search(content: Mapping[str, Any], program: str) -> Search | None:
    if "search" not in content:
        return None
    section = _section(content, "search")
    keys = ["method", "num_samples", "metric", "mode", "space", "seed"]
    method = section.get("method", "random")
    if method not in METHODS:
        raise ValueError(f"`search.method` should be one of {METHODS}. Received {method}")
    asha = method == "asha"
    _known("key", section, (*keys, *["grace_period", "reduction_factor"] * asha), "search")
    mode = section.get("mode", "max")
    if mode not in ("max", "min"):
        raise ValueError(f"`search.mode` should be max or min. Received {mode}")
    metric = section.get("metric", DEFAULT_METRICS[program])
    check_metric(program, metric)
    number = {
        name: _whole(section, "search", name, default, least)
        for name, default, least in (("num_samples", None, 1), ("seed", 0, 0))
    }
    if asha:
        number["grace_period"] = _whole(section, "search", "grace_period", None, 1)
        number["reduction_factor"] = _whole(section, "search", "reduction_factor", 4, 2)
    return Search(method=method, metric=metric, mode=mode, space=_space(section), **number)


def _space(section: Mapping[str, Any]) -> dict[str, tuple[str, list[Any]]]:
    """Reads ``setting: {kind: values}``; the names may be nested."""
    found: dict[str, tuple[str, list[Any]]] = {}
    for path, values in _flat(_section(section, "space"), "search.space").items():
        name, _, kind = path.rpartition(".")
        where = f"`search.space.{path}`"
        if not name or kind not in KINDS:
            raise ValueError(f"{where} should be drawn by one of {KINDS}. Received {kind}")
        if name in RESERVED or name in found:
            raise ValueError(f"`search.space` cannot set {name}{' twice' * (name in found)}")
        if not isinstance(values, list) or not values:
            raise ValueError(f"{where} should be a list of values. Received {values}")
        if kind != "choice":
            values = [_float(where, value) for value in values]
            if len(values) != 2 or not values[0] < values[1]:
                raise ValueError(f"{where} should be two bounds, the lower first. Got {values}")
            if kind == "loguniform" and values[0] <= 0:
                raise ValueError(f"{where} should have positive bounds. Received {values}")
        found[name] = kind, values
    if not found:
        raise ValueError("`search.space` is empty")
    return found


def _seeds(section: Mapping[str, Any]) -> tuple[int, int, int]:
    _known("key", section, ("first", "count", "per_trial"), "seeds")
    first = _whole(section, "seeds", "first", 0, 0)
    count = _whole(section, "seeds", "count", 1, 1)
    per_trial = _whole(section, "seeds", "per_trial", count, 1)
    if per_trial > count:
        raise ValueError(f"`seeds.per_trial` should be at most {count}. Received {per_trial}")
    return first, count, per_trial


def _section(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    section = content.get(key)
    if section is None:
        return {}
    if not isinstance(section, dict):
        raise ValueError(f"`{key}` should hold `name: value` lines. Received {section}")
    return section


def _known(kind: str, names: Iterable[str], known: Iterable[str], where: str = "") -> None:
    for name in names:
        if name not in known:
            at = f" (in `{where}`)" if where else ""
            known = tuple(known)
            hint = unknown(kind, name, known).replace("--help lists all flags.", f"Known: {known}")
            raise ValueError(hint + at)


def _float(where: str, value: Any) -> float:
    """A number; YAML takes 1e-5, without a dot, for a text."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{where} should be a finite number. Received {value}")
    return number


def _number(
    section: Mapping[str, Any], of: str, name: str, default: float, least: float, above: bool = False
) -> float:
    value = _float(f"`{of}.{name}`", section.get(name, default))
    if value < least or (above and value == least):
        bound = f"above {least:g}" if above else f"at least {least:g}"
        raise ValueError(f"`{of}.{name}` should be {bound}. Received {value:g}")
    return value


def _whole(section: Mapping[str, Any], of: str, name: str, default: int | None, least: int) -> int:
    value = section.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(
            f"`{of}.{name}` should be a whole number of at least {least}. Received {value}"
        )
    return value
