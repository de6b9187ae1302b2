"""Parts of a sweep file: sections, settings by the names of flags, numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from configs.messages import unknown

RESERVED = {
    "seed": "give `seeds`",
    "num-seeds": "give `seeds`",
    "run-dir": "each run gets one of its own in --out",
}


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields nested settings by the names that flags have."""
    for key, value in settings.items():
        name = f"{prefix}{key}".replace("_", "-")
        if isinstance(value, dict) and value:
            yield from flat(value, f"{name}.")
        else:
            yield name, value


def flat_section(section: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Returns settings by the names that flags have; raises a ValueError for those of the sweep."""
    found: dict[str, Any] = {}
    for name, value in flat(section):
        if name in RESERVED:
            raise ValueError(f"`{where}` cannot set {name}: {RESERVED[name]}")
        if name in found:
            raise ValueError(f"{name} is there twice (in `{where}`)")
        found[name] = value
    return found


def section_of(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Returns a section, empty if there is none; raises a ValueError if it is something else."""
    section = content.get(key)
    if section is None:
        return {}
    if not isinstance(section, dict):
        raise ValueError(f"`{key}` should hold `name: value` lines. Received {section}")
    return section


def check_known(kind: str, names: Iterable[str], known: Sequence[str], where: str = "") -> None:
    """Raises a ValueError for the first name that is not known, with the nearest that is."""
    for name in names:
        if name not in known:
            hint = unknown(kind, name, known).replace("--help lists all flags.", f"Known: {known}")
            raise ValueError(hint + (f" (in `{where}`)" if where else ""))


def finite(where: str, value: Any) -> float:
    """A number; YAML takes 1e-5, without a dot, for a text."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{where} should be a finite number. Received {value}")
    return number


def whole(section: Mapping[str, Any], of: str, name: str, default: int | None, least: int) -> int:
    """Returns a whole number of a section; raises a ValueError if it is none, or less."""
    value = section.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(
            f"`{of}.{name}` should be a whole number of at least {least}. Received {value}"
        )
    return value
