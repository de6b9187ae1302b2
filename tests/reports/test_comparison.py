from pathlib import Path
from typing import Any

import numpy as np
import pytest

import envs
from reports import arms, comparison
from reports.arms import Section
from reports.finding import find
from reports.prediction import predictions
from reports.runs import read
from tests.reports.writing import lifetime, write


def load(folder: Path) -> Section:
    found, _ = find([folder])
    ((key, group),) = arms.worlds(found).items()
    return arms.section(key, [read(one, 10, 4) for one in group])


def three_seeds(folder: Path, activation: str, better: float, **settings: Any) -> None:
    write(folder / activation, lifetime(range(3), better=better),
          {"activation": activation, "num_seeds": 3, "env": "unknown-v0", **settings})  # fmt: skip


def test_aggregates_of_raw_returns(tmp_path: Path) -> None:
    three_seeds(tmp_path, "relu", 0.0)
    three_seeds(tmp_path, "tanh", 1.0)
    section = load(tmp_path)
    found = comparison.aggregate(section, arms.baseline(section, None))
    assert found is not None
    assert not comparison.normalized(section)
    assert len(found.visits) == 4
    # Areas of relu are 10 v + s + 0.5: of twelve numbers three at each end are cut.
    assert [one.value for one in found.iqm] == [16.5, 17.5]
    assert [one.value for one in found.final] == [17.0, 18.0]
    # Of nine pairs tanh wins those with s' >= s, and ties where s' + 1 = s.
    assert found.improvement[1].value == pytest.approx((6 + 0.5 * 2) / 9)
    assert found.improvement[0].value == 0.5
    assert [one.value for one in found.ranks] == [2.0, 1.0]
    assert found.profiles[0][0][0] == pytest.approx(11 / 12)  # the least is not above itself


def test_returns_are_normalised_where_there_are_scores(tmp_path: Path) -> None:
    three_seeds(tmp_path, "relu", 0.0, env="classic-cycle-small")
    section = load(tmp_path)
    known = envs.scores("classic-cycle")
    assert known is not None
    assert comparison.normalized(section)
    areas = comparison.scores(section, section.arms[0], "area", section.visits)
    expected = [[known.normalize(v % 3, 10 * v + s + 0.5) for s in range(3)] for v in range(4)]
    assert areas == pytest.approx(np.array(expected))


def test_fresh_agents_and_forgetting_are_read_from_summaries(tmp_path: Path) -> None:
    measures = {"per_seed": [1.0, None, 0.5]}
    summary = {
        "fresh": {"visits": [{"task": 1, "visit": 0, "plasticity": measures, "area": measures}]},
        "evaluation": {
            "tasks": [
                {"task": 0, "forgetting": {"per_seed": [0.1, 0.2, 0.3]}},
                {"task": 1, "forgetting": {"per_seed": [None] * 3}},
            ]
        },
    }
    write(tmp_path / "a", lifetime(range(3)), {"num_seeds": 3}, summary)
    section = load(tmp_path)
    found = comparison.fresh(section.arms[0], section.visits)
    assert found is not None
    nothing = [np.nan] * 3
    expected = [nothing, [1.0, np.nan, 0.5], nothing, nothing]
    np.testing.assert_array_equal(found["plasticity"], expected)
    lost = comparison.forgetting(section.arms[0])
    assert lost is not None
    assert lost[0] == [0]
    assert lost[1].tolist() == [[0.1, 0.2, 0.3]]


@pytest.mark.parametrize(
    "summary",
    [
        {},
        {"fresh": 1, "evaluation": [1]},
        {"fresh": {"visits": 3}, "evaluation": {"tasks": {"a": 1}}},
        {"fresh": {"visits": [1, {"task": [], "visit": {}, "plasticity": 3}]},
         "evaluation": {"tasks": [{"task": "x"}, {"task": 0, "forgetting": {"per_seed": [1]}}]}},
        {"fresh": {"visits": [{"task": 0, "visit": 0, "area": {"per_seed": ["a", {}, []]}}]}},
        {"fresh": {"visits": [{"task": 0, "visit": 0,
                               "plasticity": {"per_seed": [10**400, float("inf"), None]}}]}},
    ],
)  # fmt: skip
def test_summaries_of_strangers_are_taken_as_absent(tmp_path: Path, summary: Any) -> None:
    write(tmp_path / "a", lifetime(range(3)), {"num_seeds": 3}, summary)
    section = load(tmp_path)
    assert comparison.fresh(section.arms[0], section.visits) is None
    assert comparison.forgetting(section.arms[0]) is None


def test_forgetting_of_a_run_that_goes_on_is_not_known(tmp_path: Path) -> None:
    summary = {"evaluation": {"tasks": [{"task": 0, "forgetting": {"per_seed": [0.1]}}]}}
    write(tmp_path / "a", lifetime(visits=3), None, summary)
    assert comparison.forgetting(load(tmp_path).arms[0]) is None


def test_metrics_are_paired_with_the_visit_that_follows(tmp_path: Path) -> None:
    three_seeds(tmp_path, "relu", 0.0)
    first, second = predictions(load(tmp_path), 1)
    assert np.isfinite(first.of_area.low)
    assert np.isnan(second.of_area.low)
    assert {first.metric.metric, second.metric.metric} == {"weight_rms", "dormant_fraction@0.1"}
    dormant = next(p for p in (first, second) if p.metric.metric == "dormant_fraction@0.1")
    assert len(dormant.x) == 9  # three switches, three seeds
    assert dormant.seeds == 3
    pairs = sorted(zip(dormant.x.round(6), dormant.area, dormant.change, strict=True))
    assert pairs[:2] == [(0.0, 10.5, 10.0), (0.01, 11.5, 10.0)]
    assert dormant.of_area.value == pytest.approx(1.0)
    assert np.isnan(dormant.of_change.value)  # which does not vary
