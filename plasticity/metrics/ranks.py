"""Metrics of matrices: ranks of the features of a batch or of weights, and the features' norm.

The ranks of one matrix share its singular values: ``s = spectrum(features)``, then
``effective_rank_of(s)``, ``srank_001_of(s)`` and ``stable_rank_fro_of(s)``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from plasticity.metrics.checks import check


def spectrum(matrix: Tensor, *, centred: bool = False, gram: bool = False) -> Tensor:
    """Returns the singular values in float64, largest first, ``(..., min(M, N))``.

    Args:
        matrix: ``(..., M, N)``: features ``(..., B, U)``, or weights.
        centred: Whether to subtract the mean over the rows, the samples of features.
        gram: Whether to take the roots of the eigenvalues of the smaller Gram matrix.  That is 1.3
            to 3 times faster for 256 samples, and exact to about 1e-8 of the largest singular
            value: below the rounding of float32 features, but not of float64 ones.
    """
    check(2, matrix=matrix)
    return _singular_values(matrix, centred, gram)


def _singular_values(matrix: Tensor, centred: bool = False, gram: bool = False) -> Tensor:
    matrix = matrix.double()
    if centred:
        matrix = matrix - matrix.mean(-2, keepdim=True)
    if matrix.shape[-1] > matrix.shape[-2]:
        matrix = matrix.mT  # LAPACK is up to five times faster on a tall matrix
    # LAPACK gives up the whole batch if one matrix holds NaN: it gets zeros, and answers NaN.
    finite = matrix.isfinite().all(-1, keepdim=True).all(-2, keepdim=True)  # (..., 1, 1)
    matrix = torch.where(finite, matrix, 0.0)
    s: Tensor
    if gram:
        s = torch.linalg.eigvalsh(matrix.mT @ matrix).clamp(min=0).sqrt().flip(-1)
    else:
        s = torch.linalg.svdvals(matrix)
    return torch.where(finite.squeeze(-1), s, math.nan)


def effective_rank(features: Tensor) -> Tensor:
    """Exp of the entropy of the normalised singular values, ``(...)``; 0 of a zero matrix.

    ``exp(-sum p log p)`` with ``p = s / sum s`` (Roy & Vetterli 2007).

    Args:
        features: ``(..., B, U)``.
    """
    check(2, features=features)
    return effective_rank_of(_singular_values(features))


def effective_rank_of(singular_values: Tensor) -> Tensor:
    """``effective_rank`` from the singular values ``(..., K)``."""
    total = singular_values.sum(-1, keepdim=True)
    rank = torch.special.entr(singular_values / total).sum(-1).exp()
    return torch.where(total.squeeze(-1) == 0, 0.0, rank)


def srank_001(features: Tensor) -> Tensor:
    """Smallest k whose k largest singular values hold 99% of their sum; 0 of a zero matrix.

    Kumar et al. 2021, arXiv 2010.14498, with delta = 0.01.

    Args:
        features: ``(..., B, U)``.
    """
    check(2, features=features)
    return srank_001_of(_singular_values(features))


def srank_001_of(singular_values: Tensor) -> Tensor:
    """``srank_001`` from the singular values ``(..., K)``, largest first."""
    total = singular_values.sum(-1)
    held = singular_values.cumsum(-1) / total.unsqueeze(-1)
    rank = (held < 0.99).sum(-1).double() + 1
    return torch.where(total == 0, 0.0, rank).masked_fill(total.isnan(), math.nan)


def stable_rank_fro(matrix: Tensor, *, centred: bool = False) -> Tensor:
    """Squared Frobenius norm over squared spectral norm, ``(...)``; 0 of a zero matrix.

    ``sum s^2 / s_max^2`` (Rudelson & Vershynin 2007).  At most the rank.

    Args:
        matrix: ``(..., M, N)``: weights, or features ``(..., B, U)``.
        centred: Whether to subtract the mean over the rows, the samples: right for features.
    """
    check(2, matrix=matrix)
    # Sum and largest of the eigenvalues are exact, however small the others are.
    return stable_rank_fro_of(_singular_values(matrix, centred, gram=True))


def stable_rank_fro_of(singular_values: Tensor) -> Tensor:
    """``stable_rank_fro`` from the singular values ``(..., K)``, largest first."""
    power = singular_values.square()
    largest = power[..., 0]
    return torch.where(largest == 0, 0.0, power.sum(-1) / largest)


def feature_norm(features: Tensor) -> Tensor:
    """Mean over the samples of the L2 norm of the features, ``(...)``.

    Args:
        features: ``(..., B, U)``.
    """
    check(2, features=features)
    norms: Tensor = torch.linalg.vector_norm(features, dim=-1)
    return norms.mean(-1)
