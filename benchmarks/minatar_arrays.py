"""How fast MinAtar is in arrays: beside its games stepped one at a time, in one run.

    python benchmarks/minatar_arrays.py > docs/minatar.md

Agent steps per second of CPU time, with random actions, resets included. Both ways are measured in
turn, many times over, so that a change in the machine's speed meets both; the figures are medians.
One thread.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from typing import Any

import numpy as np

import envs
from envs.minatar import GAMES
from envs.minatar.vector import MinAtarVector


def speed(vector: Any, actions: Any, seconds: float) -> float:
    """Agent steps per second of CPU time, which counts less of what else the machine does."""
    steps, start = 0, time.process_time()
    while time.process_time() < start + seconds:
        for step in range(20):
            vector.step(actions[(steps + step) % len(actions)])
        steps += 20
    return float(steps * vector.num_envs / (time.process_time() - start))


def row(game: str, num_envs: int, repeats: int, seconds: float) -> str:
    """One line of the table."""
    ways: list[Any] = [
        envs.make_vec(f"MinAtar/{game}-v0", num_envs, vectorization_mode="sync"),
        MinAtarVector([f"MinAtar/{game}-v0"], num_envs, envs.Stationary()),
    ]
    actions = np.random.default_rng(0).integers(6, size=(1000, num_envs))
    for vector in ways:
        vector.reset(seed=0)
        speed(vector, actions, seconds)  # the episodes of the copies drift apart
    runs = [[speed(vector, actions, seconds) for vector in ways] for _ in range(repeats)]
    ratios = [arrays / single for single, arrays in runs]
    single, arrays = (statistics.median(run) for run in zip(*runs, strict=True))
    ratio = f"{statistics.median(ratios):.1f} | {min(ratios):.1f} to {max(ratios):.1f}"
    return f"| {game} | {num_envs} | {single:,.0f} | {arrays:,.0f} | {ratio} |"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="of one measurement")
    parser.add_argument("--copies", type=int, nargs="+", default=[8, 16, 32, 64, 128])
    args = parser.parse_args()
    print("# MinAtar in arrays beside one game at a time\n")
    print(
        f"Made by `python benchmarks/minatar_arrays.py --repeats {args.repeats} --seconds", end=" "
    )
    print(f"{args.seconds:g}`:\nPython {platform.python_version()}, NumPy {np.__version__}.")
    print("Agent steps per second of CPU time, random actions, one thread; medians.")
    print("\n| game | copies | one at a time | in arrays | ratio | from lowest to highest |")
    print("|---|---|---|---|---|---|")
    for game in GAMES:
        for num_envs in args.copies:
            print(row(game, num_envs, args.repeats, args.seconds), flush=True)


if __name__ == "__main__":
    main()
