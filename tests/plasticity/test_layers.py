"""Who comes before a hidden layer and who reads its units, in all kinds of networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional as F

from agents import Seams, Streams
from networks import Architecture, SimBaConfig, make_classifier
from networks.activations import Elementwise
from networks.layers import Conv2d, Linear
from networks.norms import BatchNorm, GroupNorm, LayerNorm
from networks.sb3 import policy
from plasticity.layers import activations, captured, layer_names, lead_of, weight_layers
from plasticity.wiring import Hidden, Reader, hidden_layers
from tests.plasticity.remedies import draw, subject_of
from tests.plasticity.subjects import IMAGE, dqn, sac


def paths(network: nn.Module, hidden: tuple[Hidden, ...]) -> dict[str, list[str]]:
    """Paths of the weights of each hidden layer, and of those that read it."""
    at = {module: path for path, module in network.named_modules()}
    return {h.name: [at[h.weights], *(at[r.weights] for r in h.readers)] for h in hidden}


def check_readers(network: nn.Module, inputs: tuple[Any, ...], hidden: tuple[Hidden, ...]) -> None:
    """Adds 1 to what a unit puts out: exactly the inputs of its columns change."""

    def received(reader: Reader) -> Tensor:
        """The inputs of a reader, ``(N, I, ...)``."""
        seen: list[Tensor] = []
        handle = reader.weights.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        with torch.no_grad():
            network(*inputs)
        handle.remove()
        return seen[0].flatten(0, len(lead_of(reader.weights)))

    for layer in hidden:
        for unit in range(layer.num_units):
            mask = torch.zeros(*lead_of(layer.weights), layer.num_units, dtype=torch.bool)
            mask[..., unit] = True
            for reader in layer.readers:
                before = received(reader)
                handle = layer.activation.module.register_forward_hook(louder(layer, unit))
                changed = (received(reader) != before).transpose(0, 1).flatten(1).any(1)
                handle.remove()
                columns = reader.columns(mask).flatten(0, len(lead_of(reader.weights)))
                assert torch.equal(columns.transpose(0, 1).flatten(1).any(1), changed)
                assert changed.any()


def louder(layer: Hidden, unit: int) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    """A hook that adds 1 to all that a unit puts out."""

    def add(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        axis = layer.activation.dim
        chosen = torch.arange(output.shape[axis]) % layer.num_units == unit
        return output + chosen.view(-1, *(1,) * (-1 - axis)).to(output)

    return add


def of_agent(agent: Any, network: str = "", space: Any = None) -> tuple[nn.Module, Any, Any]:
    kwargs = {} if space is None else {"space": space}
    subject = subject_of(agent, (0, 1), network, **kwargs)
    inputs = subject.learner.inputs
    assert inputs is not None
    return subject.network, inputs(draw(agent, 3, Streams((0, 1), "x"), **kwargs)), subject.hidden


CONV, FIRST, SECOND = "conv_1", "layer_1", "layer_2"


@pytest.mark.parametrize("activation", ["relu", "adalin-tanh", "crelu", "rational"])
@pytest.mark.parametrize("dueling", [False, True])
def test_dense_layers_of_dqn(activation: str, dueling: bool) -> None:
    network, inputs, hidden = of_agent(dqn((0, 1), activation=activation, dueling=dueling))
    assert paths(network, hidden) == {
        FIRST: ["torso.dense.layer_1.weights", "torso.dense.layer_2.weights"],
        SECOND: ["torso.dense.layer_2.weights", "head"],
    }
    check_readers(network, inputs, hidden)


@pytest.mark.parametrize("activation", ["relu", "crelu"])
def test_channels_of_a_convolution_in_front_of_a_dense_layer(activation: str) -> None:
    agent = dqn((0, 1), space=IMAGE, activation=activation)
    network, inputs, hidden = of_agent(agent, space=IMAGE)
    assert paths(network, hidden)[CONV] == [
        "torso.convolutions.conv_1.weights",
        "torso.dense.layer_1.weights",
    ]
    check_readers(network, inputs, hidden)
    # Channel by channel, 8 x 8 positions each; of CReLU all positive outputs come first.
    once = np.repeat(np.arange(16), 64).tolist()
    (reader,) = hidden[0].readers
    assert reader.unit.tolist() == (once * 2 if activation == "crelu" else once)
    mask = torch.zeros(2, 16, dtype=torch.bool)
    mask[1, 3] = True
    columns = reader.columns(mask)
    assert columns.shape == (2, 1, len(reader.unit))
    chosen = [c for c in range(len(reader.unit)) if once[c % 1024] == 3]
    assert columns[1, 0].nonzero().flatten().tolist() == chosen
    assert not columns[0].any()


def test_twin_critics_read_their_actions_apart() -> None:
    network, inputs, hidden = of_agent(sac((0, 1)), "critic")
    assert paths(network, hidden)[FIRST][1:] == ["torso.dense.layer_2.weights"]
    check_readers(network, inputs, hidden)

    # A convolution in front of actions that join behind it.
    class Critic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act = nn.Conv2d(1, 2, 2), nn.ReLU()
            self.layer, self.head = nn.Linear(3 + 2 * 4, 5), nn.Linear(5, 1)
            self.last = nn.ReLU()

        def forward(self, x: Tensor, action: Tensor) -> Tensor:
            x = torch.cat((action, self.act(self.conv(x)).flatten(1)), 1)
            out: Tensor = self.head(self.last(self.layer(x)))
            return out

    critic = Critic()
    inputs = (torch.randn(2, 1, 3, 3), torch.rand(2, 3))
    hidden = hidden_layers(critic, inputs)
    assert hidden[0].readers[0].unit.tolist() == [-1] * 3 + [0] * 4 + [1] * 4
    check_readers(critic, inputs, hidden)


def test_two_heads_and_pooling() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act, self.pool = nn.Conv2d(1, 3, 1), nn.ReLU(), nn.AvgPool2d(3)
            self.mean, self.std = nn.Linear(3 * 4, 2), nn.Linear(3 * 4, 2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            x = self.pool(self.act(self.conv(x))).flatten(1)
            return self.mean(x), self.std(x)

    net = Net()
    inputs = (torch.randn(2, 1, 6, 6),)
    hidden = hidden_layers(net, inputs)
    assert paths(net, hidden) == {"act": ["conv", "mean", "std"]}
    check_readers(net, inputs, hidden)


def test_simba() -> None:
    def simba(_: str, usual: Architecture) -> Architecture:
        return replace(usual, simba=SimBaConfig(2, 6))

    network, inputs, hidden = of_agent(dqn((0, 1), seams=Seams(architecture=simba)))
    blocks = [f"torso.blocks.block_{i}" for i in (1, 2)]
    assert list(paths(network, hidden).values()) == [
        [f"{block}.hidden.weights", f"{block}.projection"] for block in blocks
    ]
    check_readers(network, inputs, hidden)
    # The norm in front of the weights is not one of the units behind.
    assert [h.norm for h in hidden] == [None, None]


def test_only_a_norm_behind_the_weights_belongs_to_the_units() -> None:
    lead = (2,)
    before, between = LayerNorm(5, lead), LayerNorm(5, lead)
    body = nn.Sequential(before, Linear(5, 5, lead), between, nn.ReLU(), Linear(5, 1, lead))
    (layer,) = hidden_layers(body, (torch.randn(2, 3, 5),))
    assert layer.norm is between
    body = nn.Sequential(before, Linear(5, 5, lead), nn.ReLU(), Linear(5, 1, lead))
    (layer,) = hidden_layers(body, (torch.randn(2, 3, 5),))
    assert layer.norm is None


@pytest.mark.parametrize("activation", ["relu", "crelu"])
def test_max_pooling_between_channels_and_readers(activation: str) -> None:
    network = make_classifier("cnn", (2, 16, 20), 3, 2, Architecture((6,), activation))
    inputs = (torch.randn(2, 3, 2, 16, 20),)
    hidden = hidden_layers(network, inputs)
    convolutions, dense = "torso.convolutions.conv_", "torso.dense.layer_1.weights"
    assert paths(network, hidden) == {
        CONV: [f"{convolutions}1.weights", f"{convolutions}2.weights"],
        "conv_2": [f"{convolutions}2.weights", dense],
        FIRST: [dense, "head"],
    }
    # Of 16 x 20 pixels 1 x 2 positions are left.
    once = np.repeat(np.arange(16), 2).tolist()
    copies = 2 if activation == "crelu" else 1
    assert hidden[1].readers[0].unit.tolist() == once * copies
    check_readers(network, inputs, hidden)


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("activation", ["relu", "crelu"])
def test_residual_networks_are_refused(activation: str, norm: Any) -> None:
    architecture = Architecture((), activation)
    network = make_classifier("resnet-18", (1, 8, 8), 3, 2, architecture, norm=norm, width=4)
    with pytest.raises(ValueError, match="stage_1.block_1.activation_2 are sums .* residual"):
        hidden_layers(network, (torch.randn(2, 3, 1, 8, 8),))


@pytest.mark.parametrize("norm", [BatchNorm(5, (2,)), GroupNorm(5, 5, (2,))])
def test_norms_of_convolutions_belong_to_their_channels(norm: nn.Module) -> None:
    body = nn.Sequential(
        *(Conv2d(1, 5, 2, 1, (2,), before_norm=True), norm, Elementwise("relu", -3, (2,))),
        *(nn.Flatten(2), Linear(20, 3, (2,))),
    )
    (layer,) = hidden_layers(body, (torch.randn(2, 3, 1, 3, 3),))
    assert layer.norm is norm
    assert [tuple(p.shape) for p in layer.own_parameters()] == [(2, 5, 1, 2, 2), (2, 5), (2, 5)]


def test_parameters_of_single_units() -> None:
    def own(activation: str, **changes: Any) -> list[tuple[int, ...]]:
        seams = Seams(architecture=lambda _, usual: replace(usual, **changes))
        _, _, hidden = of_agent(dqn((0, 1), activation=activation, seams=seams))
        return [tuple(p.shape) for p in hidden[0].own_parameters()]

    dense = [(2, 8, 4), (2, 8)]
    assert own("relu") == dense
    assert own("adalin-relu") == [*dense, (2, 8)]
    assert own("prelu-layer") == dense  # one alpha for all
    assert own("rational") == dense
    assert own("adalin-relu", layer_norm=True) == [*dense, (2, 8), (2, 8), (2, 8)]
    body = nn.Sequential(nn.Conv2d(1, 3, 2), nn.LayerNorm((3, 2, 2)), nn.ReLU(), nn.Flatten())
    (layer,) = hidden_layers(nn.Sequential(body, nn.Linear(12, 1)), (torch.zeros(1, 1, 3, 3),))
    assert [tuple(p.shape) for p in layer.own_parameters()] == [(3, 1, 2, 2), (3,)] + [
        (3, 2, 2)
    ] * 2


class Env(gym.Env[Any, Any]):
    """Spaces for SB3; it is never stepped."""

    def __init__(self, obs: spaces.Space[Any], action: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = obs, action


BIG = spaces.Box(0, 255, (1, 36, 36), np.uint8)
FLAT = spaces.Box(-1, 1, (4,))
ACTIONS = spaces.Box(-1, 1, (2,))


@pytest.mark.parametrize("adalin", [False, True])
def test_convolutions_of_sb3(adalin: bool) -> None:
    kind = policy("dqn", "CnnPolicy") if adalin else "CnnPolicy"
    model = sb3.DQN(
        kind,
        Env(BIG, spaces.Discrete(3)),
        buffer_size=1,
        policy_kwargs={"net_arch": [6]},
        device="cpu",
    )
    q = model.q_net
    inputs = (torch.randint(256, (2, 1, 36, 36), dtype=torch.uint8),)
    hidden = hidden_layers(q, inputs)
    cnn = "features_extractor.cnn"
    assert list(paths(q, hidden).values()) == [
        [f"{cnn}.0", f"{cnn}.2"],
        [f"{cnn}.2", f"{cnn}.4"],
        [f"{cnn}.4", "features_extractor.linear.0"],
        ["features_extractor.linear.0", "q_net.0"],
        ["q_net.0", "q_net.2"],
    ]
    assert all(lead_of(h.weights) == () for h in hidden)
    assert hidden[2].readers[0].unit.tolist() == list(range(64))  # one position is left
    check_readers(q, inputs, hidden)


@pytest.mark.parametrize("adalin", [False, True])
@pytest.mark.parametrize("name", ["sac", "td3"])
def test_actors_and_critics_of_sb3(name: str, adalin: bool) -> None:
    kind = policy(name) if adalin else "MlpPolicy"
    algorithm = getattr(sb3, name.upper())
    net = {"net_arch": [6, 5]}
    model = algorithm(kind, Env(FLAT, ACTIONS), buffer_size=1, policy_kwargs=net, device="cpu")
    obs, action = torch.randn(3, 4), torch.rand(3, 2)
    critic = model.critic
    hidden = hidden_layers(critic, (obs, action))
    assert list(paths(critic, hidden).values()) == [
        [f"qf{i}.{layer}", f"qf{i}.{layer + 2}"] for i in (0, 1) for layer in (0, 2)
    ]
    check_readers(critic, (obs, action), hidden)
    actor = model.actor
    inputs = (obs, True) if name == "sac" else (obs,)
    hidden = hidden_layers(actor, inputs)
    # The tanh that bounds the actions of TD3 is an output.
    heads = ["mu", "log_std"] if name == "sac" else ["mu.4"]
    body = "latent_pi" if name == "sac" else "mu"
    assert list(paths(actor, hidden).values()) == [
        [f"{body}.0", f"{body}.2"],
        [f"{body}.2", *heads],
    ]
    check_readers(actor, inputs, hidden)


def test_nothing_is_changed_or_drawn() -> None:
    body = [nn.Linear(4, 3), nn.ReLU(), nn.Dropout(), nn.Linear(3, 1)]
    network = nn.Sequential(nn.BatchNorm1d(4), *body)
    network[1].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    inputs = (torch.randn(7, 4),)
    kept, random = inputs[0].clone(), torch.get_rng_state()
    (layer,) = hidden_layers(network, inputs)
    assert layer.num_units == 3
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(inputs[0], kept)
    assert [module.training for module in network.modules()] == modes
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.grad is None for p in network.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


class Summed(nn.Module):
    """A skip connection around the activation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.head = nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        out: Tensor = self.head(h + self.act(h))
        return out


