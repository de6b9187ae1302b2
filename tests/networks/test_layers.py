"""Layer normalisation and initialisations against PyTorch's, seed by seed."""

import numpy as np
import pytest
import torch
from torch import nn

from agents import Streams
from networks import Architecture, QNetwork, TwinCritic, initialize
from networks.layers import LayerNorm, Linear
from networks.torsos import Layer


def normals(layer: LayerNorm) -> LayerNorm:
    nn.init.normal_(layer.gain)
    nn.init.normal_(layer.bias)
    return layer


def test_dense_layer_norm_is_pytorchs_for_each_index() -> None:
    layer, x = normals(LayerNorm(6, (2, 2))), torch.randn(2, 2, 5, 6)
    for i in range(2):
        for j in range(2):
            plain = nn.LayerNorm(6)
            plain.load_state_dict({"weight": layer.gain[i, j], "bias": layer.bias[i, j]})
            torch.testing.assert_close(layer(x)[i, j], plain(x[i, j]))


def test_convolutions_are_normalised_over_channels_and_positions() -> None:
    layer, x = normals(LayerNorm(3, (2,), -3)), torch.randn(2, 4, 3, 5, 6)
    for i in range(2):
        normal = nn.LayerNorm((3, 5, 6), elementwise_affine=False)(x[i])
        expected = normal * layer.gain[i].view(3, 1, 1) + layer.bias[i].view(3, 1, 1)
        torch.testing.assert_close(layer(x)[i], expected)
        group = nn.GroupNorm(1, 3)
        group.load_state_dict({"weight": layer.gain[i], "bias": layer.bias[i]})
        torch.testing.assert_close(layer(x)[i], group(x[i]))


def test_layer_norm_starts_as_the_plain_normalisation() -> None:
    layer = normals(LayerNorm(6, (2,)))
    layer.reset_parameters([])
    assert layer.gain.eq(1).all()
    assert layer.bias.eq(0).all()
    out = layer(torch.randn(2, 5, 6)).detach()
    torch.testing.assert_close(out.mean(-1), torch.zeros(2, 5), atol=1e-6, rtol=0)


def test_it_stands_between_weights_and_activation() -> None:
    layer = Layer(Linear(4, 6, (2,)), 6, -1, Architecture((), "tanh", layer_norm=True))
    assert [name for name, _ in layer.named_children()] == ["weights", "norm", "activation"]
    x = torch.randn(2, 5, 4)
    expected = torch.tanh(nn.functional.layer_norm(layer.weights(x), (6,)))
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("shape", [(4,), (4, 84, 84)])
def test_every_hidden_layer_has_one(shape: tuple[int, ...]) -> None:
    q = QNetwork(shape, 3, 2, Architecture((8, 8), "crelu", layer_norm=True))
    norms = [module for module in q.modules() if isinstance(module, LayerNorm)]
    assert len(norms) == (2 if len(shape) == 1 else 5)
    assert norms[-1].gain.shape == (2, 8)  # before the activation doubles
    assert q(torch.randn(2, 3, *shape)).shape == (2, 3, 3)


def test_without_options_the_keys_of_a_state_are_as_ever() -> None:
    critic = TwinCritic((4,), 2, 3, Architecture((8,), "adalin-tanh"))
    layer = "torso.dense.layer_1."
    assert list(critic.state_dict()) == [
        *(layer + "weights.weight", layer + "weights.bias", layer + "activation.alpha"),
        *("head.weight", "head.bias"),
    ]


def test_orthogonal_weights() -> None:
    for inputs, outputs in ((6, 4), (4, 6)):
        layer = Linear(inputs, outputs, (2, 2), "orthogonal")
        weight = layer.weight.detach().double()
        small = weight @ weight.mT if outputs < inputs else weight.mT @ weight
        eye = torch.eye(4, dtype=torch.float64).expand_as(small)
        torch.testing.assert_close(small, eye, atol=1e-6, rtol=0)
        assert not torch.equal(weight[0, 0], weight[0, 1])
        assert layer.bias.eq(0).all()


def test_he_weights_are_a_cut_normal_of_variance_2_over_i() -> None:
    layer = Linear(50, 4000, (1,), "he")
    weight = layer.weight.detach().numpy()
    assert weight.std() == pytest.approx(np.sqrt(2 / 50), rel=0.01)
    assert weight.mean() == pytest.approx(0, abs=0.002)
    assert np.abs(weight).max() <= 2 * np.sqrt(2 / 50) / 0.8796256
    assert layer.bias.eq(0).all()


@pytest.mark.parametrize("init", ["uniform", "orthogonal", "he"])
def test_a_seed_is_initialised_the_same_alone_and_among_others(init: str) -> None:
    many, one = Linear(6, 4, (3, 2), init), Linear(6, 4, (1, 2), init)  # type: ignore[arg-type]
    initialize(many, Streams(range(3), "initialize").generators)
    initialize(one, Streams([1], "initialize").generators)
    assert torch.equal(many.weight[1:2], one.weight)
    assert not torch.equal(many.weight[0], many.weight[1])
