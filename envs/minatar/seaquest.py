"""Seaquest, many copies in arrays.

Shots, divers, fish and subs have a cell and a look: their kind, plus 1 if they go to the right.
"""

from __future__ import annotations

import numpy as np

from envs.minatar.cells import FIRE, LEFT, LIT, RIGHT, Array, moves, starts

_OXYGEN = 200
_SHOT, _DIVER, _FISH, _SUB = 0, 2, 4, 6
_GONE, _SPENT = -1, -2  # the cell of a thing that is not there, and of a shot
# For each look and cell, at 102 look + cell: the next cell, the pixel, and that of the trail or,
# where there is no trail, the pixel again.  Entries 100 and 101 are where -2 and -1 lead to.
_look, _cell = np.indices((8, 100))
_way = _look % 2 * 2 - 1
_inside, _trailing = ((_cell % 10 + way) % 10 == _cell % 10 + way for way in (_way, -_way))
_next = np.where(_inside, _cell + _way, np.where(_look < _DIVER, _SPENT, _GONE))
_drawn = 100 * np.array((2, 9, 5, 6))[_look // 2] + _cell
_trail = np.where(_trailing & (_look >= _DIVER), 300 + _cell - _way, _drawn)
_AHEAD, _PIXEL, _TRAIL = (
    np.hstack((table, [[_SPENT, _GONE]] * 8)).ravel() for table in (_next, _drawn, _trail)
)
# A player is its cell, plus 100 if it looks to the right; what it is after action a: at 200 a.
_MOVES = np.tile(moves(0, 8).reshape(6, 1, 100), (1, 2, 1)) + np.array([[0], [100]])
_MOVES[LEFT, 1] -= 100
_MOVES[RIGHT, 0] += 100
_MOVES = _MOVES.ravel()
# Enemies of a copy at once: at the highest rate one comes per step, which leaves within 30 steps;
# those that are still there from a slower time are at most 4.
_ENEMIES = 40
_LAST = 2**40  # added to the ages of subs: of those that are shot at, first fish, then subs
_SEATS = np.tri(7, 9, -1, dtype=np.uint8)[:, ::-1] * LIT  # row k: the last k of nine cells
_AIR = np.tri(11, 10, -1, dtype=np.uint8)[np.arange(202) % 201 // 20] * LIT  # row -1: none


class Seaquest:
    """The copies of the game; it draws the direction, kind and row of what comes.

    Args:
        num_envs: Number of copies N.
        ramping: Whether enemies come and move faster each time that the player surfaces.
    """

    channels = 10  # front, back, shot, trail, bomb, fish, sub, oxygen, divers on board, diver
    draws = 5
    one_start = True

    def __init__(self, num_envs: int, ramping: bool = True) -> None:
        self.num_envs, self.ramping = num_envs, ramping
        self.time = 0
        # The steps from which on the next enemy comes, diver comes, and shot can be fired.
        self.enemy_at, self.diver_at, self.shot_at = np.zeros((3, num_envs), int)
        # pace: the steps from one move of an enemy to the next
        self.player, self.oxygen, self.aboard, self.level, self.pace = np.zeros((5, num_envs), int)
        self.surfaced = np.zeros(num_envs, bool)
        # Two shots, two divers (there cannot be more; the second is the younger), then enemies.
        self.things = np.zeros((5, 4 + _ENEMIES, num_envs), int)
        # The last three, age rank and the steps of the next move and bomb, are of enemies alone.
        self.cell, self.look, self.rank, self.moves_at, self.bomb_at = self.things
        self.shots, self.divers, self.enemies = self.cell[:2], self.cell[2:4], self.cell[4:]
        # Two bombs in one cell that go the same way are one, so a map for each way tells all.
        self.bombs = np.zeros((2, num_envs, 100), bool)
        self.first = np.arange(num_envs) * 100

    def reset(self, which: Array, uniforms: Array) -> None:
        """Starts an episode in the copies ``which``."""
        self.player[which] = 5
        self.oxygen[which], self.surfaced[which] = _OXYGEN, True
        self.aboard[which], self.level[which], self.pace[which] = 0, 0, 6
        self.enemy_at[which], self.diver_at[which] = self.time + 20, self.time + 30
        self.shot_at[which] = self.time
        self.things[..., which], self.shots[:, which] = _GONE, _SPENT
        self.bombs[:, which] = False

    def step(self, actions: Array, uniforms: Array) -> tuple[Array, Array]:
        """Moves every copy; returns rewards and whether the episodes ended, each ``(N,)``."""
        due = (self.enemy_at == self.time).nonzero()[0]
        if len(due):
            self._spawn(due, uniforms[due])
        due = (self.diver_at == self.time).nonzero()[0]
        if len(due):
            self.diver_at[due] += 30
            right = uniforms[due, 3] < 1 / 2
            self._push(slice(2, 4), due, _entry(uniforms[due, 4], right), _DIVER + right)
        due = ((actions == FIRE) & (self.shot_at <= self.time)).nonzero()[0]
        if len(due):
            self.shot_at[due] = self.time + 5
            right, cell = np.divmod(self.player[due], 100)
            self._push(slice(2), due, cell, right)
        self.player = _MOVES.take(200 * actions + self.player)
        at = self.player % 100

        reward, terminated = np.zeros(len(actions)), self.oxygen <= 0
        ahead = _AHEAD.take(self.cell[:4] + 102 * self.look[:4])
        self.shots[:] = ahead[:2]
        self._hit((1, 0), self.enemies, self.rank, reward)
        self._move_divers(at, ahead[2:])
        self._move_enemies(at, reward, terminated)
        self._move_bombs(self.first + at, terminated)

        under = at >= 10
        self.oxygen -= under
        comes_up = (~(under | self.surfaced)).nonzero()[0]
        self.surfaced = ~under
        if len(comes_up):
            self._surface(comes_up, reward, terminated)
        self.time += 1
        return reward, terminated

    def _push(self, slots: slice, which: Array, cell: Array, look: Array) -> None:
        """Adds a shot or diver, younger than the one that may be there."""
        cells, looks = self.cell[slots], self.look[slots]
        move = which[cells[0, which] < 0]
        cells[0, move], looks[0, move] = cells[1, move], looks[1, move]
        cells[1, which], looks[1, which] = cell, look

    def _spawn(self, due: Array, uniforms: Array) -> None:
        """Lets an enemy come, unless others in its row go the other way."""
        self.enemy_at[due] += np.maximum(20 - self.level[due], 1)
        right = uniforms[:, 0] < 1 / 2
        cell = _entry(uniforms[:, 2], right)
        others = self.enemies[:, due]
        against = (others // 10 == cell // 10) & (self.look[4:, due] % 2 != right)
        free = ~against.any(0)
        sub = uniforms[:, 1] < 1 / 3
        look, bomb_at = np.where(sub, _SUB, _FISH) + right, np.where(sub, self.time + 10, -1)
        slot = 4 + others.argmin(0)  # one that is gone
        comes = cell, look, self.time + _LAST * sub, self.time + self.pace[due] - 1, bomb_at
        self.things[:, slot[free], due[free]] = np.array(comes)[:, free]

    def _hit(self, slots: tuple[int, int], cells: Array, rank: Array, reward: Array) -> None:
        """Lets each shot destroy the enemy of the lowest rank in its cell, if there is one."""
        hit = cells == self.shots[:, None]
        if not hit.any():
            return
        for slot in slots:
            hits = hit[slot] & (self.enemies >= 0)  # not hit by the other shot
            which = hits.any(0).nonzero()[0]
            enemy = np.where(hits[:, which], rank[4:, which], 2 * _LAST).argmin(0)
            self.things[:, 4 + enemy, which] = _GONE
            self.shots[slot, which] = _SPENT
            reward[which] += 1

    def _move_divers(self, at: Array, ahead: Array) -> None:
        # Every 6 steps from the one in which they come; they come every 30.
        before = self.divers.copy()
        moving = (self.diver_at - self.time) % 6 == 1
        np.copyto(self.divers, ahead, where=moving)
        met = (before == at) | (self.divers == at)
        if met.any():
            for slot in (1, 0):
                taken = met[slot] & (self.aboard < 6)
                self.divers[slot, taken] = _GONE
                self.aboard += taken

    def _move_enemies(self, at: Array, reward: Array, terminated: Array) -> None:
        """Moves fish and subs, drops the bombs of subs, and destroys what runs into a shot."""
        terminated |= (self.enemies == at).any(0)
        cell, look, _, moves_at, bomb_at = self.things.reshape(5, -1)
        due = (moves_at == self.time).nonzero()[0]
        if len(due):
            copy = due % self.num_envs
            cell[due] = moved = _AHEAD.take(cell[due] + 102 * look[due])
            moves_at[due] += self.pace[copy]
            left = due[moved == _GONE]
            moves_at[left] = bomb_at[left] = -1
            terminated[copy[moved == at[copy]]] = True
        drops = (bomb_at == self.time).nonzero()[0]
        if len(drops):
            bomb_at[drops] += 11
            self.bombs[look[drops] % 2, drops % self.num_envs, cell[drops]] = True
        if len(due) and (moved == self.shots[:, copy]).any():
            # The older shot meets the youngest of those that have moved, subs before fish.
            in_way = np.full_like(self.cell, _GONE)
            in_way.reshape(-1)[due] = moved
            self._hit((0, 1), in_way[4:], -self.rank, reward)

    def _move_bombs(self, at: Array, terminated: Array) -> None:
        left, right = self.bombs.reshape(2, -1)
        terminated |= left.take(at) | right.take(at)
        # All rows at once: what comes in from the row beside lies in a column that is cleared.
        left[:-1] = left[1:]
        right[1:] = right[:-1]
        self.bombs[0, :, 9::10] = self.bombs[1, :, ::10] = False
        terminated |= left.take(at) | right.take(at)

    def _surface(self, which: Array, reward: Array, terminated: Array) -> None:
        """Ends the episode of a player without divers; others go on with full oxygen."""
        empty = self.aboard[which] == 0
        terminated[which[empty]] = True
        which = which[~empty]
        full = self.aboard[which] == 6
        reward[which] += full * (self.oxygen[which] * 10 // _OXYGEN)
        self.oxygen[which] = _OXYGEN
        # As in the game, one leaves a boat that has just been emptied, too.
        self.aboard[which] = np.where(full, 0, self.aboard[which]) - 1
        if self.ramping:
            self.level[which] += 1
            self.pace[which] = np.maximum(6 - self.level[which] // 2, 3)

    def observe(self, out: Array) -> None:
        """Draws the copies into ``out``, zeros ``(N, at least 10, 10, 10)``."""
        flat, start = out.reshape(-1), starts(len(out), out[0].size)
        at = start + self.player % 100
        flat[at] = flat[at + np.where(self.player < 100, 101, 99)] = LIT
        there = (self.cell.reshape(-1) >= 0).nonzero()[0]
        state = self.cell.reshape(-1)[there] + 102 * self.look.reshape(-1)[there]
        start = start[there % self.num_envs]
        flat[start + _PIXEL.take(state)] = flat[start + _TRAIL.take(state)] = LIT
        np.multiply(self.bombs[0] | self.bombs[1], LIT, out=out.reshape(len(out), -1, 100)[:, 4])
        out[:, 7, 9] = _AIR.take(self.oxygen, 0)
        out[:, 8, 9, :9] = _SEATS.take(np.maximum(self.aboard, 0), 0)


def _entry(uniform: Array, right: Array) -> Array:
    """The first cell of a row that is drawn, for a thing that goes to the right or left."""
    return np.asarray(10 * (1 + (8 * uniform).astype(int)) + 9 * ~right)
