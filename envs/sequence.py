"""Whole environments one after the other, with spaces padded to the widest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from envs.shift import Shift

Env = gym.Env[Any, Any]


class EnvSequence(gym.Env[Any, Any]):
    """Several environments behind one observation and one action space.

    Observations are vectors, padded with zeros behind.  Of discrete actions there are as many as
    the richest environment has; elsewhere a surplus action ``a`` of ``n`` means ``a % n``.
    Continuous actions all lie in [-1, 1] and are mapped to the bounds of the environment; surplus
    components are ignored.

    Args:
        makers: One function for each environment.

    Raises:
        ValueError: If observations are not vectors, or discrete and continuous actions are mixed.
    """

    def __init__(self, makers: Sequence[Callable[[], Env]]) -> None:
        self.envs = [make() for make in makers]
        self.current = self.envs[0]
        observations = [env.observation_space for env in self.envs]
        if not all(isinstance(s, gym.spaces.Box) and len(s.shape) == 1 for s in observations):
            raise ValueError(
                f"a sequence needs vectors as observations. Received {list(map(str, observations))}"
            )
        self.width = max(space.shape[0] for space in observations if space.shape)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (self.width,), np.float32)
        actions = [env.action_space for env in self.envs]
        if all(isinstance(space, gym.spaces.Discrete) for space in actions):
            self.action_space = gym.spaces.Discrete(max(int(s.n) for s in actions))  # type: ignore[attr-defined]  # all are Discrete
        elif all(isinstance(space, gym.spaces.Box) for space in actions):
            size = max(space.shape[0] for space in actions if space.shape)
            self.action_space = gym.spaces.Box(-1.0, 1.0, (size,), np.float32)
        else:
            raise ValueError(
                "a sequence needs actions of one kind, all Discrete or all Box. "
                f"Received {list(map(str, actions))}"
            )

    def select(self, index: int) -> None:
        """Makes environment ``index % len(envs)`` the current one; reset before the next step."""
        self.current = self.envs[index % len(self.envs)]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            # Later tasks are reset without a seed, so all of them get one now.
            for env in self.envs:
                if env is not self.current:
                    env.reset(seed=seed)
        observation, info = self.current.reset(seed=seed, options=options)
        return self._pad(observation), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        space = self.current.action_space
        if isinstance(space, gym.spaces.Discrete):
            action = int(space.start) + int(action) % int(space.n)
        else:
            assert isinstance(space, gym.spaces.Box)
            unit = np.clip(action[: space.shape[0]], -1.0, 1.0)
            action = (space.low + (unit + 1) / 2 * (space.high - space.low)).astype(space.dtype)
        observation, reward, terminated, truncated, info = self.current.step(action)
        return self._pad(observation), float(reward), terminated, truncated, info

    def _pad(self, observation: Any) -> Any:
        padded = np.zeros(self.width, np.float32)
        padded[: len(observation)] = observation
        return padded

    def render(self) -> Any:
        return self.current.render()

    def close(self) -> None:
        for env in self.envs:
            env.close()


class SelectEnv(Shift):
    """Shows environment k of an ``EnvSequence`` in task k."""

    def setup(self, env: Env) -> None:
        if not isinstance(env.unwrapped, EnvSequence):
            raise ValueError(f"SelectEnv needs an EnvSequence. Received {env}")
        self.sequence = env.unwrapped

    def enter(self, task: int, rng: np.random.Generator) -> None:
        self.sequence.select(task)
