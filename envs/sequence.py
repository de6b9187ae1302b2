"""Whole environments one after the other, with spaces padded to the widest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from envs.shift import Shift, brief

Env = gym.Env[Any, Any]


class EnvSequence(gym.Env[Any, Any]):
    """Several environments behind one observation and one action space.

    Vectors are padded with zeros behind, images (C, H, W) of one size with channels of zeros.  Of
    discrete actions there are as many as the richest environment has; elsewhere a surplus action
    ``a`` of ``n`` means ``a % n``, and ``action_masks`` tells which are surplus.  Continuous
    actions all lie in [-1, 1] and are mapped to the bounds of the environment; surplus components
    are ignored.

    Args:
        makers: One function for each environment.

    Raises:
        ValueError: If observations are not all vectors or all images of one size, or discrete and
            continuous actions are mixed.
    """

    def __init__(self, makers: Sequence[Callable[[], Env]]) -> None:
        self.envs = [make() for make in makers]
        self.current = self.envs[0]
        self.observation_space = _common_observations([env.observation_space for env in self.envs])
        self.action_space = _common_actions([env.action_space for env in self.envs])
        self.metadata = self.current.metadata
        self.render_mode = self.current.render_mode
        self.seed: int | None = None
        self.unseeded: list[Env] = []

    def select(self, index: int) -> None:
        """Makes environment ``index % len(envs)`` the current one; reset before the next step."""
        self.current = self.envs[index % len(self.envs)]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            # Later environments are reset without a seed: each takes this one at its first reset.
            self.seed, self.unseeded = seed, list(self.envs)
        if self.current in self.unseeded:
            self.unseeded.remove(self.current)
            seed = self.seed
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

    def action_masks(self) -> np.ndarray:
        """Returns which discrete actions the current environment has, for sb3-contrib."""
        space, own = self.action_space, self.current.action_space
        if not isinstance(space, gym.spaces.Discrete) or not isinstance(own, gym.spaces.Discrete):
            raise ValueError(f"only discrete actions have masks. Received {brief(own)}")
        return np.arange(int(space.n)) < int(own.n)

    def _pad(self, observation: Any) -> Any:
        space = self.observation_space
        if observation.shape == space.shape:
            return observation.astype(space.dtype, copy=False)
        padded = np.zeros(space.shape or (), space.dtype)
        padded[: len(observation)] = observation
        return padded

    def render(self) -> Any:
        return self.current.render()

    def close(self) -> None:
        for env in self.envs:
            env.close()


def _common_observations(spaces: Sequence[gym.Space[Any]]) -> gym.spaces.Box:
    shapes = [space.shape or () for space in spaces]
    boxes = [space for space in spaces if isinstance(space, gym.spaces.Box)]
    same_size = len({shape[1:] for shape in shapes}) == 1 and len(shapes[0]) in (1, 3)
    if len(boxes) < len(spaces) or not same_size:
        raise ValueError(
            "a sequence needs observations that are all vectors, or all images of one size. "
            f"Received {', '.join(map(brief, spaces))}"
        )
    shape = (max(shape[0] for shape in shapes), *shapes[0][1:])
    if len(shape) == 3 and {box.dtype for box in boxes} == {np.dtype(np.uint8)}:
        return gym.spaces.Box(0, 255, shape, np.uint8)
    return gym.spaces.Box(-np.inf, np.inf, shape, np.float32)


def _common_actions(spaces: Sequence[gym.Space[Any]]) -> gym.Space[Any]:
    if all(isinstance(space, gym.spaces.Discrete) for space in spaces):
        return gym.spaces.Discrete(max(int(s.n) for s in spaces))  # type: ignore[attr-defined]  # all are Discrete
    if all(isinstance(space, gym.spaces.Box) and len(space.shape) == 1 for space in spaces):
        size = max(space.shape[0] for space in spaces if space.shape)
        return gym.spaces.Box(-1.0, 1.0, (size,), np.float32)
    raise ValueError(
        "a sequence needs actions of one kind, all Discrete or all Box. "
        f"Received {', '.join(map(brief, spaces))}"
    )


class SelectEnv(Shift):
    """Shows environment k of an ``EnvSequence`` in task k."""

    midway = False

    def setup(self, env: Env) -> None:
        if not isinstance(env.unwrapped, EnvSequence):
            raise ValueError(f"SelectEnv needs an EnvSequence. Received {brief(env)}")
        self.sequence = env.unwrapped

    def enter(self, task: int, rng: np.random.Generator) -> None:
        self.sequence.select(task)
