"""The probe: right numbers from the right outputs, and no trace left."""

import copy

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

from agents import DQN, SAC, Batch, DQNConfig, SACConfig
from networks.torsos import Layer
from plasticity import Probe
from plasticity.probe import layer_names

BOX = gym.spaces.Box(-1, 1, (4,))


def dqn(activation: str) -> DQN:
    config = DQNConfig(hidden=(8, 6))
    return DQN(BOX, gym.spaces.Discrete(2), [0, 1], config, activation=activation)


def batch(agent: DQN | SAC) -> Batch:
    g = torch.Generator().manual_seed(1)
    obs = torch.randn(2, 16, 4, generator=g)
    action = torch.zeros(2, 16, dtype=torch.int64) if isinstance(agent, DQN) else obs[..., :2]
    return Batch(obs, action, torch.zeros(2, 16), torch.zeros(2, 16), obs)


def test_pooled_dormant_fraction_is_numpys_on_the_output_of_the_activation() -> None:
    agent = dqn("adalin-tanh")
    with torch.no_grad():
        first = agent.q.torso.dense.layer_1
        assert isinstance(first, Layer)
        first.weights.weight[0, :3] = 0  # three silent units of seed 0
        first.weights.bias[0, :3] = 0
    rows = Probe().measure(agent.learners(), batch(agent))
    x = batch(agent).obs[0].numpy()
    dormant, units = 0, 0
    for layer in agent.q.torso.dense:
        w, b = (t.detach()[0].numpy() for t in layer.weights.parameters())  # type: ignore[union-attr]
        x = np.tanh(x @ w.T + b)  # alpha is 0
        score = np.abs(x).mean(0) / np.abs(x).mean()
        dormant, units = dormant + int((score <= 0.1).sum()), units + len(score)
    assert rows["plasticity/q/dormant_fraction@0.1"][0].item() == pytest.approx(dormant / units)
    assert rows["plasticity/q/dormant_fraction@0/layer_1"][0].item() == pytest.approx(3 / 8)


def test_values_and_change_since_the_last_probe() -> None:
    agent, probe = dqn("relu"), Probe()
    rows = probe.measure(agent.learners(), batch(agent))
    best = agent.q(batch(agent).obs).max(-1).values
    torch.testing.assert_close(rows["plasticity/q/q_mean"], best.mean(-1).double())
    torch.testing.assert_close(rows["plasticity/q/q_max"], best.amax(-1).double())
    assert "plasticity/q/weight_change" not in rows
    with torch.no_grad():
        for parameter in agent.q.parameters():
            parameter.add_(0.5)
    rows = probe.measure(agent.learners(), batch(agent))
    assert rows["plasticity/q/weight_change"].tolist() == pytest.approx([0.5, 0.5])


def test_sac_has_rows_for_actor_and_critic_with_one_value_per_seed() -> None:
    agent = SAC(BOX, gym.spaces.Box(-1, 1, (2,)), [0, 1], SACConfig(hidden=(8, 8)))
    rows = Probe().measure(agent.learners(), batch(agent))
    assert {name.split("/")[1] for name in rows} == {"actor", "critic"}
    assert "adalin/critic/layer_2/alpha_mean" in rows
    assert all(value.shape == (2,) for value in rows.values())


def test_probing_changes_nothing() -> None:
    agent = dqn("adalin-relu")
    before = copy.deepcopy(agent.state_dict())
    Probe().measure(agent.learners(), batch(agent))
    for key, value in agent.state_dict()["q"].items():
        assert torch.equal(value, before["q"][key])
    for i, state in agent.state_dict()["exploration"].items():
        assert torch.equal(state, before["exploration"][i])
    layers = [m for m in agent.q.modules() if isinstance(m, Layer)]
    assert not any(layer.activation._forward_hooks for layer in layers)


class Block(nn.Module):
    """PyTorch's own layers: one activation for two of them, and images of one and three axes."""

    def __init__(self, convolution: type[nn.Conv1d] | type[nn.Conv3d]) -> None:
        super().__init__()
        self.first = convolution(2, 7, 1)
        self.second = convolution(7, 7, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.relu(self.second(self.relu(self.first(x))))
        return out


@pytest.mark.parametrize(("convolution", "axes"), [(nn.Conv1d, 1), (nn.Conv3d, 3)])
def test_units_of_pytorchs_own_layers_are_channels_and_each_call_counts(
    convolution: type[nn.Conv1d] | type[nn.Conv3d], axes: int
) -> None:
    block = Block(convolution)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.fill_(1)
        block.first.bias[:3] = -9  # type: ignore[index]  # there is a bias
    rows = Probe().network("net", block, (torch.rand(5, 2, *(4,) * axes),))
    assert rows["plasticity/net/dead_fraction/relu"].tolist() == pytest.approx([3 / 7])
    assert rows["plasticity/net/dead_fraction/relu#2"].tolist() == [0]
    assert rows["plasticity/net/linear_fraction/relu#2"].tolist() == [0]


def test_layers_of_the_same_name_keep_their_paths() -> None:
    assert layer_names(["a.layer_1.weights", "b.layer_1.weights", "head"], ".weights") == [
        "a.layer_1.weights",
        "b.layer_1.weights",
        "head",
    ]
