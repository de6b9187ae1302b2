"""How many updates one call does."""

from __future__ import annotations

from collections.abc import Mapping

from agents import Learner
from configs import Config

MOST = 4
"""More take longer to compile, and save little more."""
LEAST_UPDATES = 200_000
"""Of a run.  In a shorter one the calls that are saved do not make up for compiling more."""
MOST_PRODUCTS = 2_000_000
"""Multiplications of a forward pass of all networks.  Where there are more, a call costs little."""


def together(config: Config, learners: Mapping[str, Learner]) -> int:
    """Returns the number of updates in one compiled call.

    A call of compiled code takes as long as an update of a small network itself: docs/speed.md has
    DQN with and without ``--dqn.learn-every 4``.  What is learned is the same.

    Args:
        config: Settings of the run.
        learners: The networks.
    """
    agent = config.agent_config
    turn = round(max(config.num_envs, agent.learn_every) * agent.replay_ratio)
    weights = sum(p.numel() for one in learners.values() for p in one.network.parameters())
    if config.updates < LEAST_UPDATES or weights * agent.batch_size > MOST_PRODUCTS:
        return 1
    return max(min(turn, MOST), 1)
