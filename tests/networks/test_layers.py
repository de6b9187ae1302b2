"""Convolutions, where normalisations stand, and initialisations, seed by seed."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from agents import Streams
from networks import Architecture, QNetwork, TwinCritic, initialize
from networks.layers import Conv2d, Linear, MaxPool, _Dense
from networks.norms import LayerNorm
from networks.torsos import Layer


@pytest.mark.parametrize(("stride", "padding", "before_norm"), [(1, 1, False), (2, 2, True)])
def test_padded_convolutions_are_pytorchs_for_each_index(
    stride: int, padding: int, before_norm: bool
) -> None:
    layer = Conv2d(3, 5, 3, stride, (2, 2), padding, before_norm=before_norm)
    assert (layer.bias is None) == before_norm
    x = torch.randn(2, 2, 4, 3, 7, 6)
    for i in range(2):
        for j in range(2):
            bias = None if layer.bias is None else layer.bias[i, j]
            expected = F.conv2d(x[i, j], layer.weight[i, j], bias, stride, padding)
            torch.testing.assert_close(layer(x)[i, j], expected)


def test_before_a_normalisation_kernels_are_normal_of_variance_2_over_fan_out() -> None:
    layer = Conv2d(64, 40, 3, 1, (2,), before_norm=True)
    weight = layer.weight.detach().numpy()
    assert weight.std() == pytest.approx(np.sqrt(2 / (40 * 9)), rel=0.01)
    assert weight.mean() == pytest.approx(0, abs=0.001)
    assert np.abs(weight).max() > 3.5 * weight.std()  # it is not cut


@pytest.mark.parametrize("before_norm", [False, True])
def test_a_seed_of_a_convolution_is_the_same_alone_and_among_others(before_norm: bool) -> None:
    many, one = (Conv2d(2, 4, 3, 1, (s,), before_norm=before_norm) for s in (3, 1))
    initialize(many, Streams(range(3), "initialize").generators)
    initialize(one, Streams([1], "initialize").generators)
    for a, b in zip(many.parameters(), one.parameters(), strict=True):
        assert torch.equal(a[1:2], b)
        assert not torch.equal(a[0], a[1])


def test_max_pooling_keeps_the_largest_of_each_square() -> None:
    x = torch.randn(2, 3, 4, 1, 5, 7)
    squares = x[..., :4, :6].unfold(-2, 2, 2).unfold(-2, 2, 2)  # (..., 2, 3, 2, 2)
    assert torch.equal(MaxPool(2)(x), squares.amax((-2, -1)))


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


def test_dense_layers_for_a_compiler_are_the_same_and_their_gradients_lie_as_weights_do() -> None:
    layer, x = Linear(4, 3, (2, 2)).double(), torch.randn(2, 2, 5, 4, dtype=torch.float64)
    inputs = [t.detach().flatten(0, 1).requires_grad_() for t in (x, layer.weight, layer.bias)]
    mapped = _Dense.apply(*inputs)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(mapped.view(2, 2, 5, 3), layer(x))
    assert torch.autograd.gradcheck(_Dense.apply, inputs)
    assert torch.autograd.gradgradcheck(_Dense.apply, inputs)
    (grad,) = torch.autograd.grad(mapped.sum(), inputs[1])
    assert grad.is_contiguous()
    each = torch.func.vmap(_Dense.apply)(*(torch.stack((t, t)) for t in inputs))
    torch.testing.assert_close(each, torch.stack((mapped, mapped)))


def test_gradients_of_large_layers_are_those_of_small_ones_and_lie_as_weights_do() -> None:
    large = Linear(256, 256, (2,)).double()
    x, upstream = torch.rand(2, 2, 3, 256, dtype=torch.float64)
    (grad,) = torch.autograd.grad(large(x), large.weight, upstream)
    torch.testing.assert_close(grad, upstream.mT @ x, rtol=1e-12, atol=0)
    assert grad.is_contiguous()
    small = Linear(8, 8, (2,)).double()
    assert not torch.autograd.grad(small(x[..., :8]).sum(), small.weight)[0].is_contiguous()


def test_images_lie_in_one_piece_where_dense_layers_follow() -> None:
    before_dense = Conv2d(3, 4, 3, 1, (2,), before_dense=True)
    between = Conv2d(3, 4, 3, 1, (2,))
    between.load_state_dict(before_dense.state_dict())
    images = torch.rand(2, 5, 3, 8, 8)
    assert before_dense(images).is_contiguous()
    assert not between(images).is_contiguous()
    assert torch.equal(before_dense(images), between(images))
    network = QNetwork((4, 84, 84), 2, 1, Architecture((8,)))
    convolutions = [module for module in network.modules() if isinstance(module, Conv2d)]
    assert [module.before_dense for module in convolutions] == [False, False, True]
