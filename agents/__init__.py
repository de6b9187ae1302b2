"""What learns: DQN and SAC, each for many seeds side by side, and their replay."""

from collections.abc import Callable

from agents.agent import Agent, Batch, Learner, Seams, Streams
from agents.dqn import DQN, DQNConfig
from agents.loading import Trained, load, recipe
from agents.replay import Replay
from agents.sac import SAC, SACConfig

AGENTS: dict[str, Callable[..., Agent]] = {"dqn": DQN, "sac": SAC}
"""Agents by name; each takes (observation_space, action_space, seeds, config, **options)."""

__all__ = [
    "AGENTS",
    "DQN",
    "SAC",
    "Agent",
    "Batch",
    "DQNConfig",
    "Learner",
    "Replay",
    "SACConfig",
    "Seams",
    "Streams",
    "Trained",
    "load",
    "recipe",
]
