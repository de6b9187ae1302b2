from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import mannwhitneyu, spearmanr

from reports import statistics as stats

SCORES = arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(1, 4)),
    elements=st.integers(-5, 5).map(float),
)


def test_iqm_of_eight_values_is_the_mean_of_the_middle_four() -> None:
    scores = np.array([[100.0, 1.0, 3.0, 2.0], [5.0, 4.0, -50.0, 60.0]])
    assert stats.iqm(scores) == (2 + 3 + 4 + 5) / 4


def test_iqm_counts_no_number_in_part() -> None:
    # Of six numbers a quarter is 1.5: one is cut at each end.
    assert stats.iqm(np.array([[0.0, 1.0, 2.0, 3.0, 4.0, 90.0]])) == 2.5
    assert stats.iqm(np.array([[7.0]])) == 7.0


def test_probability_of_improvement_by_enumeration() -> None:
    x, y = np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[2.0, 5.0], [3.0, 1.0], [0.0, 9.0]])
    expected = np.mean(
        [
            np.mean([(a > b) + 0.5 * (a == b) for a, b in product(x[:, v], y[:, v])])
            for v in range(2)
        ]
    )
    assert stats.probability_of_improvement(x, y) == pytest.approx(expected)
    assert expected == pytest.approx((3.5 / 6 + 3 / 6) / 2)


@given(SCORES, st.data())
def test_probability_of_improvement_is_the_statistic_of_mann_and_whitney(
    x: np.ndarray[tuple[int, int], np.dtype[np.float64]], data: st.DataObject
) -> None:
    y = data.draw(arrays(np.float64, (3, x.shape[1]), elements=st.integers(-5, 5).map(float)))
    u = [mannwhitneyu(x[:, v], y[:, v]).statistic / (len(x) * 3) for v in range(x.shape[1])]
    forth, back = stats.probability_of_improvement(x, y), stats.probability_of_improvement(y, x)
    assert forth == pytest.approx(np.mean(u))
    assert forth + back == pytest.approx(1.0)


def test_ranks_share_ties() -> None:
    arms = [np.array([[1.0, 5.0]]), np.array([[1.0, 9.0]]), np.array([[0.0, 1.0]])]
    assert stats.ranks(arms).tolist() == [(1.5 + 2) / 2, (1.5 + 1) / 2, 3.0]


@given(SCORES)
def test_profile_is_the_share_above(
    scores: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> None:
    thresholds = np.arange(-6.0, 7.0)
    expected = [(scores > t).mean() for t in thresholds]
    assert stats.performance_profile(scores, thresholds).tolist() == pytest.approx(expected)
    many = stats.performance_profile(np.stack([scores, scores]), thresholds)
    assert many.tolist() == [pytest.approx(expected)] * 2


@pytest.mark.parametrize("apart", [False, True])
def test_resamples_hold_whole_seeds_or_each_visit_apart(apart: bool) -> None:
    scores = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    drawn = stats.resample(scores, np.random.default_rng(0), 400, apart=apart)
    assert drawn.shape == (400, 3, 2)
    assert set(drawn[..., 0].ravel()) == {1.0, 2.0, 3.0}
    assert set(drawn[..., 1].ravel()) == {10.0, 20.0, 30.0}
    assert (drawn[..., 1] != 10 * drawn[..., 0]).any() == apart


def test_visits_that_depend_on_each_other_are_no_more_numbers() -> None:
    one = np.random.default_rng(3).normal(size=(50, 1))
    many = np.repeat(one, 16, axis=1)  # the same number at each visit
    mean = lambda s: s.mean((-2, -1))  # noqa: E731  # shorter
    np.testing.assert_allclose(stats.bootstrap(mean, many), stats.bootstrap(mean, one))
    _, low, high = stats.bootstrap(mean, many, apart=True)
    _, lowest, highest = stats.bootstrap(mean, many)
    assert high - low == pytest.approx((highest - lowest) / 4, rel=0.1)


def test_bootstrap_is_repeated_by_its_seed() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    first = stats.estimate(stats.probability_of_improvement, x, y)
    assert first == stats.estimate(stats.probability_of_improvement, x, y)
    assert first != stats.estimate(stats.probability_of_improvement, x, y, seed=1)
    assert first.low <= first.value <= first.high


def test_bootstrap_in_parts_has_all_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(1).normal(size=(5, 3))
    whole = stats.bootstrap(stats.iqm, scores, repeats=101)
    monkeypatch.setattr(stats, "_BLOCK", 30)
    sizes: list[int] = []

    def counted(x: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> stats.Array:
        sizes.append(len(x))
        return stats.iqm(x)

    parts = stats.bootstrap(counted, scores, repeats=101)
    assert sum(sizes[1:]) == 101
    assert max(sizes[1:]) == 2
    assert parts == whole


def test_interval_of_the_mean_of_many_is_the_known_one() -> None:
    scores = np.random.default_rng(2).normal(size=(400, 1))
    value, low, high = stats.bootstrap(lambda s: s.mean((-2, -1)), scores, repeats=5000)
    half = 1.96 * scores.std() / 20
    assert (low - value, high - value) == pytest.approx((-half, half), rel=0.05)


def test_a_single_seed_has_no_interval() -> None:
    value, low, high = stats.estimate(stats.iqm, np.array([[1.0, 2.0, 3.0]]))
    assert value == 2.0
    assert np.isnan([low, high]).all()
    one, two = np.array([[1.0, 2.0]]), np.array([[0.0, 3.0], [2.0, 1.0]])
    value, low, high = stats.estimate(stats.probability_of_improvement, two, one)
    assert value == 0.5
    assert np.isnan([low, high]).all()


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), min_size=3, max_size=20
    )
)
def test_spearman_with_weights_is_that_of_repeated_points(
    points: list[tuple[int, int, int]],
) -> None:
    x, y, times = np.array(points, float).T
    found = stats.spearman(x, y, times)
    a, b = (np.repeat(values, times.astype(int)) for values in (x, y))
    if len(np.unique(a)) < 2 or len(np.unique(b)) < 2:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(a, b)[0])


def test_spearman_of_clusters_draws_whole_seeds() -> None:
    # Within each seed the two rise together; a draw of any seeds has a correlation of 1.
    x = np.tile(np.arange(4.0), 3)
    found = stats.clustered_spearman(x, x**3, np.repeat([4, 7, 9], 4))
    assert found == pytest.approx((1.0, 1.0, 1.0))
    alone = stats.clustered_spearman(x, -x, np.zeros(12))
    assert alone.value == pytest.approx(-1.0)
    assert np.isnan(alone.low)
