"""How long a checkpoint stalls: ``python benchmarks/checkpoints.py > docs/checkpoints.md``.

A replay is filled with random Atari transitions as a run fills it (stacks of four frames of 84 x 84
bytes before and after each step, each frame kept once), 4 environments at a time; at every 10,000th
transition all of it and a DQN for images are saved, as the trainer does.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import tempfile
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch

from agents import DQN, DQNConfig, Replay
from training.checkpoints import Checkpoints

IMAGES = gym.spaces.Box(0, 255, (4, 84, 84), np.uint8)
NUM_ENVS = 4


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transitions", type=int, default=1_000_000)
    parser.add_argument("--capacity", type=int, default=100_000)
    parser.add_argument("--every", type=int, default=10_000, help="transitions between checkpoints")
    parser.add_argument("--rate", type=float, default=2_000, help="transitions a second, at most")
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary one")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    agent = DQN(IMAGES, gym.spaces.Discrete(18), [0], DQNConfig(hidden=(512,)))
    replay = Replay(
        options.capacity, [0], NUM_ENVS, IMAGES.shape, torch.uint8, (), torch.int64, gamma=0.99,
        stack=4,
    )  # fmt: skip
    checkpoints = Checkpoints(folder, replay)
    assert checkpoints.log is not None
    frames = torch.randint(256, (NUM_ENVS, 64, 84, 84), dtype=torch.uint8)
    turns = [torch.arange(t, t + 4) % 64 for t in range(64)]
    pool = [frames.index_select(1, turn) for turn in turns]
    never = torch.zeros(NUM_ENVS, dtype=torch.bool)
    growing, stalls, sizes = [0.0], [], []
    due = time.perf_counter()
    for t in range(options.transitions // NUM_ENVS):
        zeros = torch.zeros(NUM_ENVS)
        replay.add(pool[t % 64], zeros.long(), zeros, pool[(t + 1) % 64], never, never)
        begin = time.perf_counter()
        checkpoints.log.grow()
        growing.append(time.perf_counter() - begin)
        if (t + 1) * NUM_ENVS % options.every == 0:
            saved = checkpoints.save((t + 1) * NUM_ENVS, lambda: {"agent": agent.state_dict()})
            stalls.append(saved.seconds)
            sizes.append(saved.bytes)
        due += NUM_ENVS / options.rate  # as fast as a run at most
        time.sleep(max(due - time.perf_counter(), 0))
    disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    checkpoints.close()
    shutil.rmtree(folder)
    print("# What a checkpoint costs\n")
    print(
        f"`python benchmarks/checkpoints.py > docs/checkpoints.md`, {platform.machine()}, torch "
        f"{torch.__version__}.\n{options.transitions:,} Atari transitions through a replay of "
        f"{options.capacity:,}, at most {options.rate:,.0f} a second.\n"
    )
    print("| | |\n|---|---|")
    print(f"| stall of a checkpoint, mean of {len(stalls)} | {np.mean(stalls):.2f} s |")
    print(f"| stall of a checkpoint, longest | {max(stalls):.2f} s |")
    print(f"| longest stall between checkpoints | {max(growing):.2f} s |")
    print(f"| all writing, share of the time at that rate | {_share(growing, stalls, options)} |")
    print(f"| state without the replay | {np.mean(sizes) / 1e6:.1f} MB |")
    print(f"| replay in memory | {replay.nbytes / 1e9:.2f} GB |")
    print(f"| on the disk | {disk / 1e9:.2f} GB |")


def _share(growing: list[float], stalls: list[float], options: argparse.Namespace) -> str:
    return f"{(sum(growing) + sum(stalls)) / (options.transitions / options.rate):.1%}"


if __name__ == "__main__":
    main()
