"""What each remedy adds to an update: ``python benchmarks/mitigations.py > docs/mitigations.md``.

Milliseconds of one update of DQN (two hidden layers of 64, batches of 128) with the remedy at its
defaults over those without, one thread, medians of interleaved rounds.  What a remedy does at a
long cadence (a reset every 200,000 updates) does not show.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time

import gymnasium as gym
import torch

from agents import DQN, Batch, DQNConfig, Replay, Streams
from plasticity import MITIGATIONS, Mitigations, seams
from plasticity.mitigations import MitigationConfig
from plasticity.mitigations.replay import age_weights

SEEDS = (1, 5)
SPACE, ACTIONS = gym.spaces.Box(-1, 1, (4,)), gym.spaces.Discrete(2)


class Learning:
    """A DQN with one remedy or none, and a replay of random transitions."""

    def __init__(self, name: str | None, num_seeds: int) -> None:
        chosen: dict[str, MitigationConfig] = {name: MITIGATIONS[name].config()} if name else {}
        seeds = range(num_seeds)
        config = DQNConfig()
        made = seams(chosen, seeds)
        self.agent = DQN(SPACE, ACTIONS, seeds, config, activation="relu", seams=made)
        self.replay = Replay(
            2_000, seeds, 1, (4,), torch.float32, (), torch.int64,
            gamma=0.99, ages=age_weights(chosen),
        )  # fmt: skip
        numbers = Streams(seeds, "benchmark")
        for _ in range(2_000):
            obs, following = (numbers.normal(4) for _ in range(2))
            action, reward = numbers.integers(2, 1)[:, 0], numbers.normal(1)[:, 0]
            never = torch.zeros(num_seeds, dtype=torch.bool)
            self.replay.add(obs, action, reward, following, never, never)
        learners = self.agent.learners()
        self.remedies = Mitigations(
            chosen, learners, seeds, self.replay.sample, self.replay.example()
        )

    def update(self) -> None:
        """Draws a batch and learns from it."""
        batch: Batch = self.replay.sample(self.agent.batch_size)
        self.agent.update(batch)
        self.remedies.after_update()

    def seconds(self, updates: int) -> float:
        """Returns the time of an update."""
        begin = time.perf_counter()
        for _ in range(updates):
            self.update()
        return (time.perf_counter() - begin) / updates


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=100, help="updates in a round")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    table: dict[str, list[str]] = {}
    for num_seeds in SEEDS:
        plain = Learning(None, num_seeds)
        plain.seconds(options.updates)  # warm
        for name in MITIGATIONS:
            other = Learning(name, num_seeds)
            updates = 3 if name == "simba" else options.updates
            other.seconds(updates)
            rounds = [
                (other.seconds(updates), plain.seconds(updates)) for _ in range(options.rounds)
            ]
            added = statistics.median(theirs - ours for theirs, ours in rounds)
            ratio = statistics.median(theirs / ours for theirs, ours in rounds)
            table.setdefault(name, []).extend((f"{1000 * added:+.2f}", f"{ratio:.2f}"))
    print("# What each remedy adds to an update\n")
    print(
        f"`python benchmarks/mitigations.py > docs/mitigations.md`, {platform.machine()}, torch "
        f"{torch.__version__}, one thread.\nDQN, two hidden layers of 64, batches of 128, remedies "
        "at their defaults. Surgery at a long cadence does not show;\nkron is in its dear first "
        "500 steps; simba is a larger network (2 x 512).\n"
    )
    header = " | ".join(f"{n} seed{'s' * (n > 1)}: ms | ratio" for n in SEEDS)
    print(f"| remedy | {header} |")
    print("|---" * (1 + 2 * len(SEEDS)) + "|")
    for name, cells in table.items():
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
