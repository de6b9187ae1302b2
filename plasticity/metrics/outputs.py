"""Metrics of what networks say on a batch: actions, values, targets and losses."""

from __future__ import annotations

import torch
from torch import Tensor

from plasticity.metrics.checks import check, check_at_least_zero, check_same_shape


def policy_churn(actions_now: Tensor, actions_before: Tensor) -> Tensor:
    """Share of the states whose greedy action changed, ``(...)``.

    Schaul et al. 2022 (arXiv 2206.00730) between two updates, C-CHAIN (arXiv 2506.00592) as a cause
    of lost plasticity; here between two probes.

    Args:
        actions_now: Discrete greedy actions on the probe states, ``(..., B)``.
        actions_before: Those on the same states before.
    """
    check(1, actions_now=actions_now, actions_before=actions_before)
    check_same_shape(actions_before=actions_before, actions_now=actions_now)
    return (actions_now != actions_before).double().mean(-1)


def policy_change(actions_now: Tensor, actions_before: Tensor) -> Tensor:
    """Mean over the states of the L2 distance between greedy actions, ``(...)``.

    ``policy_churn`` for continuous actions, which all change: this project's own metric.

    Args:
        actions_now: Greedy actions on the probe states, ``(..., B, A)``.
        actions_before: Those on the same states before.
    """
    check(2, actions_now=actions_now, actions_before=actions_before)
    check_same_shape(actions_before=actions_before, actions_now=actions_now)
    distances: Tensor = torch.linalg.vector_norm(actions_now - actions_before, dim=-1)
    return distances.mean(-1)


def td_target_variance(targets: Tensor) -> Tensor:
    """Variance of the TD targets over the batch, ``(...)``: the mean squared deviation.

    Args:
        targets: ``(..., B)``.
    """
    check(1, targets=targets)
    return targets.double().var(-1, correction=0)


def q_mean(values: Tensor) -> Tensor:
    """Mean over the batch of the values that a critic gives ``(..., B)``: overestimation watch."""
    check(1, values=values)
    return values.mean(-1)


def q_max(values: Tensor) -> Tensor:
    """Largest of the values that a critic gives on the batch ``(..., B)``."""
    check(1, values=values)
    return values.amax(-1)


def one_step_plasticity(before: Tensor, after: Tensor) -> Tensor:
    """How much of the loss one step on a batch removes on that batch: ``(...)`` in [0, 1].

    ``clamp(1 - L_after / L_before, 0, 1)`` (UPGD, Elsayed & Mahmood 2024, arXiv 2404.00781).  As in
    its code ``L_before`` is at least 1e-8: a loss that was 0 and stays 0 gives 1, and one that
    was 0 and grows gives 0.

    Args:
        before: Losses before the step, ``(...)``, at least 0.
        after: Losses after it.
    """
    check(before=before, after=after)
    check_same_shape(before=before, after=after)
    check_at_least_zero(before=before, after=after)
    return (1 - after / before.clamp(min=1e-8)).clamp(0, 1)
