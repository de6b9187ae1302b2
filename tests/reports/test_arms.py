from pathlib import Path
from typing import Any

import numpy as np

from reports import arms
from reports.arms import Section
from reports.finding import find
from reports.names import Inside
from reports.runs import read
from tests.reports.writing import lifetime, tasks, write


def sections(folder: Path) -> list[Section]:
    found, _ = find([folder])
    groups = arms.worlds(found)
    return [arms.section(key, [read(one, 10, 4) for one in group]) for key, group in groups.items()]


def run(folder: Path, name: str, seeds: range = range(1), visits: int = 4, **settings: Any) -> None:
    own = {"seed": seeds.start, "num_seeds": len(seeds)} | settings
    write(folder / name, lifetime(seeds, visits), own)


def test_seeds_of_equal_runs_are_pooled(tmp_path: Path) -> None:
    run(tmp_path, "a", range(2), device="cpu", threads=1, compile=True)
    run(tmp_path, "b", range(2, 5), device="cuda", threads=2, compile=False)
    (section,) = sections(tmp_path)
    (arm,) = section.arms
    assert arm.label == "relu"
    assert arm.seeds == [0, 1, 2, 3, 4]
    assert arm.pooled("area", section.visits)[1].tolist() == [10.5 + s for s in range(5)]
    dormant = arm.pooled(Inside("q", "dormant_fraction@0.1"), section.visits)
    assert np.allclose(dormant[2], [0.2 + 0.01 * s for s in range(5)])
    assert arm.curve("return/episode", 4)[:, 0].tolist() == [0.5 + s for s in range(5)]


def test_arms_are_named_by_what_differs(tmp_path: Path) -> None:
    run(tmp_path, "a")
    run(tmp_path, "b", mitigation=["redo"], redo={"tau": 0.1})
    run(tmp_path, "c", activation="tanh", mitigation=["redo", "l2"], redo={"tau": 0.1})
    (section,) = sections(tmp_path)
    assert [arm.label for arm in section.arms] == [
        "relu",
        "relu + redo",
        "tanh + redo + l2",
    ]
    assert arms.baseline(section, None).label == "relu"
    assert arms.baseline(section, "relu + redo").label == "relu + redo"


def test_names_leave_out_what_is_as_in_most_but_for_numbers(tmp_path: Path) -> None:
    rates = {"a": 1e-3, "b": 1e-3, "c": 1e-4}
    for name, switch in (("a", "clear-replay"), ("b", "keep"), ("c", "keep")):
        run(tmp_path, name, on_switch=switch, dqn={"learning_rate": rates[name]})
    (section,) = sections(tmp_path)
    assert [arm.label for arm in section.arms] == [
        "relu, learning_rate=0.0001",
        "relu, learning_rate=0.001",
        "relu, learning_rate=0.001, on_switch=clear-replay",
    ]


def test_an_oracle_is_no_baseline(tmp_path: Path) -> None:
    run(tmp_path, "a", on_switch="clear-replay")
    run(tmp_path, "b", on_switch="keep")
    (section,) = sections(tmp_path)
    assert section.arms[0].settings["on_switch"] == "clear-replay"
    assert arms.baseline(section, None) is section.arms[1]


def test_a_setting_that_other_versions_lack_makes_an_arm(tmp_path: Path) -> None:
    run(tmp_path, "a")
    run(tmp_path, "b", overlap=False)
    (section,) = sections(tmp_path)
    assert [arm.label for arm in section.arms] == [
        "relu, overlap=False",
        "relu, overlap=absent",
    ]


def test_worlds_become_sections(tmp_path: Path) -> None:
    run(tmp_path, "a")
    run(tmp_path, "b", steps_per_task=20)
    settings = {"stream": "random-label", "data": "digits", "num_tasks": 3}
    write(tmp_path / "c", tasks(), settings)
    assert [section.title for section in sections(tmp_path)] == [
        "classic-cycle, steps_per_task=10",
        "classic-cycle, steps_per_task=20",
        "random-label, data=digits",
    ]


def test_what_is_off_is_what_earlier_versions_lack(tmp_path: Path) -> None:
    run(tmp_path, "a", range(1))
    run(tmp_path, "b", range(1, 2), cyclic=False)
    run(tmp_path, "c", range(2, 3), cyclic=True)
    once, again = sections(tmp_path)
    assert again.title == f"{once.title}, cyclic=True"
    assert [arm.label for arm in once.arms] == ["relu"]
    assert once.arms[0].seeds == [0, 1]


def test_of_the_same_seed_twice_the_longer_run_counts(tmp_path: Path) -> None:
    run(tmp_path, "a", range(1), visits=2)
    run(tmp_path, "b", range(2))
    (section,) = sections(tmp_path)
    (arm,) = section.arms
    assert arm.seeds == [0, 1]
    assert [r.path.name for r in arm.runs] == ["b"]
    assert section.notes == [
        f"relu: seed 0 of {tmp_path}/a is left out, as {tmp_path}/b has it, too"
    ]


def test_common_visits_are_those_that_all_seeds_have_completed(tmp_path: Path) -> None:
    run(tmp_path, "a", range(2))
    run(tmp_path, "b", range(2, 4), visits=3)  # broken off
    run(tmp_path, "c", activation="tanh")
    (section,) = sections(tmp_path)
    assert len(section.visits) == 4
    assert [visit[:3] for visit in arms.common(section)] == [(0, 0, 0), (1, 0, 10)]
    first = section.arms[0].pooled("area", section.visits)
    assert np.isfinite(first).tolist() == [[True] * 4, [True] * 4, [True, True, False, False],
                                           [True, True, False, False]]  # fmt: skip


def test_visits_of_other_lengths_are_not_common(tmp_path: Path) -> None:
    run(tmp_path, "a")
    rows = [row for row in lifetime() if row[0] <= 35]
    rows.append((35, 0, 0, 1, "plasticity/q/weight_rms", 1.0))
    write(tmp_path / "b", rows, {"activation": "tanh", "total_steps": 35})
    (section,) = sections(tmp_path)
    assert [run.visits[-1][2:] for arm in section.arms for run in arm.runs] == [
        (30, 40, True),
        (30, 35, True),
    ]
    assert len(arms.common(section)) == 3
