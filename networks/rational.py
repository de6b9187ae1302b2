"""Rational activations: a learnable quotient of two polynomials."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from networks.activation import Activation
from networks.initialization import Generators

# Leaky ReLU of slope 0.01 on [-3, 3]: the coefficients that the authors' package publishes
# (ml-research/rational_activations, version A, degrees 5/4), lowest power first.
NUMERATOR = (
    *(0.029792778657264946, 0.6183735264987601, 2.323309062531321),
    *(3.051936237265109, 1.4854203263828845, 0.2510244961111299),
)
DENOMINATOR = (
    *(-1.1419548357285474, 4.393159974992486),
    *(0.8714712309957245, 0.34719662339598834),
)


class Rational(Activation):
    """``P(x) / Q(x)`` with learnable coefficients, one set for a layer (Molina et al. 2020).

    The safe form "A": ``P(x) = sum_{j=0..5} a_j x^j`` and ``Q(x) = 1 + sum_{j=1..4} |b_j x^j|``, so
    there is no pole. It starts as a leaky ReLU, to 0.03 on [-3, 3]. There is no Lipschitz constant,
    because the slope is learned.

    Attributes:
        numerator: ``(*lead, 6)``, a_0 to a_5.
        denominator: ``(*lead, 4)``, b_1 to b_4.
    """

    def __init__(self, dim: int = -1, lead: tuple[int, ...] = ()) -> None:
        super().__init__(dim, lead)
        self.numerator = nn.Parameter(torch.empty(*lead, len(NUMERATOR)))
        self.denominator = nn.Parameter(torch.empty(*lead, len(DENOMINATOR)))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self, generators: Generators | None = None) -> None:
        """Sets the coefficients to those of a leaky ReLU; nothing is drawn."""
        self.numerator.copy_(torch.tensor(NUMERATOR, dtype=torch.float64))
        self.denominator.copy_(torch.tensor(DENOMINATOR, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``x`` of shape ``(*lead, ...)`` to the same shape."""
        beside = (*self.lead, *(1,) * (x.dim() - len(self.lead)), -1)
        top = horner(x, self.numerator.view(beside))
        size = x.abs()
        return top / (1 + size * horner(size, self.denominator.abs().view(beside)))


def horner(x: Tensor, coefficients: Tensor) -> Tensor:
    """``sum_j coefficients[..., j] x^j``, from the highest power down."""
    *lower, value = coefficients.unbind(-1)
    for coefficient in reversed(lower):
        value = torch.addcmul(coefficient, value, x)
    return value
