"""What a shift is, and the wrapper that applies shifts on a lifetime clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from envs.schedules import Phase, Schedule


class Shift:
    """One kind of change of an environment.

    A subclass overrides what it changes.  ``enter`` prepares the shift for a task and may draw from
    ``rng``.  That generator is seeded by (seed, position of the shift) alone and starts anew at
    each call: a shift that draws its tasks draws all of them up to ``task``, in order.  So the k-th
    task of a seed is the same whenever it is shown, and may depend on the ones before it.
    """

    def setup(self, env: gym.Env[Any, Any]) -> None:
        """Looks at the environment once, before the first task; raises if it does not fit."""

    def enter(self, task: int, rng: np.random.Generator) -> None:
        """Prepares for task ``task``."""

    def observation_space(self, space: gym.Space[Any]) -> gym.Space[Any]:
        """Returns the space of shifted observations."""
        return space

    def observation(self, observation: Any) -> Any:
        """Changes what the agent sees."""
        return observation

    def action(self, action: Any) -> Any:
        """Changes what the agent does."""
        return action

    def reward(self, reward: float) -> float:
        """Changes what the agent is paid."""
        return reward


class Continual(gym.Wrapper[Any, Any, Any, Any]):
    """An environment whose task changes on a lifetime clock.

    The clock counts steps over all episodes.  When it reaches the end of a phase, the running
    episode is truncated (the last transition still belongs to the old task) and the new task begins
    with the reset.  ``info`` holds ``task`` and ``visit``; of an episode that a change cut short,
    the last one also holds ``cut`` = True.

    Args:
        env: The environment to change.
        schedule: When the task changes.
        shifts: What changes; the first one is nearest to ``env``.
        seed: Seed of the tasks.
        start_step: Lifetime step to begin at.
        stride: Steps that the clock advances per step: the number of parallel copies that share one
            lifetime.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        schedule: Schedule,
        shifts: Sequence[Shift],
        *,
        seed: int = 0,
        start_step: int = 0,
        stride: int = 1,
    ) -> None:
        super().__init__(env)
        self.schedule = schedule
        self.shifts = tuple(shifts)
        self.seed = seed
        self.clock = start_step
        self.stride = stride
        space = env.observation_space
        for shift in self.shifts:
            shift.setup(env)
            space = shift.observation_space(space)
        self.observation_space = space
        # Most shifts change one thing: the others cost nothing per step.
        self._observation_shifts = [s for s in self.shifts if _overrides(s, "observation")]
        self._action_shifts = [s for s in reversed(self.shifts) if _overrides(s, "action")]
        self._reward_shifts = [s for s in self.shifts if _overrides(s, "reward")]
        self.phase = self._enter()
        self.made_by = env.spec

    @property
    def spec(self) -> EnvSpec | None:  # type: ignore[override]  # as gym.Wrapper itself does
        """What ``gymnasium.make`` needs to make this environment again."""
        return self.made_by

    def _enter(self) -> Phase:
        phase = self.schedule.at(self.clock)
        for position, shift in enumerate(self.shifts):
            shift.enter(phase.task, np.random.default_rng((self.seed, position)))
        return phase

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        if self.clock >= self.phase.end:
            self.phase = self._enter()
        observation, info = self.env.reset(seed=seed, options=options)
        for shift in self._observation_shifts:
            observation = shift.observation(observation)
        info["task"], info["visit"], _ = self.phase
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        for shift in self._action_shifts:
            action = shift.action(action)
        observation, reward, terminated, truncated, info = self.env.step(action)
        for shift in self._observation_shifts:
            observation = shift.observation(observation)
        scalar = float(reward)
        for shift in self._reward_shifts:
            scalar = shift.reward(scalar)
        self.clock += self.stride
        info["task"], info["visit"], end = self.phase
        if self.clock >= end and not (terminated or truncated):
            truncated = info["cut"] = True
        return observation, scalar, terminated, truncated, info


def _overrides(shift: Shift, method: str) -> bool:
    return getattr(type(shift), method) is not getattr(Shift, method)


def nth_permutation(task: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draws the permutation of ``size`` things for ``task``: the identity for task 0, and never the
    one of the task before, so that every switch changes something (if ``size`` is above 1).
    """
    permutation = np.arange(size)
    for _ in range(task):
        before = permutation
        while size > 1 and np.array_equal(permutation, before):
            permutation = rng.permutation(size)
    return permutation
