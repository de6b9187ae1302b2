"""Intervals and visits on hand-made curves."""

import math

import pytest

from training.summary import Summary, interval


def test_interval_is_students() -> None:
    mean, low, high = interval([1.0, 2.0, 3.0, math.nan])
    half = 4.302652729911275 * 1.0 / math.sqrt(3)  # t(0.975, 2 degrees of freedom)
    assert (mean, low, high) == pytest.approx((2.0, 2.0 - half, 2.0 + half))


def test_interval_of_one_value_has_no_bounds() -> None:
    mean, low, high = interval([4.0])
    assert mean == 4.0
    assert math.isnan(low)
    assert math.isnan(high)
    assert all(math.isnan(x) for x in interval([math.nan]))


def test_return_at_the_end_and_area_under_the_curve() -> None:
    summary = Summary([0, 1])
    summary.begin(task=2, visit=1, start=1000)
    visit = summary.now
    visit.end = 2000
    visit.episodes[0] = [(1100, 10.0, 100), (1901, 30.0, 300), (2000, 50.0, 100)]
    visit.episodes[1] = [(1500, 7.0, 500)]
    assert visit.final_return(0) == 40.0  # the two that ended after step 1900
    assert visit.final_return(1) == 7.0  # none did: the last one
    assert visit.area(0) == pytest.approx((1000 + 9000 + 5000) / 500)
    (row,) = summary.as_dict()
    assert (row["task"], row["visit"], row["episodes"]) == (2, 1, [3, 1])
    assert row["return"]["per_seed"] == [40.0, 7.0]
    assert row["dormant_fraction@0.1"]["mean"] is None
