"""Space Invaders, many copies in arrays."""

from __future__ import annotations

import numpy as np

from envs.minatar.cells import FIRE, LIT, Array, sideways, starts

_CELLS = np.arange(100).reshape(10, 10)
_WAVE = ((_CELLS < 40) & (_CELLS % 10 >= 2) & (_CELLS % 10 < 8)).ravel()
_COLUMNS = np.array([sorted(range(10), key=lambda x: abs(x - pos)) for pos in range(10)])
# Where each cell's alien comes from when all move to the left, down, to the right.
_FROM = np.array([np.roll(_CELLS, *by).ravel() for by in ((-1, 1), (1, 0), (1, 1))])


class SpaceInvaders:
    """The copies of the game; it draws nothing.

    Args:
        num_envs: Number of copies N.
        ramping: Whether each new wave is faster.
    """

    channels = 6  # cannon, alien, alien that goes left, right, shot, bomb
    draws = 0
    one_start = True

    def __init__(self, num_envs: int, ramping: bool = True) -> None:
        self.ramping = ramping
        self.aliens, self.shots, self.bombs = np.zeros((3, num_envs, 100), bool)
        # count: of aliens; slowest: most steps between two of their moves
        self.pos, self.count, self.slowest = np.zeros((3, num_envs), int)
        self.shot_timer, self.move_timer, self.bomb_timer = np.zeros((3, num_envs), int)
        self.left = np.zeros(num_envs, bool)
        self.first = np.arange(num_envs) * 100

    def reset(self, which: Array, uniforms: Array) -> None:
        """Starts an episode in the copies ``which``."""
        self.pos[which] = 5
        self.aliens[which], self.count[which] = _WAVE, 24
        self.shots[which] = self.bombs[which] = False
        self.left[which] = True
        self.slowest[which] = self.move_timer[which] = 12
        self.shot_timer[which], self.bomb_timer[which] = 0, 10

    def step(self, actions: Array, uniforms: Array) -> tuple[Array, Array]:
        """Moves every copy; returns rewards and whether the episodes ended, each ``(N,)``."""
        aliens, shots, bombs = (m.reshape(-1) for m in (self.aliens, self.shots, self.bombs))
        fires = (actions == FIRE) & (self.shot_timer == 0)
        self.pos = sideways(actions, self.pos)
        cannon = self.first + 90 + self.pos

        # All copies at once: what comes in from the copy beside lies in a row that is cleared.
        shots[:-10] = shots[10:]
        self.shots[:, 90:] = False
        shots[cannon[fires] - 10] = True
        self.shot_timer[fires] = 5
        bombs[10:] = bombs[:-10]
        self.bombs[:, :10] = False

        terminated = bombs.take(cannon) | aliens.take(cannon)
        due = np.flatnonzero(self.move_timer == 0)
        if len(due):
            terminated[due] |= self._move(due)
        due = np.flatnonzero(self.bomb_timer == 0)
        if len(due):
            self._bomb(due)

        reward = np.zeros(len(actions))
        killed = np.flatnonzero(aliens & shots)
        if len(killed):
            aliens[killed] = shots[killed] = False
            kills = np.bincount(killed // 100, minlength=len(actions))
            self.count -= kills
            reward += kills
        self.shot_timer -= self.shot_timer > 0
        self.move_timer -= 1
        self.bomb_timer -= 1
        if not self.count.all():
            cleared = np.flatnonzero(self.count == 0)
            self.aliens[cleared], self.count[cleared] = _WAVE, 24
            if self.ramping:
                self.slowest[cleared] = np.maximum(self.slowest[cleared] - 1, 6)
        return reward, terminated

    def _move(self, due: Array) -> Array:
        """Moves the aliens of these copies; returns where that ends the episode."""
        self.move_timer[due] = np.minimum(self.count[due], self.slowest[due])
        aliens, left = self.aliens[due], self.left[due]
        edge = np.where(left, aliens[:, ::10].any(1), aliens[:, 9::10].any(1))
        landed = edge & aliens[:, 90:].any(1)
        way = np.where(edge, 1, np.where(left, 0, 2))
        self.aliens[due] = moved = np.take_along_axis(aliens, _FROM[way], 1)
        self.left[due] = left ^ edge
        hit: Array = moved[np.arange(len(due)), 90 + self.pos[due]]
        return landed | hit

    def _bomb(self, due: Array) -> None:
        """Drops a bomb from the lowest alien of the nearest column."""
        self.bomb_timer[due] = 10
        k = np.arange(len(due))
        aliens = self.aliens[due].reshape(-1, 10, 10)
        columns = _COLUMNS[self.pos[due]]
        full = np.asarray(aliens.any(1))
        x = columns[k, full[k[:, None], columns].argmax(1)]
        y = 9 - aliens[k, ::-1, x].argmax(1)
        self.bombs[due, 10 * y + x] = True

    def observe(self, out: Array) -> None:
        """Draws the copies into ``out``, zeros ``(N, at least 6, 10, 10)``."""
        out.reshape(-1)[starts(len(out), out[0].size) + 90 + self.pos] = LIT
        planes = out.reshape(len(out), -1, 100)
        left = self.left[:, None] * LIT
        for plane, where, value in (
            (1, self.aliens, LIT),
            (2, self.aliens, left),
            (3, self.aliens, ~left),
            (4, self.shots, LIT),
            (5, self.bombs, LIT),
        ):
            np.multiply(where, value, out=planes[:, plane])
