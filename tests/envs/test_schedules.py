"""Schedules: exact phases, from nothing but the step."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import AtSteps, Cyclic, EverySteps, Stationary, once


def test_every_steps_ends_with_the_last_task() -> None:
    schedule = EverySteps(10, num_tasks=3)
    assert [schedule.at(s)[:2] for s in (0, 9, 10, 19, 20, 500)] == [
        (0, 0),
        (0, 0),
        (1, 0),
        (1, 0),
        (2, 0),
        (2, 0),
    ]
    assert (schedule.at(0).end, schedule.at(19).end, schedule.at(20).end) == (10, 20, math.inf)
    assert EverySteps(10).at(995) == (99, 0, 1000)


def test_cyclic_counts_visits() -> None:
    schedule = Cyclic(10, num_tasks=2)
    assert [schedule.at(s) for s in (0, 10, 20, 39)] == [
        (0, 0, 10),
        (1, 0, 20),
        (0, 1, 30),
        (1, 1, 40),
    ]


def test_at_steps_once_and_stationary() -> None:
    schedule = AtSteps((5, 7))
    assert [schedule.at(s) for s in (0, 4, 5, 7)] == [
        (0, 0, 5),
        (0, 0, 5),
        (1, 0, 7),
        (2, 0, math.inf),
    ]
    assert once(5).at(5) == (1, 0, math.inf)
    assert Stationary().at(10**9) == (0, 0, math.inf)


@given(st.integers(1, 50), st.integers(1, 5), st.integers(0, 1000))
def test_phases_tile_the_lifetime(period: int, num_tasks: int, step: int) -> None:
    for schedule in (Cyclic(period, num_tasks), EverySteps(period, num_tasks), EverySteps(period)):
        phase = schedule.at(step)
        assert phase.end > step
        if phase.end != math.inf:
            assert schedule.at(int(phase.end) - 1) == phase
            assert schedule.at(int(phase.end)) != phase


@pytest.mark.parametrize(
    "make", [lambda: EverySteps(0), lambda: Cyclic(-1, 2), lambda: Cyclic(5, 0)]
)
def test_periods_below_one_are_refused(make: object) -> None:
    with pytest.raises(ValueError, match="should be at least 1. Received"):
        make()  # type: ignore[operator]  # parametrised callable


@pytest.mark.parametrize("steps", [(), (0, 5), (5, 5), (7, 5)])
def test_listed_steps_must_increase(steps: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="`steps` should be positive and increasing"):
        AtSteps(steps)
