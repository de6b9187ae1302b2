"""Sample weight decay: the chance of a transition to be drawn falls with its age."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from agents.settings import AT_LEAST_ONE, check_rules

N = TypeVar("N", float, Tensor)


@dataclass(frozen=True)
class AgeWeights:
    """Weights of transitions by their age (arXiv 2604.01913): ``max(min_weight, 1 - age / T)``.

    Ages are counted in time steps of the replay, calls of ``add``, as in the authors' code
    (wzhhasadream/CleanRL-JAX): the newest transition has age 1, and environments side by side share
    it.  A transition of n steps has the age of the first.  The sum over ages ``a`` to ``a + m - 1``
    is a parabola in m while weights fall, and a line behind, so a position is found from a share of
    the whole sum by a square root: no step grows with the size of the replay.

    Attributes:
        decay_steps: ``T``.
        min_weight: The smallest weight, in (0, 1].

    Raises:
        ValueError: If one of them is out of its range.
    """

    decay_steps: int = 80_000
    min_weight: float = 0.1

    def __post_init__(self) -> None:
        positive = (lambda x: 0 < x <= 1, "be in (0, 1]")
        check_rules(self, {"decay_steps": AT_LEAST_ONE, "min_weight": positive})

    def mass(self, count: Tensor, youngest: int) -> Tensor:
        """Sum of the weights of that many transitions with the ages ``youngest, youngest + 1, ...``

        Args:
            count: Any shape, float64.
            youngest: Age of the first.
        """
        falling = count.clamp(max=self._falling(youngest))
        return self._mass(falling, count - falling, youngest)

    def pick(self, share: Tensor, youngest: int, count: int) -> tuple[Tensor, Tensor]:
        """Finds the transition at each share of the whole weight, in order of age.

        Args:
            share: In [0, 1), any shape, float64; uniform to draw.
            youngest: Age of the first transition.
            count: Number of transitions, of rising age.

        Returns:
            Their positions in {0, ..., count - 1}, and how far into the weight of that transition
            the share reaches, in [0, 1]; both float64.
        """
        steps, falling = self.decay_steps, self._falling(youngest)
        knee = self._mass(falling, 0, youngest)
        few = min(falling, count)
        sought = share * self._mass(few, count - few, youngest)
        # m w - m (m - 1) / 2T = sought, where w is the first weight, in a form that is stable
        b = 1 - youngest / steps + 0.5 / steps
        root = (b * b - 2 / steps * sought).sqrt()
        behind = falling + (sought - knee) / self.min_weight
        position = torch.where(sought < knee, 2 * sought / (b + root), behind)
        position = position.floor().clamp(0, count - 1)
        weight = (1 - (position + youngest) / steps).clamp(min=self.min_weight)
        within = (sought - self.mass(position, youngest)) / weight
        return position, within.clamp(0, 1)  # rounding may have led to a neighbour

    def _falling(self, youngest: int) -> int:
        """How many ages from ``youngest`` on have weights on the falling line."""
        last = math.floor(self.decay_steps * (1 - self.min_weight))
        return max(last - youngest + 1, 0)

    def _mass(self, falling: N, rest: N, youngest: int) -> N:
        """Sum of as many weights on the falling line and at the floor behind it."""
        first = 1 - youngest / self.decay_steps
        fall = falling * (falling - 1) / (2 * self.decay_steps)
        return falling * first - fall + rest * self.min_weight
