"""How many updates one call does."""

from __future__ import annotations

from collections.abc import Mapping

from agents import Learner
from configs import Config

MOST = 4
"""More take longer to compile, and save little more."""
LEAST_UPDATES = 200_000
"""Of a run: four small updates take some 20 seconds longer to compile than one does."""
MOST_PRODUCTS = 2_000_000
"""Multiplications of a forward pass, on a CPU.  Where there are more, a call costs little."""


def together(config: Config, learners: Mapping[str, Learner]) -> int:
    """Returns the number of updates in one compiled call.

    A call of compiled code takes 0.1 to 0.3 ms, as long as an update of a small network itself:
    compare a step of ``--dqn.learn-every 4`` with one that has a call of its own in docs/speed.md.
    What is learned is the same.

    Args:
        config: Settings of the run.
        learners: The networks.
    """
    agent = config.agent_config
    turn = round(max(config.num_envs, agent.learn_every) * agent.replay_ratio)
    networks = [learner.network for learner in learners.values()]
    weights = sum(p.numel() for network in networks for p in network.parameters())
    small = weights * agent.batch_size <= MOST_PRODUCTS
    on_gpu = any(p.is_cuda for network in networks for p in network.parameters())
    if config.updates < LEAST_UPDATES or not (small or on_gpu):
        return 1
    return max(min(turn, MOST), 1)
