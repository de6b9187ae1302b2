"""Shifts of how the world moves: numbers inside the simulator."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

import gymnasium as gym
import numpy as np

from envs.shift import Shift

Draw = Callable[[np.random.Generator], float]
_PATH = re.compile(r"(?P<names>\w+(\.\w+)*)(\[(?P<index>[-:\d,\s]+)\])?")


def log_uniform(low: float, high: float) -> Draw:
    """Returns a draw from the log-uniform distribution on [low, high]."""
    return lambda rng: float(np.exp(rng.uniform(np.log(low), np.log(high))))


class Parameter(Shift):
    """Sets a number inside the simulator for each task.

    Args:
        path: Where the number is, from the unwrapped environment: ``"gravity"`` (CartPole),
            ``"model.opt.gravity[2]"`` or ``"model.geom_friction[:, 0]"`` (MuJoCo).
        values: One value for each task, taken in turn, or a draw from a generator.
        relative: Whether the values are factors of the number that the environment came with.

    Raises:
        ValueError: If the path is malformed, leads nowhere or to something that is not a number.
    """

    def __init__(
        self, path: str, values: Sequence[float] | Draw, *, relative: bool = False
    ) -> None:
        match = _PATH.fullmatch(path)
        if match is None:
            raise ValueError(
                f"`path` should look like gravity or model.opt.gravity[2]. Received {path!r}"
            )
        self.path = path
        self.names = match["names"].split(".")
        self.index = _parse_index(match["index"])
        self.values = values
        self.relative = relative

    def setup(self, env: gym.Env[Any, Any]) -> None:
        self.root: Any = env.unwrapped
        owner: Any = self.root
        for name in self.names:
            if not hasattr(owner, name):
                near = get_close_matches(name, dir(owner), n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"{self.root} has no {self.path!r}: no {name!r} there.{hint}")
            self.owner, owner = owner, getattr(owner, name)
        try:
            self.nominal = np.array(owner if self.index is None else owner[self.index], float)
        except (TypeError, ValueError, IndexError) as error:
            raise ValueError(f"{self.path!r} of {self.root} is not a number: {error}") from None

    def enter(self, task: int, rng: np.random.Generator) -> None:
        if callable(self.values):
            value = [self.values(rng) for _ in range(task + 1)][task]
        else:
            value = self.values[task % len(self.values)]
        number = self.nominal * value if self.relative else np.full_like(self.nominal, value)
        if self.index is not None:
            getattr(self.owner, self.names[-1])[self.index] = number
        elif number.ndim:
            getattr(self.owner, self.names[-1])[...] = number
        else:
            setattr(self.owner, self.names[-1], float(number))
        # CartPole keeps two products of its masses and length, which must follow them.
        if hasattr(self.root, "polemass_length"):
            self.root.total_mass = self.root.masspole + self.root.masscart
            self.root.polemass_length = self.root.masspole * self.root.length


def _parse_index(text: str | None) -> Any:
    """Turns ``":, 0"`` into ``(slice(None), 0)``."""
    if text is None:
        return None
    parts: list[int | slice] = []
    for part in text.replace(" ", "").split(","):
        if ":" in part:
            parts.append(slice(*(int(bound) if bound else None for bound in part.split(":"))))
        else:
            parts.append(int(part))
    return tuple(parts)
