"""How long an update of a classifier takes, eager, as a table.

    python benchmarks/supervised.py > docs/supervised.md

Images have the size of MNIST's; the batch is 16, the optimizer SGD, one thread.  Whole steps of the
trainer are timed, without looks: drawing the batch, the update, and what is counted.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from rich.console import Console

import configs
from configs import SupervisedConfig
from streams import Images
from training import SupervisedTrainer

STEPS, ROUNDS = 100, 7
NETWORKS = ("mlp", "cnn")
ACTIVATIONS = ("relu", "adalin-relu")
SEEDS = (1, 5, 10)


def images(*_: Any) -> Images:
    """Returns noise in the shape of MNIST."""
    rng = np.random.default_rng(0)
    train, test = (rng.integers(256, size=(n, 1, 28, 28), dtype=np.uint8) for n in (2000, 100))
    return Images(train, np.arange(2000) % 10, test, np.arange(100) % 10, 10)


def milliseconds(network: str, activation: str, seeds: int, folder: str) -> float:
    """Returns the median over rounds of the time of a step."""
    flags = (
        f"--stream permuted --network {network} --activation {activation} --num-seeds {seeds} "
        f"--num-tasks 100 --images-per-task 1600 --no-compile --run-dir {folder}/"
        f"{network}-{activation}-{seeds}"
    )
    with patch("training.supervised.load", images):
        config = configs.parse_as(SupervisedConfig, flags.split())
        trainer = SupervisedTrainer(config, Console(quiet=True))
    trainer.begin()
    times = []
    for _ in range(ROUNDS + 1):
        begin = time.perf_counter()
        for _ in range(STEPS):
            trainer.advance()
        times.append((time.perf_counter() - begin) / STEPS)
        trainer.feed.open(trainer.phase()[0])
    return 1000 * median(times[1:])  # the first one warms up


def main() -> None:
    """Prints the table."""
    print("# Updates of classifiers\n")
    print(
        f"`python benchmarks/supervised.py > docs/supervised.md`: {platform.machine()}, "
        f"{os.cpu_count()} cores, PyTorch {torch.__version__}, one thread. Batch 16, images of "
        f"28 x 28, MLP 100-100, CNN of Kumar et al. 2023; milliseconds, median of {ROUNDS} rounds "
        f"of {STEPS} steps, eager.\n"
    )
    print("| network | activation | " + " | ".join(f"{n} seeds" for n in SEEDS) + " |")
    print("|---|---|" + "---:|" * len(SEEDS))
    with tempfile.TemporaryDirectory() as folder:
        for network in NETWORKS:
            for activation in ACTIVATIONS:
                found = [milliseconds(network, activation, n, folder) for n in SEEDS]
                cells = " | ".join(f"{x:.2f}" for x in found)
                print(f"| {network} | {activation} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
