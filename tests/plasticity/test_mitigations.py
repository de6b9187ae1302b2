"""Mitigations against their definitions."""

import gymnasium as gym
import torch

from agents import DQN, DQNConfig
from plasticity.mitigations import L2Init, L2InitConfig


def test_l2_init_adds_strength_times_the_distance_from_the_start() -> None:
    box, actions = gym.spaces.Box(-1, 1, (4,)), gym.spaces.Discrete(2)
    agent = DQN(box, actions, [0], DQNConfig(hidden=(8,)))
    L2Init(L2InitConfig(strength=0.1)).attach(agent.learners())
    with torch.no_grad():
        for parameter in agent.q.parameters():
            parameter.add_(2.0)
            parameter.grad = torch.full_like(parameter, 1.0)
    agent.optimizer.step()
    for name, parameter in agent.q.named_parameters():
        expected = 1.0 if name.endswith("alpha") else 1.2  # alpha is left alone
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, torch.full_like(parameter, expected))
