"""What changes: schedules, shifts, benchmarks, and environments made of them."""

from envs import gym_ids
from envs.benchmarks import BENCHMARKS, FAMILIES, Benchmark, find_benchmark
from envs.continual import Continual
from envs.drifts import LinearDrift, RandomWalk, SineDrift
from envs.registry import Scores, make, scores
from envs.schedules import AtSteps, Cyclic, EverySteps, InOrder, RandomTimes, Stationary, once
from envs.shift import NumericShift, Shift
from envs.vector import frame_stack, make_vec, reset_seeds, schedule_of, show_task

__all__ = [
    "BENCHMARKS",
    "FAMILIES",
    "AtSteps",
    "Benchmark",
    "Continual",
    "Cyclic",
    "EverySteps",
    "InOrder",
    "LinearDrift",
    "NumericShift",
    "RandomTimes",
    "RandomWalk",
    "Scores",
    "Shift",
    "SineDrift",
    "Stationary",
    "find_benchmark",
    "frame_stack",
    "make",
    "make_vec",
    "once",
    "reset_seeds",
    "schedule_of",
    "scores",
    "show_task",
]

gym_ids.register()
