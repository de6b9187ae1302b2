"""Searches: which settings are drawn, from where, and what counts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweeps.fields import RESERVED, check_known, finite, flat_section, section_of, whole
from sweeps.metrics import DEFAULT_METRICS, METRICS

METHODS = ("random", "asha", "optuna")
KINDS = ("uniform", "loguniform", "choice")
TRIES = 100
"""Draws for each sample, before a space counts as used up."""


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


def read_search(content: Mapping[str, Any], program: str) -> Search | None:
    """Returns the search of a sweep file, None if it has none.

    Raises:
        ValueError: With one line that says what is wrong.
    """
    if "search" not in content:
        return None
    section = section_of(content, "search")
    keys = ["method", "num_samples", "metric", "mode", "space", "seed"]
    method = section.get("method", "random")
    if method not in METHODS:
        raise ValueError(f"`search.method` should be one of {METHODS}. Received {method}")
    asha = method == "asha"
    check_known("key", section, (*keys, *["grace_period", "reduction_factor"] * asha), "search")
    mode = section.get("mode", "max")
    if mode not in ("max", "min"):
        raise ValueError(f"`search.mode` should be max or min. Received {mode}")
    metric = str(section.get("metric", DEFAULT_METRICS[program]))
    check_known("metric", [metric], METRICS[program], "search")
    number = {
        name: whole(section, "search", name, default, least)
        for name, default, least in (("num_samples", None, 1), ("seed", 0, 0))
    }
    if asha:
        number["grace_period"] = whole(section, "search", "grace_period", None, 1)
        number["reduction_factor"] = whole(section, "search", "reduction_factor", 4, 2)
    return Search(method=method, metric=metric, mode=mode, space=_space(section), **number)


def _space(section: Mapping[str, Any]) -> dict[str, tuple[str, list[Any]]]:
    """Reads ``setting: {kind: values}``; the names may be nested."""
    found: dict[str, tuple[str, list[Any]]] = {}
    for path, values in flat_section(section_of(section, "space"), "search.space").items():
        name, _, kind = path.rpartition(".")
        where = f"`search.space.{path}`"
        if not name or kind not in KINDS:
            raise ValueError(f"{where} should be drawn by one of {KINDS}. Received {kind}")
        if name in RESERVED:
            raise ValueError(f"`search.space` cannot set {name}: {RESERVED[name]}")
        if name in found:
            raise ValueError(f"`search.space` cannot set {name} twice")
        if not isinstance(values, list) or not values:
            raise ValueError(f"{where} should be a list of values. Received {values}")
        if kind != "choice":
            values = [finite(where, value) for value in values]
            if len(values) != 2 or not values[0] < values[1]:
                raise ValueError(f"{where} should be two bounds, the lower first. Got {values}")
            if kind == "loguniform" and values[0] <= 0:
                raise ValueError(f"{where} should have positive bounds. Received {values}")
        found[name] = kind, values
    if not found:
        raise ValueError("`search.space` is empty")
    return found


def draws(search: Search) -> Iterator[dict[str, Any]]:
    """Yields samples, all different.

    Raises:
        ValueError: If the space has fewer.
    """
    rng = np.random.default_rng(search.seed)
    seen: list[dict[str, Any]] = []
    for _ in range(TRIES * search.num_samples):
        if len(seen) == search.num_samples:
            return
        point = {name: _draw(rng, kind, of) for name, (kind, of) in search.space.items()}
        if point not in seen:
            seen.append(point)
            yield point
    if len(seen) < search.num_samples:
        raise ValueError(
            f"`search.num_samples` should be at most {len(seen)}: the space has no more. Received "
            f"{search.num_samples}"
        )


def _draw(rng: np.random.Generator, kind: str, of: list[Any]) -> Any:
    if kind == "choice":
        return of[int(rng.integers(len(of)))]
    low, high = of
    if kind == "uniform":
        return shorten(rng.uniform(low, high))
    return shorten(math.exp(rng.uniform(math.log(low), math.log(high))))


def shorten(value: float) -> float:
    """Six digits: names, flags and files can hold them."""
    return float(f"{value:.6g}")


def corners(search: Search) -> Iterator[dict[str, Any]]:
    """Each choice and each bound once."""
    first = {name: of[0] for name, (_, of) in search.space.items()}
    yield first
    for name, (_, of) in search.space.items():
        yield from ({**first, name: value} for value in of[1:])
