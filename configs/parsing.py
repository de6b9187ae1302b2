"""From flags and YAML presets to the settings of a run.

A preset is flattened to flags that stand before the user's own, so one parser gives help, types and
validation, and the last flag wins.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import tyro

from agents.descent import can_compile
from configs.limits import check_sizes
from configs.messages import one_line, unboxed, unknown
from configs.presets import read_yaml
from configs.schema import RunConfig
from networks import ACTIVATIONS
from plasticity import MITIGATIONS
from plasticity.mitigations import check_pairs

FOLDER = Path(__file__).parent
DEFAULT = FOLDER / "default.yaml"


COMPILE_FROM = 50_000
"""So many updates pay for compiling them (docs/speed.md)."""

C = TypeVar("C", bound=RunConfig)


def parse_as(cls: type[C], args: Sequence[str], preset: Sequence[str] = ()) -> C:
    """Reads the command line.

    Args:
        cls: The settings that are wanted.
        args: The flags; ``--config FILE`` (more than once, if wanted) puts a preset before them.
        preset: Flags of one more preset, see ``as_flags``.

    Returns:
        The settings, with all names checked.

    Raises:
        ValueError: With one line that says what is wrong.
        SystemExit: After ``--help``.
    """
    try:
        return _parse(cls, args, preset)
    except ValueError as error:
        raise ValueError(one_line(error)) from error


def _parse(cls: type[C], args: Sequence[str], preset: Sequence[str]) -> C:
    own, files = _take_configs(list(args))
    preset_flags = [flag for file in files for flag in as_flags(cls, read_yaml(file), str(file))]
    preset_flags += preset
    flags = preset_flags + own
    given = _names(flags)
    known = dict(_settings(cls))
    for name in given:
        if name not in known and name != "help":
            raise ValueError(unknown("flag", f"--{name}", [f"--{k}" for k in known]))
    _refuse_extra(flags, known)
    config = _run_tyro(cls, flags)
    check_sizes(config)
    try:
        (config.run_dir or "").encode()
    except UnicodeEncodeError as error:  # TensorBoard and the console need one
        raise ValueError(f"`run_dir` should be a name in UTF-8: {error}") from error
    config.check_names()
    for activation in sorted(config.activations()):
        if activation not in ACTIVATIONS:
            raise ValueError(unknown("activation", activation, ACTIVATIONS))
    for mitigation in config.mitigation:
        if mitigation in ACTIVATIONS:
            raise ValueError(f"{mitigation} is an activation: give --activation {mitigation}")
        if mitigation not in MITIGATIONS:
            raise ValueError(unknown("mitigation", mitigation, MITIGATIONS))
        if config.mitigation.count(mitigation) > 1:
            raise ValueError(f"mitigation {mitigation} is given twice")
    check_pairs(config.mitigation)
    _refuse_unused(own, config)
    if preset_flags:
        # What flags after a preset make useless is dropped; what is useless in itself is wrong.
        _refuse_unused(preset_flags, _run_tyro(cls, preset_flags), config)
    if "compile" not in given:
        config = replace(config, compile=_pays_to_compile(config))
    return config


def _pays_to_compile(config: RunConfig) -> bool:
    """Whether compiling takes less time than it saves."""
    enough = config.updates >= COMPILE_FROM and config.compiles_well
    return enough and not config.mitigation and can_compile()


def _refuse_unused(flags: Sequence[str], *configs: RunConfig) -> None:
    """Raises a ValueError for the first flag that none of the configs uses."""
    for name in _names(flags):
        key = name.replace("-", "_")
        reasons = [
            unused.get(key) or unused.get(key.split(".")[0])
            for unused in (config.unused() for config in configs)
        ]
        if all(reasons):
            raise ValueError(f"--{name} has no effect: {reasons[0]}")


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Returns a ``setting: old -> new`` for each setting that is not the same in both."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    return [
        f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key, "absent") != after.get(key, "absent")
    ]


def _take_configs(args: list[str]) -> tuple[list[str], list[Path]]:
    """Splits ``--config FILE`` off."""
    rest, presets = [], []
    tokens = iter(args)
    for token in tokens:
        name, _, value = token.partition("=")
        if name != "--config":
            rest.append(token)
            continue
        value = value if "=" in token else next(tokens, "")
        if not value or value.startswith("--"):
            raise ValueError("--config needs a file")
        presets.append(Path(value))
    return rest, presets


def as_flags(cls: type[RunConfig], settings: Mapping[str, Any], where: str) -> list[str]:
    """Returns nested settings, as a preset holds them, as flags.

    Raises:
        ValueError: For the first that is no setting, or cannot have its value; ``where`` it is.
    """
    known = dict(_settings(cls))
    flags: dict[str, list[str]] = {}
    for key, value in _leaves(settings):
        name = key.replace("_", "-")
        try:
            if name in flags:
                raise ValueError(f"{name} is there twice")
            flags[name] = _as_flags(name, value, known)
        except ValueError as error:
            raise ValueError(f"{error} (in {where})") from None
    return [token for tokens in flags.values() for token in tokens]


def _as_flags(name: str, value: Any, known: dict[str, Any]) -> list[str]:
    """One setting of a preset as flags."""
    if name == "run-dir" and value is not None:
        raise ValueError(f"{name} is for the command line alone")
    if any(setting.startswith(f"{name}.") for setting in known):
        if value is None or value == {}:  # a section that is empty
            return []
        raise ValueError(f"{name} is a section of settings. Received {value}")
    if name not in known:
        raise ValueError(unknown("setting", name, known))
    if value == {}:
        raise ValueError(f"{name} is no section of settings. Received {value}")
    if isinstance(known[name], bool) != isinstance(value, bool):
        should = "should be" if isinstance(known[name], bool) else "should not be"
        raise ValueError(f"{name} {should} true or false. Received {value}")
    if isinstance(value, bool):
        section, _, last = f"--{name}".rpartition(".")
        return [f"--{name}" if value else _negated(section, last)]
    if isinstance(value, list):
        if not isinstance(known[name], tuple):
            raise ValueError(f"{name} takes one value. Received {value}")
        if name == "mitigation":
            return [token for item in value for token in (f"--{name}", str(item))]
        return [f"--{name}", *map(str, value)]
    return [f"--{name}", str(value)]


def _negated(section: str, last: str) -> str:
    """``("--adalin", "gate")`` to ``--adalin.no-gate``, as tyro spells it."""
    return f"{section}.no-{last}" if section else f"--no-{last.removeprefix('--')}"


def _leaves(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", list(value) if isinstance(value, tuple) else value


def _settings(cls: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields each setting as flags spell it, ``dqn.learning-rate``, and its default."""
    for f in fields(cls):
        name = prefix + f.name.replace("_", "-")
        nested = f.default_factory
        if isinstance(nested, type) and is_dataclass(nested):
            yield from _settings(nested, f"{name}.")
        else:
            yield name, f.default


