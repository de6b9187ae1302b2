"""Activations with two outputs for each unit: the next layer has twice the inputs."""

from __future__ import annotations

import torch
from torch import Tensor

from networks.activation import Activation


class CReLU(Activation):
    """Concatenated ReLU, ``(max(x, 0), max(-x, 0))`` (Shang et al. 2016).

    Abbas et al. 2023 found that it keeps plasticity in RL: one of the two always has a gradient.
    """

    expansion = 2

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(*lead, ..., F, ...)`` to ``(*lead, ..., 2 F, ...)``."""
        return torch.cat((x.relu(), (-x).relu()), self.dim)

    def slope_share(self, x: Tensor) -> Tensor:
        return torch.cat((x > 0, x < 0), self.dim).to(x.dtype)


class Fourier(Activation):
    """Deep Fourier features, ``(sin(x), cos(x))`` (Lewandowski et al., arXiv 2410.20634).

    Where one of the two is flat the other is steep, so a unit never saturates.
    """

    expansion = 2

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(*lead, ..., F, ...)`` to ``(*lead, ..., 2 F, ...)``."""
        return torch.cat((x.sin(), x.cos()), self.dim)

    def slope_share(self, x: Tensor) -> Tensor:
        x = x.detach()
        return torch.cat((x.cos().abs(), x.sin().abs()), self.dim)
