"""Asterix, many copies in arrays."""

from __future__ import annotations

import numpy as np

from envs.minatar.cells import LIT, Array, moves, starts

_MOVES = moves(1, 8)
# A thing is its column, plus 10 if it goes to the right, plus 20 if it is gold.
_EMPTY = 40
_X = np.append(np.arange(40) % 10, -1)
_AHEAD = np.append(np.arange(40) + np.where(np.arange(40) % 20 < 10, -1, 1), _EMPTY)
_AHEAD[[0, 20, 19, 39]] = _EMPTY
_IMAGE = np.zeros((41, 3, 10), np.uint8)  # its row in the channels 1 to 3
for _thing in range(40):
    _IMAGE[_thing, _thing // 20 * 2, _X[_thing]] = LIT
    _behind = _X[_thing] + (1 if _thing % 20 < 10 else -1)
    if 0 <= _behind < 10:
        _IMAGE[_thing, 1, _behind] = LIT


class Asterix:
    """The copies of the game; it draws direction, kind and slot of what comes in.

    Args:
        num_envs: Number of copies N.
        ramping: Whether things come and move faster and faster.
    """

    channels = 4  # player, enemy, trail, gold
    draws = 3
    one_start = True

    def __init__(self, num_envs: int, ramping: bool = True) -> None:
        self.ramping = ramping
        self.time = 0
        # The steps in which the next thing comes, things move, the game grows harder.
        self.spawns_at, self.moves_at, self.ramps_at = np.zeros((3, num_envs), int)
        self.player, self.level = np.zeros(num_envs, int), np.zeros(num_envs, int)
        self.things = np.zeros((num_envs, 8), int)  # one for each row from 1 to 8
        self.first = np.arange(num_envs) * 8

    def reset(self, which: Array, uniforms: Array) -> None:
        """Starts an episode in the copies ``which``."""
        self.player[which] = 55
        self.things[which] = _EMPTY
        self.level[which] = 0
        self.spawns_at[which] = self.time + 10
        self.moves_at[which] = self.time + 5
        self.ramps_at[which] = self.time + 101

    def step(self, actions: Array, uniforms: Array) -> tuple[Array, Array]:
        """Moves every copy; returns rewards and whether the episodes ended, each ``(N,)``."""
        due = (self.spawns_at == self.time).nonzero()[0]
        if len(due):
            self._spawn(due, uniforms[due])
        self.player = _MOVES.take(100 * actions + self.player)
        y, x = np.divmod(self.player, 10)
        slot = self.first + y - 1

        # A player meets at most the thing of its own row, before or after that has moved.
        thing = self.things.reshape(-1).take(slot)
        met = _X.take(thing) == x
        due = self.moves_at == self.time
        if due.any():
            self.moves_at += due * np.maximum(5 - self.level // 2, 1)
            self.things = np.where(due[:, None], _AHEAD.take(self.things), self.things)
            met |= _X.take(self.things.reshape(-1).take(slot)) == x
        gold = met & (thing >= 20)
        if gold.any():
            self.things.reshape(-1)[slot[gold]] = _EMPTY

        if self.ramping:
            due = (self.ramps_at == self.time).nonzero()[0]
            if len(due):
                self.level[due] += 1
                self.ramps_at[due] += 102
        self.time += 1
        return gold.astype(float), met > gold

    def _spawn(self, due: Array, uniforms: Array) -> None:
        """Lets a thing come into a free slot of each of these copies, if there is one."""
        self.spawns_at[due] += np.maximum(10 - self.level[due], 1)
        count = (self.things[due] == _EMPTY).cumsum(1)
        free = count[:, -1]
        if not free.all():
            due, uniforms, count, free = (of[free > 0] for of in (due, uniforms, count, free))
        slot = (count > (uniforms[:, 2] * free).astype(int)[:, None]).argmax(1)
        comes = np.where(uniforms[:, 0] < 1 / 2, 10, 9)
        self.things[due, slot] = comes + 20 * (uniforms[:, 1] < 1 / 3)

    def observe(self, out: Array) -> None:
        """Draws the copies into ``out``, zeros ``(N, at least 4, 10, 10)``."""
        out.reshape(-1)[starts(len(out), out[0].size) + self.player] = LIT
        out[:, 1:4, 1:9] = _IMAGE.take(self.things, 0).transpose(0, 2, 1, 3)