def _refuse_extra(flags: Sequence[str], known: dict[str, Any]) -> None:
    """Raises a ValueError that names the flag where the parser would name the value alone."""
    groups: list[list[str]] = []
    for token in flags:
        if token.startswith("--"):
            flag, joined, value = token.partition("=")
            groups.append([flag, value] if joined else [flag])
        elif groups and token != "-h":
            groups[-1].append(token)
    for flag, *values in groups:
        name = _name(flag)
        default = known.get(name)
        if isinstance(default, bool):
            if values:
                raise ValueError(f"{flag} takes no value. Received {' '.join(values)}")
        elif flag.rpartition(".")[2].removeprefix("--").startswith("no-"):
            raise ValueError(unknown("flag", flag, [f"--{name}"]))
        elif len(values) > 1 and (name == "mitigation" or not isinstance(default, tuple)):
            raise ValueError(f"{flag} takes one value. Received {' '.join(values)}")


def _names(flags: Sequence[str]) -> list[str]:
    return [_name(token) for token in flags if token.startswith("--")]


def _name(token: str) -> str:
    """``--dqn.no-double=x`` to ``dqn.double``: the setting that a flag is about."""
    path = token.removeprefix("--").partition("=")[0].replace("_", "-").split(".")
    return ".".join((*path[:-1], path[-1].removeprefix("no-")))


def _run_tyro(cls: type[C], flags: Sequence[str]) -> C:
    """Runs the parser and turns its boxed message into one line."""
    config: C = _cached_tyro(cls, tuple(flags))
    return config


@lru_cache(maxsize=8)  # the runs of a sweep share their preset
def _cached_tyro(cls: Any, flags: tuple[str, ...]) -> Any:
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(cls, args=flags, prog=cls.program, description=cls.description)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise ValueError(unboxed(errors.getvalue())) from None
