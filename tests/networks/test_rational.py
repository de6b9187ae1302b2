"""Rational activations against NumPy's polynomials."""

import numpy as np
import torch

from networks.rational import DENOMINATOR, NUMERATOR, Rational


def by_numpy(x: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    top = np.polynomial.polynomial.polyval(x, a)
    return np.asarray(top / (1 + sum(np.abs(b[j] * x ** (j + 1)) for j in range(len(b)))))


def test_values_are_those_of_numpy_for_every_copy() -> None:
    layer = Rational(dim=-3, lead=(2, 2)).double()
    torch.nn.init.normal_(layer.numerator)
    torch.nn.init.normal_(layer.denominator)
    x = 3 * torch.randn(2, 2, 4, 3, 5, 5, dtype=torch.float64)
    out = layer(x).detach()
    for i in range(2):
        for j in range(2):
            a, b = layer.numerator[i, j].detach(), layer.denominator[i, j].detach()
            expected = by_numpy(x[i, j].numpy(), a.numpy(), b.numpy())
            np.testing.assert_allclose(out[i, j].numpy(), expected, rtol=1e-12)


def test_it_starts_close_to_a_leaky_relu() -> None:
    x = torch.linspace(-3, 3, 1001, dtype=torch.float64)
    out = Rational().double()(x).detach()
    assert float((out - torch.nn.functional.leaky_relu(x)).abs().max()) < 0.03
    expected = by_numpy(x.numpy(), np.array(NUMERATOR), np.array(DENOMINATOR))
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-5, atol=1e-7)


def test_gradients_by_hand() -> None:
    layer = Rational().double()
    x = torch.tensor([-1.5, 0.5, 2.0], dtype=torch.float64, requires_grad=True)
    layer(x).sum().backward()
    a, b = layer.numerator.detach(), layer.denominator.detach()
    z = x.detach()
    powers = torch.stack([z**j for j in range(6)])  # (6, 3)
    top = (a[:, None] * powers).sum(0)
    bottom = 1 + (b[:, None] * powers[1:5]).abs().sum(0)
    dtop = sum(j * a[j] * z ** (j - 1) for j in range(1, 6))
    dbottom = sum(j * b[j - 1].abs() * z.abs() ** (j - 1) * z.sign() for j in range(1, 5))
    close = torch.testing.assert_close
    close(x.grad, (dtop * bottom - top * dbottom) / bottom**2)
    close(layer.numerator.grad, (powers / bottom).sum(1))
    close(layer.denominator.grad, -(b.sign()[:, None] * powers[1:5].abs() * top / bottom**2).sum(1))


def test_there_is_no_pole_and_no_lipschitz_constant() -> None:
    layer = Rational()
    torch.nn.init.constant_(layer.denominator, -100.0)
    assert torch.isfinite(layer(torch.linspace(-1000, 1000, 999))).all()
    assert layer.base is None
    assert layer.slope_share(torch.ones(3)) is None


def test_one_set_of_coefficients_for_a_layer_of_a_seed_and_reset() -> None:
    layer = Rational(lead=(3, 2))
    assert (layer.numerator.shape, layer.denominator.shape) == ((3, 2, 6), (3, 2, 4))
    torch.nn.init.zeros_(layer.numerator)
    layer.reset_parameters()
    torch.testing.assert_close(layer.numerator[2, 1].detach(), torch.tensor(NUMERATOR))
    x = torch.randn(3, 2, 4, 5)
    alone = Rational(lead=(1, 2))
    torch.testing.assert_close(layer(x)[1:2], alone(x[1:2]))
