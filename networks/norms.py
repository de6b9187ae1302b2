"""Normalisations for many networks side by side: over layers, batches and groups of channels.

``lead`` are the leading axes of a network, as in ``networks.layers``; each index of them is
normalised by itself.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from networks.fused import beside
from networks.initialization import Generators


class Norm(nn.Module):
    """What all normalisations have: a gain and a bias for each unit.

    Args:
        num_features: Number of units F (channels, for a convolution).
        lead: Leading axes.
        dim: The axis of the units, negative.

    Attributes:
        gain: ``(*lead, F)``.
        bias: ``(*lead, F)``.
    """

    def __init__(self, num_features: int, lead: tuple[int, ...], dim: int) -> None:
        super().__init__()
        self.lead = lead
        self.dim = dim
        self.gain = nn.Parameter(torch.empty(*lead, num_features))
        self.bias = nn.Parameter(torch.empty(*lead, num_features))

    def reset_parameters(self, generators: Generators | None = None) -> None:
        """Sets the gain to 1 and the bias to 0; nothing is drawn."""
        nn.init.ones_(self.gain)
        nn.init.zeros_(self.bias)

    def scaled(self, normal: Tensor) -> Tensor:
        """Applies gain and bias to what is normalised."""
        gain, bias = (beside(normal, part, self.dim) for part in (self.gain, self.bias))
        return torch.addcmul(bias, normal, gain)

    def extra_repr(self) -> str:
        return f"{self.gain.shape[-1]}, dim={self.dim}, lead={self.lead}"


class LayerNorm(Norm):
    """Layer normalisation side by side (Ba et al. 2016).

    Normalises each sample over the axis of the units and those behind it: a convolution over
    channels and positions, with a gain for each channel (``nn.GroupNorm`` with one group).

    Args:
        num_features: Number of units F (channels, for a convolution).
        lead: Leading axes.
        dim: The axis of the units, negative.
    """

    def __init__(self, num_features: int, lead: tuple[int, ...], dim: int = -1) -> None:
        super().__init__(num_features, lead, dim)
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(*lead, ..., F, ...)`` to the same shape."""
        return self.scaled(F.layer_norm(x, x.shape[self.dim :]))


class BatchNorm(Norm):
    """Batch normalisation side by side (Ioffe and Szegedy 2015); ``nn.BatchNorm2d`` of each index.

    In training it normalises each unit over the batch and the positions, and moves the running
    statistics a tenth of the way toward those of the batch, without gradient; in evaluation mode it
    normalises by the running statistics.  The running variance is the unbiased one.

    Args:
        num_features: Number of units F (channels, for a convolution).
        lead: Leading axes.
        dim: The axis of the units, negative.

    Attributes:
        running_mean: ``(*lead, F)``, 0 at first.
        running_var: ``(*lead, F)``, 1 at first.
    """

    momentum = 0.1
    eps = 1e-5
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, lead: tuple[int, ...], dim: int = -3) -> None:
        super().__init__(num_features, lead, dim)
        self.register_buffer("running_mean", torch.empty(*lead, num_features))
        self.register_buffer("running_var", torch.empty(*lead, num_features))
        self.reset_parameters()

    def reset_parameters(self, generators: Generators | None = None) -> None:
        """Sets gain and variance to 1, bias and mean to 0; nothing is drawn."""
        super().reset_parameters(generators)
        self.reset_running_stats()

    def reset_running_stats(self) -> None:
        """Forgets the batches that were seen."""
        self.running_mean.zero_()
        self.running_var.fill_(1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(*lead, B, F, ...)`` to the same shape."""
        copies = x.reshape(math.prod(self.lead), *x.shape[len(self.lead) :])  # (L, B, F, ...)
        side_by_side = copies.transpose(0, 1).flatten(1, 2)  # (B, L * F, ...)
        normal: Tensor = F.batch_norm(
            side_by_side,
            self.running_mean.view(-1),
            self.running_var.view(-1),
            self.gain.flatten(),
            self.bias.flatten(),
            self.training,
            self.momentum,
            self.eps,
        )
        apart = normal.view(len(normal), len(copies), -1, *normal.shape[2:]).transpose(0, 1)
        return apart.view(x.shape)


class GroupNorm(Norm):
    """Group normalisation side by side (Wu and He 2018); ``nn.GroupNorm`` of each index.

    Normalises each sample over the positions of neighbouring channels, with a gain for each
    channel.

    Args:
        num_groups: Number of groups, a divisor of the number of channels.
        num_features: Number of channels C.
        lead: Leading axes.
        dim: The axis of the channels, negative.

    Raises:
        ValueError: If the channels can't be divided into so many groups.
    """

    def __init__(
        self, num_groups: int, num_features: int, lead: tuple[int, ...], dim: int = -3
    ) -> None:
        if num_groups < 1 or num_features % num_groups:
            raise ValueError(
                f"`num_groups` should divide the {num_features} channels. Received {num_groups}"
            )
        super().__init__(num_features, lead, dim)
        self.num_groups = num_groups
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(*lead, ..., C, ...)`` to the same shape."""
        samples = x.reshape(-1, *x.shape[self.dim :])  # (L * B, C, ...)
        return self.scaled(F.group_norm(samples, self.num_groups).view(x.shape))

    def extra_repr(self) -> str:
        return f"{self.num_groups} groups of {super().extra_repr()}"


NormName = Literal["batch", "group"]


def make_norm(name: NormName, num_features: int, lead: tuple[int, ...]) -> Norm:
    """Makes the normalisation of convolutions that is called ``name``.

    Groups are 32 as in Wu and He 2018, or as many as divide both 32 and the number of channels.

    Raises:
        ValueError: If there is no such normalisation.
    """
    if name == "batch":
        return BatchNorm(num_features, lead)
    if name == "group":
        return GroupNorm(math.gcd(32, num_features), num_features, lead)
    raise ValueError(f"`norm` should be batch or group. Received {name!r}")
