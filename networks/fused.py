"""AdaLin's value and gradients in one pass each, for eager mode.

The loops of ``_fused.c`` serve contiguous float32 tensors on a CPU, if it was built; PyTorch's
operations, as few as it takes, serve all others.  Both save the input and at most one tensor more.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from networks.bases import Base

try:
    from networks import _fused
except ImportError:  # there was no C compiler when the package was installed
    _fused = None  # type: ignore[assignment]

BUILT = _fused is not None
"""Whether the loops in C are there."""
_SLOPE_IN_C = {"tanh": 1, "gelu": 2}


class Layout(NamedTuple):
    """An input with its units on axis ``dim`` as ``(copies, rows, units, positions)``."""

    copies: int
    rows: int
    units: int
    positions: int

    @classmethod
    def of(cls, x: Tensor, alpha: Tensor, dim: int) -> Layout:
        """Returns how ``x`` is seen; where alpha is shared the units are positions, too."""
        size, units = x.numel(), alpha.shape[-1]
        copies = alpha.numel() // units
        if units == 1 or size == 0:
            return cls(copies, 1, 1, size // copies)
        positions = 1
        for axis in range(dim + 1, 0):
            positions *= x.shape[axis]
        return cls(copies, size // (copies * units * positions), units, positions)


def gate(slope: Tensor, lipschitz: float) -> Tensor:
    """The gate ``cos(pi/2 * |phi'| / L)`` of slopes ``phi'``."""
    return torch.cos(slope.abs() * (math.pi / (2 * lipschitz)))


def beside(x: Tensor, alpha: Tensor, dim: int) -> Tensor:
    """Brings alpha ``(*lead, F)`` beside the axis ``dim`` of ``x``, ``(*lead, 1, ..., F, ...)``."""
    lead = alpha.shape[:-1]
    between = x.dim() - len(lead) + dim
    return alpha.view(*lead, *(1,) * between, alpha.shape[-1], *(1,) * (-1 - dim))


def plain(x: Tensor, alpha: Tensor, base: Base, dim: int) -> Tensor:
    """AdaLin as a differentiable expression: for compilers, torch.func and second derivatives.

    Args:
        x: Inputs, ``(*lead, ..., F, ...)``.
        alpha: ``(*lead, F)`` or ``(*lead, 1)``.
        base: The base activation.
        dim: The axis of the units, negative.
    """
    alpha = beside(x, alpha, dim)
    if base.name == "relu":
        # The gate of ReLU is 1 for x <= 0 and 0 elsewhere: this is PReLU. F.prelu is a reshape of
        # the weight before this kernel, and knows no leading axes.
        return torch.ops.aten._prelu_kernel.default(x, alpha)  # type: ignore[no-any-return]
    y = base.function(x)
    return y + alpha * (x * gate(_slope(x.detach(), y.detach(), base), base.lipschitz))


def fused(x: Tensor, alpha: Tensor, base: Base, dim: int) -> Tensor:
    """Equal to ``plain``, faster and with less memory; for eager mode."""
    function = _ReLU if base.name == "relu" else _Gated
    if torch.is_grad_enabled() and (x.requires_grad or alpha.requires_grad):
        out: Tensor = function.apply(x, alpha, base, dim)  # type: ignore[no-untyped-call]
        return out
    return function.forward(None, x, alpha, base, dim)


def _native(x: Tensor, alpha: Tensor) -> bool:
    return (
        BUILT
        and x.dtype == alpha.dtype == torch.float32
        and x.is_contiguous()
        and alpha.is_contiguous()
        and type(x) is Tensor
        and x.is_cpu
    )


def _slope(x: Tensor, y: Tensor, base: Base) -> Tensor:
    return base.derivative(x) if base.from_output is None else base.from_output(y)


class _ReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, base: Base, dim: int) -> Tensor:
        if ctx is not None:
            ctx.save_for_backward(x, alpha)
            ctx.base, ctx.dim = base, dim
        if not _native(x, alpha):
            return plain(x, alpha, base, dim)
        y = torch.empty_like(x)
        layout = Layout.of(x, alpha, dim)
        _fused.relu_forward(x.data_ptr(), alpha.data_ptr(), y.data_ptr(), *layout)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, alpha = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiable(ctx, x, alpha, grad)
        if _native(x, alpha):
            grad, dx = grad.contiguous(), torch.empty_like(x)
            dalpha = torch.zeros_like(alpha, dtype=torch.float64)
            _fused.relu_backward(
                grad.data_ptr(),
                x.data_ptr(),
                alpha.data_ptr(),
                dx.data_ptr(),
                dalpha.data_ptr(),
                *Layout.of(x, alpha, ctx.dim),
            )
            return dx, dalpha.float(), None, None
        row = beside(x, alpha, ctx.dim)
        right = torch.ops.aten.threshold_backward.default(grad, x, 0)
        left = grad - right
        dx = right.addcmul_(left, row)
        needed = ctx.needs_input_grad[1]
        total = left.mul_(x).sum_to_size(row.shape).view_as(alpha) if needed else None
        return dx, total, None, None


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, base: Base, dim: int) -> Tensor:
        y = base.function(x)
        if ctx is not None:
            ctx.base, ctx.dim = base, dim
        if not _native(x, alpha):
            if ctx is not None:
                ctx.save_for_backward(x, alpha)
            linear = gate(_slope(x, y, base), base.lipschitz).mul_(x)
            return torch.addcmul(y, beside(x, alpha, dim), linear)
        if y is x or not y.is_contiguous():  # functions of the user may do so
            y = y.clone(memory_format=torch.contiguous_format)
        kind = _SLOPE_IN_C.get(base.name, 0)
        slope = torch.empty_like(x) if kind else _slope(x, y, base).contiguous()
        _fused.gated_forward(
            x.data_ptr(),
            slope.data_ptr(),
            alpha.data_ptr(),
            y.data_ptr(),
            base.lipschitz**-2,
            kind,
            *Layout.of(x, alpha, dim),
        )
        if ctx is not None:
            ctx.save_for_backward(x, alpha, slope)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, alpha, *slopes = ctx.saved_tensors
        base = ctx.base
        if torch.is_grad_enabled():
            return _differentiable(ctx, x, alpha, grad)
        if slopes:
            grad, dx = grad.contiguous(), torch.empty_like(x)
            dalpha = torch.zeros_like(alpha, dtype=torch.float64)
            _fused.gated_backward(
                grad.data_ptr(),
                x.data_ptr(),
                slopes[0].data_ptr(),
                alpha.data_ptr(),
                dx.data_ptr(),
                dalpha.data_ptr(),
                base.lipschitz**-2,
                *Layout.of(x, alpha, ctx.dim),
            )
            return dx, dalpha.float(), None, None
        row = beside(x, alpha, ctx.dim)
        slope = base.derivative(x)
        linear = gate(slope, base.lipschitz)
        dx = slope.addcmul_(row, linear).mul_(grad)
        needed = ctx.needs_input_grad[1]
        total = linear.mul_(x).mul_(grad).sum_to_size(row.shape).view_as(alpha) if needed else None
        return dx, total, None, None


def _differentiable(ctx: Any, x: Tensor, alpha: Tensor, grad: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients as functions that can be differentiated once more."""
    needed = ctx.needs_input_grad[:2]
    wanted = [t for t, is_needed in zip((x, alpha), needed, strict=True) if is_needed]
    with torch.enable_grad():
        out = plain(x, alpha, ctx.base, ctx.dim)
        grads = iter(torch.autograd.grad(out, wanted, grad, create_graph=True))
    return *(next(grads) if is_needed else None for is_needed in needed), None, None
