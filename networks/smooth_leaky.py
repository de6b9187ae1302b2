"""Randomized Smooth-Leaky ReLU; the one with a fixed slope is a base (``bases.py``)."""

from __future__ import annotations

from torch import Tensor

from networks.bases import smooth_leaky, smooth_leaky_base
from networks.stochastic import Stochastic

LOW, HIGH = 1 / 8, 1 / 3
"""The slope is drawn from U(LOW, HIGH), as that of RReLU (Xu et al. 2015)."""


class RandomizedSmoothLeaky(Stochastic):
    """Smooth-Leaky ReLU with a random slope (Lillo and Cheney 2026, arXiv 2509.22562).

    ``f(x) = r x + (1 - r) x sigmoid(5 x / 3)``. In training each element draws its own
    ``r ~ U(1/8, 1/3)``; otherwise r is the mean, 11/48.
    """

    def __init__(self, dim: int = -1, lead: tuple[int, ...] = ()) -> None:
        super().__init__(dim, lead)
        self.base = smooth_leaky_base("randomized-smooth-leaky", (LOW + HIGH) / 2)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``x`` of shape ``(*lead, ...)`` to the same shape."""
        slope = LOW + (HIGH - LOW) * self.uniform(x) if self.random else (LOW + HIGH) / 2
        return smooth_leaky(x, slope)
