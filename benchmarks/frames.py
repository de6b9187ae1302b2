"""What keeping each frame once costs and saves: ``python benchmarks/frames.py > docs/frames.md``.

Random transitions of Atari (observations of 4 x 84 x 84 bytes, four frames stacked) and of MinAtar
(6 x 10 x 10) go to a replay that keeps both observations of each transition whole, and to one that
keeps each frame once.  Times are medians of interleaved rounds, on one thread, of replays much
larger than the caches.  Memory is what the allocations of a million transitions add up to, and by
how much the process really grew for each transition of a replay that was filled.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from agents import Replay
from agents.frames import Frames
from agents.memory import num_bytes
from agents.observations import Pairs

BATCH, ROUNDS, CALLS = 32, 30, 20
ATARI, MINATAR = (4, 84, 84), (6, 10, 10)
EPISODE = 500
CASES = (  # world, shape, frames in a stack, seeds, environments of each
    ("Atari", ATARI, 4, 1, 1),
    ("Atari", ATARI, 4, 10, 1),
    ("MinAtar", MINATAR, 1, 1, 16),
    ("MinAtar", MINATAR, 1, 10, 16),
)


class Filled:
    """A replay that is filled with episodes of 500 steps.

    Args:
        transitions: Of each seed.
        shape: Of an observation.
        depth: Frames that it stacks.
        stack: None: observations are kept whole.
        num_seeds: Number of seeds.
        num_envs: Environments of each.
    """

    def __init__(
        self,
        transitions: int,
        shape: tuple[int, ...],
        depth: int,
        stack: int | None,
        num_seeds: int,
        num_envs: int,
    ) -> None:
        self.replay = Replay(
            transitions, range(num_seeds), num_envs, shape, torch.uint8, (), torch.int64,
            gamma=0.99, stack=stack,
        )  # fmt: skip
        self.columns, self.time, self.first = num_seeds * num_envs, 0, 0
        images = (256, self.columns, shape[0] // depth, *shape[1:])
        self.images = torch.randint(256, images, dtype=torch.uint8)
        self.depth, self.obs = depth, torch.empty(0)
        self.zeros = torch.zeros(self.columns)
        for _ in range(self.replay.length):
            self.add()

    def _stack(self, time: int) -> Tensor:
        """What is seen at a time of the running episode, padded with black at its start."""
        frames = [self.images[t % 256] for t in range(time - self.depth + 1, time + 1)]
        begins = max(self.first - (time - self.depth + 1), 0)
        return torch.cat((*(torch.zeros_like(frames[0]),) * begins, *frames[begins:]), 1)

    def add(self) -> float:
        """Adds one step of all environments; returns its seconds."""
        if self.time % EPISODE == 0:
            self.first, self.obs = self.time, self._stack(self.time)
        self.time += 1
        next_obs, ended = self._stack(self.time), self.zeros + (self.time % EPISODE) == 0
        begin = time.perf_counter()
        self.replay.add(self.obs, self.zeros.long(), self.zeros, next_obs, ended, ended)
        seconds = time.perf_counter() - begin
        self.obs = next_obs
        return seconds

    def sample(self) -> float:
        """Draws a batch; returns its seconds."""
        begin = time.perf_counter()
        self.replay.sample(BATCH)
        return time.perf_counter() - begin


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transitions", type=int, default=20_000, help="of a replay that is timed")
    parser.add_argument("--filled", type=int, default=200_000, help="of one whose memory is read")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("# What keeping each frame once costs and saves\n")
    print(
        f"`python benchmarks/frames.py > docs/frames.md`, {platform.machine()}, torch "
        f"{torch.__version__}, one thread.\n"
    )
    _memory(options.filled)
    _times(options.transitions)


def _memory(filled: int) -> None:
    print("| Atari, one seed | allocated for 1,000,000 | resident growth |")
    print("|---|---|---|")
    size = 1_000_000, 1, ATARI, torch.uint8
    for name, stack, shapes, count in (
        ("whole", None, Pairs.shapes(*size), filled // 8),
        ("each frame once", 4, Frames.shapes(*size, 4, 1), filled),
    ):
        others = 8 + 4 + 1 + 1  # action, reward, two flags
        total = num_bytes(shapes) + 1_000_000 * others
        before = _resident()
        replay = Filled(count, ATARI, 4, stack, 1, 1)
        grown = (_resident() - before) / count
        del replay
        print(f"| {name} | {total / 1e9:.2f} GB | {grown:,.0f} bytes each of {count:,} |")
    print()


def _times(transitions: int) -> None:
    print(f"| microseconds | a step, whole | once | a sample of {BATCH} per seed, whole | once |")
    print("|---|---|---|---|---|")
    for world, shape, depth, seeds, envs in CASES:
        kinds = [
            Filled(transitions // seeds, shape, depth, stack, seeds, envs)
            for stack in (None, depth)
        ]
        calls = [call for kind in kinds for call in (kind.add, kind.sample)]
        whole_add, whole_sample, once_add, once_sample = _medians(calls)
        print(
            f"| {world}, {seeds} x {envs} environments | {whole_add:.0f} | {once_add:.0f} | "
            f"{whole_sample:.0f} | {once_sample:.0f} |"
        )


def _medians(calls: list[Callable[[], float]]) -> list[float]:
    """Returns microseconds of each call."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, found in zip(calls, times, strict=True):
            found += [call() * 1e6 for _ in range(CALLS)]
    return [statistics.median(found) for found in times]


def _resident() -> int:
    """Bytes of memory that the process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
