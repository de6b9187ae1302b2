"""Random initialisation in which every seed draws from its own generator."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

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
    for values, generator in _by_seed(parameter, generators):
        values.uniform_(low, high, generator=generator)


@torch.no_grad()
def fill_orthogonal(parameter: Tensor, generators: Generators | None = None) -> None:
    """Fills the matrices ``(*lead, O, I)`` in place with orthogonal ones (Saxe et al. 2014)."""
    for values, generator in _by_seed(parameter, generators):
        for matrix in values.view(-1, *values.shape[-2:]):
            nn.init.orthogonal_(matrix, generator=generator)


@torch.no_grad()
def fill_he(parameter: Tensor, generators: Generators | None = None) -> None:
    """Fills the matrices ``(*lead, O, I)`` in place from a normal distribution of variance 2/I.

    It is cut at two standard deviations and widened to that variance, as in Flax (He et al. 2015).
    """
    std = math.sqrt(2 / parameter.shape[-1]) / _CUT_NORMAL_STD
    for values, generator in _by_seed(parameter, generators):
        nn.init.trunc_normal_(values, 0.0, std, -2 * std, 2 * std, generator=generator)


@torch.no_grad()
def fill_he_fan_out(parameter: Tensor, generators: Generators | None = None) -> None:
    """Fills kernels ``(*lead, O, C, K, K)`` in place from N(0, 2 / (O K K)).

    So gradients keep their size on the way back through ReLUs (He et al. 2015); as in torchvision's
    residual networks.
    """
    num_outputs = parameter.shape[-4] * parameter.shape[-2:].numel()
    for values, generator in _by_seed(parameter, generators):
        values.normal_(0.0, math.sqrt(2 / num_outputs), generator=generator)


_CUT_NORMAL_STD = 0.87962566103423978
"""Standard deviation of a standard normal that is cut at -2 and 2."""


def _by_seed(
    parameter: Tensor, generators: Generators | None
) -> Iterable[tuple[Tensor, torch.Generator | None]]:
    """Pairs what belongs to a seed with its generator; everything with None without generators."""
    return [(parameter, None)] if generators is None else zip(parameter, generators, strict=True)


def initialize(network: nn.Module, generators: Generators) -> None:
    """Draws all parameters of ``network`` anew, in place, in the order of its modules."""
    for module in network.modules():
        reset = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset(generators)
