"""Schedules: exact phases, from nothing but the step."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import AtSteps, Cyclic, EverySteps, InOrder, RandomTimes, Stationary, once
from envs.schedules import Schedule

NEVER = math.inf


@pytest.mark.parametrize(
    ("schedule", "phases"),
    [
        (EverySteps(10, 3), {0: (0, 0, 10), 9: (0, 0, 10), 10: (1, 0, 20), 20: (2, 0, NEVER)}),
        (EverySteps(10), {995: (99, 0, 1000)}),
        (Cyclic(10, 2), {0: (0, 0, 10), 10: (1, 0, 20), 20: (0, 1, 30), 39: (1, 1, 40)}),
        (InOrder(10, (2, 0, 2, 2)), {9: (2, 0, 10), 10: (0, 0, 20), 29: (2, 1, 30)}),
        (InOrder(10, (2, 0, 2, 2)), {30: (2, 2, NEVER), 999: (2, 2, NEVER)}),
        (AtSteps((5, 7)), {0: (0, 0, 5), 4: (0, 0, 5), 5: (1, 0, 7), 7: (2, 0, NEVER)}),
        (once(5), {4: (0, 0, 5), 5: (1, 0, NEVER)}),
        (Stationary(), {10**9: (0, 0, NEVER)}),
        (Stationary(3), {7: (3, 0, NEVER)}),
    ],
)
def test_phases(schedule: Schedule, phases: dict[int, tuple[int, int, float]]) -> None:
    assert {s: schedule.at(s) for s in phases} == {s: (*phases[s], None) for s in phases}


def test_random_times_are_geometric_draws_in_any_order_of_asking() -> None:
    draws = [np.random.default_rng((4, chunk)).geometric(1 / 30, 64) for chunk in range(3)]
    ends = np.cumsum(np.concatenate(draws)).tolist()
    expected = [(task, 0, end, None) for task, end in enumerate(ends)]
    order = np.random.default_rng(0).permutation(3 * 64).tolist()
    for task in order:
        assert RandomTimes(30, seed=4).at(ends[task] - 1) == expected[task]
    assert RandomTimes(30, seed=5).at(0).end != ends[0]


def test_random_times_end_with_the_last_task_or_go_round() -> None:
    ends = np.cumsum(np.random.default_rng((0, 0)).geometric(1 / 9, 64)).tolist()
    starts = [0, *ends]
    last_stays, cyclic = RandomTimes(9, 3), RandomTimes(9, 3, cyclic=True)
    phases = [(0, 0, ends[0]), (1, 0, ends[1]), (2, 0, NEVER), (2, 0, NEVER)]
    assert [last_stays.at(s)[:3] for s in starts[:4]] == phases
    assert [cyclic.at(s)[:3] for s in starts[:5]] == [(k % 3, k // 3, ends[k]) for k in range(5)]


def test_random_times_have_their_mean() -> None:
    assert RandomTimes(50).at(50 * 2000).task == pytest.approx(2000, rel=0.1)


periods, few = st.integers(1, 50), st.integers(1, 5)
schedules = st.one_of(
    st.builds(Stationary, few),
    st.builds(EverySteps, periods, st.none() | few),
    st.builds(Cyclic, periods, few),
    st.builds(InOrder, periods, st.lists(st.integers(0, 3), min_size=1, max_size=6)),
    st.builds(AtSteps, st.sets(st.integers(1, 1200), min_size=1, max_size=9).map(sorted)),
    st.builds(RandomTimes, st.floats(1, 50), st.none() | few, st.booleans(), st.integers(0, 9)),
)


@given(schedules, st.integers(0, 1000))
def test_phases_tile_the_lifetime(schedule: Schedule, step: int) -> None:
    phase = schedule.at(step)
    assert phase.end > step
    end = step + 100 if phase.end == math.inf else int(phase.end)
    assert {schedule.at(s) for s in range(step, end)} == {phase}
    if phase.end != math.inf:
        assert schedule.at(end)[:2] != phase[:2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EverySteps(0), "`period` should be at least 1. Received 0"),
        (lambda: EverySteps(5, 0), "`num_tasks` should be at least 1. Received 0"),
        (lambda: Cyclic(-1, 2), "`period` should be at least 1. Received -1"),
        (lambda: Cyclic(5, 0), "`num_tasks` should be at least 1. Received 0"),
        (lambda: InOrder(0, (1,)), "`period` should be at least 1. Received 0"),
        (lambda: InOrder(5, ()), r"`tasks` should be indices from 0. Received \[\]"),
        (lambda: InOrder(5, (1, -1)), r"`tasks` should be indices from 0. Received \[1, -1\]"),
        (lambda: RandomTimes(0.5), "`mean` should be at least 1 and finite. Received 0.5"),
        (lambda: RandomTimes(math.nan), "`mean` should be at least 1 and finite. Received nan"),
        (lambda: RandomTimes(5, 0), "`num_tasks` should be at least 1. Received 0"),
        (lambda: AtSteps(()), r"`steps` should be positive and increasing. Received \[\]"),
        (lambda: AtSteps((5, 5)), r"`steps` should be positive and increasing. Received \[5, 5\]"),
        (lambda: AtSteps((7, 5)), r"`steps` should be positive and increasing. Received \[7, 5\]"),
        (lambda: once(0), r"`steps` should be positive and increasing. Received \[0\]"),
    ],
)
def test_wrong_settings_are_named(make: Callable[[], Schedule], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()
