"""LunarLander with numbers of its own, which Gymnasium keeps in constants of the module."""

from __future__ import annotations

from types import FunctionType
from typing import Any

import gymnasium as gym
import numpy as np

from envs.dynamics import Drawn
from envs.shift import NumericShift, brief

GRAVITY_X = (-2.0, 0.0, 2.0)
CONSTANTS = ("MAIN_ENGINE_POWER", "SIDE_ENGINE_POWER", "INITIAL_RANDOM")


class LunarContext(NumericShift):
    """The contexts of wechu/parseval_reg: gravity, engine powers and initial force.

    Factors of the downward gravity are drawn from U(0.2, 1.5), of both engine powers from
    U(1, 1.5), of the initial random force from U(0.5, 1.5), again until they are 1 or more (L1)
    from those of the task before; the horizontal gravity is -2, 0, 2 in turn.
    """

    drawn = Drawn(lambda rng: rng.uniform([0.2, 1.0, 1.0, 0.5], 1.5), apart=1.0)

    def setup(self, env: gym.Env[Any, Any]) -> None:
        root: Any = env.unwrapped
        self.root = root
        if not all(hasattr(root, name) for name in ("lander", "moon", "gravity")):
            raise ValueError(f"LunarContext needs LunarLander. Received {brief(env)}")
        self.constants = own_constants(root)
        self.nominal = [root.gravity, *(self.constants[name] for name in CONSTANTS)]

    def observation_space(self, space: gym.Space[Any]) -> gym.Space[Any]:
        # With less gravity the lander flies out of the bounds that are drawn for the usual one.
        return gym.spaces.Box(-np.inf, np.inf, space.shape, np.float32)

    def numbers(self, task: int, rng: np.random.Generator) -> Any:
        return np.append(self.drawn.nth(task, rng), GRAVITY_X[task % 3])

    def set(self, numbers: Any) -> None:
        *factors, self.gravity_x = numbers.tolist()
        values = [factor * value for factor, value in zip(factors, self.nominal, strict=True)]
        self.root.gravity = values[0]
        self.constants.update(zip(CONSTANTS, values[1:], strict=True))
        self.root.world.gravity = (self.gravity_x, self.root.gravity)

    def begin(self, rng: np.random.Generator) -> None:
        self.root.world.gravity = (self.gravity_x, self.root.gravity)  # a reset makes a new world


def own_constants(root: Any) -> dict[str, Any]:
    """Gives one LunarLander module constants of its own, and returns them.

    Its methods read the constants from their module, which all LunarLanders share; here they are
    the same code over a copy of the module's names.
    """
    cls = type(root)
    names: dict[str, Any] = dict(cls.step.__globals__)
    methods = {}
    for name in ("step", "reset"):
        method = getattr(cls, name)
        copy = FunctionType(method.__code__, names, name, method.__defaults__, method.__closure__)
        copy.__kwdefaults__ = method.__kwdefaults__
        methods[name] = copy
    root.__class__ = type(cls.__name__, (cls,), methods)
    return names
