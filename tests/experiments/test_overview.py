"""Ranks and verdicts over worlds, by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from overview import ranks, stored, write_overview
from results import differences, slopes
from rl_plasticity import PROTOCOL

NAMES = ("relu", "leaky-relu", "adalin-relu")
WORLDS = ("obs-shift-cartpole", "obs-permute-cartpole")
SMALL = replace(
    PROTOCOL,
    worlds={name: PROTOCOL.worlds[name] for name in WORLDS},
    arms={name: PROTOCOL.arms[name] for name in NAMES},
    pairs=(("more", "adalin-relu", "relu"), ("else", "adalin-relu", "leaky-relu")),
    drawn=("relu",),
)


def write(file: Path, values: dict[str, list[list[float]]]) -> None:
    rows = [
        f"{arm},{visit},{seed},{value}\n"
        for arm, table in values.items()
        for visit, of in enumerate(table)
        for seed, value in enumerate(of)
    ]
    file.write_text("arm,visit,seed,value\n" + "".join(rows))


def test_where_tasks_come_in_turn_visits_of_one_are_compared() -> None:
    visits = np.array([[9.0, 0], [1, 0], [5, 5], [3, 0], [2, 6]])  # tasks 0, 1, 2, 0, 1
    # Of task 0 by (3 - 9) / 3 = -2, of task 1 by 1 / 3; then 0 and 2.
    np.testing.assert_allclose(slopes(visits, 3), [(-2 + 1 / 3) / 2, 1])
    np.testing.assert_allclose(slopes(visits), np.polyfit(range(5), visits, 1)[0])


def test_an_overview_counts_verdicts_and_ranks_arms(tmp_path: Path) -> None:
    first = {"relu": [[3, 5], [1, 3]], "leaky-relu": [[1, 1], [1, 1]], "adalin-relu": [[9, 10]] * 2}
    write(tmp_path / f"{WORLDS[0]}.csv", first)  # type: ignore[arg-type]  # integers
    write(tmp_path / f"{WORLDS[1]}.csv", {"relu": [[2, 2]] * 2, "adalin-relu": [[1, 1.5]] * 2})
    found = {world: stored(SMALL, tmp_path / f"{world}.csv") for world in WORLDS}
    assert found[WORLDS[0]]["relu"].tolist() == [[3, 5], [1, 3]]
    assert found[WORLDS[1]]["leaky-relu"].shape == (0, 0)  # has diverged
    assert ranks(found) == {"adalin-relu": 1.5, "relu": 1.5, "leaky-relu": 3.0}
    said = differences(SMALL, found[WORLDS[0]])
    assert {text: (of[0], of[1].tolist()) for text, of in said.items()} == {
        "relu loses from visit to visit": ("", [2, 2]),
        "more": ("", [7, 6]),
        "else": ("", [8, 9]),
        "adalin-relu is the best": ("relu", [7, 6]),
    }
    assert np.isnan(differences(SMALL, found[WORLDS[1]])["else"][1]).all()
    write_overview(SMALL, tmp_path)
    lines = (tmp_path / "rl-plasticity.md").read_text().splitlines()
    assert "| leaky-relu | 1.0 (1.0 to 1.0) | diverged | 3.0 |" in lines
    (more,) = [line for line in lines if line.startswith("| more |")]
    assert more == (  # the same tables, (7, 6) and (-1, -0.5), by Student's t of one degree
        "| more | +6.50 (+0.15 to +12.85) supported | -0.75 (-3.93 to +2.43) undecided | "
        "1 supported, 1 undecided |"
    )
    (best,) = [line for line in lines if line.startswith("| adalin-relu is the best |")]
    assert "undecided, against relu (97.5% interval) |" in best
    assert "undecided, against relu (95.0% interval) |" in best  # the only one there
    (loses,) = [line for line in lines if line.startswith("| relu loses")]
    assert "+2.00 (+2.00 to +2.00) supported" in loses
    assert (tmp_path / "rl-plasticity.png").stat().st_size


def test_worlds_without_results_are_named(tmp_path: Path) -> None:
    write(tmp_path / f"{WORLDS[1]}.csv", {"relu": [[2, 2], [2, 1]], "adalin-relu": [[1, 1]] * 2})
    write_overview(SMALL, tmp_path)
    assert f"Without results yet: {WORLDS[0]}." in (tmp_path / "rl-plasticity.md").read_text()
