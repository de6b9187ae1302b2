"""Shifts of how the world moves: numbers inside the simulator."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from envs.shift import NumericShift, PerTask, brief, in_turn

_DERIVED = {
    "total_mass": "masspole and masscart",
    "polemass_length": "masspole and length",
}  # of CartPole
_PATH = re.compile(r"(?P<names>\w+(\.\w+)*)(\[(?P<index>[-:\d,\s]+)\])?")


class Drawn(NamedTuple):
    """Values that are drawn for each task.

    Attributes:
        draw: From a generator to a number, or to one for each path.
        apart: Least distance (sum of absolute differences) between the values of a task and of the
            one before; draws that are nearer are rejected.
    """

    draw: Callable[[np.random.Generator], Any]
    apart: float = 0.0

    def nth(self, task: int, rng: np.random.Generator) -> Any:
        """Returns the values of a task."""
        value = self.draw(rng)
        for _ in range(task):
            before = value
            value = self.draw(rng)
            while np.abs(np.subtract(value, before)).sum() < self.apart:
                value = self.draw(rng)
        return value


def log_uniform(low: float, high: float) -> Drawn:
    """Returns draws from the log-uniform distribution on [low, high]."""
    if not 0 < low <= high:
        raise ValueError(f"`low` and `high` should be 0 < low <= high. Received {low}, {high}")
    return Drawn(lambda rng: float(np.exp(rng.uniform(np.log(low), np.log(high)))))


class Parameter(NumericShift):
    """Sets numbers inside the simulator for each task.

    Args:
        paths: Where the number is, from the unwrapped environment: ``"gravity"`` (CartPole),
            ``"model.opt.gravity[2]"`` or ``"model.geom_friction[:, 0]"`` (MuJoCo).  Several paths
            change together.
        values: A number for each task, or one for each path; a list that is taken in turn, a
            function of the task, or ``Drawn``.
        relative: Whether the values are factors of the number that the environment came with.

    What MuJoCo derives from a model when it loads it (such as ``body_subtreemass``) stays.

    Raises:
        ValueError: If a path is malformed, leads nowhere or to something that is not a number.
    """

    def __init__(
        self, paths: str | Sequence[str], values: PerTask | Drawn, *, relative: bool = False
    ) -> None:
        self.paths = (paths,) if isinstance(paths, str) else tuple(paths)
        for path in self.paths:
            _parse(path)
        self.drawn = values if isinstance(values, Drawn) else None
        self.value_of = None if isinstance(values, Drawn) else in_turn("values", values)
        self.relative = relative

    def setup(self, env: gym.Env[Any, Any]) -> None:
        root: Any = env.unwrapped
        self.root = root
        self.places = [_Place(self.root, path) for path in self.paths]
        self.follow = _follower(root)
        for path in self.paths:
            airless = path.startswith("model.opt.wind") and not root.model.opt.density
            if airless and "model.opt.density" not in self.paths:
                raise ValueError(f"{path} does nothing without a density: use the shift Wind")
            if path in _DERIVED:
                raise ValueError(f"{path} follows from {_DERIVED[path]}: change those")
            if path in ("wind_power", "turbulence_power"):  # LunarLander's switch
                root.enable_wind = True

    def numbers(self, task: int, rng: np.random.Generator) -> Any:
        value = self.drawn.nth(task, rng) if self.drawn else self.value_of(task)  # type: ignore[misc]  # one of the two
        values = np.asarray(value, float)
        if values.shape not in ((), (len(self.places),)):
            raise ValueError(
                f"`values` should hold a number, or one for each of {', '.join(self.paths)}, in "
                f"every task. Received {value}"
            )
        return float(values.flat[0]) if len(self.places) == 1 else values

    def set(self, numbers: Any) -> None:
        several = isinstance(numbers, np.ndarray) and numbers.ndim
        for i, place in enumerate(self.places):
            number = float(numbers[i]) if several else numbers
            place.put(place.nominal * number if self.relative else number)
        if self.follow is not None:
            self.follow(self.root)


class Wind(NumericShift):
    """A wind along the x axis of a MuJoCo world, with the air that it needs to be felt.

    Args:
        speeds: Speed in m/s for each task; below 0: against the x axis.
        density: Density of the air in kg/m3. It is 0 in Gymnasium's models, and then nothing blows.
    """

    def __init__(self, speeds: PerTask, density: float = 1.2) -> None:
        if not density > 0:
            raise ValueError(f"`density` should be above 0: else no wind blows. Received {density}")
        self.speed_of, self.density = in_turn("speeds", speeds), density

    def setup(self, env: gym.Env[Any, Any]) -> None:
        root: Any = env.unwrapped
        if not hasattr(root, "model"):
            raise ValueError(f"Wind blows in worlds of MuJoCo. Received {brief(env)}")
        self.options: Any = root.model.opt
        self.options.density = self.density

    def numbers(self, task: int, rng: np.random.Generator) -> Any:
        return self.speed_of(task)

    def set(self, numbers: Any) -> None:
        self.options.wind[0] = numbers


class _Place:
    """A number, or an array of them, somewhere inside an environment.

    Attributes:
        path: Its path.
        nominal: What stood there at first.
    """

    def __init__(self, root: Any, path: str) -> None:
        self.path = path
        names, self.index = _parse(path)
        self.name = names[-1]
        found: Any = root
        for name in names:
            if not hasattr(found, name):
                near = get_close_matches(name, dir(found), n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"{root} has no {path!r}: no {name!r} there.{hint}")
            self.owner, found = found, getattr(found, name)
        self.integer = isinstance(found, int)
        try:
            self.nominal = np.array(found if self.index is None else found[self.index], float)
        except (TypeError, ValueError, IndexError) as error:
            raise ValueError(f"{path!r} of {root} is not a number: {error}") from None

    def put(self, number: Any) -> None:
        if self.index is not None:
            getattr(self.owner, self.name)[self.index] = number
        elif self.nominal.ndim:
            getattr(self.owner, self.name)[...] = number
        elif self.integer and float(number).is_integer():  # a count stays one
            setattr(self.owner, self.name, int(number))
        else:
            setattr(self.owner, self.name, float(number))


def _follower(root: Any) -> Callable[[Any], None] | None:
    """Returns what lets numbers that an environment derives from others follow them, if any."""
    if hasattr(root, "polemass_length"):
        return _follow_cartpole
    return _follow_box2d if hasattr(root, "world") and hasattr(root, "gravity") else None


def _follow_cartpole(root: Any) -> None:
    root.total_mass = root.masspole + root.masscart
    root.polemass_length = root.masspole * root.length


def _follow_box2d(root: Any) -> None:
    root.world.gravity = (root.world.gravity[0], root.gravity)  # it is copied at a reset only


def _parse(path: str) -> tuple[list[str], Any]:
    """Turns ``"a.b[:, 0]"`` into ``(["a", "b"], (slice(None), 0))``."""
    match = _PATH.fullmatch(path)
    try:
        if match is None:
            raise ValueError
        names, text = match["names"].split("."), match["index"]
        return names, None if text is None else tuple(map(_parse_index, text.split(",")))
    except (TypeError, ValueError):
        raise ValueError(
            f"`path` should look like gravity or model.opt.gravity[2]. Received {path!r}"
        ) from None


def _parse_index(text: str) -> int | slice:
    bounds = [int(bound) if bound.strip() else None for bound in text.split(":")]
    return int(text) if len(bounds) == 1 else slice(*bounds)
