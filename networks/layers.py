"""Dense and convolutional layers for many networks side by side.

``lead`` are the leading axes of a network: ``(S,)`` for S seeds, ``(S, 2)`` for the twin critics of
S seeds.  Each index of ``lead`` has weights of its own, and all of them are computed by one batched
matrix product or one grouped convolution.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from networks.initialization import (
    Generators,
    fill_he,
    fill_he_fan_out,
    fill_orthogonal,
    fill_uniform,
)

Init = Literal["uniform", "orthogonal", "he"]
"""How weights start: PyTorch's default, or as in SimBa, with biases of 0."""

LARGE = 2**16
"""Numbers in a weight from which a gradient that lies otherwise costs more than avoiding it."""


class Linear(nn.Module):
    """Dense layers side by side.

    Args:
        in_features: Number of inputs I.
        out_features: Number of outputs O.
        lead: Leading axes.
        init: First weights: ``"uniform"``, ``"orthogonal"`` or ``"he"``.

    Attributes:
        weight: ``(*lead, O, I)``.
        bias: ``(*lead, O)``.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        lead: tuple[int, ...],
        init: Init = "uniform",
    ) -> None:
        super().__init__()
        self.lead = lead
        self.init = init
        self.weight = nn.Parameter(torch.empty(*lead, out_features, in_features))
        self.bias = nn.Parameter(torch.empty(*lead, out_features))
        self.reset_parameters()

    def reset_parameters(self, generators: Generators | None = None) -> None:
        """Draws weights and bias from U(-k, k), k = 1/sqrt(I), or as ``init`` says."""
        if self.init != "uniform":
            fill = fill_orthogonal if self.init == "orthogonal" else fill_he
            fill(self.weight, generators)
            nn.init.zeros_(self.bias)
            return
        bound = 1 / math.sqrt(self.weight.shape[-1])
        fill_uniform(self.weight, -bound, bound, generators)
        fill_uniform(self.bias, -bound, bound, generators)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(*lead, B, I)`` to ``(*lead, B, O)``."""
        alone = math.prod(self.lead) == 1
        large = self.weight.shape[-2:].numel() >= LARGE
        if torch.compiler.is_compiling() or (large and not alone):
            mapped: Tensor = _Dense.apply(  # type: ignore[no-untyped-call]
                x.reshape(-1, *x.shape[-2:]),  # (L, B, I)
                self.weight.flatten(0, -3),  # (L, O, I)
                self.bias.flatten(0, -2),  # (L, O)
            )
            return mapped.view(*self.lead, *mapped.shape[1:])
        if alone:  # the gradient of the weight comes as the weight lies
            one = F.linear(x.reshape(x.shape[-2:]), self.weight.flatten(0, -2), self.bias.flatten())
            return one.view(*self.lead, *one.shape)
        outputs: Tensor = torch.baddbmm(
            self.bias.flatten(0, -2).unsqueeze(1),  # (L, 1, O)
            x.reshape(-1, *x.shape[-2:]),  # (L, B, I)
            self.weight.flatten(0, -3).mT,  # (L, I, O)
        )
        return outputs.view(*self.lead, *outputs.shape[1:])

    def extra_repr(self) -> str:
        outputs, inputs = self.weight.shape[-2:]
        return f"{inputs} -> {outputs}, lead={self.lead}"


class _Dense(torch.autograd.Function):
    """What ``Linear`` does, and the gradient of the weight comes as the weight lies.

    Else it comes transposed: eager PyTorch copies it, and what a compiler makes of all that goes
    over it afterwards is not vectorized.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.bmm(x, weight.mT) + bias.unsqueeze(1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x, weight, _ = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return torch.bmm(grad, weight), torch.bmm(grad.mT, x), grad.sum(1)


class Conv2d(nn.Module):
    """Convolutions side by side.

    Args:
        in_channels: Number of input channels C.
        out_channels: Number of output channels O.
        kernel: Side of the square kernel K.
        stride: Step of the kernel.
        lead: Leading axes.
        padding: Zeros around the images.
        before_norm: Whether a normalisation follows, which has a bias: then there is none here, and
            weights start from N(0, 2 / (O K K)) (He et al. 2015).
        before_dense: Whether a dense layer follows: then each image lies in one piece, as that
            layer takes it; else as the next convolution does, which is slow for anything else.

    Attributes:
        weight: ``(*lead, O, C, K, K)``.
        bias: ``(*lead, O)``, or None before a normalisation.
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int,
        lead: tuple[int, ...],
        padding: int = 0,
        *,
        before_norm: bool = False,
        before_dense: bool = False,
    ) -> None:
        super().__init__()
        self.lead = lead
        self.stride = stride
        self.before_dense = before_dense
        self.padding = padding
        self.weight = nn.Parameter(torch.empty(*lead, out_channels, in_channels, kernel, kernel))
        bias = None if before_norm else nn.Parameter(torch.empty(*lead, out_channels))
        self.register_parameter("bias", bias)
        self.reset_parameters()

    def reset_parameters(self, generators: Generators | None = None) -> None:
        """Draws weights and bias from U(-k, k), k = 1/sqrt(C K K), PyTorch's default, or as He."""
        if self.bias is None:
            fill_he_fan_out(self.weight, generators)
            return
        bound = 1 / math.sqrt(self.weight.shape[-3:].numel())
        fill_uniform(self.weight, -bound, bound, generators)
        fill_uniform(self.bias, -bound, bound, generators)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(*lead, B, C, H, W)`` to ``(*lead, B, O, H', W')``."""
        groups = math.prod(self.lead)
        images = x.reshape(groups, *x.shape[-4:]).transpose(0, 1)  # (B, L, C, H, W)
        images = images.flatten(1, 2)  # (B, L * C, H, W)
        if images.is_cpu:  # about twice as fast there, forward and backward together
            images = images.contiguous(memory_format=torch.channels_last)
        outputs = F.conv2d(
            images,
            self.weight.flatten(0, -4),
            None if self.bias is None else self.bias.flatten(),
            self.stride,
            self.padding,
            groups=groups,
        )  # (B, L * O, H', W')
        apart = outputs.view(len(outputs), groups, -1, *outputs.shape[2:]).transpose(0, 1)
        apart = apart.view(*self.lead, *apart.shape[1:])
        return apart.contiguous() if self.before_dense else apart

    def extra_repr(self) -> str:
        outputs, inputs, kernel, _ = self.weight.shape[-4:]
        padding = f", padding={self.padding}" if self.padding else ""
        return (
            f"{inputs} -> {outputs}, kernel={kernel}, stride={self.stride}{padding}, "
            f"lead={self.lead}"
        )


class MaxPool(nn.Module):
    """The largest number of each square of positions that do not overlap; a rest is left out.

    Args:
        side: Side of the squares.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(*lead, B, C, H, W)`` to ``(*lead, B, C, H // side, W // side)``."""
        copies = x.flatten(0, -5)  # (L, B, C, H, W)
        # Side by side, as a convolution put them out, so that nothing has to be copied.
        pooled = F.max_pool2d(copies.transpose(0, 1).flatten(1, 2), self.side)  # (B, L * C, ...)
        apart = pooled.view(len(pooled), len(copies), -1, *pooled.shape[2:]).transpose(0, 1)
        return apart.view(*x.shape[:-2], *apart.shape[-2:])

    def extra_repr(self) -> str:
        return str(self.side)
