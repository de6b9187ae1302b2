"""AdaLin against formulas that are written out by hand, in float64."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from networks import ACTIVATIONS, AdaLin, AdaLinConfig, make_activation
from networks.adalin import BASES

X = torch.linspace(-4, 4, 7 * 5, dtype=torch.float64).reshape(7, 5) + 0.01
ALPHA = torch.tensor([-0.5, 0.0, 0.25, 1.0, 2.0], dtype=torch.float64)


def by_hand(base: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """phi, phi' and g of the three bases of the paper, each written out."""
    if base == "relu":
        return X * (X > 0), (X > 0).double(), (X <= 0).double()
    if base == "tanh":
        y = torch.tanh(X)
        return y, 1 - y**2, torch.sin(math.pi / 2 * y**2)
    cdf = 0.5 * (1 + torch.erf(X / math.sqrt(2)))
    slope = cdf + X * torch.exp(-(X**2) / 2) / math.sqrt(2 * math.pi)
    return X * cdf, slope, torch.cos(math.pi / 2 * slope.abs() / 1.1289041451851547)


def adalin(base: str, **options: object) -> AdaLin:
    layer = AdaLin(5, base, **options).double()  # type: ignore[arg-type]  # forwarded options
    with torch.no_grad():
        layer.alpha.copy_(ALPHA[: layer.alpha.numel()])
    return layer


@pytest.mark.parametrize("base", ["relu", "tanh", "gelu"])
def test_value_and_both_gradients_are_those_of_the_definition(base: str) -> None:
    phi, slope, gate = by_hand(base)
    layer, x = adalin(base), X.clone().requires_grad_()
    upstream = torch.randn(7, 5, dtype=torch.float64)
    out = layer(x)
    out.backward(upstream)
    torch.testing.assert_close(out, phi + ALPHA * X * gate, rtol=1e-12, atol=1e-12)
    assert x.grad is not None
    assert layer.alpha.grad is not None
    torch.testing.assert_close(x.grad, upstream * (slope + ALPHA * gate), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(layer.alpha.grad, (upstream * X * gate).sum(0))


@pytest.mark.parametrize("base", ["relu", "tanh", "gelu"])
def test_ungated_form_adds_alpha_x_and_passes_gradcheck(base: str) -> None:
    phi, _, _ = by_hand(base)
    layer = adalin(base, gate=False)
    torch.testing.assert_close(layer(X), phi + ALPHA * X, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(layer, X.clone().requires_grad_())


def test_one_alpha_for_the_layer_sums_its_gradient_over_the_units() -> None:
    _, _, gate = by_hand("tanh")
    layer = adalin("tanh", granularity="layer")
    layer(X).sum().backward()
    assert layer.alpha.shape == (1,)
    assert layer.alpha.grad is not None
    torch.testing.assert_close(layer.alpha.grad, (X * gate).sum().reshape(1))


def test_relu_is_prelu_bit_for_bit() -> None:
    x, upstream = torch.randn(9, 5), torch.randn(9, 5)
    layer, weight = AdaLin(5, init=0.3), torch.full((5,), 0.3, requires_grad=True)
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    layer(mine).backward(upstream)
    F.prelu(theirs, weight).backward(upstream)
    assert torch.equal(layer(x), F.prelu(x, weight))
    assert mine.grad is not None
    assert theirs.grad is not None
    assert torch.equal(mine.grad, theirs.grad)
    assert layer.alpha.grad is not None
    assert weight.grad is not None
    torch.testing.assert_close(layer.alpha.grad, weight.grad)


@pytest.mark.parametrize("base", BASES)
def test_zero_alpha_is_the_base_and_still_gets_a_gradient(base: str) -> None:
    layer, x = AdaLin(5, base), torch.randn(64, 5) * 3
    assert torch.equal(layer(x), BASES[base].function(x))
    layer(x).sum().backward()
    assert layer.alpha.grad is not None
    assert layer.alpha.grad.abs().sum() > 0


@pytest.mark.parametrize("base", BASES)
def test_derivative_is_autograds_and_lipschitz_its_largest_value(base: str) -> None:
    x = torch.linspace(-30, 30, 600_001, dtype=torch.float64).requires_grad_()
    b = BASES[base]
    (slope,) = torch.autograd.grad(b.function(x).sum(), x)
    torch.testing.assert_close(b.derivative(x.detach()), slope, rtol=1e-8, atol=1e-12)
    assert abs(slope.abs().max().item() - b.lipschitz) < 1e-6


@given(st.sampled_from(list(BASES)), st.floats(-1e3, 1e3))
def test_gate_lies_between_zero_and_one(base: str, x: float) -> None:
    from networks.adalin import linearity_gate

    g = linearity_gate(torch.tensor([x], dtype=torch.float64), BASES[base])
    assert -1e-9 <= g.item() <= 1


def test_alpha_stands_beside_the_channels_of_images_and_of_each_seed() -> None:
    layer = AdaLin(3, dim=-3, lead=(2,))
    with torch.no_grad():
        layer.alpha.copy_(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    out = layer(-torch.ones(2, 4, 3, 2, 2))
    assert torch.equal(out, -layer.alpha[:, None, :, None, None].expand(2, 4, 3, 2, 2))


def test_uniform_init_is_in_the_unit_interval_and_differs_between_units() -> None:
    alpha = AdaLin(1000, init="uniform").alpha
    assert alpha.min() >= 0
    assert alpha.max() < 1
    assert alpha.std() > 0.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_features": 0}, "`num_features` should be at least 1. Received 0"),
        ({"base": "rellu"}, "did you mean 'relu'"),
        ({"granularity": "unit"}, "`granularity` should be one of neuron, layer"),
        ({"init": "ones"}, "`init` should be zeros, uniform or a number"),
        ({"dim": 1}, "`dim` counts from the last axis"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdaLin(**{"num_features": 4, **arguments})  # type: ignore[arg-type]  # wrong on purpose


def test_wrong_width_names_both_widths() -> None:
    with pytest.raises(ValueError, match="made for 4 units. Received 5"):
        AdaLin(4)(torch.zeros(2, 5))


def test_every_registered_activation_maps_to_the_same_shape() -> None:
    for name in ACTIVATIONS:
        assert make_activation(name, 6, lead=(2,))(torch.randn(2, 3, 6)).shape == (2, 3, 6), name


def test_unknown_activation_gets_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="Did you mean 'adalin-relu'"):
        make_activation("adalin-relo", 3)


def test_options_reach_adalin() -> None:
    options = AdaLinConfig(init=0.5, granularity="layer", gate=False)
    layer = make_activation("adalin-tanh", 3, adalin=options)
    assert isinstance(layer, AdaLin)
    assert (layer.alpha.tolist(), layer.gate) == ([0.5], False)
