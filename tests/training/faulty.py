"""An environment that fails when it is told to, for tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control import CartPoleEnv

ID = "tests/Faulty-v0"


class Faulty(CartPoleEnv):
    """CartPole; its n-th step, over all episodes, goes wrong while a file is there.

    Args:
        fault: What goes wrong: raise, nan, infinite-reward, shape, dtype or kill.
        at: Which step, from 1.
        armed: The file; the fault deletes it, so that it happens once. ``forever``: it stays.
    """

    def __init__(self, fault: str, at: int, armed: str, forever: bool = False) -> None:
        super().__init__()
        self.fault, self.at, self.armed, self.forever = fault, at, Path(armed), forever
        self.count = 0

    def _takes_the_file(self) -> bool:
        try:  # workers side by side may want it
            self.armed.stat() if self.forever else self.armed.unlink()
        except FileNotFoundError:
            return False
        return True

    def step(self, action: Any) -> Any:
        self.count += 1
        stepped: Any = super().step(action)  # type: ignore[no-untyped-call]
        observation, reward, terminated, truncated, info = stepped
        if self.count == self.at and self._takes_the_file():
            if self.fault == "raise":
                raise RuntimeError("the simulator has\ncrashed")
            if self.fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.fault == "nan":
                observation = np.full_like(observation, np.nan)
            if self.fault == "shape":
                observation = observation[:3]
            if self.fault == "dtype":
                observation = observation.astype(np.float64)
            if self.fault == "infinite-reward":
                reward = float("inf")
        return observation, reward, terminated, truncated, info


def register(fault: str, at: int, armed: Path, *, forever: bool = False) -> None:
    """Makes ``ID`` an environment with a fault, and arms it."""
    armed.touch()
    gym.registry.pop(ID, None)
    gym.register(
        ID,
        entry_point=lambda **kwargs: Faulty(**kwargs),
        max_episode_steps=200,
        kwargs={"fault": fault, "at": at, "armed": str(armed), "forever": forever},
    )
