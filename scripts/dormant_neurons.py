"""The known phenomenon: a high replay ratio makes neurons dormant, and ReDo wakes them.

``python scripts/dormant_neurons.py`` trains DQN at replay ratio 4 on CartPole whose observation
shifts, with ReLU, ReLU and ReDo, and AdaLin, five seeds each, and writes
``docs/dormant-neurons.png`` and ``docs/dormant-neurons.csv`` (Sokar et al. 2023 saw it in Atari).
Runs that are there already are only drawn: ``--runs`` says where.

The replay is small, so that it holds one task.  This setting was chosen on seeds 0 and 1 among a
dozen.  Where the replay held all tasks, the dormant share (tau 0.1) stayed level (CartPole, 0.3),
fell (Acrobot, 0.22 to 0.16; LunarLander, 0.24 to 0.09), or rose in the first thousand steps and
stayed there (MinAtar, 0.06 to 0.3 and 0.5).
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no display is needed
import matplotlib.pyplot as plt
import numpy as np

from training.summary import interval

ROOT = Path(__file__).parent.parent
TASK = 6_000
"""Environment steps of a task."""
LAST = 8
"""Number of tasks."""
COMMON = (
    f"--agent dqn --env obs-shift-cartpole --steps-per-task {TASK} --total-steps {LAST * TASK} "
    "--seed 10 --num-seeds 5 --dqn.replay-ratio 4 --dqn.buffer-size 5000"
)
ARMS = {
    "relu": "--activation relu",
    "relu + ReDo": "--activation relu --mitigation redo --redo.tau 0.1 --redo.every 1000",
    "adalin-relu": "--activation adalin-relu",
}
METRICS = {
    "plasticity/q/dormant_fraction@0.1": "dormant neurons (%), tau 0.1",
    "return/episode": "return of an episode",
}
BIN = 2_000
"""Environment steps that one point of a curve averages."""

Table = dict[int, list[float]]  # step -> mean of each seed


def run_dir(runs: Path, arm: str) -> Path:
    """Where the run of an arm is."""
    return runs / arm.replace(" + ", "-").lower()


def train(runs: Path) -> None:
    """Trains each arm that is not there yet."""
    for arm, flags in ARMS.items():
        folder = run_dir(runs, arm)
        if not (folder / "summary.json").exists():
            command = [sys.executable, str(ROOT / "train.py"), *f"{COMMON} {flags}".split()]
            subprocess.run([*command, "--run-dir", str(folder)], check=True)


def read(folder: Path, name: str) -> Table:
    """Reads one metric from ``metrics.csv``: the mean of each seed in each bin."""
    values: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with (folder / "metrics.csv").open() as file:
        for row in csv.DictReader(file):
            if row["name"] == name:
                end = -(-int(row["step"]) // BIN) * BIN
                values[end][row["seed"]].append(float(row["value"]))
    return {end: [float(np.mean(v)) for v in seeds.values()] for end, seeds in values.items()}


def print_growth(runs: Path) -> None:
    """Prints the dormant share of the first and of the last task, and the growth of each seed."""
    print("dormant neurons (%), tau 0.1: mean (95% interval) of the seeds")
    for arm in ARMS:
        points = read(run_dir(runs, arm), "plasticity/q/dormant_fraction@0.1").items()
        first, last = (
            100 * np.mean([v for step, v in points if -(-step // TASK) == task], axis=0)
            for task in (1, LAST)
        )
        for name, values in (("first task", first), ("last task", last), ("growth", last - first)):
            print(f"{arm}, {name}: {{:.0f}} ({{:.0f}} to {{:.0f}})".format(*interval(values)))


def main() -> None:
    """Trains, then prints the growth and writes table and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/dormant-neurons"))
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    train(options.runs)
    print_growth(options.runs)
    figure, axes = plt.subplots(len(METRICS), 1, figsize=(9, 7), sharex=True)
    with (options.out / "dormant-neurons.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("arm", "metric", "step", "seeds", "mean", "ci95_low", "ci95_high"))
        for axis, (name, label) in zip(axes, METRICS.items(), strict=True):
            factor = 100.0 if "fraction" in name else 1.0
            for arm in ARMS:
                points = sorted(read(run_dir(options.runs, arm), name).items())
                curves = [interval(values) for _, values in points]
                for (step, values), curve in zip(points, curves, strict=True):
                    table.writerow((arm, name, step, len(values), *(f"{x:.5g}" for x in curve)))
                steps = np.array([step for step, _ in points]) - BIN / 2
                mean, low, high = factor * np.array(curves).T
                (line,) = axis.plot(steps, mean, label=arm)
                axis.fill_between(steps, low, high, alpha=0.25, color=line.get_color(), linewidth=0)
            axis.set_ylabel(label)
            axis.set_ylim(bottom=0)
            for task in range(1, LAST):
                axis.axvline(task * TASK, color="grey", linestyle="--", linewidth=0.8)
    axes[0].legend()
    axes[0].set_title(
        "DQN, replay ratio 4, CartPole with a new observation offset at each dashed line\n"
        "5 seeds, mean and 95% interval",
        fontsize=10,
    )
    axes[-1].set_xlabel("environment steps of each seed")
    figure.tight_layout()
    figure.savefig(options.out / "dormant-neurons.png", dpi=110)


if __name__ == "__main__":
    main()
