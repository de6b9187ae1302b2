"""One remedy that works on one network, without a trainer, for tests."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import torch
from torch import Tensor

from agents import DQN, Agent, Batch, Streams
from plasticity.mitigations import Mitigation, Subject
from plasticity.mitigations.attach import born_again
from tests.plasticity.subjects import VECTOR


def draw(agent: Agent, size: int, streams: Streams, space: gym.spaces.Box = VECTOR) -> Batch:
    """Random transitions, of each seed from its own stream."""

    def obs() -> Tensor:
        if space.dtype == "uint8":
            return streams.integers(256, size, *space.shape).to(torch.uint8)
        return streams.normal(size, *space.shape)

    discrete = isinstance(agent, DQN)
    action = streams.integers(3, size) if discrete else 2 * streams.uniform(size, 2) - 1
    reward = streams.normal(size)
    return Batch(obs(), action, reward, torch.full_like(reward, 0.99), obs())


def subject_of(
    agent: Agent,
    seeds: Any = (0,),
    network: str = "",
    space: gym.spaces.Box = VECTOR,
    batches: list[Batch] | None = None,
) -> Subject:
    """A network of an agent; the batches that the remedy draws are put into the list."""
    learners = agent.learners()
    name = network or next(iter(learners))

    def drawn(size: int, streams: Streams) -> Batch:
        batch = draw(agent, size, streams, space)
        if batches is not None:
            batches.append(batch)
        return batch

    zeros = Batch(*(torch.zeros_like(x) for x in draw(agent, 1, Streams(seeds, "zeros"), space)))
    streams = Streams(seeds, "remedy")
    return Subject(name, learners[name], streams, drawn, zeros, born_again)


def learn(
    agent: Agent,
    streams: Streams,
    updates: int,
    remedy: Mitigation[Any] | None = None,
    space: gym.spaces.Box = VECTOR,
) -> None:
    """Updates an agent, and lets a remedy operate after each of its ``every`` updates."""
    for update in range(1, updates + 1):
        agent.update(draw(agent, 16, streams, space))
        if remedy is not None and update % getattr(remedy.config, "every", 1) == 0:
            remedy.operate()


def state_of(agent: Agent) -> dict[str, Tensor]:
    """Copies of all parameters and moments of an agent by ``<network>/<parameter>[/moment]``."""
    state = {}
    for name, learner in agent.learners().items():
        for path, parameter in learner.network.named_parameters():
            state[f"{name}/{path}"] = parameter.detach().clone()
            for moment, value in learner.optimizer.state[parameter].items():
                state[f"{name}/{path}/{moment}"] = value.clone()
        if learner.target is not None:
            for path, parameter in learner.target.named_parameters():
                state[f"{name} target/{path}"] = parameter.detach().clone()
    return state
