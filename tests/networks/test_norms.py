"""Normalisations against PyTorch's, seed by seed: outputs, gradients and running statistics."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from networks.norms import BatchNorm, GroupNorm, LayerNorm, Norm, make_norm


def normals(layer: Any) -> Any:
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


def check_against(plain: list[Any], layer: Any, x: Tensor) -> None:
    """Compares outputs, gradients and buffers with one PyTorch layer for each seed, in float64."""
    inputs = x.clone().requires_grad_()
    weights = torch.randn_like(x)
    out = layer(inputs)
    (out * weights).sum().backward()
    for i, one in enumerate(plain):
        alone = x[i].clone().requires_grad_()
        expected = one(alone)
        (expected * weights[i]).sum().backward()
        torch.testing.assert_close(out[i], expected)
        assert inputs.grad is not None
        torch.testing.assert_close(inputs.grad[i], alone.grad)
        torch.testing.assert_close(layer.gain.grad[i], one.weight.grad)
        torch.testing.assert_close(layer.bias.grad[i], one.bias.grad)
        for name in ("running_mean", "running_var"):
            if hasattr(one, name):
                torch.testing.assert_close(getattr(layer, name)[i], getattr(one, name))
        one.zero_grad()
    layer.zero_grad()


def like(layer: Any, kind: type[nn.Module], *args: int) -> list[Any]:
    """A PyTorch layer for each seed, with its gain and bias."""
    found = []
    for gain, bias in zip(layer.gain, layer.bias, strict=True):
        one: Any = kind(*args).double()
        one.load_state_dict({"weight": gain, "bias": bias}, strict=False)
        found.append(one)
    return found


@pytest.mark.parametrize(
    ("dim", "kind", "shape"),
    [(-3, nn.BatchNorm2d, (2, 4, 3, 5, 6)), (-1, nn.BatchNorm1d, (2, 4, 3))],
)
def test_batch_norm_is_pytorchs_for_each_seed(
    dim: int, kind: type[nn.Module], shape: tuple[int, ...]
) -> None:
    layer = normals(BatchNorm(3, (2,), dim).double())
    plain = like(layer, kind, 3)
    for scale in (1.0, 3.0):  # two batches, so that statistics run
        check_against(plain, layer, scale * torch.randn(shape, dtype=torch.float64) + scale)
    mean = layer.running_mean.clone()
    for one in (layer, *plain):
        one.eval()
    check_against(plain, layer, torch.randn(shape, dtype=torch.float64))
    assert torch.equal(layer.running_mean, mean)


def test_running_statistics_by_hand() -> None:
    layer = BatchNorm(1, (1,), -1)
    layer(torch.tensor([[[1.0], [3.0]]]))  # mean 2, unbiased variance 2
    assert layer.running_mean.item() == pytest.approx(0.2)
    assert layer.running_var.item() == pytest.approx(0.9 + 0.2)


def test_batch_norm_of_twins() -> None:
    layer, x = normals(BatchNorm(3, (2, 2))), torch.randn(2, 2, 4, 3, 5, 5)
    for i in range(2):
        for j in range(2):
            alone = BatchNorm(3, (1,))
            alone.load_state_dict({k: v[i, j][None] for k, v in layer.state_dict().items()})
            torch.testing.assert_close(layer.eval()(x)[i, j], alone.eval()(x[i, j][None])[0])
            alone.train()(x[i, j][None])
            layer.train()(x)
            torch.testing.assert_close(layer.running_var[i, j], alone.running_var[0])
            layer.reset_running_stats()


def test_a_reset_forgets_the_batches() -> None:
    layer = normals(BatchNorm(3, (2,)))
    layer(torch.randn(2, 4, 3, 5, 5))
    layer.reset_parameters([])
    for name, first in (("gain", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
        assert getattr(layer, name).eq(first).all()
    assert set(layer.state_dict()) == {"gain", "bias", "running_mean", "running_var"}


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_group_norm_is_pytorchs_for_each_seed(groups: int) -> None:
    layer = normals(GroupNorm(groups, 4, (2,)).double())
    plain = like(layer, nn.GroupNorm, groups, 4)
    check_against(plain, layer, torch.randn(2, 3, 4, 5, 6, dtype=torch.float64))


def test_they_take_views_as_convolutions_return_them() -> None:
    x = torch.randn(4, 2, 3, 5, 6).transpose(0, 1)
    for layer in (BatchNorm(3, (2,)), GroupNorm(3, 3, (2,)), LayerNorm(3, (2,), -3)):
        torch.testing.assert_close(layer(x), layer(x.contiguous()))


@pytest.mark.parametrize("groups", [0, 3, 5])
def test_groups_that_do_not_divide_the_channels_are_refused(groups: int) -> None:
    with pytest.raises(ValueError, match=f"divide the 4 channels. Received {groups}"):
        GroupNorm(groups, 4, (2,))


def test_norms_by_name() -> None:
    assert isinstance(make_norm("batch", 6, (2,)), BatchNorm)
    for channels, groups in ((6, 2), (64, 32), (48, 16), (5, 1)):
        norm: Norm = make_norm("group", channels, (2,))
        assert isinstance(norm, GroupNorm)
        assert norm.num_groups == groups
    with pytest.raises(ValueError, match="`norm` should be batch or group. Received 'layer'"):
        make_norm("layer", 6, (2,))  # type: ignore[arg-type]
