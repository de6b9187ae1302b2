"""Breakout, many copies in arrays."""

from __future__ import annotations

import numpy as np

from envs.minatar.cells import LIT, Array, sideways, starts


class Breakout:
    """The copies of the game; it draws only where the ball starts, and never grows harder.

    Args:
        num_envs: Number of copies N.
        ramping: Not used.
    """

    channels = 4  # paddle, ball, trail, brick
    draws = 1
    one_start = False

    def __init__(self, num_envs: int, ramping: bool = True) -> None:
        self.pos, self.x, self.y, self.dx, self.dy, self.last_x, self.last_y, self.left = np.zeros(
            (8, num_envs), int
        )
        self.bricks = np.zeros((num_envs, 100), bool)
        self.struck = np.zeros(num_envs, bool)
        self.first = np.arange(num_envs) * 100

    def reset(self, which: Array, uniforms: Array) -> None:
        """Starts an episode in the copies ``which``."""
        right = uniforms[which, 0] >= 0.5
        self.pos[which] = 4
        self.x[which] = self.last_x[which] = np.where(right, 9, 0)
        self.y[which] = self.last_y[which] = 3
        self.dx[which], self.dy[which] = np.where(right, -1, 1), 1
        self.struck[which] = False
        self._fill(which)

    def _fill(self, which: Array) -> None:
        self.bricks[which] = False
        self.bricks[which, 10:40] = True
        self.left[which] = 30

    def step(self, actions: Array, uniforms: Array) -> tuple[Array, Array]:
        """Moves every copy; returns rewards and whether the episodes ended, each ``(N,)``."""
        self.pos = pos = sideways(actions, self.pos)
        x, y = self.x + self.dx, self.y + self.dy
        side = (x < 0) | (x > 9)
        x = np.where(side, self.x, x)
        # Above the top this looks into row 9 of the copy before, which has no bricks.
        cell = self.first + 10 * y + x
        hit = self.bricks.ravel().take(cell)
        breaks = hit > self.struck  # a ball breaks no two bricks in a row
        self.struck = hit
        back = (y < 0) | breaks
        floor = y == 9
        terminated = floor
        if floor.any():
            empty = np.flatnonzero(floor & (self.left == 0))
            if len(empty):
                self._fill(empty)
            under = floor & (self.x == pos)
            edge = (floor & (x == pos)) > under  # the ball comes in beside the paddle
            side ^= edge
            back |= under | edge
            terminated = floor > back
        if breaks.any():
            self.bricks.ravel()[cell[breaks]] = False
            self.left -= breaks
        self.dx, self.dy = np.where(side, -self.dx, self.dx), np.where(back, -self.dy, self.dy)
        self.last_x, self.last_y = self.x, self.y
        self.x, self.y = x, np.where(back, self.y, y)
        return breaks.astype(float), terminated

    def observe(self, out: Array) -> None:
        """Draws the copies into ``out``, zeros ``(N, at least 4, 10, 10)``."""
        flat, start = out.reshape(-1), starts(len(out), out[0].size)
        flat[start + 90 + self.pos] = LIT
        flat[start + 100 + 10 * self.y + self.x] = LIT
        flat[start + 200 + 10 * self.last_y + self.last_x] = LIT
        np.multiply(self.bricks.reshape(-1, 10, 10), LIT, out=out[:, 3])