class Gated(nn.Module):
    """A product of units, and one unit that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.head = nn.Linear(4, 4), nn.ReLU(), nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.first(x))
        out: Tensor = self.head(h[:, :3]) * h[:, 3:].sigmoid()
        return out


class Functional(nn.Module):
    """Weights that are no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act = nn.Linear(4, 4), nn.ReLU()
        self.matrix = nn.Parameter(torch.ones(4, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.softplus(self.act(self.first(x)) @ self.matrix)


class Bypassed(nn.Module):
    """An activation of the observations, beside a hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(4, 4), nn.Linear(8, 1)
        self.act, self.raw = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(torch.cat((self.act(self.first(x)), self.raw(x)), 1))
        return out


class Residual(nn.Module):
    """Units of two activations in one sum, which is normalised or not."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1)
        self.inner, self.act, self.norm = nn.ReLU(), nn.ReLU(), norm

    def forward(self, x: Tensor) -> Tensor:
        h = self.inner(self.first(x))
        out: Tensor = self.head(self.act(self.norm(h + self.second(h))))
        return out


class Projected(nn.Module):
    """Two weight layers in one sum, which is normalised or not."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1)
        self.act, self.norm = nn.ReLU(), norm

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.act(self.norm(self.first(x) + self.second(x))))
        return out


ACT = nn.ReLU()
SUMS = "the units of layer act are sums that other weights or units reach, too"


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.LayerNorm(4), nn.Linear(4, 1)),
            "the outgoing weights of layer 1 were not found",
        ),
        (Summed(), "the outgoing weights of layer act were not found"),
        (Gated(), "the outgoing weights of layer act were not found"),
        (Bypassed(), "the incoming weights of layer raw were not found"),
        (Functional(), "the outgoing weights of layer act were not found"),
        *(
            (kind(norm), SUMS)
            for kind in (Residual, Projected)
            for norm in (nn.Identity(), nn.LayerNorm(4), nn.BatchNorm1d(4), nn.GroupNorm(2, 4))
        ),
        (
            nn.Sequential(nn.ReLU(), nn.Linear(4, 1)),
            "the incoming weights of layer 0 were not found.* of 4 units is called just before it",
        ),
        (
            nn.Sequential(nn.Linear(4, 2), nn.ReflectionPad1d(1), nn.ReLU(), nn.Linear(4, 1)),
            "the incoming weights of layer 2 were not found.* of 4 units is called just before it",
        ),
        (
            nn.Sequential(nn.Linear(4, 4), ACT, nn.Linear(4, 4), ACT, nn.Linear(4, 1)),
            "layer 1 is called more than once, so its units are not clear",
        ),
    ],
)
def test_layers_that_cant_be_followed_are_named(network: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hidden_layers(network, (torch.zeros(2, 4),))


def test_convolutions_in_groups_are_refused() -> None:
    body = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1, groups=2), nn.Flatten())
    with pytest.raises(ValueError, match="weights of layer 1 can't be told apart: .* in groups"):
        hidden_layers(body, (torch.zeros(1, 1, 2, 2),))


def test_names_and_axes() -> None:
    assert layer_names(["a.x.weights", "b.y.weights", "head"], ".weights") == ["x", "y", "head"]
    assert layer_names(["a.x.weights", "b.x.weights"], ".weights") == ["a.x.weights", "b.x.weights"]
    agent = sac((0, 1), hidden=(3,))
    assert list(weight_layers(agent.critic)) == [FIRST, "head"]
    assert [lead_of(m) for m in weight_layers(agent.critic).values()] == [(2, 2)] * 2
    body = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3), nn.Tanh())
    assert [w.dim for w in activations(body).values()] == [-3, -1]


def test_scores_are_of_all_outputs_and_positions_of_a_unit() -> None:
    agent = dqn((0, 1), space=IMAGE, hidden=(3,), activation="crelu")
    conv, dense = activations(agent.q).values()
    x = torch.randn(2, 5, 32, 8, 8)
    both = x.view(2, 5, 2, 16, 8, 8).abs().mean((1, 4, 5)).sum(1)
    torch.testing.assert_close(conv.scores(x), both)
    y = torch.randn(2, 5, 6)
    torch.testing.assert_close(dense.scores(y), y.view(2, 5, 2, 3).abs().mean(1).sum(1))
    plain = activations(nn.Sequential(nn.Linear(1, 2), nn.Tanh()))["1"]
    torch.testing.assert_close(plain.scores(y[0]), y[0].abs().mean(0))


def test_captured_holds_each_call_and_what_came_before_an_inplace_activation() -> None:
    act = nn.ReLU(inplace=True)
    x = torch.tensor([-1.0, 2.0])
    with captured({"act": act}) as flow:
        act(x)
        act(torch.tensor([3.0]))
    assert [flow["act"][0].tolist(), flow["act"][1].tolist()] == [[-1, 2], [0, 2]]
    assert flow["act#2"][1].tolist() == [3]
    assert not act._forward_hooks
