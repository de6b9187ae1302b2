"""Shifts of what the agent is paid."""

from __future__ import annotations

from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np

from envs.shift import NumericShift, PerTask, Shift, brief, in_turn


class RewardScale(NumericShift):
    """Multiplies the reward by a factor for each task.

    Args:
        scales: The factor of each task.
    """

    def __init__(self, scales: PerTask) -> None:
        self.scale_of = in_turn("scales", scales)

    def numbers(self, task: int, rng: np.random.Generator) -> Any:
        return self.scale_of(task)

    def set(self, numbers: Any) -> None:
        self.scale = float(numbers)

    def reward(self, reward: float, info: dict[str, Any], ended: bool) -> float:
        return reward * self.scale


class RewardSign(RewardScale):
    """Turns the goal around in every other task: what was paid is charged."""

    def __init__(self) -> None:
        super().__init__((1.0, -1.0))


class RewardDelay(Shift):
    """Pays rewards some steps later; what is still owed at the end of an episode is paid then.

    The return of an episode stays as it is.

    Args:
        delays: Steps, for each task.
    """

    def __init__(self, delays: PerTask) -> None:
        self.delay_of = in_turn("delays", delays, least=0)
        self.owed: deque[float] = deque()

    def enter(self, task: int, rng: np.random.Generator) -> None:
        self.delay = self.delay_of(task)

    def begin(self, rng: np.random.Generator) -> None:
        self.owed.clear()

    def reward(self, reward: float, info: dict[str, Any], ended: bool) -> float:
        self.owed.append(reward)
        keep = 0 if ended else self.delay
        paid = 0.0
        while len(self.owed) > keep:
            paid += self.owed.popleft()
        return paid


class TargetVelocity(NumericShift):
    """Pays a MuJoCo runner for a velocity: minus the distance to it, minus half the control cost.

    This replaces the reward, so shifts of the reward belong behind it.

    The velocity tasks of meta-learning (Finn et al. 2017), in LILAC (Xie, Harrison and Finn 2020)
    for a world that drifts.

    Args:
        velocities: The velocity to run at, in m/s, for each task.
    """

    def __init__(self, velocities: PerTask) -> None:
        self.velocity_of = in_turn("velocities", velocities)

    def setup(self, env: gym.Env[Any, Any]) -> None:
        if not hasattr(env.unwrapped, "_forward_reward_weight"):
            raise ValueError(f"TargetVelocity needs a runner of MuJoCo. Received {brief(env)}")

    def numbers(self, task: int, rng: np.random.Generator) -> Any:
        return self.velocity_of(task)

    def set(self, numbers: Any) -> None:
        self.velocity = float(numbers)

    def reward(self, reward: float, info: dict[str, Any], ended: bool) -> float:
        distance = abs(float(info["x_velocity"]) - self.velocity)
        return 0.5 * float(info["reward_ctrl"]) - distance
