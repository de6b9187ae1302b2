"""Drifts: exact places between the tasks, from nothing but the step."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import LinearDrift, RandomWalk, SineDrift
from envs.drifts import _Drift


@pytest.mark.parametrize(
    ("drift", "positions"),
    [
        (LinearDrift(4, 3), {0: 0, 1: 0.25, 6: 1.5, 8: 2, 99: 2}),
        (LinearDrift(4, None), {6: 1.5, 4002: 1000.5}),
        (LinearDrift(4, 3, every=3), {0: 0, 2: 0, 3: 0.75, 5: 0.75, 6: 1.5}),
        (SineDrift(12, 3), {0: 0, 2: 0.5, 3: 1, 4: 1.5, 6: 2, 9: 1, 12: 0}),
        (SineDrift(12, 2, start=0.25), {0: 0.5, 3: 1, 9: 0}),
        (RandomWalk(10, 3), {0: 0}),
    ],
)
def test_positions(drift: _Drift, positions: dict[int, float]) -> None:
    assert {s: drift.at(s).position for s in positions} == pytest.approx(positions)


def reflected(x: float, width: float) -> float:
    while not 0 <= x <= width:
        x = -x if x < 0 else 2 * width - x
    return x


@pytest.mark.parametrize("seed", [0, 3])
def test_random_walk_is_a_reflected_sum_of_normal_draws(seed: int) -> None:
    draws = [np.random.default_rng((seed, chunk)).standard_normal(100) for chunk in range(20)]
    knots = np.concatenate(([0.0], np.cumsum(draws))) / 10
    steps = range(0, 3800, 7)  # 19 periods, in steps that hit knots and places between them
    free = np.interp(np.array(steps) / 2, np.arange(len(knots)), knots)
    expected = [reflected(x, 2.0) for x in free.tolist()]
    assert min(free) < 0 or max(free) > 2  # the ends are felt
    walk = RandomWalk(200, 3, seed=seed)
    backwards = [walk.position(s) for s in reversed(steps)]
    np.testing.assert_allclose(backwards[::-1], expected, atol=1e-9)


scales, many, moves = st.floats(1, 500), st.integers(2, 9), st.integers(1, 20)
drifts = st.one_of(
    st.builds(LinearDrift, scales, many, moves),
    st.builds(SineDrift, scales, many, moves, start=st.floats(0, 1)),
    st.builds(RandomWalk, scales, many, moves, seed=st.integers(0, 9)),
)


@given(drifts, st.integers(0, 5000))
def test_positions_are_between_the_tasks_and_constant_until_the_end(
    drift: _Drift, step: int
) -> None:
    phase = drift.at(step)
    assert drift.num_tasks is not None
    assert phase.position is not None
    assert 0 <= phase.position <= drift.num_tasks - 1
    assert phase.end == (step // drift.every + 1) * drift.every
    assert {drift.at(s) for s in range(step, int(phase.end))} == {phase}


@given(st.integers(100, 1000), st.integers(0, 20_000), st.integers(0, 9))
def test_random_walk_is_continuous(period: int, step: int, seed: int) -> None:
    walk = RandomWalk(period, 5, seed=seed)
    # A hundredth of a period moves by a tenth of a normal draw, of which none is beyond 5.
    assert abs(walk.position(step + 1) - walk.position(step)) <= 5 * 10 / period


@pytest.mark.parametrize(
    ("drift", "visits"),
    [
        (LinearDrift(10, 3), {0: 0, 9: 0, 10: 1, 35: 3}),
        (SineDrift(10, 3, visit=4), {3: 0, 4: 1, 9: 2}),
        (RandomWalk(10, 2, every=6), {10: 0, 12: 1, 17: 1, 18: 1, 24: 2}),
    ],
)
def test_a_visit_is_a_period(drift: _Drift, visits: dict[int, int]) -> None:
    assert {s: drift.at(s).visit for s in visits} == visits
    assert {drift.at(s).task for s in visits} == {0}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearDrift(0, 2), "`period` should be at least 1. Received 0"),
        (lambda: SineDrift(-3, 2), "`period` should be at least 1. Received -3"),
        (lambda: RandomWalk(math.nan, 2), "`period` should be at least 1. Received nan"),
        (lambda: RandomWalk(5, 1), "`num_tasks` should be at least 2. Received 1"),
        (lambda: LinearDrift(5, 2, every=0), "`every` should be at least 1. Received 0"),
        (lambda: LinearDrift(5, 2, visit=0), "`visit` should be at least 1. Received 0"),
        (lambda: SineDrift(5, None), "`num_tasks` should be a number for SineDrift"),
        (lambda: RandomWalk(5, None), "`num_tasks` should be a number for RandomWalk"),
    ],
)
def test_wrong_settings_are_named(make: Callable[[], _Drift], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        make()
