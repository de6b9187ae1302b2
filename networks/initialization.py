"""Random initialisation in which every seed draws from its own generator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Generators = Sequence[torch.Generator]


@torch.no_grad()
def fill_uniform(
    parameter: Tensor, low: float, high: float, generators: Generators | None = None
) -> None:
    """Fills ``parameter`` in place with U[low, high).

    With generators, index ``s`` of the first axis is drawn from generator ``s``, so that the
    values of a seed do not depend on which other seeds stand beside it.
    """
    if generators is None:
        parameter.uniform_(low, high)
        return
    for values, generator in zip(parameter, generators, strict=True):
        values.uniform_(low, high, generator=generator)


def initialize(network: nn.Module, generators: Generators) -> None:
    """Draws all parameters of ``network`` anew, in place, in the order of its modules."""
    for module in network.modules():
        reset = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset(generators)
