"""What changes: schedules, shifts, benchmarks, and environments made of them."""

from envs import gym_ids
from envs.registry import BENCHMARKS, Benchmark, make
from envs.schedules import AtSteps, Cyclic, EverySteps, Stationary, once
from envs.shift import Continual, Shift
from envs.vector import make_vec, reset_seeds

__all__ = [
    "BENCHMARKS",
    "AtSteps",
    "Benchmark",
    "Continual",
    "Cyclic",
    "EverySteps",
    "Shift",
    "Stationary",
    "make",
    "make_vec",
    "once",
    "reset_seeds",
]

gym_ids.register()
