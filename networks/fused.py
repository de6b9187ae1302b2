"""AdaLin's value and gradients in one pass each, for eager mode.

The loops of ``_fused.c`` serve contiguous float32 tensors on a CPU and the bases that say so, if it
was built; PyTorch's operations serve all others.  Both save the input and at most one tensor more,
and hold at most one tensor more than the base does.
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
_SLOPES = {"slope": 0, "tanh": 1, "gelu": 2}
"""How the loops come to the slope: it is given, or computed from input and output."""


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
    """The gate ``cos(pi/2 * |phi'| / L)`` of slopes ``phi'``, a tensor of its own."""
    return slope.abs().mul_(math.pi / (2 * lipschitz)).cos_()


def beside(x: Tensor, alpha: Tensor, dim: int) -> Tensor:
    """Brings alpha ``(*lead, F)`` beside the axis ``dim`` of ``x``, ``(*lead, 1, ..., F, ...)``."""
    lead = alpha.shape[:-1]
    between = x.dim() - len(lead) + dim
    return alpha.view(*lead, *(1,) * between, alpha.shape[-1], *(1,) * (-1 - dim))


def plain(x: Tensor, alpha: Tensor, base: Base, gated: bool, dim: int) -> Tensor:
    """AdaLin as a differentiable expression: for compilers, torch.func and second derivatives.

    Args:
        x: Inputs, ``(*lead, ..., F, ...)``.
        alpha: ``(*lead, F)`` or ``(*lead, 1)``.
        base: The base activation.
        gated: Whether the linear path is gated.
        dim: The axis of the units, negative.
    """
    alpha = beside(x, alpha, dim)
    if base.loops == "relu" and gated:
        # The gate of ReLU is 1 for x <= 0 and 0 elsewhere: this is PReLU. F.prelu is a reshape of
        # the weight before this kernel, and knows no leading axes.
        return torch.ops.aten._prelu_kernel.default(x, alpha)  # type: ignore[no-any-return]
    y = base.function(x)
    if not gated:
        return y + alpha * x
    return y + alpha * (x * gate(_slope(x.detach(), y.detach(), base), base.lipschitz))


def fused(x: Tensor, alpha: Tensor, base: Base, gated: bool, dim: int) -> Tensor:
    """Equal to ``plain`` up to rounding, faster and with less memory; for eager mode."""
    function = _PReLU if base.loops == "relu" and gated else _AdaLin
    if torch.is_grad_enabled() and (x.requires_grad or alpha.requires_grad):
        out: Tensor = function.apply(x, alpha, base, gated, dim)  # type: ignore[no-untyped-call]
        return out
    return function.forward(None, x, alpha, base, gated, dim)


def _native(x: Tensor, alpha: Tensor) -> bool:
    return (
        BUILT
        and x.dtype == alpha.dtype == torch.float32
        and x.is_contiguous()
        and alpha.is_contiguous()
        and type(x) is Tensor
        and x.is_cpu
        and not x.is_neg()
    )


def _slope(x: Tensor, y: Tensor, base: Base) -> Tensor:
    return base.derivative(x) if base.from_output is None else base.from_output(y)


def _batched(grad: Tensor) -> bool:
    """Whether this is the gradient of many outputs at once (``is_grads_batched``)."""
    functorch = torch._C._functorch
    return functorch.is_legacy_batchedtensor(grad) or functorch.is_batchedtensor(grad)


class _PReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, base: Base, gated: bool, dim: int) -> Tensor:
        if ctx is not None:
            ctx.save_for_backward(x, alpha)
            ctx.of = base, gated, dim
        if not _native(x, alpha):
            return plain(x, alpha, base, gated, dim)
        y = torch.empty_like(x)
        layout = Layout.of(x, alpha, dim)
        _fused.relu_forward(x.data_ptr(), alpha.data_ptr(), y.data_ptr(), *layout)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, alpha = ctx.saved_tensors
        dim = ctx.of[-1]
        if torch.is_grad_enabled():
            return _differentiable(ctx, x, alpha, grad)
        if _native(x, alpha) and not _batched(grad):
            grad, dx = grad.resolve_neg().contiguous(), torch.empty_like(x)
            dalpha = torch.zeros_like(alpha, dtype=torch.float64)
            _fused.relu_backward(
                grad.data_ptr(),
                x.data_ptr(),
                alpha.data_ptr(),
                dx.data_ptr(),
                dalpha.data_ptr(),
                *Layout.of(x, alpha, dim),
            )
            return dx, dalpha.float(), None, None, None
        row, right = beside(x, alpha, dim), x > 0
        dx = torch.where(right, grad, grad * row)
        return dx, _total(ctx, (grad * x).masked_fill_(right, 0), row, alpha), None, None, None


class _AdaLin(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, base: Base, gated: bool, dim: int) -> Tensor:
        y = base.function(x)
        if ctx is not None:
            ctx.of = base, gated, dim
        if not (base.loops in _SLOPES and gated and _native(x, alpha)):
            if ctx is not None:
                ctx.save_for_backward(x, alpha)
            linear = gate(_slope(x, y, base), base.lipschitz).mul_(x) if gated else x
            return torch.addcmul(y.to(x.dtype), beside(x, alpha, dim), linear)
        kind = _SLOPES[base.loops]
        slope = torch.empty_like(x) if kind else _slope(x, y, base)
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
        base, gated, dim = ctx.of
        if torch.is_grad_enabled():
            return _differentiable(ctx, x, alpha, grad)
        if slopes and not _batched(grad):
            grad, dx = grad.resolve_neg().contiguous(), torch.empty_like(x)
            dalpha = torch.zeros_like(alpha, dtype=torch.float64)
            _fused.gated_backward(
                grad.data_ptr(),
                x.data_ptr(),
                slopes[0].data_ptr(),
                alpha.data_ptr(),
                dx.data_ptr(),
                dalpha.data_ptr(),
                base.lipschitz**-2,
                *Layout.of(x, alpha, dim),
            )
            return dx, dalpha.float(), None, None, None
        # In place, to hold one tensor more than the base: not where grad alone has a batch axis,
        # nor into what a function of the user returned, which may be x itself.
        times = torch.mul if _batched(grad) else Tensor.mul_
        row, slope = beside(x, alpha, dim), base.derivative(x)
        if not base.loops:
            slope = slope.clone()
        if not gated:
            dx = times(slope.add_(row), grad)
            return dx, _total(ctx, grad * x, row, alpha), None, None, None
        linear = gate(slope, base.lipschitz)
        dx = times(slope.addcmul_(row, linear), grad)
        return dx, _total(ctx, times(linear.mul_(x), grad), row, alpha), None, None, None


def _total(ctx: Any, parts: Tensor, row: Tensor, alpha: Tensor) -> Tensor | None:
    """The gradient of alpha, the sum of its parts, if it is wanted."""
    return parts.sum_to_size(row.shape).view_as(alpha) if ctx.needs_input_grad[1] else None


def _differentiable(ctx: Any, x: Tensor, alpha: Tensor, grad: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients as functions that can be differentiated once more."""
    needed = ctx.needs_input_grad[:2]
    with torch.enable_grad():
        # Views: x may itself depend on alpha, and that path is not part of this function.
        inputs = (x.view_as(x), alpha.view_as(alpha))
        wanted = [t for t, is_needed in zip(inputs, needed, strict=True) if is_needed]
        out = plain(*inputs, *ctx.of)
        grads = iter(torch.autograd.grad(out, wanted, grad, create_graph=True))
    return *(next(grads) if is_needed else None for is_needed in needed), None, None, None
