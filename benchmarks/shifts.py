"""What a shift costs: ``python benchmarks/shifts.py > docs/shifts.md``.

Microseconds per step of each shift over the bare environment, on an environment that does nothing:
(time with the wrapper and n equal shifts - time of the bare environment) / n for n = 1, and the
further cost of each one for n = 4.  The least of several repetitions, which noise only lengthens.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from envs import Continual, EverySteps, LinearDrift, Shift
from envs.action import ActionDelay, ActionPermutation, ActionScale, DeadActuator
from envs.dynamics import Parameter
from envs.observation import (
    ObservationInversion,
    ObservationMask,
    ObservationNoise,
    ObservationOffset,
    ObservationPermutation,
    ObservationScale,
)
from envs.reward import RewardDelay, RewardScale
from envs.schedules import Schedule

WIDTH = 17  # observations of HalfCheetah


class Still(gym.Env[Any, Any]):
    """Does nothing, as fast as it can."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (WIDTH,), np.float32)

    def __init__(self, actions: gym.Space[Any]) -> None:
        self.action_space = actions
        self.seen = np.ones(WIDTH, np.float32)
        self.strength = 1.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return self.seen, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.seen, 1.0, False, False, {}


BOX, DISCRETE = gym.spaces.Box(-1, 1, (6,), np.float32), gym.spaces.Discrete(6)
SHIFTS: dict[str, tuple[Callable[[], Shift], gym.Space[Any]]] = {
    "ObservationOffset": (lambda: ObservationOffset(1.0), BOX),
    "ObservationScale": (lambda: ObservationScale(0.5, 2.0), BOX),
    "ObservationNoise": (lambda: ObservationNoise((0.1,)), BOX),
    "ObservationMask": (lambda: ObservationMask(0.5), BOX),
    "ObservationInversion": (lambda: ObservationInversion((True,)), BOX),
    "ObservationPermutation": (lambda: ObservationPermutation(), BOX),
    "ActionPermutation": (lambda: ActionPermutation(), DISCRETE),
    "ActionScale": (lambda: ActionScale((0.5,)), BOX),
    "ActionDelay": (lambda: ActionDelay((2,)), BOX),
    "DeadActuator": (lambda: DeadActuator(), BOX),
    "RewardScale": (lambda: RewardScale((2.0,)), BOX),
    "RewardDelay": (lambda: RewardDelay((2,)), BOX),
    "Parameter": (lambda: Parameter("strength", (1.0, 2.0)), BOX),
}


def cost(env: gym.Env[Any, Any], action: Any, steps: int, repetitions: int) -> float:
    """Returns the least time of a step in microseconds."""
    env.reset(seed=0)
    times = []
    for _ in range(repetitions):
        begin = time.perf_counter()
        for _ in range(steps):
            env.step(action)
        times.append(time.perf_counter() - begin)
    return 1e6 * min(times) / steps


def main(steps: int, repetitions: int) -> None:
    """Prints the table."""

    def measure(
        actions: gym.Space[Any], shifts: list[Shift] | None, schedule: Schedule | None = None
    ) -> float:
        env: gym.Env[Any, Any] = Still(actions)
        if shifts is not None:
            env = Continual(env, schedule or EverySteps(10**9, 2), shifts)
        return cost(env, actions.sample(), steps, repetitions)

    print("# What a shift costs per step\n")
    print(f"Made by `python benchmarks/shifts.py --steps {steps} --repetitions {repetitions}`:")
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, one thread; microseconds")
    print(
        f"over the bare environment, observations of {WIDTH} numbers, least of the repetitions.\n"
    )
    print("| shift | wrapper and one, µs | each further one, µs |\n|---|---|---|")
    bare = {id(space): measure(space, None) for space in (BOX, DISCRETE)}
    print(f"| none | {measure(BOX, []) - bare[id(BOX)]:.2f} | |")
    for name, (make, actions) in SHIFTS.items():
        one = measure(actions, [make()])
        four = measure(actions, [make() for _ in range(4)])
        print(f"| {name} | {one - bare[id(actions)]:.2f} | {(four - one) / 3:.2f} |")
    drift = measure(BOX, [Parameter("strength", (1.0, 2.0))], LinearDrift(10**9, 2))
    print(f"| Parameter in a drift, every step | {drift - bare[id(BOX)]:.2f} | |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--repetitions", type=int, default=15)
    options = parser.parse_args()
    main(options.steps, options.repetitions)
