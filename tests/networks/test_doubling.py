"""CReLU and deep Fourier features against NumPy."""

import numpy as np
import pytest
import torch
from torch import Tensor

from networks import Architecture, QNetwork, make_activation
from networks.doubling import CReLU, Fourier

X = torch.linspace(-4, 4, 2 * 3 * 5, dtype=torch.float64).reshape(2, 3, 5)


def crelu(x: np.ndarray, axis: int) -> np.ndarray:
    return np.concatenate((np.maximum(x, 0), np.maximum(-x, 0)), axis)


def fourier(x: np.ndarray, axis: int) -> np.ndarray:
    return np.concatenate((np.sin(x), np.cos(x)), axis)


@pytest.mark.parametrize("dim", [-1, -2, -3])
def test_values_are_those_of_numpy(dim: int) -> None:
    for layer, function in ((CReLU(dim), crelu), (Fourier(dim), fourier)):
        np.testing.assert_allclose(layer(X).numpy(), function(X.numpy(), dim), rtol=1e-14)


def test_gradients_by_hand() -> None:
    up = torch.arange(1.0, 61, dtype=torch.float64).reshape(2, 3, 10)
    first, second = up[..., :5], up[..., 5:]

    def gradient(layer: CReLU | Fourier) -> Tensor:
        x = X.clone().requires_grad_()
        (layer(x) * up).sum().backward()
        assert x.grad is not None
        return x.grad

    torch.testing.assert_close(gradient(CReLU()), torch.where(X > 0, first, -second))
    torch.testing.assert_close(gradient(Fourier()), first * X.cos() - second * X.sin())


def test_output_j_belongs_to_unit_j_modulo_f() -> None:
    x = torch.tensor([[1.0, -2.0, 3.0]])
    assert CReLU()(x).tolist() == [[1, 0, 3, 0, 2, 0]]
    share = CReLU().slope_share(x)
    assert share.tolist() == [[1, 0, 1, 0, 1, 0]]
    share = Fourier().slope_share(x)
    torch.testing.assert_close(share, torch.cat((x.cos().abs(), x.sin().abs()), -1))


@pytest.mark.parametrize("name", ["crelu", "fourier"])
def test_number_of_parameters_with_and_without_halving(name: str) -> None:
    def count(**options: bool | str) -> int:
        q = QNetwork((4,), 3, 1, Architecture((64, 64), **options))  # type: ignore[arg-type]
        assert q(torch.randn(1, 5, 4)).shape == (1, 5, 3)
        return sum(p.numel() for p in q.parameters())

    plain = count(activation="relu")
    assert plain == (4 + 1) * 64 + (64 + 1) * 64 + (64 + 1) * 3
    # Twice the inputs of every later layer, ...
    assert count(activation=name) == (4 + 1) * 64 + (128 + 1) * 64 + (128 + 1) * 3
    # ... or as many inputs and half of the units.
    assert count(activation=name, halve=True) == (4 + 1) * 32 + (64 + 1) * 32 + (64 + 1) * 3
    assert count(activation="relu", halve=True) == plain


def test_widths_of_convolutions_double_and_halve() -> None:
    wide = QNetwork((4, 84, 84), 3, 2, Architecture((16,), "crelu"))
    half = QNetwork((4, 84, 84), 3, 2, Architecture((16,), "crelu", halve=True))
    images = torch.randint(0, 256, (2, 1, 4, 84, 84), dtype=torch.uint8)
    for network, first, second, third, flat in (
        (wide, (32, 4), (64, 64), (64, 128), 128 * 49),
        (half, (16, 4), (32, 32), (32, 64), 64 * 49),
    ):
        assert network(images).shape == (2, 1, 3)
        shapes = [p.shape for name, p in network.named_parameters() if name.endswith("weight")]
        assert [tuple(shape[1:3]) for shape in shapes[:3]] == [first, second, third]
        assert shapes[3][-1] == flat


def test_odd_widths_can_not_be_halved() -> None:
    with pytest.raises(ValueError, match="should be even to be halved for 'crelu'. Received 7"):
        QNetwork((4,), 2, 1, Architecture((8, 7), "crelu", halve=True))
    QNetwork((4,), 2, 1, Architecture((8, 7), "relu", halve=True))


def test_seeds_are_apart() -> None:
    x = torch.randn(3, 4, 6)
    for name in ("crelu", "fourier"):
        together = make_activation(name, 6, lead=(3,))(x)
        alone = make_activation(name, 6, lead=(1,))(x[1:2])
        assert torch.equal(together[1:2], alone)
