"""Plasticity metrics: plain functions of tensors.

A metric's name says its formula.  Activations are the output of the activation module, shape
``(..., B, U)`` for B samples and U units; axes before these two (seeds, twin critics) are kept.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

DEAD_BELOW = 1e-7
"""An output smaller than this counts as zero."""


def units_last(activations: Tensor, dim: int, lead: int) -> Tensor:
    """Brings activations to ``(*lead, B, U)``: positions of a convolution count as samples.

    Args:
        activations: ``(*lead, B, ...)`` with the units on axis ``dim``.
        dim: Axis of the units, negative.
        lead: Number of leading axes to keep.
    """
    return activations.movedim(dim, -1).flatten(lead, -2)


def dormant_mask(activations: Tensor, tau: float = 0.0) -> Tensor:
    """Which units are tau-dormant, ``(..., U)``: score_i <= tau (Sokar et al. 2023, eq. 1).

    ``score_i`` is the mean of ``|h_i|`` over the samples divided by the mean of that over the units
    of the layer.  Where the whole layer is silent every unit is dormant.

    Args:
        activations: ``(..., B, U)``.
        tau: Threshold, at least 0.

    Raises:
        ValueError: If ``tau`` is negative.
    """
    if tau < 0:
        raise ValueError(f"`tau` should be at least 0. Received {tau}")
    magnitude = activations.abs().mean(-2)  # (..., U)
    return magnitude <= tau * magnitude.mean(-1, keepdim=True)


def dormant_fraction(activations: Tensor, tau: float = 0.0) -> Tensor:
    """Share of tau-dormant units, ``(...)``; see ``dormant_mask``."""
    return dormant_mask(activations, tau).double().mean(-1)


def dead_mask(activations: Tensor) -> Tensor:
    """Which units are zero (below 1e-7) on every sample, ``(..., U)``."""
    return (activations.abs() < DEAD_BELOW).all(-2)


def dead_fraction(activations: Tensor) -> Tensor:
    """Share of dead units, ``(...)``; see ``dead_mask``."""
    return dead_mask(activations).double().mean(-1)


def effective_rank(features: Tensor) -> Tensor:
    """Exp of the entropy of the normalised singular values; 0 of a zero matrix.

    Roy & Vetterli 2007.

    Args:
        features: ``(..., B, U)``.
    """
    s = torch.linalg.svdvals(features.double())
    p = s / s.sum(-1, keepdim=True)
    rank = torch.exp(-torch.special.xlogy(p, p).sum(-1))
    return torch.where(s.sum(-1) > 0, rank, 0.0)


def srank_001(features: Tensor) -> Tensor:
    """Smallest k whose k largest singular values hold 99% of their sum (Kumar et al. 2021).

    Args:
        features: ``(..., B, U)``.
    """
    s = torch.linalg.svdvals(features.double())
    held = s.cumsum(-1) / s.sum(-1, keepdim=True)
    return torch.where(s.sum(-1) > 0, (held < 0.99).sum(-1) + 1, 0).double()


def feature_norm(features: Tensor) -> Tensor:
    """Mean over the samples of the L2 norm of the features, ``(...)``.

    Args:
        features: ``(..., B, U)``.
    """
    norms: Tensor = torch.linalg.vector_norm(features, dim=-1)
    return norms.mean(-1)


def weight_rms(weight: Tensor, lead: int = 0) -> Tensor:
    """Root mean square of the weights behind the ``lead`` leading axes."""
    return weight.flatten(lead).square().mean(-1).sqrt()


def weight_change(weight: Tensor, before: Tensor, lead: int = 0) -> Tensor:
    """Root mean square of the change of the weights since the last probe."""
    return weight_rms(weight - before, lead)


def linear_fraction(
    pre_activations: Tensor, derivative: Callable[[Tensor], Tensor], lipschitz: float
) -> Tensor:
    """Share of (sample, unit) with ``|phi'(x)| / L < 0.1``: where AdaLin injects linearity.

    This project's own metric.

    Args:
        pre_activations: Inputs of the activation, ``(..., B, U)``.
        derivative: ``phi'``.
        lipschitz: ``L``.
    """
    saturated = derivative(pre_activations).abs() / lipschitz < 0.1
    return saturated.flatten(-2).double().mean(-1)


def alpha_statistics(alpha: Tensor, lead: int = 0) -> dict[str, Tensor]:
    """Mean, least, largest and mean absolute alpha behind the ``lead`` leading axes."""
    flat = alpha.flatten(lead)
    return {
        "alpha_mean": flat.mean(-1),
        "alpha_min": flat.amin(-1),
        "alpha_max": flat.amax(-1),
        "alpha_abs": flat.abs().mean(-1),
    }
