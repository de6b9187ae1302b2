"""AdaLin against formulas that are written out by hand, in float64."""

import copy
import math
import pickle
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

from networks import (
    ACTIVATIONS,
    Activation,
    AdaLin,
    AdaLinConfig,
    describe,
    make_activation,
    make_base,
)
from networks import fused as fused_module
from networks.adalin import linearity_gate, share_alpha
from networks.bases import BASES, Base

X = torch.linspace(-4, 4, 7 * 5, dtype=torch.float64).reshape(7, 5) + 0.01
ALPHA = torch.tensor([-0.5, 0.0, 0.25, 1.0, 2.0], dtype=torch.float64)
UPSTREAM = torch.linspace(-1, 2, 7 * 5, dtype=torch.float64).flip(0).reshape(7, 5)


def sigma(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def step(x: Tensor) -> Tensor:
    return torch.where(x > 0, torch.ones_like(x), 0.01)


def normal(x: Tensor) -> tuple[Tensor, Tensor]:
    """Density and distribution function."""
    density = torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return density, 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def gelu_tanh(x: Tensor) -> tuple[Tensor, Tensor]:
    c = math.sqrt(2 / math.pi)
    t = torch.tanh(c * (x + 0.044715 * x**3))
    return 0.5 * x * (1 + t), 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * c * (1 + 0.134145 * x**2)


def mish(x: Tensor) -> tuple[Tensor, Tensor]:
    t = torch.tanh(torch.log1p(torch.exp(x)))
    return x * t, t + x * (1 - t**2) * sigma(x)


def smooth_leaky(x: Tensor) -> tuple[Tensor, Tensor]:
    s = sigma(5 * x / 3)
    return 0.1 * x + 0.9 * x * s, 0.1 + 0.9 * (s + 5 / 3 * x * s * (1 - s))


# phi, phi' and L of each base
BY_HAND: dict[str, tuple[Callable[[Tensor], tuple[Tensor, Tensor]], float]] = {
    "relu": (lambda x: (x * (x > 0), (x > 0).double()), 1.0),
    "leaky-relu": (lambda x: (x * step(x), step(x)), 1.0),
    "elu": (lambda x: (torch.where(x > 0, x, torch.exp(x) - 1), torch.exp(x.clamp(max=0))), 1.0),
    "tanh": (lambda x: (torch.tanh(x), 1 / torch.cosh(x) ** 2), 1.0),
    "sigmoid": (lambda x: (sigma(x), sigma(x) * (1 - sigma(x))), 0.25),
    "softplus": (lambda x: (torch.log1p(torch.exp(x)), sigma(x)), 1.0),
    "gelu": (
        lambda x: (x * normal(x)[1], normal(x)[1] + x * normal(x)[0]),
        1.1289041451851547,
    ),
    "gelu-tanh": (gelu_tanh, 1.128993068658772),
    "silu": (lambda x: (x * sigma(x), sigma(x) * (1 + x * (1 - sigma(x)))), 1.0998393201288669),
    "mish": (mish, 1.0884981612517279),
    "smooth-leaky": (smooth_leaky, 1.0898553881159982),
}


def by_hand(x: Tensor, base: str, gated: bool) -> tuple[Tensor, Tensor, Tensor]:
    """phi, phi' and the gate, which is 1 everywhere without gating."""
    function, lipschitz = BY_HAND[base]
    phi, slope = function(x)
    gate = torch.cos(math.pi / 2 * slope.abs() / lipschitz) if gated else torch.ones_like(x)
    return phi, slope, gate


def adalin(base: str, **options: object) -> AdaLin:
    layer = AdaLin(5, base, **options).double()  # type: ignore[arg-type]  # forwarded options
    with torch.no_grad():
        layer.alpha.copy_(ALPHA[-layer.alpha.numel() :])
    return layer


def test_there_is_a_formula_by_hand_for_every_base() -> None:
    assert BY_HAND.keys() == BASES.keys()


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("granularity", ["neuron", "layer", "network"])
@pytest.mark.parametrize("base", BASES)
def test_value_and_both_gradients_are_those_of_the_definition(
    base: str, granularity: str, gated: bool
) -> None:
    phi, slope, gate = by_hand(X, base, gated)
    layer, x = adalin(base, granularity=granularity, gate=gated), X.clone().requires_grad_()
    alpha = layer.alpha.detach()
    out = layer(x)
    out.backward(UPSTREAM)
    torch.testing.assert_close(out, phi + alpha * X * gate, rtol=1e-12, atol=1e-12)
    assert x.grad is not None
    assert layer.alpha.grad is not None
    torch.testing.assert_close(x.grad, UPSTREAM * (slope + alpha * gate), rtol=1e-12, atol=1e-12)
    of_units = (UPSTREAM * X * gate).sum(0)
    expected = of_units if granularity == "neuron" else of_units.sum().reshape(1)
    torch.testing.assert_close(layer.alpha.grad, expected, rtol=1e-12, atol=1e-12)


SHAPES = {  # shape of x, axis of the units, leading axes
    "dense": ((257, 5), -1, ()),
    "vector": ((5,), -1, ()),
    "seeds": ((2, 40, 5), -1, (2,)),
    "image": ((3, 5, 4, 7), -3, ()),
    "long image": ((2, 5, 40, 40), -3, ()),
    "images of seeds": ((2, 3, 5, 4, 4), -3, (2,)),
    "twins of seeds": ((3, 2, 6, 5), -1, (3, 2)),
    "empty": ((0, 5), -1, ()),
    "wide": ((70, 1300), -1, ()),
}


@pytest.mark.parametrize("in_c", [True, False])
@pytest.mark.parametrize("granularity", ["neuron", "layer"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("base", BASES)
def test_float32_is_the_definition_rounded(
    base: str, shape: str, granularity: str, in_c: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_c:
        monkeypatch.setattr(fused_module, "BUILT", False)
    elif not fused_module.BUILT:
        pytest.skip("the loops in C were not built")
    size, dim, lead = SHAPES[shape]
    generator = torch.Generator().manual_seed(0)
    layer = AdaLin(size[dim], base, granularity=granularity, dim=dim, lead=lead)
    with torch.no_grad():
        layer.alpha.uniform_(-1, 2, generator=generator)
    x = (3 * torch.randn(size, generator=generator)).requires_grad_()
    upstream = torch.randn(size, generator=generator)
    out = layer(x)
    out.backward(upstream)
    assert x.grad is not None
    assert layer.alpha.grad is not None

    wide = x.detach().double()
    phi, slope, gate = by_hand(wide, base, gated=True)
    between = (1,) * (wide.dim() - len(lead) + dim)
    alpha = layer.alpha.detach().double().view(*lead, *between, -1, *(1,) * (-1 - dim))
    parts = upstream * wide * gate  # of the gradient of alpha
    torch.testing.assert_close(out.double(), phi + alpha * wide * gate, rtol=2e-6, atol=2e-6)
    torch.testing.assert_close(
        x.grad.double(), upstream * (slope + alpha * gate), rtol=5e-6, atol=5e-6
    )
    torch.testing.assert_close(
        layer.alpha.grad.double(),
        parts.sum_to_size(alpha.shape).view_as(layer.alpha),
        rtol=1e-5,
        atol=1e-5 * (1 + len(size) * math.sqrt(parts.numel())) / 10,
    )


def test_the_loops_in_c_were_built() -> None:
    # They are optional for users; this project's own gate has a compiler.
    assert fused_module.BUILT


@pytest.mark.parametrize("base", ["relu", "tanh", "gelu", "silu"])
def test_transposed_inputs_and_gradients_are_no_trap(base: str) -> None:
    layer = AdaLin(5, base, init=0.7)
    x, upstream = torch.randn(5, 9).T, torch.randn(5, 9).T  # (9, 5), not contiguous
    results = []
    for i, u in (
        (x, upstream),
        (x.contiguous(), upstream),
        (x.contiguous(), upstream.contiguous()),
    ):
        leaf = i.detach().requires_grad_()
        out = layer(leaf)
        results.append((out, *torch.autograd.grad(out, (leaf, layer.alpha), u)))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0])


@pytest.mark.parametrize("in_c", [True, False])
@pytest.mark.parametrize("base", BASES)
def test_zero_alpha_is_the_base_bit_for_bit_and_still_gets_a_gradient(
    base: str, in_c: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_c:
        monkeypatch.setattr(fused_module, "BUILT", False)
    layer, x = AdaLin(5, base), torch.randn(64, 5) * 3
    assert torch.equal(layer(x), BASES[base].function(x))
    with torch.no_grad():
        assert torch.equal(layer(x), BASES[base].function(x))
    layer(x).sum().backward()
    assert layer.alpha.grad is not None
    assert layer.alpha.grad.abs().sum() > 0


@pytest.mark.parametrize("in_c", [True, False])
def test_relu_is_prelu_bit_for_bit(in_c: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not in_c:
        monkeypatch.setattr(fused_module, "BUILT", False)
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


EXTREMES = torch.tensor([[0.0, -0.0, 1e-45, -1e-38, 1e-30], [-14.0, 14, 30, 1e4, -1e4]])


@pytest.mark.parametrize("base", BASES)
def test_the_loops_in_c_agree_with_float64_far_from_zero(base: str) -> None:
    layer = AdaLin(5, base, init=0.5)
    results = []
    for x in (EXTREMES, EXTREMES.double()):
        leaf = x.clone().requires_grad_()
        out = layer(leaf)
        dx, dalpha = torch.autograd.grad(out, (leaf, layer.alpha), torch.ones_like(out))
        results.append((out.double(), dx.double(), dalpha.double()))
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("in_c", [True, False])
def test_numbers_that_are_not_finite_are_those_of_prelu(
    in_c: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_module, "BUILT", in_c and fused_module.BUILT)
    layer, weight = AdaLin(4, init=0.5), torch.full((4,), 0.5, requires_grad=True)
    x = torch.tensor([[math.inf, math.nan, -math.inf, 1.0]])
    upstream = torch.tensor([[1.0, 1.0, 1.0, math.inf]])
    results = []
    for function, alpha in ((layer, layer.alpha), (lambda x: F.prelu(x, weight), weight)):
        leaf = x.clone().requires_grad_()
        out = function(leaf)
        results.append((out, *torch.autograd.grad(out, (leaf, alpha), upstream)))
    torch.testing.assert_close(*results, rtol=0, atol=0, equal_nan=True)


# gradcheck perturbs x, and so the gate: it fits the ungated form, and alpha of the gated one
@pytest.mark.parametrize("base", BASES)
def test_gradcheck_of_what_has_no_stopped_gradient(base: str) -> None:
    ungated, gated = adalin(base, gate=False), adalin(base)
    assert torch.autograd.gradcheck(ungated, X.clone().requires_grad_())

    def of_alpha(alpha: Tensor) -> Tensor:
        out: Tensor = torch.func.functional_call(gated, {"alpha": alpha}, (X,))
        return out

    assert torch.autograd.gradcheck(of_alpha, ALPHA.clone().requires_grad_())


def test_second_derivatives_take_the_gate_as_a_constant() -> None:
    layer, x = adalin("tanh"), X.clone().requires_grad_()
    (first,) = torch.autograd.grad(layer(x).sum(), x, create_graph=True)
    second, mixed = torch.autograd.grad(first.sum(), (x, layer.alpha))
    y = torch.tanh(X)
    torch.testing.assert_close(second, -2 * y * (1 - y**2))
    torch.testing.assert_close(mixed, by_hand(X, "tanh", gated=True)[2].sum(0))


@pytest.mark.parametrize("base", ["relu", "tanh"])
def test_gradients_that_can_be_differentiated_are_the_gradients(base: str) -> None:
    layer, x = AdaLin(5, base, init=0.5), torch.randn(4, 5, requires_grad=True)
    inputs = (x, layer.alpha)
    once = torch.autograd.grad(layer(layer(x)).sum(), inputs)  # alpha acts twice
    again = torch.autograd.grad(layer(layer(x)).sum(), inputs, create_graph=True)
    torch.testing.assert_close(again, once)


@pytest.mark.parametrize("base", BASES)
def test_many_gradients_at_once(base: str) -> None:
    layer, x = AdaLin(5, base, init=0.5), torch.randn(3, 5, requires_grad=True)
    out = layer(x)
    upstream = torch.randn(4, 3, 5)
    batched = torch.autograd.grad(
        out, (x, layer.alpha), upstream, is_grads_batched=True, retain_graph=True
    )
    for i, one in enumerate(upstream):
        single = torch.autograd.grad(out, (x, layer.alpha), one, retain_graph=True)
        torch.testing.assert_close(tuple(g[i] for g in batched), single)


def test_negated_views_are_read_right() -> None:
    for base in ("relu", "tanh"):
        layer, x = AdaLin(5, base, init=0.5), -torch.ones(2, 5)
        leaf = torch._neg_view(torch.ones(2, 5)).requires_grad_()
        out = layer(leaf)
        torch.testing.assert_close(out, layer(x))
        (mine,) = torch.autograd.grad(out, leaf, torch._neg_view(torch.ones(2, 5)))
        leaf = x.clone().requires_grad_()
        torch.testing.assert_close(mine, torch.autograd.grad(layer(leaf), leaf, x)[0])


def test_frozen_alpha_or_input_gets_no_gradient() -> None:
    layer, x = AdaLin(5, "tanh", init=0.5), torch.randn(8, 5)
    (only_alpha,) = torch.autograd.grad(layer(x).sum(), layer.alpha)
    layer.alpha.requires_grad_(False)
    (only_x,) = torch.autograd.grad(layer(leaf := x.clone().requires_grad_()).sum(), leaf)
    assert not layer(x).requires_grad
    _, slope, gate = by_hand(x.double(), "tanh", gated=True)
    torch.testing.assert_close(
        only_alpha.double(), (x.double() * gate).sum(0), rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(only_x.double(), slope + 0.5 * gate, rtol=1e-5, atol=1e-5)


# ---- the bases


@pytest.mark.parametrize("base", BASES)
def test_derivative_is_autograds_and_lipschitz_its_largest_value(base: str) -> None:
    x = torch.linspace(-30, 30, 600_001, dtype=torch.float64).requires_grad_()
    b = BASES[base]
    y = b.function(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(b.derivative(x.detach()), slope, rtol=1e-8, atol=1e-12)
    if b.from_output is not None:
        torch.testing.assert_close(b.from_output(y.detach()), slope, rtol=1e-8, atol=1e-12)
    assert abs(slope.abs().max().item() - b.lipschitz) < 1e-6


@given(st.sampled_from(list(BASES)), st.floats(-1e3, 1e3))
def test_gate_lies_between_zero_and_one(base: str, x: float) -> None:
    g = linearity_gate(torch.tensor([x], dtype=torch.float64), BASES[base])
    assert -1e-9 <= g.item() <= 1


def snake(x: Tensor) -> Tensor:
    return x + torch.sin(x) ** 2


@pytest.mark.parametrize(
    ("function", "lipschitz"),
    [
        (torch.sin, 1.0),
        (snake, 2.0),
        (torch.atan, 1.0),
        (F.tanhshrink, 1.0),
        (F.hardswish, 1.5),
        (F.logsigmoid, 1.0),  # which its slope only comes close to
        (lambda x: x * torch.atan(x), math.pi / 2),
    ],
)
def test_a_users_function_gets_its_derivative_and_lipschitz_constant(
    function: Callable[[Tensor], Tensor], lipschitz: float
) -> None:
    base = make_base(function)
    assert abs(base.lipschitz - lipschitz) < 1e-6
    layer, x = AdaLin(5, function, init=0.3).double(), X.clone().requires_grad_()
    (mine,) = torch.autograd.grad(layer(x).sum(), x)
    (slope,) = torch.autograd.grad(function(x).sum(), x)
    gate = torch.cos(math.pi / 2 * slope.abs() / lipschitz)
    torch.testing.assert_close(mine, slope + 0.3 * gate)
    torch.testing.assert_close(layer(X), function(X) + 0.3 * X * gate)
    assert torch.equal(AdaLin(5, base)(X.float()), function(X.float()))


def tanh(x: Tensor) -> Tensor:
    return 1.7159 * torch.tanh(2 / 3 * x)


def test_a_users_function_is_not_taken_for_one_of_the_same_name() -> None:
    layer, x = AdaLin(5, tanh, init=0.5), torch.randn(8, 5)
    torch.testing.assert_close(layer(x), layer(x.double()).float())
    assert not torch.allclose(layer(x), AdaLin(5, "tanh", init=0.5)(x), atol=0.1)


@pytest.mark.parametrize(
    "base",
    [
        make_base(lambda x: x[:], lipschitz=2.0),
        Base("half square", lambda x: x * x / 2, lambda x: x, 10.0),
        Base("exp", torch.exp, torch.exp, 20.0, from_output=lambda y: y),
    ],
)
def test_what_a_users_function_returns_is_not_written_over(base: Base) -> None:
    for dtype in (torch.float32, torch.float64):
        layer = AdaLin(5, base, init=0.5)
        x = torch.linspace(-2, 2, 10, dtype=dtype).view(2, 5)
        leaf = x.clone().requires_grad_()
        out = layer(leaf)
        out.sum().backward()
        assert torch.equal(leaf.detach(), x)
        slope = base.derivative(x)
        gate = torch.cos(math.pi / 2 * slope.abs() / base.lipschitz)
        torch.testing.assert_close(out, base.function(x) + 0.5 * x * gate)
        assert leaf.grad is not None
        torch.testing.assert_close(leaf.grad, slope + 0.5 * gate)


def test_the_lipschitz_constant_may_be_given_or_belong_to_a_range() -> None:
    assert make_base(torch.square, interval=(-3, 2)).lipschitz == pytest.approx(6, abs=1e-9)
    assert make_base(torch.exp, lipschitz=7.5, name="exp").lipschitz == 7.5
    assert AdaLin(3, lambda x: 2 * x).base.lipschitz == 2


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (
            torch.square,
            {},
            "'square' should have a finite Lipschitz constant: its slope reaches 20",
        ),
        (torch.exp, {}, "Lipschitz constant of `base` 'exp' should be finite"),
        (lambda x: x.abs().sqrt(), {}, "should be finite and above 0. Received inf"),
        (torch.log, {}, "should be finite and above 0. Received inf"),
        (torch.sign, {}, "should be finite and above 0. Received 0"),
        (lambda x: torch.softmax(x, -1), {}, "should be an elementwise function"),
        (lambda x: x.sum(-1), {}, "should be an elementwise function"),
        (torch.sin, {"interval": (3, 1)}, "`interval` should be two rising finite numbers"),
        (torch.sin, {"lipschitz": -1.0}, "should be finite and above 0. Received -1"),
        (torch.sin, {"lipschitz": "1"}, "should be finite and above 0. Received 1"),
        (lambda x: x * torch.sin(x), {}, "should have a finite Lipschitz constant"),
        (
            lambda x: x.sum(-1, keepdim=True),
            {"lipschitz": 1.0},
            "should be an elementwise function",
        ),
        (lambda x: torch.tanh(x.float()), {}, "should keep the type of its input"),
        (lambda x: x.relu_(), {}, "should not change its input in place"),
        (nn.ReLU, {}, "should be a function. Received the class ReLU"),
        (nn.PReLU(), {}, "should have no parameters of its own"),
        (F.glu, {}, "should map a float64 tensor. Received 'glu'"),
    ],
)
def test_functions_that_can_not_be_a_base_say_why(
    function: Callable[[Tensor], Tensor], options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_base(function, **options)  # type: ignore[arg-type]  # wrong on purpose


# ---- options


def test_alpha_stands_beside_the_channels_of_images_and_of_each_seed() -> None:
    layer = AdaLin(3, dim=-3, lead=(2,))
    with torch.no_grad():
        layer.alpha.copy_(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    out = layer(-torch.ones(2, 4, 3, 2, 2))
    assert torch.equal(out, -layer.alpha[:, None, :, None, None].expand(2, 4, 3, 2, 2))


def test_initial_alpha() -> None:
    assert AdaLin(3).alpha.tolist() == [0, 0, 0]
    assert AdaLin(3, init=-2).alpha.tolist() == [-2, -2, -2]
    uniform = AdaLin(1000, init="uniform").alpha
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert uniform.std() > 0.2
    values = torch.tensor([1.0, 2.0, 3.0])
    layer = AdaLin(3, init=values)
    values.zero_()
    with torch.no_grad():
        layer.alpha.zero_()
    layer.reset_parameters()
    assert layer.alpha.tolist() == [1, 2, 3]
    assert "init='tensor(3,)'" in repr(layer)


def test_one_alpha_for_a_network() -> None:
    network = nn.Sequential(
        nn.Linear(2, 4),
        AdaLin(4, granularity="network"),
        nn.Linear(4, 3),
        AdaLin(3, "tanh", granularity="network", init=0.5),
        AdaLin(3),
    )
    share_alpha(network)
    assert network[1].alpha is network[3].alpha
    twin = copy.deepcopy(network)
    assert twin[1].alpha is twin[3].alpha
    assert twin[1].alpha is not network[1].alpha
    assert sum(p.numel() for p in network.parameters()) == 12 + 15 + 1 + 3
    network(torch.randn(5, 2)).sum().backward()
    with pytest.raises(ValueError, match="the same leading axes"):
        share_alpha(nn.ModuleList([network[1], AdaLin(3, granularity="network", lead=(2,))]))


def test_repr_names_every_option() -> None:
    layer = AdaLin(4, "silu", granularity="layer", gate=False, init=0.5, dim=-3, lead=(2,))
    assert repr(layer) == (
        "AdaLin(4, base='silu', granularity='layer', gate=False, init=0.5, dim=-3, lead=(2,))"
    )


@pytest.mark.parametrize("base", BASES)
def test_copies_and_saved_states_compute_the_same(base: str) -> None:
    layer = AdaLin(5, base, init="uniform")
    fresh = AdaLin(5, base)
    fresh.load_state_dict(layer.state_dict())
    x = torch.randn(4, 5)
    for other in (copy.deepcopy(layer), fresh, pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x), layer(x))
        assert other.alpha is not layer.alpha
    assert list(layer.state_dict()) == ["alpha"]


def test_a_state_of_another_width_is_refused() -> None:
    with pytest.raises(RuntimeError, match="size mismatch for alpha"):
        AdaLin(5).load_state_dict(AdaLin(4).state_dict())


@pytest.mark.parametrize("base", BASES)
def test_half_precision_is_the_definition_rounded(base: str) -> None:
    layer = AdaLin(5, base, init=0.5)
    x = torch.randn(64, 5).bfloat16()
    expected = layer(x.float())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = layer(x)
    whole = copy.deepcopy(layer).bfloat16()
    for out in (mixed, whole(x)):
        assert out.dtype == torch.bfloat16
        torch.testing.assert_close(out.float(), expected, rtol=0.02, atol=0.02)
    whole(x.requires_grad_()).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16


def test_autocast_trains_alpha_in_float32() -> None:
    model = nn.Sequential(nn.Linear(3, 5), AdaLin(5, "gelu"), nn.Linear(5, 1))
    with torch.autocast("cpu", torch.bfloat16):
        model(torch.randn(8, 3)).sum().backward()
    alpha = model[1].alpha
    assert isinstance(alpha, Tensor)
    assert alpha.grad is not None
    assert alpha.grad.dtype == torch.float32
    assert alpha.grad.abs().sum() > 0


# ---- compilers and transforms


@pytest.fixture(autouse=True)
def forget_compiled_code() -> None:
    torch._dynamo.reset()


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("base", ["relu", "tanh", "gelu", "mish", torch.sin])
def test_compiled_without_graph_breaks_it_is_the_same(base: str, gated: bool) -> None:
    layer = AdaLin(5, base, init=0.4, gate=gated)
    x = torch.randn(8, 5)
    results = []
    for function in (layer, torch.compile(layer, fullgraph=True, backend="aot_eager")):
        leaf = x.clone().requires_grad_()
        out = function(leaf)
        results.append((out, *torch.autograd.grad(out.sum(), (leaf, layer.alpha))))
    torch.testing.assert_close(results[1], results[0])


def test_compiled_by_inductor_it_is_the_same() -> None:
    layer, x = AdaLin(5, "gelu", init=0.4), torch.randn(8, 5)
    torch.testing.assert_close(torch.compile(layer, fullgraph=True)(x), layer(x))


@pytest.mark.parametrize("base", BASES)
def test_vmap_and_grad_of_torch_func(base: str) -> None:
    layer = AdaLin(5, base, init=0.4)
    x, alphas = torch.randn(3, 8, 5), torch.randn(3, 5)

    def loss(alpha: Tensor, x: Tensor) -> Tensor:
        out: Tensor = torch.func.functional_call(layer, {"alpha": alpha}, (x,))
        return out.square().sum()

    gradients = torch.func.vmap(torch.func.grad(loss))(alphas, x)
    for alpha, one, gradient in zip(alphas, x, gradients, strict=True):
        leaf = alpha.clone().requires_grad_()
        (expected,) = torch.autograd.grad(loss(leaf, one), leaf)
        torch.testing.assert_close(gradient, expected)


def test_traced_graphs_hold_every_operation() -> None:
    layer, x = AdaLin(5, "gelu", init=0.4), torch.randn(8, 5)
    with torch.no_grad():
        traced = torch.jit.trace(layer, x)
        graph = make_fx(layer)(x)
    other = torch.randn(8, 5)
    torch.testing.assert_close(traced(other), layer(other))
    torch.testing.assert_close(graph(other), layer(other))


def test_forward_mode() -> None:
    layer = adalin("tanh")
    direction = torch.ones_like(X)
    phi, slope, gate = by_hand(X, "tanh", gated=True)
    out, tangent = torch.func.jvp(layer, (X,), (direction,))[:2]
    torch.testing.assert_close(out, phi + ALPHA * X * gate)
    torch.testing.assert_close(tangent, slope + ALPHA * gate)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(X, direction)
        unpacked = torch.autograd.forward_ad.unpack_dual(layer(dual))
    assert unpacked.tangent is not None
    torch.testing.assert_close(unpacked.tangent, tangent)


@pytest.mark.parametrize("base", BASES)
def test_exports_and_computes_the_same(base: str) -> None:
    model = nn.Sequential(nn.Linear(3, 5), AdaLin(5, base, init=0.4))
    x = torch.randn(8, 3)
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(model, (x,), dynamic_shapes=({0: batch},))
    for size in (8, 3):
        torch.testing.assert_close(program.module()(x[:size]), model(x[:size]))


# ---- bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_features": 0}, "`num_features` should be at least 1, a whole number. Received 0"),
        (
            {"num_features": 2.5},
            "`num_features` should be at least 1, a whole number. Received 2.5",
        ),
        ({"lead": (0,)}, "`lead` should be at least 1, a whole number. Received 0"),
        ({"base": "rellu"}, "did you mean 'relu'"),
        ({"base": ["relu"]}, "or a function. Received \\['relu'\\]"),
        ({"granularity": "unit"}, "`granularity` should be one of neuron, layer, network"),
        ({"init": "ones"}, "`init` should be zeros, uniform, a finite number or a tensor"),
        ({"init": math.nan}, "`init` should be zeros, uniform, a finite number or a tensor"),
        ({"init": torch.full((4,), math.inf)}, "`init` should be finite"),
        ({"init": torch.ones(3)}, r"should have the shape of alpha, \(4,\). Received \(3,\)"),
        ({"dim": 1}, "`dim` counts from the last axis"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdaLin(**{"num_features": 4, **arguments})  # type: ignore[arg-type]  # wrong on purpose


def test_wrong_inputs_are_named() -> None:
    with pytest.raises(ValueError, match="made for 4 units. Received 5"):
        AdaLin(4)(torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"the leading axes \(2,\). Received shape \(3, 1, 5\)"):
        AdaLin(5, lead=(2,))(torch.zeros(3, 1, 5))
    with pytest.raises(ValueError, match=r"floating-point type. Received torch.int64"):
        AdaLin(4)(torch.zeros(2, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"at least 3 axes. Received shape \(4, 4\)"):
        AdaLin(4, dim=-3)(torch.zeros(4, 4))


# ---- the registry


def test_every_registered_activation_tells_its_axes_outputs_and_slopes() -> None:
    for name in ACTIVATIONS:
        x = torch.randn(2, 3, 6, 4, 4)
        layer = make_activation(name, 6, dim=-3, lead=(2,))
        out = layer(x)
        assert isinstance(layer, Activation), name
        assert (layer.dim, layer.lead) == (-3, (2,)), name
        assert out.shape == (2, 3, layer.expansion * 6, 4, 4), name
        assert layer.expansion == (2 if name in ("crelu", "fourier") else 1), name
        share = layer.slope_share(x)
        if share is None:
            assert name == "rational"
            continue
        assert share.shape == out.shape, name
        assert share.dtype == x.dtype, name
        assert not share.requires_grad
        assert 0 <= float(share.min()) <= float(share.max()) <= 1 + 1e-6, name


def test_slope_share_is_the_slope_over_the_largest_one() -> None:
    x = torch.tensor([-2.0, 0.0, 2.0], dtype=torch.float64, requires_grad=True)
    tanh = make_activation("adalin-tanh", 3).slope_share(x)
    assert tanh is not None
    torch.testing.assert_close(tanh, 1 - torch.tanh(x.detach()) ** 2)
    sigmoid = make_activation("sigmoid", 3).slope_share(x)
    assert sigmoid is not None
    torch.testing.assert_close(sigmoid, 4 * sigma(x.detach()) * (1 - sigma(x.detach())))


def test_every_activation_is_described() -> None:
    lines = {name: describe(name) for name in ACTIVATIONS}
    assert lines["adalin-tanh"] == "AdaLin over tanh (arXiv 2505.09486)"
    assert lines["relu"] == "plain, without parameters"
    assert all(line and "\n" not in line for line in lines.values())
    for name in ("crelu", "fourier", "smooth-leaky", "rational", "aid", "prelu"):
        assert "arXiv" in lines[name] or "et al. 20" in lines[name], name


def test_unknown_activation_gets_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="Did you mean 'adalin-relu'"):
        make_activation("adalin-relo", 3)


def test_options_reach_adalin() -> None:
    options = AdaLinConfig(init=0.5, granularity="layer", gate=False)
    layer = make_activation("adalin-tanh", 3, adalin=options)
    assert isinstance(layer, AdaLin)
    assert (layer.alpha.tolist(), layer.gate) == ([0.5], False)
