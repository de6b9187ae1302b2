"""A trained agent that acts, from the folder of its run alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from agents.agent import Agent, Array, Seams
from agents.dqn import DQN, DQNConfig
from agents.sac import SAC, SACConfig
from agents.saving import newest
from agents.untrusted import NoMoreThan, typed
from networks import ACTIVATIONS, Architecture
from networks.injected import InjectedHead, inject

KINDS: dict[str, tuple[Any, Any]] = {"dqn": (DQN, DQNConfig), "sac": (SAC, SACConfig)}
LATE = 1 << 62
"""A step at which every exploration schedule has ended."""


@dataclass(frozen=True)
class BoxSpace:
    """A Box, its bounds as tensors."""

    low: Tensor
    high: Tensor
    dtype: str


@dataclass(frozen=True)
class DiscreteSpace:
    """A Discrete space."""

    n: int
    start: int


@dataclass(frozen=True)
class Recipe:
    """What ``recipe`` returns, as it is read again."""

    agent: Literal["dqn", "sac"]
    settings: dict[str, Any]
    architectures: dict[str, Architecture]
    injected: dict[str, int]
    """Layers of the heads that plasticity-injection has injected, by network."""
    observation_space: BoxSpace
    action_space: BoxSpace | DiscreteSpace
    seeds: tuple[int, ...]


def recipe(
    name: str,
    agent: Agent,
    spaces: tuple[gym.Space[Any], gym.Space[Any]],
    seeds: Sequence[int],
) -> dict[str, Any]:
    """Returns all that is needed to make an agent again: tensors and what JSON can hold.

    Args:
        name: Its name in ``AGENTS``.
        agent: The agent.
        spaces: Of one observation and of one action.
        seeds: Its seeds.
    """
    heads = {n: getattr(learner.network, "head", None) for n, learner in agent.learners().items()}
    return {
        "agent": name,
        "settings": asdict(agent.config),
        "architectures": {n: asdict(made) for n, made in agent.architectures.items()},
        "injected": {n: len(h.trained) for n, h in heads.items() if isinstance(h, InjectedHead)},
        "observation_space": _described(spaces[0]),
        "action_space": _described(spaces[1]),
        "seeds": [int(seed) for seed in seeds],
    }


class Trained:
    """One seed of a trained agent.

    Attributes:
        agent: The agent, with that seed alone.
        seed: The seed.
        observation_space: Space of one observation.
        action_space: Space of one action.
    """

    def __init__(self, agent: Agent, seed: int, spaces: tuple[gym.spaces.Box, gym.Space[Any]]):
        self.agent, self.seed = agent, seed
        self.observation_space, self.action_space = spaces

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Array, Any]:
        """Chooses actions, as the models of stable-baselines3 do.

        Args:
            observation: One ``(...)``, or those of N environments ``(N, ...)``.
            state: Is returned as it is: the agent has no memory.
            episode_start: Is not used.
            deterministic: Whether to take the greedy or mean action; else it explores: DQN by
                ``epsilon_end``, SAC by what its policy draws.

        Returns:
            The action, or N actions, and ``state``.

        Raises:
            ValueError: If the observation has another shape.
        """
        space = self.observation_space
        obs, shape = np.asarray(observation, space.dtype), space.shape
        single = obs.shape == shape
        if not single and obs.shape[1:] != shape:
            many = f"(N, {', '.join(map(str, shape))})"
            raise ValueError(
                f"`observation` should have shape {shape} or {many}. Received {obs.shape}"
            )
        obs = obs[None, None] if single else obs[None]  # (S, N, ...)
        actions = self.agent.act(obs, LATE, explore=not deterministic)[0]
        return (actions[0] if single else actions), state


def load(
    run_dir: str | Path, *, seed: int | None = None, device: torch.device | str = "cpu"
) -> Trained:
    """Makes the trained agent of a run from its newest sound checkpoint; no code in it is run.

    Args:
        run_dir: Folder of the run.
        seed: One of its seeds; default: the first.
        device: Where the networks are to be.

    Raises:
        ValueError: If there is no sound checkpoint, it is of no agent, or it has no such seed.
    """
    folder, state, problems = newest(Path(run_dir) / "checkpoint")
    for problem in problems:
        warnings.warn(f"{problem}; {folder} is used instead", stacklevel=2)
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise ValueError(f"`device` should be one of this machine. Received {device}") from None
    try:
        made_of: Recipe = typed(Recipe, state["recipe"])
        first = made_of.seeds[0]
        if seed is None or seed in made_of.seeds:
            return _made(made_of, state["agent"], first if seed is None else int(seed), device)
    except Exception as error:  # a stranger's file may bring about any
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        problem = " ".join(f"{kind}{error}".split())
        raise ValueError(f"{folder} is not the state of an agent: {problem}") from error
    raise ValueError(f"`seed` should be one of {list(made_of.seeds)}. Received {seed}")


def _made(
    made_of: Recipe, state: Mapping[str, Any], seed: int, device: torch.device | str
) -> Trained:
    kind, settings = KINDS[made_of.agent]
    for name, architecture in made_of.architectures.items():
        if architecture.activation not in ACTIVATIONS:
            raise ValueError(
                f"there is no activation {architecture.activation[:40]!r} (network {name})"
            )
    observations, actions = _box(made_of.observation_space), _space(made_of.action_space)
    with NoMoreThan(state):
        agent: Agent = kind(
            observations,
            actions,
            [seed],
            typed(settings, made_of.settings, "settings"),
            seams=Seams(architecture=lambda name, _: made_of.architectures[name]),
            device=device,
        )
    for name in sorted({*made_of.architectures, *made_of.injected} - agent.architectures.keys()):
        raise ValueError(f"agent {made_of.agent} has no network called {name[:40]!r}")
    for name, learner in agent.learners().items():
        if name in made_of.injected:
            inject(learner.network, made_of.injected[name], dict(_named(learner.network)))
        _take(learner.network, state[name], made_of.seeds, seed)
    return Trained(agent, seed, (observations, actions))


def _take(network: nn.Module, saved: Mapping[str, Any], seeds: Sequence[int], seed: int) -> None:
    """Loads the weights of one seed; generators of noise are for training alone."""
    own, saved = _weights(network.state_dict()), _weights(saved)
    for name in sorted(own.keys() ^ saved.keys()):
        raise ValueError(f"recipe and weights do not agree on {name}")
    at = seeds.index(seed)
    for name, weight in own.items():
        rows, shape = saved[name], (len(seeds), *weight.shape[1:])
        if (rows.shape, rows.dtype) != (shape, weight.dtype):
            raise ValueError(
                f"{name} should be {weight.dtype} of shape {shape}. "
                f"Received {rows.dtype} of {tuple(rows.shape)}"
            )
    network.load_state_dict({name: saved[name][at : at + 1] for name in own}, strict=False)


def _weights(state: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not name.endswith("_extra_state")}


def _named(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return ((name, parameter.detach().clone()) for name, parameter in network.named_parameters())


def _described(space: gym.Space[Any]) -> dict[str, Any]:
    if isinstance(space, gym.spaces.Discrete):
        return {"n": int(space.n), "start": int(space.start)}
    assert isinstance(space, gym.spaces.Box)
    bounds = {
        "low": torch.from_numpy(space.low.copy()),
        "high": torch.from_numpy(space.high.copy()),
    }
    return {"dtype": str(space.dtype), **bounds}


def _space(described: BoxSpace | DiscreteSpace) -> gym.Space[Any]:
    if isinstance(described, BoxSpace):
        return _box(described)
    return gym.spaces.Discrete(described.n, start=described.start)


def _box(described: BoxSpace) -> gym.spaces.Box:
    low, high = described.low.numpy(), described.high.numpy()
    return gym.spaces.Box(low, high, dtype=np.dtype(described.dtype).type)
