"""Agents with one remedy at work, for tests."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch

from agents import DQN, SAC, Agent, Batch, DQNConfig, SACConfig, Seams, Streams
from agents.agent import USUAL
from plasticity.mitigations import Mitigation, MitigationConfig, Mitigations

VECTOR = gym.spaces.Box(-1, 1, (4,))
IMAGE = gym.spaces.Box(0, 255, (2, 10, 10), np.uint8)


def batch(agent: Agent, size: int = 16, seed: int = 0, space: gym.spaces.Box = VECTOR) -> Batch:
    """Random transitions of all seeds of an agent, the same for each seed."""
    num_seeds = next(agent.learners()[n].network for n in agent.learners()).parameters()
    g = torch.Generator().manual_seed(seed)
    shape = (1, size, *space.shape)

    def obs() -> torch.Tensor:
        if space.dtype == np.uint8:
            return torch.randint(256, shape, generator=g, dtype=torch.uint8)
        return torch.randn(shape, generator=g)

    if isinstance(agent, DQN):
        action = torch.randint(agent.num_actions, (1, size), generator=g)
    else:
        action = 2 * torch.rand(1, size, 2, generator=g) - 1
    reward = torch.randn(1, size, generator=g)
    discount = 0.99 * (torch.rand(1, size, generator=g) > 0.2)
    one = Batch(obs(), action, reward, discount, obs())
    count = len(next(iter(num_seeds)))
    return Batch(*(x.expand(count, *x.shape[1:]).clone() for x in one))


def dqn(
    seeds: Any = (0,),
    *,
    space: gym.spaces.Box = VECTOR,
    hidden: tuple[int, ...] = (8, 6),
    activation: str = "relu",
    seams: Seams = USUAL,
    **settings: Any,
) -> DQN:
    """A small DQN with three actions."""
    config = DQNConfig(hidden=hidden, **settings)
    actions = gym.spaces.Discrete(3)
    return DQN(space, actions, list(seeds), config, activation=activation, seams=seams)


def sac(
    seeds: Any = (0,),
    *,
    hidden: tuple[int, ...] = (8, 6),
    activation: str = "relu",
    seams: Seams = USUAL,
    **settings: Any,
) -> SAC:
    """A small SAC with two action components."""
    config = SACConfig(hidden=hidden, **settings)
    actions = gym.spaces.Box(-1, 1, (2,))
    return SAC(VECTOR, actions, list(seeds), config, activation=activation, seams=seams)


def attach(
    agent: Agent, chosen: dict[str, MitigationConfig], space: gym.spaces.Box = VECTOR
) -> Mitigations:
    """Attaches remedies; the replay that they draw from gives random batches."""
    seeds = range(len(batch(agent, 1, space=space).obs))

    def draw(size: int, streams: Streams) -> Batch:
        return batch(agent, size, seed=int(streams.integers(1 << 30, 1)[0]), space=space)

    example = Batch(*(torch.zeros_like(x) for x in batch(agent, 1, space=space)))
    return Mitigations(chosen, agent.learners(), seeds, draw, example)


def at_work(mitigations: Mitigations, key: str) -> Mitigation[Any]:
    """The remedy ``<name>/<network>``."""
    return mitigations.at_work[key]
