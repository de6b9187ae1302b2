"""Freeway, many copies in arrays."""

from __future__ import annotations

import numpy as np

from envs.minatar.cells import DOWN, LIT, UP, Array, starts

_ROWS = 10 * np.arange(1, 9)  # the first cells of the lanes


class Freeway:
    """The copies of the game, which never grows harder; it draws the eight cars.

    Args:
        num_envs: Number of copies N.
        ramping: Not used.
    """

    channels = 7  # chicken, car, and the trails of cars that move every 1, ..., 5 steps
    draws = 16
    one_start = False

    def __init__(self, num_envs: int, ramping: bool = True) -> None:
        self.pos, self.wait, self.time = np.zeros((3, num_envs), int)
        # Of the cars: column, steps to the next move, steps between moves, direction.
        self.x, self.timer, self.period, self.way = np.zeros((4, num_envs, 8), int)
        self.first = np.arange(num_envs) * 8

    def reset(self, which: Array, uniforms: Array) -> None:
        """Starts an episode in the copies ``which``."""
        self.pos[which], self.wait[which], self.time[which] = 9, 3, 2500
        self.x[which] = 0
        self._draw_cars(which, uniforms)

    def _draw_cars(self, which: Array, uniforms: Array) -> None:
        drawn = uniforms[which]
        self.period[which] = self.timer[which] = 1 + (5 * drawn[:, :8]).astype(int)
        self.way[which] = np.where(drawn[:, 8:] < 0.5, -1, 1)

    def step(self, actions: Array, uniforms: Array) -> tuple[Array, Array]:
        """Moves every copy; returns rewards and whether the episodes ended, each ``(N,)``."""
        up, down = actions == UP, actions == DOWN
        walks = (up | down) & (self.wait == 0)
        self.wait[walks] = 3
        pos = np.minimum(self.pos + walks * (1 * down - up), 9)
        across = pos == 0
        if across.any():
            self._draw_cars(np.flatnonzero(across), uniforms)
            pos[across] = 9

        # A chicken meets at most the car of its own lane, before or after the car has moved.
        lane = self.first + np.minimum(pos, 8) - 1
        before = self.x.ravel().take(lane)
        moves = self.timer == 0
        self.timer = np.where(moves, self.period, self.timer - 1)
        self.x = (self.x + moves * self.way) % 10
        met = ((before == 4) | (self.x.ravel().take(lane) == 4)) & (pos < 9)
        pos[met] = 9
        self.pos = pos

        self.wait -= self.wait > 0
        self.time -= 1
        return across.astype(float), self.time < 0

    def observe(self, out: Array) -> None:
        """Draws the copies into ``out``, zeros ``(N, at least 7, 10, 10)``."""
        flat, start = out.reshape(-1), starts(len(out), out[0].size)
        flat[start + 10 * self.pos + 4] = LIT
        lanes = start[:, None] + _ROWS
        flat[lanes + 100 + self.x] = LIT
        flat[lanes + 100 * (1 + self.period) + (self.x - self.way) % 10] = LIT
