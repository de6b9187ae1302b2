"""The benchmarks under ids of Gymnasium: ``gymnasium.make("continual/SlipperyAnt-v0")``.

``import envs`` registers them, as Gymnasium 1.x wants it of packages of environments;
``gymnasium.make("envs:continual/SlipperyAnt-v0")`` does both in one line.
"""

from __future__ import annotations

import gymnasium as gym

from envs.benchmarks import BENCHMARKS
from envs.registry import gym_id


def register() -> None:
    """Registers each benchmark once."""
    for id in BENCHMARKS:
        if gym_id(id) not in gym.registry:
            gym.register(
                gym_id(id),
                entry_point="envs.registry:make_benchmark",
                kwargs={"benchmark": id},
            )
