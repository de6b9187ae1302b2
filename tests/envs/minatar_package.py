"""The games of the package, fed with given random numbers, and players that get far in them."""

from typing import Any

import numpy as np

from envs.minatar import MinAtar

LEFT, UP, RIGHT, DOWN, FIRE = range(1, 6)


class Fed:
    """Random numbers for a game of the package, from a row that the arrays take as well."""

    def __init__(self) -> None:
        self.row, self.at = np.empty(0), 0

    def _next(self, count: int) -> Any:
        self.at += count
        return self.row[self.at - count : self.at]

    def skip_to(self, at: int) -> Any:
        self.at = at

    def rand(self, size: int | None = None) -> Any:
        return self._next(1)[0] if size is None else self._next(size)

    def randint(self, low: int, high: int | None = None, size: int | None = None) -> Any:
        low, high = (0, low) if high is None else (low, high)
        drawn = (low + self._next(size or 1) * (high - low)).astype(int)
        return drawn if size else int(drawn[0])


class Single:
    """One copy of the package's game that takes its random numbers from rows."""

    def __init__(self, game: str, ramping: bool) -> None:
        self.env, self.fed = MinAtar(game, ramping=ramping), Fed()
        self.game: Any = self.env.game.env
        self.env.game.random = self.game.random = self.fed
        if game == "Seaquest":
            # The numbers of a diver come after those of an enemy, also where none comes.
            spawn = self.game._spawn_diver
            self.game._spawn_diver = lambda: self.fed.skip_to(4) or spawn()

    def reset(self, row: Any) -> Any:
        self.fed.row, self.fed.at = row, 1
        return self.env.reset()[0]

    def step(self, action: int, row: Any) -> Any:
        self.fed.row, self.fed.at = row, 0
        return self.env.step(action)[:3]


def toward(goal: int, at: int, less: int, more: int) -> int:
    return less if goal < at else more if goal > at else 0


def breakout(g: Any, rng: Any) -> int:
    """Goes where the ball will be at the floor."""
    x, dx = g.ball_x, 1 if g.ball_dir in (1, 2) else -1
    for _ in range(9 - g.ball_y - int(rng.random() < 0.3) if g.ball_dir in (2, 3) else 0):
        x += dx
        if not 0 <= x <= 9:
            x, dx = min(max(x, 0), 9), -dx
    return toward(x, g.pos, LEFT, RIGHT)


def space_invaders(g: Any, rng: Any) -> int:
    """Dodges bombs, fires, else goes under an alien."""
    bombs = g.e_bullet_map[6:9].any(0)
    if bombs[g.pos]:
        return LEFT if g.pos > 0 and (g.pos == 9 or not bombs[g.pos - 1]) else RIGHT
    if g.shot_timer == 0 and g.alien_map[:, g.pos].any():
        return FIRE
    columns = np.flatnonzero(g.alien_map.any(0))
    return toward(columns[np.abs(columns - g.pos).argmin()], g.pos, LEFT, RIGHT)


def freeway(g: Any, rng: Any) -> int:
    """Goes up, which most cars let it."""
    return UP


def asterix(g: Any, rng: Any) -> int:
    """Leaves a row that an enemy comes through, else goes for gold."""
    things = [e for e in g.entities if e]
    near = {e[1] for e in things if not e[3] and abs(e[0] - g.player_x) <= 2}
    gold = [e for e in things if e[3] and e[1] not in near]
    y = g.player_y
    if y in near or (gold and y != gold[0][1]):
        goal = gold[0][1] if gold else 4
        ways = sorted((y - 1, y + 1), key=lambda to: (to in near, not 1 <= to <= 8, abs(to - goal)))
        return 0 if ways[0] in near and y not in near else UP if ways[0] < y else DOWN
    return toward(gold[0][0], g.player_x, LEFT, RIGHT) if gold else 0


def seaquest(g: Any, rng: Any) -> int:
    """Surfaces in time or with six divers, fetches divers, dodges and shoots."""
    x, y = g.sub_x, g.sub_y
    if y == 0 and g.ramp_index >= 20 and rng.random() < 0.98:
        return 0  # where nothing comes, until it is full below
    enemies = [e[:2] for e in g.e_fish + g.e_subs] + [[b[0], b[1]] for b in g.e_bullets]
    near = {e[1] for e in enemies if abs(e[0] - x) <= 2}
    if g.diver_count and (
        g.diver_count == 6 or g.oxygen < 20 + 2 * y or y == 0 == g.ramp_index % 3
    ):
        return UP if y > 0 else DOWN
    facing = [e for e in enemies if e[1] == y and (e[0] > x) == g.sub_or and e[0] != x]
    if facing and g.shot_timer == 0:
        return FIRE
    if y in near:
        return UP if y > 1 and y - 1 not in near else DOWN if y < 8 else int(rng.integers(6))
    if g.divers and g.diver_count < 6:
        goal = g.divers[0]
        if goal[1] != y and y + (1 if goal[1] > y else -1) not in near:
            return toward(goal[1], y, UP, DOWN)
        return toward(goal[0], x, LEFT, RIGHT)
    others = [e for e in enemies if e[1] == y]
    return toward(others[0][0], x, LEFT, RIGHT) if others else toward(4, y, UP, DOWN)


PLAYERS: dict[str, Any] = {
    "Asterix": asterix,
    "Breakout": breakout,
    "Freeway": freeway,
    "Seaquest": seaquest,
    "SpaceInvaders": space_invaders,
}


def deepen(game: str, g: Any, arrays: Any, i: int, rng: Any) -> None:
    """Puts both into a state that is far in a game."""
    if game in ("Breakout", "SpaceInvaders"):  # few are left
        cells = g.brick_map if game == "Breakout" else g.alien_map
        cells[rng.random((10, 10)) < 0.9] = 0
        cells[2, 4] = 1
        if game == "Breakout":
            arrays.bricks[i], arrays.left[i] = cells.ravel() == 1, cells.sum()
        else:
            arrays.aliens[i], arrays.count[i] = cells.ravel() == 1, cells.sum()
    elif game == "Asterix":
        g.spawn_speed, g.move_speed, g.ramp_index, arrays.level[i] = 1, 1, 10, 10
    elif game == "Seaquest":
        g.e_spawn_speed, g.move_speed, g.ramp_index, arrays.level[i] = 1, 2, 20, 20
        arrays.pace[i] = 3
        g.diver_count = arrays.aboard[i] = int(rng.integers(-1, 7))
        g.oxygen = arrays.oxygen[i] = int(rng.integers(1, 201))
