"""Penalties on the singular values of weights, whose gradient joins the one of the loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from agents.settings import AT_LEAST_ONE, POSITIVE, Rule
from plasticity.mitigations.base import MitigationConfig, Subject
from plasticity.mitigations.regularizers import Regularizer

FIRST_ITERATIONS = 20
"""Steps of power iteration before the first update."""


@dataclass(frozen=True)
class ParsevalConfig(MitigationConfig):
    """Settings of parseval."""

    strength: float = 1e-3
    """Weight lambda of the penalty lambda (64 / width)^2 |W W^T - s I|^2."""
    scale: float = 2.0
    """The s: what all squared singular values are pulled to; 2 suits ReLU."""

    def rules(self) -> Mapping[str, Rule]:
        return {"scale": POSITIVE}


class Parseval(Regularizer[ParsevalConfig]):
    """Parseval regularisation: keeps the rows of hidden weights orthogonal and of one length.

    ``strength * (64 / width)^2 * |W W^T - s I|_F^2`` for each hidden layer (Chung et al. 2024,
    arXiv 2412.07224, wechu/parseval_reg), with the gradient ``4 c (W W^T - s I) W`` where c is all
    in front of the norm.  Hidden layers are those in front of an activation, so the output layer is
    not among them; biases are left alone.

    The width is the number of rows of that layer; in their code, where all hidden layers are dense,
    the one width of them all.  A convolution is a matrix of O rows and C K K columns here.  Weights
    with more rows than columns can't reach 0; they have the same penalty, as there.  Their networks
    start at 0, from orthogonal weights of gain sqrt(2); those of this project start with rows of
    squared length 1/3, so at first the penalty is large.

    Raises:
        ValueError: If the network has no hidden layers, or they can't be found.
    """

    def __init__(self, config: ParsevalConfig, subject: Subject) -> None:
        layers = [layer.weights for layer in subject.hidden]
        super().__init__(config, subject, layers, biases=False)

    def gradient(self, i: int) -> Tensor:
        return 4 * self._factor(i) * (self._excess(i) @ self.matrices(i))

    def penalty(self, i: int) -> Tensor:
        return self._factor(i) * self._excess(i).square().sum((-2, -1))

    def _factor(self, i: int) -> float:
        return self.config.strength * (64 / self.outputs[i]) ** 2

    def _excess(self, i: int) -> Tensor:
        """``W W^T - s I``, ``(L, O, O)``."""
        weight = self.matrices(i)
        excess = weight @ weight.mT
        excess.diagonal(dim1=-2, dim2=-1).sub_(self.config.scale)
        return excess


@dataclass(frozen=True)
class SpectralConfig(MitigationConfig):
    """Settings of spectral."""

    strength: float = 1e-4
    """Weight lambda of the penalty lambda (sigma^k - 1)^2, where sigma is the spectral norm."""
    power: float = 1.0
    """Exponent k of sigma in the penalty, at least 1."""

    def rules(self) -> Mapping[str, Rule]:
        return {"power": AT_LEAST_ONE}


class Spectral(Regularizer[SpectralConfig]):
    """Spectral regularisation: pulls the largest singular value of every weight to 1.

    ``strength * (sigma^k - 1)^2`` for each dense and convolutional layer, also the output layer
    (Lewandowski et al. 2025, arXiv 2406.06811).  A convolution is a matrix of O rows and C K K
    columns.  ``sigma = u^T W v`` comes from power iteration: one step in each update, from where
    the last one ended, after 20 steps at the start from random vectors.  u and v count as
    constants, so the gradient of sigma is ``u v^T``.

    There is no official code.  The paper also regularises biases; here they are left alone, as are
    normalisations.  A port for SAC (garage) has k = 2 and the same strength.

    Attributes:
        left: u of each weight, ``(L, O)``.
        right: v of each weight, ``(L, I)``.

    Raises:
        ValueError: If the network has no dense or convolutional layers.
    """

    def __init__(self, config: SpectralConfig, subject: Subject) -> None:
        super().__init__(config, subject, biases=False)
        self.left, self.right = [], []
        for i, copies in enumerate(self.copies):
            weight = self.matrices(i)
            start = subject.streams.normal(copies // subject.num_seeds, self.outputs[i])
            self.left.append(start.to(weight).flatten(0, 1))
            self.right.append(torch.zeros_like(weight[:, 0]))
            for _ in range(FIRST_ITERATIONS):
                self.iterate(i)

    def iterate(self, i: int) -> Tensor:
        """Takes one step of power iteration; returns sigma, ``(L,)``."""
        weight, left, right = self.matrices(i), self.left[i], self.right[i]
        _turn(right, (weight.mT @ left.unsqueeze(-1)).squeeze(-1))
        return _turn(left, (weight @ right.unsqueeze(-1)).squeeze(-1))

    def gradient(self, i: int) -> Tensor:
        sigma, k = self.iterate(i), self.config.power
        slope = 2 * self.config.strength * k * sigma ** (k - 1) * (sigma**k - 1)
        return (slope.unsqueeze(-1) * self.left[i]).unsqueeze(-1) * self.right[i].unsqueeze(-2)

    def penalty(self, i: int) -> Tensor:
        sigma: Tensor = (self.matrices(i) @ self.right[i].unsqueeze(-1)).norm(dim=(-2, -1))
        return self.config.strength * (sigma**self.config.power - 1).square()

    def state_dict(self) -> dict[str, Tensor]:
        left = {f"left_{i}": vectors for i, vectors in enumerate(self.left)}
        return left | {f"right_{i}": vectors for i, vectors in enumerate(self.right)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for i, (left, right) in enumerate(zip(self.left, self.right, strict=True)):
            left.copy_(state[f"left_{i}"])
            right.copy_(state[f"right_{i}"])


def _turn(unit: Tensor, toward: Tensor) -> Tensor:
    """Gives unit vectors ``(L, n)`` other directions, in place; returns the lengths of those."""
    length: Tensor = toward.norm(dim=-1, keepdim=True)
    # A weight that is all 0 has no direction; without the old one the next could not be found.
    unit.copy_(torch.where(length > 0, toward / length, unit))
    return length.squeeze(-1)
