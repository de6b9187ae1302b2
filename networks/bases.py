"""Base activations: what AdaLin needs to know of a function, a known one or any other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor
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
    """

    name: str
    function: Function
    derivative: Function
    lipschitz: float
    from_output: Function | None = None

    def __reduce__(self) -> Any:
        # Kernels and lambdas can't be pickled; the name of a registered base can.
        registered = BASES.get(self.name) is self
        return (find_base, (self.name,)) if registered else super().__reduce__()


def _one(x: Tensor) -> Tensor:
    """Ones like ``x`` that take no memory: what PyTorch's backward kernels turn into phi'."""
    return x.new_ones(()).expand_as(x)


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


_aten = torch.ops.aten

# The largest slope of exact GELU is at sqrt(2), since phi'' = density(x) * (2 - x^2).
_GELU_LIPSCHITZ = 0.5 * (1 + math.erf(1)) + math.exp(-1) / math.sqrt(math.pi)

BASES: dict[str, Base] = {
    base.name: base
    for base in (
        Base("relu", F.relu, lambda x: _aten.threshold_backward(_one(x), x, 0), 1.0),
        Base(
            "leaky-relu",
            F.leaky_relu,
            lambda x: _aten.leaky_relu_backward(_one(x), x, 0.01, False),
            1.0,
        ),
        Base("elu", F.elu, lambda x: _aten.elu_backward(_one(x), 1, 1, 1, False, x), 1.0),
        Base("tanh", torch.tanh, lambda x: 1 - torch.tanh(x) ** 2, 1.0, lambda y: 1 - y * y),
        Base(
            "sigmoid",
            torch.sigmoid,
            lambda x: torch.sigmoid(x) * torch.sigmoid(-x),
            0.25,
            lambda y: y * (1 - y),
        ),
        Base("softplus", F.softplus, torch.sigmoid, 1.0),
        Base("gelu", F.gelu, lambda x: _aten.gelu_backward(_one(x), x), _GELU_LIPSCHITZ),
        Base(
            "gelu-tanh",
            _gelu_tanh,
            lambda x: _aten.gelu_backward(_one(x), x, approximate="tanh"),
            1.128993068658772,  # at x = 1.4185
        ),
        Base("silu", F.silu, lambda x: _aten.silu_backward(_one(x), x), 1.0998393201288669),
        Base("mish", F.mish, lambda x: _aten.mish_backward(_one(x), x), 1.0884981612517279),
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
    if base not in BASES:
        near = get_close_matches(str(base), BASES, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(
            f"`base` should be one of {', '.join(BASES)}, or a function. Received {base!r}{hint}"
        )
    return BASES[base]


REACH = 10.0
"""Half the width of the range on which ``make_base`` looks for the largest slope by itself."""


@dataclass(frozen=True)
class Slope:
    """The derivative of an elementwise function, by autograd."""

    function: Function

    def __call__(self, x: Tensor) -> Tensor:
        # vjp and not autograd.grad: torch.compile and torch.func know it.
        result = torch.func.vjp(self.function, x.detach())
        slope: Tensor = result[1](torch.ones_like(result[0]))[0]
        return slope.to(x.dtype)


def make_base(
    function: Function,
    *,
    lipschitz: float | None = None,
    interval: tuple[float, float] | None = None,
    name: str | None = None,
) -> Base:
    """Makes a base of an elementwise function; its derivative comes from autograd.

    Args:
        function: ``phi``, differentiable by autograd.
        lipschitz: ``L``, if it is known.
        interval: Range on which to compute ``L``, to 1e-6: give it if the pre-activations stay
            there.  Outside it a slope above ``L`` would turn the gate negative.  By default
            [-10, 10], if the largest slope there is also that on [-1000, 1000].
        name: What to call it; by default the name of the function.

    Raises:
        ValueError: If the function is not elementwise, or has no finite positive ``L``.
    """
    label = name or str(getattr(function, "__name__", type(function).__name__))
    slope = Slope(function)
    if lipschitz is None:
        low, high = interval or (-REACH, REACH)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"`interval` should be two rising finite numbers. Received {interval}")
        _check_elementwise(function, label, low, high)
        lipschitz = _largest_slope(slope, low, high)
        # Beyond: a function such as x^2 has a largest slope on every range, and none at all.
        far = 0.0 if interval else _largest_slope(slope, -100 * REACH, 100 * REACH)
        if not max(lipschitz, far) <= lipschitz * (1 + 1e-6) + 1e-12:
            raise ValueError(
                f"`base` {label!r} should have a finite Lipschitz constant: its slope reaches "
                f"{lipschitz:g} on [{low:g}, {high:g}] and more beyond. If the inputs stay in a "
                "range, give `interval` or `lipschitz` to make_base"
            )
    if not (math.isfinite(lipschitz) and lipschitz > 0):
        raise ValueError(
            f"the Lipschitz constant of `base` {label!r} should be finite and above 0. "
            f"Received {lipschitz:g}"
        )
    return Base(label, function, slope, lipschitz)


def _check_elementwise(function: Function, label: str, low: float, high: float) -> None:
    x = torch.linspace(low, high, 6, dtype=torch.float64).view(2, 3)
    out, alone = function(x), [function(part) for part in x.view(-1, 1)]
    same = out.shape == x.shape and torch.allclose(
        out, torch.cat(alone).view_as(out), equal_nan=True
    )
    if not same:
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
