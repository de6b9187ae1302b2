"""Interval-wise dropout."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from networks.bases import Base
from networks.stochastic import Stochastic


class AID(Stochastic):
    """Activation by interval-wise dropout (Park et al. 2025, arXiv 2502.01342, Algorithm 2).

    With an independent ``m ~ Bernoulli(p)`` for each element,
    ``f(x) = m max(x, 0) + (1 - m) min(x, 0)`` in training: positive inputs are kept with
    probability p, negative ones with 1 - p, and nothing is rescaled. Otherwise its expectation,
    ``p max(x, 0) + (1 - p) min(x, 0)``. This is ReLU for p = 1 and linear for p = 1/2.

    Args:
        p: Probability to keep a positive input. The authors use 0.99 to 0.999 in RL.
        dim: The axis of the units, negative.
        lead: Leading axes of independent copies.

    Raises:
        ValueError: If p is not in [0, 1].
    """

    def __init__(self, p: float = 0.99, dim: int = -1, lead: tuple[int, ...] = ()) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"`p` should be in [0, 1]. Received {p}")
        super().__init__(dim, lead)
        self.p = p
        self.base = Base("aid", partial(_mean, p=p), partial(_slope, p=p), max(p, 1 - p))

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``x`` of shape ``(*lead, ...)`` to the same shape."""
        if not self.random:
            return _mean(x, self.p)
        kept = (self.uniform(x) < self.p) == (x > 0)
        return torch.where(kept, x, 0)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def _mean(x: Tensor, p: float) -> Tensor:
    return x * _slope(x, p)


def _slope(x: Tensor, p: float) -> Tensor:
    return torch.where(x > 0, p, 1 - p).to(x.dtype)
