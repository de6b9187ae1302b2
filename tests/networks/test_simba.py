"""SimBa against a plain implementation for one seed, and its running statistics against NumPy."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agents import Streams
from networks import (
    AdaLin,
    Architecture,
    GaussianActor,
    QNetwork,
    SimBaConfig,
    TwinCritic,
    initialize,
    observe,
)
from networks.simba import RunningNorm, SimBa

TWO = Architecture((), "relu", simba=SimBaConfig(num_blocks=2, width=8))


class Plain(nn.Module):
    """SimBa of one seed as one would write it with PyTorch's layers."""

    def __init__(self, inputs: int, width: int, blocks: int) -> None:
        super().__init__()
        self.embedding = nn.Linear(inputs, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(blocks))
        self.up = nn.ModuleList(nn.Linear(width, 4 * width) for _ in range(blocks))
        self.down = nn.ModuleList(nn.Linear(4 * width, width) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedding(x)
        for norm, up, down in zip(self.norms, self.up, self.down, strict=True):
            x = x + down(torch.relu(up(norm(x))))
        out: Tensor = self.norm(x)
        return out


def test_forward_is_that_of_a_plain_network_with_these_weights() -> None:
    torso = SimBa((5,), (2, 2), TWO, extra_inputs=3)
    for parameter in torso.parameters():
        nn.init.normal_(parameter, 0, 0.5)
    data = torch.randn(2, 7, 5) * 3 + 1
    torso.running_norm.observe(data)
    observations, actions = torch.randn(2, 2, 6, 5), torch.randn(2, 2, 6, 3)
    features = torso(observations, actions)
    assert features.shape == (2, 2, 6, torso.num_features)
    ours = list(torso.parameters())
    for i in range(2):
        for j in range(2):
            plain = Plain(8, 8, 2)
            theirs = [  # in the order of the modules of SimBa
                *plain.embedding.parameters(),
                *(
                    parameter
                    for parts in zip(plain.norms, plain.up, plain.down, strict=True)
                    for part in parts
                    for parameter in part.parameters()
                ),
                *plain.norm.parameters(),
            ]
            with torch.no_grad():
                for mine, given in zip(theirs, ours, strict=True):
                    mine.copy_(given[i, j])
            mean, var = data[i].mean(0), data[i].var(0, correction=0)
            x = (observations[i, j] - mean) / (var + 1e-8).sqrt()
            expected = plain(torch.cat((x, actions[i, j]), -1))
            torch.testing.assert_close(features[i, j], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lead", [(3,), (3, 2)])
def test_statistics_are_those_of_everything_observed(lead: tuple[int, ...]) -> None:
    norm = RunningNorm(4, lead).double()
    before = torch.randn(*lead, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(norm(before), before, rtol=1e-7, atol=0)  # mean 0 and variance 1
    batches = [5 * torch.randn(3, n, 4, dtype=torch.float64) + n for n in (1, 6, 2, 30)]
    tensors = [norm.mean, norm.var, norm.count]
    for batch in batches:
        norm.observe(batch)
    everything = np.concatenate([batch.numpy() for batch in batches], axis=1)  # (S, 39, 4)
    shape = (3, *(1,) * (len(lead) - 1), 4)
    mean, var = everything.mean(1).reshape(shape), everything.var(1).reshape(shape)
    np.testing.assert_allclose(norm.mean, np.broadcast_to(mean, (*lead, 4)), rtol=1e-12)
    np.testing.assert_allclose(norm.var, np.broadcast_to(var, (*lead, 4)), rtol=1e-12)
    assert norm.count.eq(39).all()
    assert tensors[0] is norm.mean  # in place
    assert tensors[1] is norm.var
    assert tensors[2] is norm.count


def test_only_observing_changes_the_statistics() -> None:
    q: Any = QNetwork((4,), 2, 2, TWO)
    target = copy.deepcopy(q)
    state = {name: value.clone() for name, value in q.named_buffers()}
    q(torch.randn(2, 5, 4)).sum().backward()
    initialize(q, Streams([0, 1], "initialize").generators)
    assert all(torch.equal(value, state[name]) for name, value in q.named_buffers())
    data = torch.randn(2, 3, 4) + 2
    observe(q, data)
    assert not torch.equal(q.torso.running_norm.mean, target.torso.running_norm.mean)
    observe(target, data)
    assert torch.equal(q.torso.running_norm.mean, target.torso.running_norm.mean)
    norm = copy.deepcopy(target.torso.running_norm)
    norm.load_state_dict(q.torso.running_norm.state_dict())
    assert torch.equal(norm.var, q.torso.running_norm.var)


def test_observations_of_several_axes_and_whole_numbers() -> None:
    torso = SimBa((2, 3), (2,), TWO)
    data = torch.randint(0, 256, (2, 9, 2, 3), dtype=torch.uint8)
    observe(torso, data)
    np.testing.assert_allclose(
        torso.running_norm.mean, data.double().mean(1).reshape(2, 6), rtol=1e-5
    )
    assert torso(data).shape == (2, 9, 8)


def test_a_seed_is_the_same_alone_and_among_others() -> None:
    many, one = TwinCritic((4,), 2, 3, TWO), TwinCritic((4,), 2, 1, TWO)
    initialize(many, Streams(range(3), "initialize").generators)
    initialize(one, Streams([1], "initialize").generators)
    data, x, a = torch.randn(3, 9, 4), torch.randn(3, 5, 4), torch.randn(3, 5, 2)
    observe(many, data)
    observe(one, data[1:2])
    torch.testing.assert_close(many(x, a)[1:2], one(x[1:2], a[1:2]))


def test_initialisation_is_the_authors() -> None:
    actor: Any = GaussianActor((4,), 3, 1, TWO)
    embedding = actor.torso.embedding.weight[0].detach()
    torch.testing.assert_close(embedding.mT @ embedding, torch.eye(4), atol=1e-5, rtol=0)
    head = actor.head.weight[0].detach()
    torch.testing.assert_close(head @ head.mT, torch.eye(6), atol=1e-5, rtol=0)
    assert actor.head.bias.eq(0).all()
    hidden = actor.torso.blocks.block_1.hidden.weights
    assert hidden.init == "he"
    assert hidden.weight.shape == (1, 32, 8)


@pytest.mark.parametrize(("halve", "units"), [(False, 32), (True, 16)])
def test_blocks_take_any_activation(halve: bool, units: int) -> None:
    config = SimBaConfig(num_blocks=1, width=8)
    q: Any = QNetwork((4,), 2, 2, Architecture((), "crelu", halve=halve, simba=config))
    block = q.torso.blocks.block_1
    assert block.hidden.weights.weight.shape == (2, units, 8)
    assert block.projection.weight.shape == (2, 8, 2 * units)
    assert q(torch.randn(2, 5, 4)).shape == (2, 5, 2)
    q = QNetwork((4,), 2, 2, Architecture((), "adalin-tanh", simba=config))
    (layer,) = [module for module in q.modules() if isinstance(module, AdaLin)]
    assert layer.alpha.shape == (2, 32)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"SimBa needs vector observations.* \(4, 84, 84\)"):
        QNetwork((4, 84, 84), 2, 1, TWO)
    with pytest.raises(ValueError, match="`width` should be at least 1. Received 0"):
        SimBaConfig(width=0)
    with pytest.raises(ValueError, match="`layer_norm` should be False with SimBa"):
        Architecture((), layer_norm=True, simba=SimBaConfig())
    with pytest.raises(ValueError, match="`simba` of the architecture should be a SimBaConfig"):
        SimBa((4,), (1,), Architecture((8,)))


def test_compiled_it_is_the_same() -> None:
    torch._dynamo.reset()
    q = QNetwork((4,), 2, 2, TWO)
    run = torch.compile(q, backend="aot_eager", fullgraph=True)
    for _ in range(2):
        x = torch.randn(2, 5, 4)
        observe(q, x)  # compiled code sees the new statistics
        torch.testing.assert_close(run(x), q(x))
