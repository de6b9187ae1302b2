"""Metrics of weights, of their gradients and of their updates.

``lead`` counts the leading axes that are kept: 1 for seeds ``(S,)``, 2 for the twin critics of
seeds ``(S, 2)``, 0 for a plain network.  Metrics of a whole network take its tensors in any order.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from plasticity.metrics.checks import check, check_at_least_zero, check_same_shape
from plasticity.metrics.units import relative


def weight_rms(weight: Tensor, lead: int = 0) -> Tensor:
    """Root mean square of the weights behind the ``lead`` leading axes."""
    check(lead, weight=weight)
    return _flat(weight, lead).square().mean(-1).sqrt()


def weight_change(weight: Tensor, before: Tensor, lead: int = 0) -> Tensor:
    """Root mean square of the change of the weights since the last probe."""
    check(lead, weight=weight, before=before)
    check_same_shape(before=before, weight=weight)
    return weight_rms(weight - before, lead)


def grama_scores(weight_grad: Tensor, lead: int = 0) -> Tensor:
    """Score of each unit by its gradient, ``(*lead, O)`` (GraMa, arXiv 2505.24061).

    Mean of ``|dL/dw|`` over the incoming weights of the unit, divided by the mean of that over the
    units of the layer; 0 for all units of a layer without gradient.  L is the mean loss of a batch;
    the bias does not count.

    Args:
        weight_grad: Gradient of a layer's weights, ``(*lead, O, I)`` or ``(*lead, O, C, K, K)``.
        lead: Number of leading axes.
    """
    check(lead + 1, weight_grad=weight_grad)
    return relative(_flat(weight_grad, lead + 1).abs().mean(-1))


def grama_mask(weight_grad: Tensor, tau: float = 0.0, lead: int = 0) -> Tensor:
    """Which units hardly learn, ``(*lead, O)``: score <= tau; see ``grama_scores``.

    Raises:
        ValueError: If ``tau`` is negative.
    """
    check_at_least_zero(tau=tau)
    return grama_scores(weight_grad, lead) <= tau


def grama_fraction(weight_grad: Tensor, tau: float = 0.0, lead: int = 0) -> Tensor:
    """Share of the units that hardly learn, ``(*lead)``; see ``grama_mask``."""
    return grama_mask(weight_grad, tau, lead).double().mean(-1)


def grad_norm(grads: Iterable[Tensor], lead: int = 0) -> Tensor:
    """Global L2 norm of the gradients of a network, ``(*lead)``.

    Args:
        grads: Gradients before clipping, each ``(*lead, ...)``.
        lead: Number of leading axes.
    """
    return _global_norm(_rows(lead, grads=grads))


def zero_grad_fraction(grads: Iterable[Tensor], lead: int = 0) -> Tensor:
    """Share of the weights whose gradient is exactly zero, ``(*lead)``.

    Args:
        grads: Gradients, each ``(*lead, ...)``.
        lead: Number of leading axes.
    """
    rows = _rows(lead, grads=grads)
    zeros = torch.stack([(row == 0).sum(-1) for row in rows]).sum(0)
    return zeros.double() / sum(row.shape[-1] for row in rows)


def effective_lr(updates: Iterable[Tensor], weights: Iterable[Tensor], lead: int = 0) -> Tensor:
    """Norm of the last update over norm of the weights, ``(*lead)``.

    How far a step turns the network.  SimbaV2 (arXiv 2502.15280) watches the ratio with the plain
    gradient in place of the update, averaged over layers; the update is what Adam makes of it.  0
    where nothing changed, infinite where only the weights are zero.

    Args:
        updates: Weights after the step less those before, each ``(*lead, ...)``.
        weights: The weights, each ``(*lead, ...)``.
        lead: Number of leading axes.
    """
    update = _global_norm(_rows(lead, updates=updates))
    ratio = update / _global_norm(_rows(lead, weights=weights))
    return torch.where(update == 0, 0.0, ratio)


def _flat(tensor: Tensor, lead: int) -> Tensor:
    """Flattens all axes behind the leading ones; one of length 1 if there are none."""
    return tensor.reshape(*tensor.shape[:lead], -1)


def _rows(lead: int, **argument: Iterable[Tensor]) -> list[Tensor]:
    """Returns the tensors of the one argument, each ``(*lead, n)``."""
    ((name, tensors),) = argument.items()
    rows = [tensor.detach() for tensor in tensors]
    check(lead, **{name: rows})
    first = rows[0].shape[:lead]
    for row in rows:
        if row.shape[:lead] != first:
            raise ValueError(
                f"`{name}` should share their first {lead} axes. "
                f"Received {tuple(first)} and {tuple(row.shape[:lead])}"
            )
    return [_flat(row, lead) for row in rows]


def _global_norm(rows: list[Tensor]) -> Tensor:
    norms = torch.stack([torch.linalg.vector_norm(row, dim=-1) for row in rows])
    together: Tensor = torch.linalg.vector_norm(norms, dim=0)
    return together
