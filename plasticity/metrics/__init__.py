"""Plasticity metrics: plain functions of tensors, each usable alone.

A metric's name says its formula.  Leading axes (seeds, twin critics) are kept, all others are
reduced.  NaN, infinity and empty batches are refused with a ValueError that names the argument;
inside ``unchecked()`` values are not looked at.
"""

from __future__ import annotations

import math
from difflib import get_close_matches

from plasticity.metrics.capacity import refit_loss
from plasticity.metrics.checks import unchecked
from plasticity.metrics.outputs import (
    one_step_plasticity,
    policy_change,
    policy_churn,
    q_max,
    q_mean,
    td_target_variance,
)
from plasticity.metrics.ranks import (
    effective_rank,
    effective_rank_of,
    feature_norm,
    spectrum,
    srank_001,
    srank_001_of,
    stable_rank_fro,
    stable_rank_fro_of,
)
from plasticity.metrics.units import (
    DEAD_BELOW,
    alpha_statistics,
    dead_fraction,
    dead_mask,
    dormant_fraction,
    dormant_mask,
    dormant_overlap,
    dormant_scores,
    linear_fraction,
    linear_fraction_of,
    sign_entropy,
    units_last,
)
from plasticity.metrics.weights import (
    effective_lr,
    grad_norm,
    grama_fraction,
    grama_mask,
    grama_scores,
    weight_change,
    weight_rms,
    zero_grad_fraction,
)

__all__ = [
    "DEAD_BELOW",
    "DESCRIPTIONS",
    "alpha_statistics",
    "dead_fraction",
    "dead_mask",
    "describe",
    "dormant_fraction",
    "dormant_mask",
    "dormant_overlap",
    "dormant_scores",
    "effective_lr",
    "effective_rank",
    "effective_rank_of",
    "feature_norm",
    "grad_norm",
    "grama_fraction",
    "grama_mask",
    "grama_scores",
    "linear_fraction",
    "linear_fraction_of",
    "one_step_plasticity",
    "policy_change",
    "policy_churn",
    "q_max",
    "q_mean",
    "refit_loss",
    "sign_entropy",
    "spectrum",
    "srank_001",
    "srank_001_of",
    "stable_rank_fro",
    "stable_rank_fro_of",
    "td_target_variance",
    "unchecked",
    "units_last",
    "weight_change",
    "weight_rms",
    "zero_grad_fraction",
]

DESCRIPTIONS: dict[str, str] = {
    "dormant_fraction@tau": "share of units with mean |h_i| / mean over units <= tau (Sokar 2023)",
    "dormant_fraction_of_layers@tau": "mean of dormant_fraction@tau over the layers of a network",
    "dead_fraction": "share of units with |h| < 1e-7 on every sample",
    "dormant_overlap@tau": "|dormant now and before| / |dormant before| (Dopamine, labs/redo)",
    "grama_fraction@tau": "share of units with mean |dL/dW_i| / mean over units <= tau (GraMa)",
    "effective_rank": "exp(-sum p log p), p = s / sum s, of the features (Roy & Vetterli 2007)",
    "srank_001": "least k such that the k largest s are 99% of sum s, of the features (Kumar 2021)",
    "stable_rank_fro": "sum s^2 / s_max^2, of the centred features",
    "weight_stable_rank_fro": "stable_rank_fro of the weights of a layer, not centred",
    "feature_norm": "mean over the samples of the L2 norm of the features",
    "weight_rms": "sqrt(mean w^2)",
    "weight_change": "sqrt(mean (w - w at the last probe)^2)",
    "grad_norm": "L2 norm of all gradients before clipping",
    "zero_grad_fraction": "share of weights with a gradient of exactly zero",
    "effective_lr": "norm of the last update / norm of the weights (after SimbaV2)",
    "sign_entropy": "mean over units of the binary entropy of P(x > 0), in nats (Lyle 2024)",
    "linear_fraction": "share of (sample, unit) with |phi'(x)| / L < 0.1 (this project's own)",
    "alpha_mean": "mean of AdaLin's alpha (this project's own)",
    "alpha_min": "least of AdaLin's alpha (this project's own)",
    "alpha_max": "largest of AdaLin's alpha (this project's own)",
    "alpha_abs": "mean of |alpha| (this project's own)",
    "policy_churn": "share of states whose greedy action changed since the last probe (C-CHAIN)",
    "policy_change": "mean L2 distance of greedy actions of two probes (this project's own)",
    "td_target_variance": "variance of the TD targets over the batch",
    "q_mean": "mean value over the batch: overestimation watch",
    "q_max": "largest value on the batch: overestimation watch",
    "one_step_plasticity": "clamp(1 - L_after / L_before, 0, 1) of one step on a batch (UPGD)",
    "refit_loss": "MSE of a copy after k steps on fresh targets (Lyle 2022)",
}
"""Formula and source of each metric by name; ``tau`` stands for a number at least 0."""


def describe(name: str) -> str:
    """Returns the line of a metric, such as ``"dead_fraction"`` or ``"dormant_fraction@0.1"``.

    Raises:
        ValueError: If there is no such metric, or its tau is no number at least 0.
    """
    stem, at, tau = name.partition("@")
    key = f"{stem}@tau" if at else name
    if key not in DESCRIPTIONS:
        near = get_close_matches(key, DESCRIPTIONS, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(
            f"`metric` should be one of {', '.join(DESCRIPTIONS)}. Received {name!r}{hint}"
        )
    if at and tau != "tau" and not _is_threshold(tau):
        raise ValueError(f"`tau` should be a number, at least 0. Received {name!r}")
    return DESCRIPTIONS[key]


def _is_threshold(text: str) -> bool:
    try:
        return 0 <= float(text) < math.inf
    except ValueError:
        return False
