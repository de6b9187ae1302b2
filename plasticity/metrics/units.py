"""Metrics of units: what a layer's activation takes in and gives out on a batch.

Activations are the output of the activation module, shape ``(..., B, U)`` for B samples and U
units; axes before these two (seeds, twin critics) are kept.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from plasticity.metrics.checks import check, check_at_least_zero, check_same_shape

DEAD_BELOW = 1e-7
"""An output smaller than this counts as zero."""

LINEAR_BELOW = 0.1
"""A slope below this share of the largest counts as flat: there AdaLin injects linearity."""


def units_last(activations: Tensor, dim: int, lead: int) -> Tensor:
    """Brings activations to ``(*lead, B, U)``: positions of a convolution count as samples.

    Args:
        activations: ``(*lead, B, ...)`` with the units on axis ``dim``.
        dim: Axis of the units, negative.
        lead: Number of leading axes to keep.
    """
    return activations.movedim(dim, -1).flatten(lead, -2)


def relative(magnitude: Tensor) -> Tensor:
    """Divides by the mean over the last axis; 0 where all is zero."""
    mean = magnitude.mean(-1, keepdim=True)
    return torch.where(mean == 0, 0.0, magnitude / mean)


def dormant_scores(activations: Tensor) -> Tensor:
    """Score of each unit, ``(..., U)`` (Sokar et al. 2023, arXiv 2302.12902, eq. 1).

    ``score_i = mean_b |h_bi| / mean_j mean_b |h_bj|``; 0 for all units of a silent layer.

    Args:
        activations: ``(..., B, U)``.
    """
    check(2, activations=activations)
    return relative(activations.abs().mean(-2))


def dormant_mask(activations: Tensor, tau: float = 0.0) -> Tensor:
    """Which units are tau-dormant, ``(..., U)``: score_i <= tau; see ``dormant_scores``.

    Where the whole layer is silent every unit is dormant.

    Args:
        activations: ``(..., B, U)``.
        tau: Threshold, at least 0.

    Raises:
        ValueError: If ``tau`` is negative.
    """
    check_at_least_zero(tau=tau)
    return dormant_scores(activations) <= tau


def dormant_fraction(activations: Tensor, tau: float = 0.0) -> Tensor:
    """Share of tau-dormant units, ``(...)``; see ``dormant_mask``."""
    return dormant_mask(activations, tau).double().mean(-1)


def dormant_overlap(now_mask: Tensor, before_mask: Tensor) -> Tensor:
    """Share of the units dormant before that are dormant now, ``(...)``.

    ``|now & before| / |before|`` (labs/redo of Dopamine, the code of Sokar et al. 2023).  NaN where
    no unit was dormant before: there the code says 0, which would read as "all woke up".

    Args:
        now_mask: Dormant units at this probe, ``(..., U)``, booleans.
        before_mask: Those at the last one.
    """
    check(1, now_mask=now_mask, before_mask=before_mask)
    check_same_shape(before_mask=before_mask, now_mask=now_mask)
    return (now_mask & before_mask).double().sum(-1) / before_mask.double().sum(-1)


def dead_mask(activations: Tensor) -> Tensor:
    """Which units are zero (below 1e-7) on every sample, ``(..., U)``."""
    check(2, activations=activations)
    return (activations.abs() < DEAD_BELOW).all(-2)


def dead_fraction(activations: Tensor) -> Tensor:
    """Share of dead units, ``(...)``; see ``dead_mask``."""
    return dead_mask(activations).double().mean(-1)


def sign_entropy(pre_activations: Tensor) -> Tensor:
    """Mean over the units of the binary entropy of ``P(x > 0)``, ``(...)``, in nats.

    ``-p log p - (1 - p) log(1 - p)`` with p the share of samples where the unit's input is
    positive: 0 for a unit always on one side, ln 2 for one that halves the batch (Lyle et al. 2024,
    arXiv 2402.18762).

    Args:
        pre_activations: Inputs of the activation, ``(..., B, U)``.
    """
    check(2, pre_activations=pre_activations)
    p = (pre_activations > 0).count_nonzero(-2).double() / pre_activations.shape[-2]  # (..., U)
    entropies: Tensor = torch.special.entr(p) + torch.special.entr(1 - p)
    return entropies.mean(-1)


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
    check(2, pre_activations=pre_activations)
    return linear_fraction_of(derivative(pre_activations).abs() / lipschitz)


def linear_fraction_of(slope_share: Tensor) -> Tensor:
    """``linear_fraction`` of slopes already known.

    Args:
        slope_share: ``|phi'(x)| / L``, ``(..., B, U)``.
    """
    check(2, slope_share=slope_share)
    flat = (slope_share < LINEAR_BELOW).flatten(-2)
    return flat.count_nonzero(-1).double() / flat.shape[-1]


def alpha_statistics(alpha: Tensor, lead: int = 0) -> dict[str, Tensor]:
    """Mean, least, largest and mean absolute alpha behind the ``lead`` leading axes."""
    check(alpha=alpha)
    flat = alpha.reshape(*alpha.shape[:lead], -1)
    return {
        "alpha_mean": flat.mean(-1),
        "alpha_min": flat.amin(-1),
        "alpha_max": flat.amax(-1),
        "alpha_abs": flat.abs().mean(-1),
    }
