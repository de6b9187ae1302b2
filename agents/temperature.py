"""The weight of the entropy in SAC, one for each seed."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from networks.initialization import Generators


class Temperature(nn.Module):
    """A positive number for each seed, learned as its logarithm (Haarnoja et al. 2018).

    Args:
        num_seeds: Number of seeds S.
        initial: First value.
        learn: Whether it has a gradient.

    Attributes:
        log_value: ``(S,)``.
    """

    def __init__(self, num_seeds: int, initial: float, *, learn: bool = True) -> None:
        super().__init__()
        self.initial = initial
        self.log_value = nn.Parameter(torch.empty(num_seeds), requires_grad=learn)
        self.reset_parameters()

    def reset_parameters(self, _: Generators | None = None) -> None:
        """Sets the first value; nothing is drawn."""
        with torch.no_grad():
            self.log_value.fill_(math.log(self.initial))

    def forward(self) -> Tensor:
        """Returns the temperature of each seed, ``(S,)``."""
        return self.log_value.exp()
