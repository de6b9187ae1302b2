"""What the games in arrays share: form, random numbers, moves in 10 x 10 cells.

A cell is the number ``10 y + x``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]

LEFT, UP, RIGHT, DOWN, FIRE = range(1, 6)  # 0 does nothing
LIT = np.uint8(255)


class Game(Protocol):
    """N copies of one game.

    ``uniforms`` are ``(N, draws)``, new in each step; a reset after a step may take the same ones,
    since what the step has done with them is gone.

    Attributes:
        channels: Number of channels of an observation.
        draws: Most random numbers that a step or a reset takes.
        one_start: Whether all episodes begin with the same observation.
    """

    channels: int
    draws: int
    one_start: bool

    def __init__(self, num_envs: int, ramping: bool = True) -> None: ...

    def reset(self, which: Array, uniforms: Array) -> None:
        """Starts an episode in the copies ``which``."""

    def step(self, actions: Array, uniforms: Array) -> tuple[Array, Array]:
        """Moves every copy; returns rewards and whether the episodes ended, each ``(N,)``."""

    def observe(self, out: Array) -> None:
        """Draws the copies into ``out``, zeros ``(N, at least channels, 10, 10)``."""


def moves(top: int, bottom: int) -> Array:
    """Returns the cells that lie behind action ``a`` in cell ``c``, at ``100 a + c``.

    Args:
        top: First row that can be entered.
        bottom: Last one.
    """
    x, y = np.tile(np.arange(10), 10), np.repeat(np.arange(10), 10)
    table = np.tile(np.arange(100), (6, 1))
    table[LEFT] -= x > 0
    table[RIGHT] += x < 9
    table[UP] -= 10 * (y > top)
    table[DOWN] += 10 * (y < bottom)
    return table.ravel()


_SIDEWAYS = moves(9, 9).reshape(6, 100)[:, 90:].ravel() - 90


def sideways(actions: Array, x: Array) -> Array:
    """Returns the columns that lie behind the actions where only left and right count."""
    return _SIDEWAYS.take(10 * actions + x)


@cache
def starts(num_envs: int, size: int) -> Array:
    """Returns where each copy begins in a flat array of copies of a size."""
    start = np.arange(num_envs) * size
    start.setflags(write=False)
    return start


class Uniforms:
    """Random numbers in [0, 1): each copy has a generator of its own and takes a row per step.

    Args:
        seeds: A seed for each of N copies.
        draws: Length of a row.
    """

    steps = 512  # that are drawn at once

    def __init__(self, seeds: Sequence[Sequence[int]], draws: int) -> None:
        self.rngs = [np.random.default_rng(seed) for seed in seeds]
        self.block = np.empty((self.steps, len(seeds), draws))
        self.taken = self.steps

    def next(self) -> Array:
        """Returns the rows of the next step, ``(N, draws)``."""
        if self.taken == self.steps:
            self.taken = 0
            for i, rng in enumerate(self.rngs):
                self.block[:, i] = rng.random(self.block[:, i].shape)
        rows: Array = self.block[self.taken]
        self.taken += 1
        return rows
