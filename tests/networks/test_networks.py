"""Layers, torsos and heads against plain PyTorch, seed by seed."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from agents import Streams
from networks import Architecture, GaussianActor, QNetwork, TwinCritic, initialize
from networks.layers import Conv2d, Linear

RELU = Architecture((8, 8), "relu")


def test_linear_is_a_dense_layer_for_each_index() -> None:
    layer, x = Linear(4, 3, (2, 2)), torch.randn(2, 2, 5, 4)
    for i in range(2):
        for j in range(2):
            expected = F.linear(x[i, j], layer.weight[i, j], layer.bias[i, j])
            torch.testing.assert_close(layer(x)[i, j], expected)


def test_conv_is_a_convolution_for_each_index() -> None:
    layer: Any = Conv2d(3, 5, 2, 2, (2, 2))
    x = torch.randn(2, 2, 4, 3, 6, 6)
    for i in range(2):
        for j in range(2):
            expected = F.conv2d(x[i, j], layer.weight[i, j], layer.bias[i, j], stride=2)
            torch.testing.assert_close(layer(x)[i, j], expected)


def test_dueling_head_is_value_plus_centred_advantages() -> None:
    q = QNetwork((4,), 3, 1, RELU, dueling=True)
    x = torch.randn(1, 6, 4)
    raw = q.head(q.torso(x))
    expected = raw[..., :1] + raw[..., 1:] - raw[..., 1:].mean(-1, keepdim=True)
    torch.testing.assert_close(q(x), expected)
    torch.testing.assert_close(q(x).mean(-1), raw[..., 0])  # the mean over the actions is V


def test_images_are_scaled_and_go_through_the_convolutions() -> None:
    q = QNetwork((4, 84, 84), 6, 2, Architecture((16,), "relu"))
    images = torch.randint(0, 256, (2, 3, 4, 84, 84), dtype=torch.uint8)
    assert q(images).shape == (2, 3, 6)
    torch.testing.assert_close(q(images), q(images.float() / 255))


def test_small_images_go_through_the_convolution_of_minatar() -> None:
    q: Any = QNetwork((10, 10, 10), 6, 2, Architecture((128,), "relu"))
    images = 255 * torch.randint(0, 2, (2, 3, 10, 10, 10), dtype=torch.uint8)
    assert q(images).shape == (2, 3, 6)
    (layer,) = q.torso.convolutions
    assert layer.weights.weight.shape == (2, 16, 10, 3, 3)
    assert q.torso.dense.layer_1.weights.weight.shape[-2:].numel() == 128 * 16 * 8 * 8
    expected = torch.nn.functional.conv2d(
        images[1].float() / 255, layer.weights.weight[1], layer.weights.bias[1]
    )
    torch.testing.assert_close(layer(images.float() / 255)[1], expected.relu())


@pytest.mark.parametrize("side", [2, 20, 35])
def test_images_that_fit_no_convolutions_are_refused(side: int) -> None:
    with pytest.raises(ValueError, match=f"at least 36 x 36. Received .4, {side}, {side}"):
        QNetwork((4, side, side), 6, 1, RELU)


def test_twin_critics_are_two_networks() -> None:
    critic = TwinCritic((4,), 2, 3, RELU)
    x, a = torch.randn(3, 5, 4), torch.randn(3, 5, 2)
    values = critic(x, a)
    assert values.shape == (3, 2, 5)
    assert not torch.allclose(values[:, 0], values[:, 1])


def test_log_probability_is_that_of_the_squashed_gaussian() -> None:
    actor = GaussianActor((4,), 2, 1, RELU).double()
    obs = torch.randn(1, 6, 4, dtype=torch.float64)
    action, log_prob = actor.sample(obs, torch.randn(1, 6, 2, dtype=torch.float64))
    mean, log_std = actor(obs)
    distribution = torch.distributions.TransformedDistribution(
        torch.distributions.Normal(mean, log_std.exp()),
        [torch.distributions.TanhTransform(cache_size=1)],
    )
    torch.testing.assert_close(log_prob, distribution.log_prob(action).sum(-1))


def test_log_probability_stays_finite_where_tanh_rounds_to_one() -> None:
    actor = GaussianActor((4,), 1, 1, RELU)
    _, log_prob = actor.sample(torch.zeros(1, 1, 4), torch.full((1, 1, 1), 60.0))
    assert torch.isfinite(log_prob).all()


def test_a_seed_is_initialised_the_same_alone_and_among_others() -> None:
    many, one = QNetwork((4,), 2, 5, RELU), QNetwork((4,), 2, 1, RELU)
    initialize(many, Streams(range(5), "initialize").generators)
    initialize(one, Streams([3], "initialize").generators)
    for a, b in zip(many.parameters(), one.parameters(), strict=True):
        assert torch.equal(a[3:4], b)
        assert not torch.equal(a[2], a[3])
