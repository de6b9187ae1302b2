"""What remedies that change the optimizer share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

MakeOptimizer = Callable[[str, Sequence[nn.Parameter], float], Optimizer]
"""From the name of a network, its parameters and the learning rate to its optimizer."""


def loss_of(closure: Callable[[], float] | None) -> float | None:
    """What the closure of an optimizer's step returns, evaluated with gradients."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def beside(by_seed: Tensor, parameter: Tensor) -> Tensor:
    """Brings numbers of each seed ``(S,)`` to a shape that broadcasts to a parameter ``(S, ...)``.

    A parameter without that axis takes one number, ``(1,)``.
    """
    return by_seed.view((-1, *(1,) * (parameter.dim() - 1))[: parameter.dim()])
