"""Statistics over seeds and task visits, after Agarwal et al. 2021 (rliable, arXiv 2108.13264).

Scores are arrays ``(seeds, visits)``; arms may have different numbers of seeds.  Intervals are
95% percentile intervals of a bootstrap that draws whole seeds with replacement, stratified by arm:
the visits of a seed are one lifetime, and depend on each other.  rliable draws seeds for each task
apart, as suits tasks that were learned in runs of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata, trim_mean

Array = np.ndarray[Any, np.dtype[np.float64]]

REPEATS = 2_000
"""Resamples of a bootstrap."""
FEWEST = 200
"""Resamples where there are so many numbers that more of them would take minutes."""
_EFFORT = 5_000_000
"""Numbers that all resamples of a bootstrap may have, about."""
LEVEL = 0.95
_BLOCK = 1 << 22
"""Numbers that are held at once."""


class Estimate(NamedTuple):
    """A number with its interval; bounds are NaN where a single seed gives none."""

    value: float
    low: float
    high: float


def iqm(scores: Array) -> Array:
    """Interquartile mean over the last two axes: of n numbers, floor(n / 4) at each end are cut.

    So do ``scipy.stats.trim_mean`` and rliable: where n is no multiple of 4, more than the middle
    half stays; no number is counted in part.
    """
    return np.asarray(trim_mean(scores.reshape(*scores.shape[:-2], -1), 0.25, axis=-1))


def probability_of_improvement(x: Array, y: Array) -> Array:
    """Chance that a seed of x beats one of y at the same visit, mean over the visits.

    The statistic of Mann and Whitney, over the number of pairs; ties count one half.

    Args:
        x: ``(..., seeds, visits)``.
        y: The same, maybe with another number of seeds.
    """
    n, m = x.shape[-2], y.shape[-2]
    ranks = rankdata(np.concatenate((x, y), -2), axis=-2)[..., :n, :].sum(-2)
    return np.asarray(((ranks - n * (n + 1) / 2) / (n * m)).mean(-1))


def performance_profile(scores: Array, thresholds: Array) -> Array:
    """Share of scores above each threshold, ``(..., K)``."""
    ordered = np.sort(scores.reshape(*scores.shape[:-2], -1), -1)
    if ordered.ndim == 1:
        return 1 - np.searchsorted(ordered, thresholds, side="right") / len(ordered)
    return np.stack([performance_profile(one[None], thresholds) for one in ordered])


def ranks(arms: Sequence[Array]) -> Array:
    """Mean rank of each arm over the visits, 1 is best: arms are ranked by their mean of seeds.

    Args:
        arms: ``(..., seeds, visits)`` each.

    Returns:
        ``(..., A)``; arms that tie share the mean of their ranks.
    """
    means = np.stack([arm.mean(-2) for arm in arms], -2)  # (..., A, visits)
    return np.asarray(rankdata(-means, axis=-2).mean(-1))


def resample(
    scores: Array, rng: np.random.Generator, repeats: int, *, apart: bool = False
) -> Array:
    """Draws seeds with replacement, for each visit apart or whole: ``(R, seeds, visits)``."""
    seeds, visits = scores.shape
    drawn = rng.integers(seeds, size=(repeats, seeds, visits if apart else 1))
    return scores[drawn, np.arange(visits)]


def bootstrap(
    statistic: Callable[..., Array],
    *arms: Array,
    seed: int = 0,
    repeats: int | None = None,
    apart: bool = False,
) -> tuple[Array, Array, Array]:
    """Value and 95% interval of a statistic of one arm or several, resampled independently.

    Args:
        statistic: Of arrays ``(..., seeds, visits)``; reduces the last two axes.
        *arms: ``(seeds, visits)`` each, without NaN.
        seed: Of the generator: the same seed gives the same interval.
        repeats: Number of resamples; 2,000, or fewer for very many numbers.
        apart: Whether seeds are drawn for each visit apart, as rliable does.

    Returns:
        The value, and its bounds, which are NaN if an arm has a single seed.
    """
    value = np.asarray(statistic(*arms), float)
    if min(len(arm) for arm in arms) < 2:
        nothing = np.full(value.shape, np.nan)
        return value, nothing, nothing
    rng = np.random.default_rng(seed)
    size = sum(arm.size for arm in arms)
    repeats = repeats or _repeats(size)
    found = [
        statistic(*(resample(arm, rng, part, apart=apart) for arm in arms))
        for part in _parts(size, repeats)
    ]
    low, high = percentile_interval(np.concatenate(found))
    return value, low, high


def estimate(statistic: Callable[..., Array], *arms: Array, seed: int = 0) -> Estimate:
    """``bootstrap`` of a statistic that is one number."""
    return Estimate(*(float(x) for x in bootstrap(statistic, *arms, seed=seed)))


def percentile_interval(drawn: Array) -> tuple[Array, Array]:
    """Bounds that hold the middle 95% of resampled values, along the first axis."""
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(drawn, (tail, 100 - tail), axis=0)
    return np.asarray(low), np.asarray(high)


def _parts(size: int, repeats: int) -> Iterator[int]:
    """Splits resamples of so many numbers so that a part fits into memory."""
    most = max(_BLOCK // size, 1)
    while repeats > 0:
        yield min(repeats, most)
        repeats -= most


def _repeats(size: int) -> int:
    return min(max(_EFFORT // size, FEWEST), REPEATS)


def spearman(x: Array, y: Array, weights: Array | None = None) -> Array:
    """Rank correlation; points may count more than once, or not at all.

    Args:
        x: ``(N,)``.
        y: ``(N,)``.
        weights: How often each point counts, ``(..., N)``; once each by default.

    Returns:
        ``(...)``; NaN where one of the two does not vary.
    """
    w = np.ones(len(x)) if weights is None else weights
    a, b = _ranks(x, w), _ranks(y, w)  # less their means
    scale = np.sqrt((w * a * a).sum(-1) * (w * b * b).sum(-1))
    with np.errstate(invalid="ignore"):
        return np.asarray((w * a * b).sum(-1) / np.where(scale > 0, scale, np.nan))


def _ranks(values: Array, weights: Array) -> Array:
    """Ranks less their mean; values that are equal share the mean of their ranks."""
    order = np.argsort(values, kind="stable")
    unique, of = np.unique(values, return_inverse=True)
    first = np.searchsorted(values[order], unique)
    count = np.add.reduceat(weights[..., order], first, axis=-1)  # (..., U)
    ranks = np.cumsum(count, -1) - (count - 1) / 2
    total = weights.sum(-1, keepdims=True)
    return np.asarray(ranks[..., of] - (total + 1) / 2)


def clustered_spearman(x: Array, y: Array, cluster: Array, seed: int = 0) -> Estimate:
    """Rank correlation of points that come in clusters, with a bootstrap interval.

    The visits of one seed depend on each other, so whole seeds are drawn with replacement.

    Args:
        x: ``(N,)``.
        y: ``(N,)``.
        cluster: Number of the seed that each point comes from, ``(N,)``.
        seed: Of the generator.
    """
    value = float(spearman(x, y))
    _, of = np.unique(cluster, return_inverse=True)
    groups = int(of.max(initial=-1)) + 1
    if groups < 2:
        return Estimate(value, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    even = np.full(groups, 1 / groups)
    drawn = []
    for part in _parts(len(x), _repeats(len(x))):
        count = rng.multinomial(groups, even, part)  # (R, groups)
        drawn.append(spearman(x, y, count[:, of].astype(np.float64)))
    values = np.concatenate(drawn)
    there = values[~np.isnan(values)]  # resamples of seeds that are all the same say nothing
    if not len(there):
        return Estimate(value, np.nan, np.nan)
    low, high = percentile_interval(there)
    return Estimate(value, float(low), float(high))
