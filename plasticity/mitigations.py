"""Remedies for lost plasticity, by name.

A mitigation is attached to the learners of an agent once, before the first update, and the agent
does not know of it.  The seam of those below is the gradient: an optimizer step pre-hook, which
runs between backward and step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from agents import Learner
from networks.layers import Conv2d, Linear


@dataclass(frozen=True)
class L2InitConfig:
    """Settings of l2-init."""

    strength: float = 1e-3
    """Weight lambda of the penalty lambda/2 |theta - theta_0|^2."""

    def __post_init__(self) -> None:
        if not 0 < self.strength < math.inf:
            raise ValueError(f"`strength` should be positive and finite. Received {self.strength}")


class Mitigation(Protocol):
    """A remedy, made with its config and attached to the learners."""

    def attach(self, learners: dict[str, Learner]) -> None:
        """Begins to work on the learners."""
        ...


class L2Init:
    """Regenerative regularisation: pulls every weight toward its first value.

    The gradient of ``strength / 2 * sum (theta - theta_0)^2`` joins the one of the loss before each
    optimizer step (Kumar et al. 2023, arXiv 2308.11958). Weights and biases of dense and
    convolutional layers only: alpha is left alone. The penalty is not part of a clipped norm.

    Args:
        config: Settings.
    """

    def __init__(self, config: L2InitConfig) -> None:
        self.strength = config.strength

    def attach(self, learners: dict[str, Learner]) -> None:
        for learner in learners.values():
            first = [(p, p.detach().clone()) for p in layer_parameters(learner.network)]
            learner.optimizer.register_step_pre_hook(lambda *_, first=first: self._pull(first))

    @torch.no_grad()
    def _pull(self, first: list[tuple[nn.Parameter, Tensor]]) -> None:
        for parameter, origin in first:
            if parameter.grad is not None:
                parameter.grad.add_(parameter - origin, alpha=self.strength)


def layer_parameters(network: nn.Module) -> Iterator[nn.Parameter]:
    """Yields weights and biases of the dense and convolutional layers."""
    for module in network.modules():
        if isinstance(module, Linear | Conv2d):
            yield from module.parameters(recurse=False)


@dataclass(frozen=True)
class Entry:
    """A row of ``--list-mitigations``."""

    make: type[L2Init]
    seam: str
    description: str
    source: str


MITIGATIONS: dict[str, Entry] = {
    "l2-init": Entry(L2Init, "gradient", "pulls weights toward their first values", "2308.11958"),
}
