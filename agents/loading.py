"""A trained agent that acts, from the folder of its run alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from agents.agent import Agent, Array, Seams
from agents.dqn import DQN, DQNConfig
from agents.sac import SAC, SACConfig
from agents.saving import newest
from networks import ACTIVATIONS, AdaLinConfig, Architecture, SimBaConfig
from networks.injected import InjectedHead, inject

KINDS: dict[str, tuple[Any, Any]] = {"dqn": (DQN, DQNConfig), "sac": (SAC, SACConfig)}
LATE = 1 << 62
"""A step at which every exploration schedule has ended."""


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
            deterministic: Whether to take the greedy or mean action; else it explores as at the
                end of training.

        Returns:
            The action, or N actions, and ``state``.

        Raises:
            ValueError: If the observation has another shape.
        """
        obs, shape = np.asarray(observation), self.observation_space.shape
        single = obs.shape == shape
        if not single and obs.shape[1:] != shape:
            raise ValueError(
                f"`observation` should have shape {shape} or (N, *{shape}). Received {obs.shape}"
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
        warnings.warn(f"{problem}; {folder} is taken", stacklevel=2)
    try:
        seeds = list(state["recipe"]["seeds"])
        if seed is not None and seed not in seeds:
            raise ValueError(f"`seed` should be one of {seeds}. Received {seed}")
        at = seeds.index(seed) if seed is not None else 0
        return _made(state["recipe"], state["agent"], at, device)
    except (KeyError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        problem = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{folder} is not the state of an agent: {problem}") from error


def _made(
    made_of: Mapping[str, Any], state: Mapping[str, Any], at: int, device: torch.device | str
) -> Trained:
    kind, settings = KINDS[made_of["agent"]]
    # Nothing in a recipe may be larger than what was saved.
    largest = max(tensor.numel() for tensor in _tensors(state))
    for number in _numbers([made_of["architectures"], made_of["action_space"]]):
        if number > largest:
            raise ValueError(f"a network of {number} units does not fit the saved weights")
    architectures = {name: _architecture(a) for name, a in made_of["architectures"].items()}
    spaces = _space(made_of["observation_space"]), _space(made_of["action_space"])
    seed = int(made_of["seeds"][at])
    agent: Agent = kind(
        *spaces,
        [seed],
        settings(**{name: _tuple(value) for name, value in made_of["settings"].items()}),
        seams=Seams(architecture=lambda name, _: architectures[name]),
        device=device,
    )
    for name, learner in agent.learners().items():
        if name in made_of["injected"]:
            inject(learner.network, made_of["injected"][name], dict(_named(learner.network)))
        _take(learner.network, state[name], at)
    assert isinstance(spaces[0], gym.spaces.Box)  # else the agent had refused it
    return Trained(agent, seed, (spaces[0], spaces[1]))


def _take(network: nn.Module, saved: Mapping[str, Any], at: int) -> None:
    """Loads the weights of one seed; generators of noise are for training alone."""
    own = network.state_dict()
    weights = {}
    for name, value in saved.items():
        if name.endswith("_extra_state"):
            continue
        weights[name] = value if value.shape == own[name].shape else value[at : at + 1]
    missing = network.load_state_dict(weights, strict=False).missing_keys
    if any(not name.endswith("_extra_state") for name in missing):
        raise KeyError(*missing)


def _named(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return ((name, parameter.detach().clone()) for name, parameter in network.named_parameters())


def _architecture(made_of: Mapping[str, Any]) -> Architecture:
    if made_of["activation"] not in ACTIVATIONS:
        raise ValueError(f"there is no activation {made_of['activation']!r}")
    simba = made_of["simba"]
    own = {
        "hidden": _tuple(made_of["hidden"]),
        "adalin": AdaLinConfig(**made_of["adalin"]),
        "simba": SimBaConfig(**simba) if simba else None,
    }
    return Architecture(**{**made_of, **own})


def _described(space: gym.Space[Any]) -> dict[str, Any]:
    if isinstance(space, gym.spaces.Discrete):
        return {"n": int(space.n), "start": int(space.start)}
    assert isinstance(space, gym.spaces.Box)
    bounds = {
        "low": torch.from_numpy(space.low.copy()),
        "high": torch.from_numpy(space.high.copy()),
    }
    return {"dtype": str(space.dtype), **bounds}


def _space(described: Mapping[str, Any]) -> gym.Space[Any]:
    if "n" in described:
        return gym.spaces.Discrete(described["n"], start=described["start"])
    low, high = described["low"].numpy(), described["high"].numpy()
    return gym.spaces.Box(low, high, dtype=np.dtype(described["dtype"]).type)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _tensors(state: Mapping[Any, Any]) -> Iterator[Tensor]:
    for value in state.values():
        if isinstance(value, dict):
            yield from _tensors(value)
        elif isinstance(value, Tensor):
            yield value


def _numbers(value: Any) -> Iterator[int]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, int):
        yield value
