"""Weights by age against weights and sums by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.ages import AgeWeights


def weights_by_hand(ages: AgeWeights, youngest: int, count: int) -> "np.ndarray[Any, Any]":
    age = np.arange(youngest, youngest + count)
    return np.maximum(ages.min_weight, 1 - age / ages.decay_steps)


@settings(max_examples=300)
@given(
    st.integers(1, 300),
    st.one_of(st.integers(1, 10), st.integers(1, 400), st.integers(10**5, 10**7)),
    st.floats(1e-3, 1),
    st.integers(1, 5),
)
def test_the_sum_of_weights_is_that_of_the_weights_by_age(
    count: int, decay_steps: int, min_weight: float, youngest: int
) -> None:
    ages = AgeWeights(decay_steps, min_weight)
    expected = np.cumsum(weights_by_hand(ages, youngest, count))
    mass = ages.mass(torch.arange(1, count + 1).double(), youngest)
    np.testing.assert_allclose(mass.numpy(), expected, rtol=1e-12)


@settings(max_examples=300)
@given(
    st.integers(1, 300),
    st.one_of(st.integers(1, 10), st.integers(1, 400), st.integers(10**5, 10**7)),
    st.floats(1e-3, 1),
    st.integers(1, 5),
)
def test_every_share_leads_to_the_transition_that_searchsorted_finds(
    count: int, decay_steps: int, min_weight: float, youngest: int
) -> None:
    ages = AgeWeights(decay_steps, min_weight)
    weights = weights_by_hand(ages, youngest, count)
    reached = np.cumsum(weights) / weights.sum()
    share = np.linspace(0, 1, 5 * count + 7, endpoint=False)
    # A share that is a boundary, but for rounding, may go either way.
    share = share[np.abs(share[:, None] - reached).min(1) > 1e-12]
    position, within = ages.pick(torch.from_numpy(share), youngest, count)
    expected = np.searchsorted(reached, share, side="right")
    assert np.array_equal(position.numpy(), expected)
    into = (share - (reached - weights / weights.sum())[expected]) / weights[expected]
    np.testing.assert_allclose(within.numpy(), into * weights.sum(), atol=1e-9)


def test_a_share_on_the_boundary_belongs_to_the_older_transition() -> None:
    # With T = 4 and a smallest weight of 1/4: 3/4, 2/4, 1/4, 1/4, 1/4, in all 8/4
    boundaries = torch.tensor([0, 3, 5, 6, 7]).double() / 8
    position, within = AgeWeights(4, 0.25).pick(boundaries, 1, 5)
    assert position.tolist() == [0, 1, 2, 3, 4]
    assert within.tolist() == [0.0] * 5


@pytest.mark.parametrize("ages", [AgeWeights(1_000_000, 1e-6), AgeWeights(300_000, 0.1)])
def test_shares_near_boundaries_of_a_large_replay_are_in_the_transition(ages: AgeWeights) -> None:
    ends = torch.arange(0, 1_000_001, 40).double()
    mass = ages.mass(ends, 1)
    position, within = ages.pick(mass[:-1] / mass[-1], 1, 1_000_000)
    # But for rounding, they are the boundaries.
    assert set((ends[:-1] - position).tolist()) == {0.0, 1.0}
    torch.testing.assert_close(position + within, ends[:-1], rtol=0, atol=1e-3)
    assert within.min() >= 0
    assert within.max() <= 1


def test_the_largest_share_below_one_is_the_oldest_transition() -> None:
    largest = torch.tensor([0.0, 1 - 2.0**-53]).double()
    for count in (*range(1, 200), 1_000_000):
        for ages in (AgeWeights(50, 0.1), AgeWeights()):
            position, within = ages.pick(largest, 1, count)
            assert position.tolist() == [0, count - 1]
            assert within[0] == 0
            assert 0.99 < within[1] <= 1


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ({"decay_steps": 0}, "`decay_steps` should be at least 1. Received 0"),
        ({"min_weight": 0.0}, r"`min_weight` should be in \(0, 1\]. Received 0.0"),
        ({"min_weight": 1.5}, r"`min_weight` should be in \(0, 1\]. Received 1.5"),
        ({"min_weight": float("nan")}, "`min_weight` should be finite. Received nan"),
    ],
)
def test_weights_that_are_none_are_refused(broken: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        AgeWeights(**broken)
