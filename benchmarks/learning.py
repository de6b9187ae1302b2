"""Do our agents learn as SB3's do, and compiled as eager?  Equal hyper-parameters, five seeds.

    python benchmarks/learning.py > docs/learning.md

Each row is the mean return of the training episodes within a fifth of the run; with a 95% interval
(Student's t) over seeds.  The figure docs/learning.png shows the same.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium as gym
import matplotlib
import numpy as np
import stable_baselines3 as sb3
import torch
from rich.console import Console
from scipy import stats
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor

import configs
from training import Trainer

matplotlib.use("Agg")
import matplotlib.pyplot as plt

STEPS, PARTS = 30_000, 5
# environment, flags of train.py, settings of SB3
WORKS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "DQN": (
        "CartPole-v1",
        "--dqn.hidden 64 64 --dqn.batch-size 64 --dqn.replay-ratio 0.5 --dqn.learning-rate 5e-4 "
        "--dqn.buffer-size 50000 --dqn.learning-starts 1000 --dqn.no-double --dqn.loss huber "
        "--dqn.target-every 250 --dqn.tau 1 --dqn.epsilon-steps 6000 --dqn.epsilon-end 0.05",
        dict(
            learning_rate=5e-4,
            batch_size=64,
            buffer_size=50_000,
            learning_starts=1_000,
            train_freq=2,
            gradient_steps=1,
            target_update_interval=500,
            tau=1.0,
            exploration_fraction=0.2,
            exploration_final_eps=0.05,
        ),
    ),
    "SAC": (
        "Pendulum-v1",
        "--agent sac --sac.hidden 64 64 --sac.batch-size 64 --sac.replay-ratio 0.5 "
        "--sac.learning-rate 1e-3 --sac.buffer-size 50000 --sac.learning-starts 1000",
        dict(
            learning_rate=1e-3,
            batch_size=64,
            buffer_size=50_000,
            learning_starts=1_000,
            train_freq=2,
            gradient_steps=1,
        ),
    ),
}
Episodes = list[tuple[int, float]]
"""Step at the end, and return."""


class Watch(BaseCallback):
    """Keeps step and return of each episode."""

    def __init__(self) -> None:
        super().__init__()
        self.episodes: Episodes = []

    def _on_step(self) -> bool:
        self.episodes += [
            (self.num_timesteps, float(info["episode"]["r"]))
            for info in self.locals["infos"]
            if "episode" in info
        ]
        return True


def theirs(work: str, seed: int) -> Episodes:
    """Trains SB3."""
    torch.set_num_threads(1)
    env, _, settings = WORKS[work]
    kind: Any = getattr(sb3, work)
    if work == "DQN":  # ours clips at 10 by default, as SB3 does
        settings = settings | {"max_grad_norm": 10.0}
    net = {"net_arch": [64, 64]}
    made = Monitor(gym.make(env))
    model = kind("MlpPolicy", made, seed=seed, policy_kwargs=net, device="cpu", **settings)
    watch = Watch()
    model.learn(STEPS, callback=watch)
    return watch.episodes


def ours(work: str, compiled: bool, first: int, num_seeds: int) -> list[Episodes]:
    """Trains all seeds side by side."""
    env, flags, _ = WORKS[work]
    how = "--compile" if compiled else "--no-compile"
    words = f"--env {env} {flags} --activation relu --total-steps {STEPS} {how} "
    words += f"--seed {first} --num-seeds {num_seeds}"
    with tempfile.TemporaryDirectory() as folder:
        line = [*words.split(), "--run-dir", f"{folder}/run"]
        trainer = Trainer(configs.parse(line), Console(file=io.StringIO()))
        trainer.run()
        visits = trainer.summary.visits
    return [
        [(step, ret) for visit in visits for step, ret, _ in visit.episodes[seed]]
        for seed in range(num_seeds)
    ]


def parts(seeds: list[Episodes]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Mean return within each part of the run, ``(seeds, PARTS)``."""
    rows = []
    for episodes in seeds:
        step, ret = np.array(episodes).T
        part = np.minimum(step * PARTS // (STEPS + 1), PARTS - 1)
        rows.append([ret[part == i].mean() for i in range(PARTS)])
    return np.array(rows)


def main() -> None:
    """Prints the table and draws the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    args = parser.parse_args()
    print("# Learning beside SB3\n\n`python benchmarks/learning.py > docs/learning.md`, ", end="")
    print(f"torch {torch.__version__}, SB3 {sb3.__version__}, {args.seeds} seeds, {STEPS:,} steps.")
    print("Mean return of training episodes, with a 95% interval over seeds (Student's t).\n")
    steps = [f"to {STEPS * (i + 1) // PARTS:,}" for i in range(PARTS)]
    print(f"| | | {' | '.join(steps)} |\n|---|---|{'---|' * PARTS}")
    figure, axes = plt.subplots(1, len(WORKS), figsize=(10, 3.6))
    raw: dict[str, Any] = {}
    for axis, (work, (env, _, _)) in zip(axes, WORKS.items(), strict=True):
        with ProcessPoolExecutor(args.jobs) as pool:
            first = args.first_seed
            jobs = [pool.submit(theirs, work, first + i) for i in range(args.seeds)]
            found = {
                "ours, compiled": parts(ours(work, True, first, args.seeds)),
                "ours, eager": parts(ours(work, False, first, args.seeds)),
                "SB3": parts([job.result() for job in jobs]),
            }
        bounds = {}
        for name, values in found.items():
            middle = values.mean(0)
            half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
            bounds[name] = middle - half, middle + half
            cells = [
                f"{m:.0f} ({m - h:.0f} to {m + h:.0f})" for m, h in zip(middle, half, strict=True)
            ]
            print(f"| {work}, {env} | {name} | {' | '.join(cells)} |", flush=True)
            x = STEPS * (np.arange(PARTS) + 0.5) / PARTS
            axis.plot(x, middle, label=name)
            axis.fill_between(x, *bounds[name], alpha=0.2)
        low, high = bounds["SB3"]
        for name in ("ours, compiled", "ours, eager"):
            overlap = (bounds[name][0] <= high) & (low <= bounds[name][1])
            print(f"| | {name}: overlaps SB3's | {' | '.join(map(str, overlap))} |", flush=True)
        raw[work] = {name: values.tolist() for name, values in found.items()}
        axis.set_title(f"{work}, {env}")
        axis.set_xlabel("environment steps")
        axis.set_ylabel("return of training episodes")
        axis.legend()
    figure.suptitle(f"mean of {args.seeds} seeds, band: 95% interval")
    figure.tight_layout()
    figure.savefig(args.out / "learning.png", dpi=110)
    (args.out / "learning.json").write_text(json.dumps(raw) + "\n")


if __name__ == "__main__":
    main()
