"""Base activations: what AdaLin needs to know of a function, a known one or any other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Base:
    """An elementwise activation with what AdaLin needs to know about it.

    Attributes:
        name: What it is called.
        function: ``phi``, elementwise.
        derivative: ``phi'``, elementwise.
        lipschitz: ``L``, the largest ``|phi'|``.
        from_output: ``phi'`` as a function of ``phi(x)``, where that is cheaper.
        loops: Which loops of ``_fused.c`` serve it: its own ("relu", "tanh", "gelu"), those that
            are given the slope ("slope"), or none ("").
    """

    name: str
    function: Function
    derivative: Function
    lipschitz: float
    from_output: Function | None = None
    loops: str = ""

    def __reduce__(self) -> Any:
        # Kernels and lambdas can't be pickled; the name of a registered base can.
        registered = BASES.get(self.name) is self
        return (find_base, (self.name,)) if registered else super().__reduce__()


def _one(x: Tensor) -> Tensor:
    """Ones like ``x`` that take no memory: what PyTorch's backward kernels turn into phi'."""
    return x.new_ones(()).expand_as(x)


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def smooth_leaky(x: Tensor, slope: float | Tensor = 0.1) -> Tensor:
    """``a x + (1 - a) x sigmoid(c x / p)`` with c = 5, p = 3 and the slope a (arXiv 2509.22562)."""
    return slope * x + (1 - slope) / _SHARPNESS * F.silu(_SHARPNESS * x)


def _smooth_leaky_slope(x: Tensor, slope: float) -> Tensor:
    return slope + (1 - slope) * _silu_slope(_SHARPNESS * x)


def _silu_slope(x: Tensor) -> Tensor:
    return _aten.silu_backward(_one(x), x)  # type: ignore[no-any-return]


def smooth_leaky_base(name: str, slope: float) -> Base:
    """The smooth leaky ReLU of that slope for negative inputs, between 0 and 1."""
    return Base(
        name,
        partial(smooth_leaky, slope=slope),
        partial(_smooth_leaky_slope, slope=slope),
        slope + (1 - slope) * _SILU_LIPSCHITZ,
        loops="slope",
    )


_aten = torch.ops.aten
_SHARPNESS = 5 / 3
_SILU_LIPSCHITZ = 1.0998393201288669  # at x = 2.3994

# The largest slope of exact GELU is at sqrt(2), since phi'' = density(x) * (2 - x^2).
_GELU_LIPSCHITZ = 0.5 * (1 + math.erf(1)) + math.exp(-1) / math.sqrt(math.pi)

BASES: dict[str, Base] = {
    base.name: base
    for base in (
        Base(
            "relu",
            F.relu,
            lambda x: _aten.threshold_backward(_one(x), x, 0),
            1.0,
            loops="relu",
        ),
        Base(
            "leaky-relu",
            F.leaky_relu,
            lambda x: _aten.leaky_relu_backward(_one(x), x, 0.01, False),
            1.0,
            loops="slope",
        ),
        Base(
            "elu",
            F.elu,
            lambda x: _aten.elu_backward(_one(x), 1, 1, 1, False, x),
            1.0,
            loops="slope",
        ),
        Base(
            "tanh",
            torch.tanh,
            lambda x: 1 - torch.tanh(x) ** 2,
            1.0,
            lambda y: 1 - y * y,
            "tanh",
        ),
        Base(
            "sigmoid",
            torch.sigmoid,
            lambda x: torch.sigmoid(x) * torch.sigmoid(-x),
            0.25,
            lambda y: y * (1 - y),
            "slope",
        ),
        Base("softplus", F.softplus, torch.sigmoid, 1.0, loops="slope"),
        Base(
            "gelu",
            F.gelu,
            lambda x: _aten.gelu_backward(_one(x), x),
            _GELU_LIPSCHITZ,
            loops="gelu",
        ),
        Base(
            "gelu-tanh",
            _gelu_tanh,
            lambda x: _aten.gelu_backward(_one(x), x, approximate="tanh"),
            1.128993068658772,  # at x = 1.4185
            loops="slope",
        ),
        Base(
            "silu",
            F.silu,
            _silu_slope,
            _SILU_LIPSCHITZ,
            loops="slope",
        ),
        Base(
            "mish",
            F.mish,
            lambda x: _aten.mish_backward(_one(x), x),
            1.0884981612517279,  # at x = 1.4906
            loops="slope",
        ),
        smooth_leaky_base("smooth-leaky", 0.1),
    )
}


def find_base(base: str | Base | Function) -> Base:
    """Returns the base of that name, or makes one of a function.

    Args:
        base: A key of ``BASES``, a ``Base``, or an elementwise function (see ``make_base``).

    Raises:
        ValueError: If there is no base of that name, or the function can't be one.
    """
    if isinstance(base, Base):
        return base
    if callable(base):
        return make_base(base)
    if not isinstance(base, str) or base not in BASES:
        near = get_close_matches(str(base), BASES, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(
            f"`base` should be one of {', '.join(BASES)}, or a function. Received {base!r}{hint}"
        )
    return BASES[base]


@dataclass(frozen=True)
class Slope:
    """The derivative of an elementwise function, by autograd."""

    function: Function

    def __call__(self, x: Tensor) -> Tensor:
        # vjp and not autograd.grad: torch.compile and torch.func know it.
        result = torch.func.vjp(self.function, x.detach())
        slope: Tensor = result[1](torch.ones_like(result[0]))[0]
        return slope


def make_base(
    function: Function,
    *,
    lipschitz: float | None = None,
    interval: tuple[float, float] | None = None,
    name: str | None = None,
) -> Base:
    """Makes a base of an elementwise function; its derivative comes from autograd.

    Args:
        function: ``phi``, differentiable by autograd, without parameters of its own.
        lipschitz: ``L``, if it is known.
        interval: Range on which to compute ``L``, to 1e-6: give it if the pre-activations stay
            there.  Outside it slopes above ``L`` turn the gate negative.  By default the largest
            slope on [-10, 10], [-1000, 1000] and [-100000, 100000], if the last two agree.
        name: What to call it; by default the name of the function.

    Raises:
        ValueError: If the function is not elementwise, changes its input or the type, has
            parameters, or has no finite positive ``L``.
    """
    label = name or str(getattr(function, "__name__", type(function).__name__))
    _check_function(function, label, *(interval or (-10.0, 10.0)))
    slope = Slope(function)
    if lipschitz is None and interval is not None:
        lipschitz = _largest_slope(slope, *interval)
    elif lipschitz is None:
        near, far, farthest = (_largest_slope(slope, -r, r) for r in (1e1, 1e3, 1e5))
        lipschitz = max(near, far, farthest)
        # A function such as x^2 has a largest slope on every range, and none at all.
        if not farthest <= far * (1 + 1e-6) + 1e-12:
            raise ValueError(
                f"`base` {label!r} should have a finite Lipschitz constant: its slope reaches "
                f"{near:g} on [-10, 10] and {farthest:g} on [-100000, 100000]. If the inputs stay "
                "in a range, give `interval` or `lipschitz` to make_base"
            )
    if not (isinstance(lipschitz, int | float) and math.isfinite(lipschitz) and lipschitz > 0):
        raise ValueError(
            f"the Lipschitz constant of `base` {label!r} should be finite and above 0. "
            f"Received {lipschitz}"
        )
    return Base(label, function, slope, float(lipschitz))


def _check_function(function: Function, label: str, low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"`interval` should be two rising finite numbers. Received {(low, high)}")
    if isinstance(function, type):
        raise ValueError(f"`base` should be a function. Received the class {label}")
    if isinstance(function, nn.Module) and (*function.parameters(), *function.buffers()):
        raise ValueError(f"`base` should have no parameters of its own. Received {function}")
    x = torch.linspace(low, high, 6, dtype=torch.float64).view(2, 3)
    given = x.clone()
    try:
        out = function(given)
        alone = torch.cat([function(part.clone()).reshape(-1) for part in x.view(-1, 1)])
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"`base` should map a float64 tensor. Received {label!r}: {reason}"
        ) from error
    if not isinstance(out, Tensor) or out.dtype != x.dtype:
        raise ValueError(f"`base` should keep the type of its input. Received {label!r}")
    if not torch.equal(given, x):
        raise ValueError(f"`base` should not change its input in place. Received {label!r}")
    if out.shape != x.shape or not torch.allclose(out, alone.view(x.shape), equal_nan=True):
        raise ValueError(f"`base` should be an elementwise function. Received {label!r}")


def _largest_slope(slope: Function, low: float, high: float) -> float:
    """The largest ``|phi'|`` on a range: a grid, refined around its best point; inf if it grows."""
    largest = before = 0.0
    for _ in range(4):
        # An even number of points: a pole at 0 lies between two of them, and each round is nearer.
        x = torch.linspace(low, high, 20_000, dtype=torch.float64)
        size = slope(x).abs()
        if not bool(size.isfinite().all()):
            return math.inf
        before, largest = largest, max(largest, float(size.max()))
        best, step = float(x[size.argmax()]), (high - low) / 20_000
        low, high = max(low, best - 2 * step), min(high, best + 2 * step)
    return largest if largest <= 1.001 * before else math.inf
