from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reports import runs
from reports.finding import find
from reports.names import Inside
from tests.reports.writing import lifetime, tasks, write

DORMANT = Inside("q", "dormant_fraction@0.1")


def read(folder: Path, *args: Any, **settings: Any) -> runs.Run:
    write(folder, *args, **settings)
    (found,), _ = find([folder])
    return runs.read(found, 10, 4)


def test_visits_areas_and_returns_at_the_end(tmp_path: Path) -> None:
    rows: list[Any] = [
        (4, 0, 0, 0, "return/episode", 1.0),
        (4, 0, 0, 0, "return/length", 4),
        (10, 0, 0, 0, "return/episode", 6.0),
        (10, 0, 0, 0, "return/length", 6),
        (10, 0, 0, 0, "plasticity/q/weight_rms", 0.5),
        (15, 0, 1, 0, "return/episode", 3.0),
        (15, 0, 1, 0, "return/length", 5),
        (20, 0, 1, 0, "plasticity/q/weight_rms", 0.7),
    ]
    run = read(tmp_path / "run", rows, {"total_steps": 20})
    assert run.visits == [(0, 0, 0, 10, True), (1, 0, 10, 20, True)]
    assert run.finished
    assert run.measures["area"].tolist() == [[(1 * 4 + 6 * 6) / 10], [3.0]]
    # No episode ended in the last 10% of the second visit: the last one counts.
    assert run.measures["final"].tolist() == [[6.0], [3.0]]
    assert run.at_end[Inside("q", "weight_rms")].tolist() == [[0.5], [0.7]]
    assert run.curves["return/episode"].tolist() == [
        [3.5, 3.0, *[pytest.approx(np.nan, nan_ok=True)] * 2]
    ]


def test_an_episode_that_ends_after_the_switch_counts_where_it_was_played(tmp_path: Path) -> None:
    rows: list[Any] = [
        (10, 0, 0, 0, "plasticity/q/weight_rms", 0.5),
        (12, 0, 0, 0, "return/episode", 9.0),
        (12, 0, 0, 0, "return/length", 12),
        (20, 0, 1, 0, "plasticity/q/weight_rms", 0.5),
    ]
    run = read(tmp_path / "run", rows, {"total_steps": 20})
    assert [visit[2:4] for visit in run.visits] == [(0, 10), (10, 20)]
    assert run.measures["area"][0] == [9.0]
    assert np.isnan(run.measures["area"][1]).all()


def test_the_last_visit_of_a_broken_run_is_not_complete(tmp_path: Path) -> None:
    run = read(tmp_path / "run", lifetime(visits=3))
    assert [visit.complete for visit in run.visits] == [True, True, False]
    assert not run.finished
    assert any("broken off" in note for note in run.notes)


def test_returns_without_their_lengths_are_damage(tmp_path: Path) -> None:
    rows = [row for row in lifetime() if row[:1] != (5,) or row[4] != "return/length"]
    with pytest.raises(ValueError, match="returns and lengths"):
        read(tmp_path / "run", rows)


def test_the_last_episode_may_lack_its_length(tmp_path: Path) -> None:
    rows = [(10, 0, 0, 0, "return/episode", 1.0), (10, 0, 0, 0, "return/length", 10),
            (12, 0, 1, 0, "return/episode", 5.0)]  # fmt: skip
    assert read(tmp_path / "run", rows).measures["area"][0] == [1.0]


def test_seeds_that_the_run_does_not_have_are_damage(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has seeds"):
        read(tmp_path / "run", lifetime(seeds=(0, 1)))


def test_accuracies_of_a_stream(tmp_path: Path) -> None:
    settings = {"stream": "random-label", "data": "digits", "num_tasks": 4}
    run = read(tmp_path / "run", tasks(), settings)
    assert [visit.complete for visit in run.visits] == [True, True, True]
    assert not run.finished
    assert run.measures["area"].ravel().tolist() == pytest.approx([0.5, 0.6, 0.7])
    assert run.measures["final"].ravel().tolist() == pytest.approx([0.6, 0.7, 0.8])


def test_names_of_other_versions_are_listed_and_missing_ones_too(tmp_path: Path) -> None:
    rows = [*lifetime(), (40, 0, 0, 1, "plasticity/q/brand_new", 1.0), (40, 0, 0, 1, "odd", 2.0)]
    run = read(tmp_path / "run", rows)
    assert run.unknown == ["odd", "plasticity/q/brand_new"]
    assert runs.missing(run) == ["effective_rank", "feature_norm", "summary.json"]


def test_alpha_is_the_mean_of_the_layers(tmp_path: Path) -> None:
    rows = [*lifetime(), *((40, 0, 0, 1, f"adalin/q/layer_{i}/alpha_mean", i) for i in (1, 2))]
    run = read(tmp_path / "run", rows)
    alpha = Inside("q", "alpha_mean")
    assert run.curves[alpha][0, 3] == 1.5
    assert run.at_end[alpha][3, 0] == 1.5


def test_a_table_without_rows_is_a_run_that_has_just_begun(tmp_path: Path) -> None:
    run = read(tmp_path / "run", [])
    assert run.visits == []
    assert run.steps == 0
    assert any("no numbers yet" in note for note in run.notes)
