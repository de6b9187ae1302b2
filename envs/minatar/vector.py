"""Many copies of MinAtar games at once, stepped by array operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from envs.minatar import check_game
from envs.minatar.asterix import Asterix
from envs.minatar.breakout import Breakout
from envs.minatar.cells import Array, Game, Uniforms
from envs.minatar.freeway import Freeway
from envs.minatar.seaquest import Seaquest
from envs.minatar.space_invaders import SpaceInvaders
from envs.schedules import Schedule, Stationary

MAX_STEPS = 10_000  # of an episode, as the registry has it


ARRAYS: dict[str, type[Game]] = {
    game.__name__: game for game in (Asterix, Breakout, Freeway, Seaquest, SpaceInvaders)
}


class MinAtarVector(VectorEnv[Any, Any, Any]):
    """Copies of games that follow one another on a lifetime clock, all in arrays.

    It is what copies of ``envs.make`` side by side are, but for random numbers: each copy draws
    from a generator of its own, a row of numbers per step whether they are needed or not, so that
    nothing of one copy depends on the others.  The generators begin anew with each phase, seeded by
    (seed, task, visit).  Ended episodes are reset in the same step.

    Args:
        games: ``MinAtar/...-v0`` ids; task k is game ``k % len(games)``.
        num_envs: Number of copies of all seeds together.
        schedule: When the game changes, which truncates the running episodes.
        start_step: Lifetime step to begin at.
        stride: Steps that the clock advances per step.
        sticky: Probability that the last action is repeated instead.
        ramping: Whether the games grow harder with time.

    Raises:
        ValueError: If there is no such game.
    """

    # Array operations cost about the same for few copies as for many.  Beside one game at a time
    # (docs/minatar.md) 16 copies are 1.6 (Seaquest) to 6.5 times as fast, 8 are 1.0 to 3.6.  It is
    # the copies of one seed that count: what a seed does may not depend on the number of seeds.
    least_copies = 16
    settings = {"ramping", "sticky"}

    def __init__(
        self,
        games: Sequence[str],
        num_envs: int,
        schedule: Schedule,
        *,
        start_step: int = 0,
        stride: int = 1,
        sticky: float = 0.1,
        ramping: bool = True,
    ) -> None:
        self.games = [game.removeprefix("MinAtar/").removesuffix("-v0") for game in games]
        for game in self.games:
            check_game(game)
        if not 0 <= sticky <= 1:
            raise ValueError(f"`sticky` should be between 0 and 1. Received {sticky}")
        self.num_envs = num_envs
        self.schedule, self.clock, self.stride = schedule, start_step, stride
        self.sticky, self.ramping = sticky, ramping
        self.metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}
        shape = (max(ARRAYS[game].channels for game in self.games), 10, 10)
        self._shape = (num_envs, *shape)
        self.single_observation_space = gym.spaces.Box(0, 255, shape, np.uint8)
        self.single_action_space = gym.spaces.Discrete(6)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.seeds: list[int] = []
        self.last_action, self.length = np.zeros(num_envs, int), np.zeros(num_envs, int)
        self._all = np.ones(num_envs, bool)
        self._enter()

    def _enter(self) -> None:
        """Makes the game that the schedule shows; its generators are made at the reset."""
        self.phase = self.schedule.at(self.clock)
        name = self.games[self.phase.task % len(self.games)]
        self.game = ARRAYS[name](self.num_envs, self.ramping)
        self.numbers: Uniforms | None = None

    def show(self, task: int) -> None:
        """Stays at task ``task`` from the next reset on."""
        self.schedule = Stationary(task)
        self._enter()

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        if self.clock >= self.phase.end:
            self._enter()
        if options:
            raise ValueError(f"the native vector of MinAtar takes no options. Received {options}")
        if isinstance(seed, int | np.integer):
            seed = range(int(seed), int(seed) + self.num_envs)
        if seed is not None:
            if len(seed) != self.num_envs:
                raise ValueError(f"there should be {self.num_envs} seeds. Received {len(seed)}")
            self.seeds, self.numbers = [int(s) for s in seed], None
        elif not self.seeds:
            self.seeds = np.random.SeedSequence().generate_state(self.num_envs).tolist()
        return self._begin(), self._task(self._all)

    def _begin(self) -> Array:
        """Starts episodes in all copies and returns what they look like."""
        if self.numbers is None:
            seeds = [(seed, self.phase.task, self.phase.visit) for seed in self.seeds]
            self.numbers = Uniforms(seeds, 1 + self.game.draws)
        self.uniforms = self.numbers.next()
        self._restart(self._all)
        observation = self._observe()
        self._start = observation[0].copy()
        return observation

    def _restart(self, which: Array) -> None:
        which = which.nonzero()[0]
        self.game.reset(which, self.uniforms[:, 1:])
        self.length[which] = self.last_action[which] = 0

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        assert self.numbers is not None, "reset comes before step"
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or actions.min() < 0 or actions.max() > 5:
            raise ValueError(
                f"there should be {self.num_envs} actions from 0 to 5. Received {actions.tolist()}"
            )
        self.uniforms = self.numbers.next()
        np.copyto(self.last_action, actions, where=self.uniforms[:, 0] >= self.sticky)
        reward, terminated = self.game.step(self.last_action, self.uniforms[:, 1:])
        self.clock += self.stride
        self.length += 1
        truncated = self.length >= MAX_STEPS
        ended = terminated | truncated
        observation = self._observe()
        switches = self.clock >= self.phase.end
        if not (switches or ended.any()):
            return observation, reward, terminated, truncated, self._task(self._all)
        final_info = {}
        if switches:
            if not ended.all():
                final_info["cut"] = final_info["_cut"] = ~ended
                truncated |= ~ended
            ended = self._all.copy()
        final_info |= self._task(ended)
        final_obs = np.full(self.num_envs, None)
        for i in ended.nonzero()[0]:
            final_obs[i] = observation[i].copy()  # an object each
        if switches:
            self._enter()
            observation = self._begin()
        else:
            self._restart(ended)
            if self.game.one_start:
                observation[ended] = self._start
            else:
                observation = self._observe()
        infos = {"final_obs": final_obs, "final_info": final_info, **self._task(self._all)}
        infos["_final_obs"] = infos["_final_info"] = ended
        return observation, reward, terminated, truncated, infos

    def _observe(self) -> Array:
        out = np.zeros(self._shape, np.uint8)
        self.game.observe(out)
        return out

    def _task(self, of: Array) -> dict[str, Any]:
        """What the copies ``of`` say of the task."""
        task, visit = of * self.phase.task, of * self.phase.visit
        return {"task": task, "_task": of.copy(), "visit": visit, "_visit": of.copy()}
