"""Formulas of continual learning, on curves made by hand."""

import math

import numpy as np
import pytest

from training.continual import (
    average_performance,
    forgetting,
    forward_transfer,
    plasticity,
    relative_gain,
)


def test_average_and_forgetting() -> None:
    at_visit_end = np.array([[1.0, 0.5], [0.8, 0.2], [math.nan, math.nan]])
    at_end = np.array([[0.25, 0.5], [1.0, 0.0], [0.1, 0.4]])
    np.testing.assert_allclose(average_performance(at_end), [0.45, 0.3])
    lost = forgetting(at_visit_end, at_end)
    np.testing.assert_allclose(lost[:2], [[0.75, 0.0], [-0.2, 0.2]])
    assert np.isnan(lost[2]).all()  # never visited


@pytest.mark.parametrize(
    ("area", "fresh", "transfer", "gain", "kept"),
    [
        (0.5, 0.5, 0.0, 0.0, 1.0),
        (0.75, 0.5, 0.5, 0.5, 1.5),
        (0.25, 0.5, -0.5, -0.5, 0.5),
        (0.0, 0.5, -1.0, -1.0, 0.0),
        (0.5, -0.5, 2 / 3, 2.0, math.nan),  # no better than random: a ratio says nothing
        (0.5, 0.0, 0.5, math.nan, math.nan),
        (0.9, 1.0, math.nan, -0.1, 0.9),  # no room above the fresh agent
        (math.nan, 0.5, math.nan, math.nan, math.nan),
    ],
)
def test_against_a_fresh_agent(
    area: float, fresh: float, transfer: float, gain: float, kept: float
) -> None:
    a, f = np.array([area]), np.array([fresh])
    np.testing.assert_allclose(forward_transfer(a, f), [transfer])
    np.testing.assert_allclose(relative_gain(a, f), [gain])
    np.testing.assert_allclose(plasticity(a, f), [kept])
