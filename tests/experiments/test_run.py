"""Experiments: tuned, run, kept, gone on with on another machine, and judged."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import results
import run
from keeping import pack, packed, thinned, unpack
from protocol import Arm, Protocol, World

pytestmark = pytest.mark.usefixtures("no_pictures")

ROOT = Path(__file__).parents[2]
WORLD = World(
    flags="--env obs-shift-cartpole --steps-per-task 60 --dqn.hidden 8 --dqn.batch-size 8 "
    "--dqn.learning-starts 20 --dqn.gamma 0.9 --probe.every 30 --probe.batch-size 16 "
    "--no-compile",
    tuning="--total-steps 60 --seed 100 --num-seeds 2",
    final="--total-steps 240 --seed 0 --num-seeds 2",
    rate="--dqn.learning-rate",
    rates=("1e-3", "1e-2"),
    fewer=("1e-3",),
)
INITS = ("--adalin.init zeros", "--adalin.init uniform")
PROTOCOL = Protocol(
    name="tiny",
    program="train",
    worlds={"small": WORLD},
    arms={
        "relu": Arm("--activation relu"),
        "adalin-relu": Arm("--activation adalin-relu", INITS),
    },
    losers=("relu",),
    pairs=(("adalin-relu earns more", "adalin-relu", "relu"),),
    best="adalin-relu",
    drawn=("relu", "adalin-relu"),
    unit="area",
    form="{:.1f}",
    oracles={"new agent": "--on-switch reset-agent"},
    asked=("relu",),
)


@pytest.fixture
def serial(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Runs one after the other in this process, results to a folder; the runs that were done."""
    done: list[str] = []

    def all_of(program: str, jobs: dict[Path, str], _: int) -> Iterator[Path]:
        for run_dir, flags in jobs.items():
            if run.train(program, flags, run_dir):
                done.append(run_dir.name)
            yield run_dir

    monkeypatch.setattr(run, "all_of", all_of)
    for module in (run, results):
        monkeypatch.setattr(module, "FOLDER", tmp_path / "results")
    return done


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the page of a world, which takes longer than its runs."""
    monkeypatch.setattr(run, "write_page", lambda *_: None)


def test_what_is_kept_is_enough_to_go_on_elsewhere(serial: list[str], tmp_path: Path) -> None:
    run.do(PROTOCOL, "small", tmp_path / "runs", 1)
    trials = [name for name in serial if "learning-rate" in name]
    assert len(trials) == 4
    assert serial[4:7] == ["relu", "adalin-relu", "relu-new-agent"]
    assert serial[7:] in (["relu-rate-1e-3"], ["relu-rate-1e-2"])  # the one that was not chosen
    serial_names = set(serial)
    files = {path: path.read_bytes() for path in (tmp_path / "results").iterdir()}
    assert {path.name for path in files} == {
        "small.csv",
        "small.html",
        "small.md",
        "small.png",
        "small-tuning.csv",
        "small-runs.tar.xz",
    }
    page = (tmp_path / "results/small.html").read_text()
    assert "python train.py --config adalin-relu/config.yaml" in page  # from the archive
    assert str(tmp_path) not in page
    serial.clear()
    shutil.rmtree(tmp_path / "runs")
    (tmp_path / "results/small.html").write_text("of a report before")
    run.do(PROTOCOL, "small", tmp_path / "runs", 1)
    assert serial == []
    for path, content in files.items():
        assert path.read_bytes() == content, path

    with (tmp_path / "results/small-tuning.csv").open() as file:
        rows = list(csv.DictReader(file))
    chosen = {row["arm"]: row["trial"] for row in rows if row["chosen"] == "1"}
    finals = {
        name.replace(", ", "-").replace(" ", "-"): flags
        for name, flags in PROTOCOL.final("small", chosen).items()
    }
    runs = {"1e-3": "relu-rate-1e-3", "1e-2": "relu-rate-1e-2"}
    told = "| relu |"  # of each rate the run that was done, the arm's own for the chosen one
    for rate, name in runs.items():
        name = name if name in serial_names else "relu"
        table = PROTOCOL.read(tmp_path / "runs/tiny/small/final" / name)
        told += f" {results.cell(table.mean(0), PROTOCOL.form)} |"
        assert f" --dqn.learning-rate {rate}" in finals[name]
    assert told in (tmp_path / "results/small.md").read_text()

    # The same command comes to the table that was kept.
    kept = tmp_path / "runs/tiny/small/final/adalin-relu"
    run.train("train", PROTOCOL.final("small", chosen)["adalin-relu"], tmp_path / "again")
    again = (tmp_path / "again/metrics.csv").read_text()
    assert thinned(again) == (kept / "metrics.csv").read_text() != again

    shutil.rmtree(tmp_path / "runs")
    longer = replace(WORLD, final=WORLD.final.replace("240", "300"))
    with pytest.raises(ValueError, match="relu holds a run with other settings.*240 -> 300.*remov"):
        run.do(replace(PROTOCOL, worlds={"small": longer}), "small", tmp_path / "runs", 1)


def test_a_setting_that_is_new_does_not_make_a_run_another(
    serial: list[str], tmp_path: Path
) -> None:
    run.tune(PROTOCOL, "small", tmp_path / "runs", 1)
    for file in (tmp_path / "runs").rglob("config.yaml"):
        text = file.read_text()
        assert "  learn_every: 1\n" in text
        file.write_text(text.replace("  learn_every: 1\n", ""))
    (tmp_path / "results/small-tuning.csv").unlink()
    serial.clear()
    run.tune(PROTOCOL, "small", tmp_path / "runs", 1)
    assert serial == []


def test_the_best_trial_is_chosen_and_never_one_that_diverged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def read(_: Protocol, run_dir: Path) -> Any:
        areas = {"1e-3": -30.0, "1e-2": -20.0, "zeros": -10.0, "uniform": -5.0}
        of = next(area for word, area in areas.items() if word in run_dir.name)
        return np.zeros((0, 0)) if of == -5.0 else np.full((2, 2), of)

    monkeypatch.setattr(run, "all_of", lambda _program, jobs, _processes: iter(jobs))
    monkeypatch.setattr(run, "FOLDER", tmp_path)
    monkeypatch.setattr(Protocol, "read", read)
    arms = {"relu": PROTOCOL.arms["relu"], "adalin": Arm("--activation adalin-relu", INITS)}
    worlds = {"small": replace(WORLD, fewer=("3e-3",))}
    best = run.tune(replace(PROTOCOL, arms=arms, worlds=worlds), "small", tmp_path, 1)
    assert best == {
        "relu": "--activation relu --dqn.learning-rate 1e-2",
        "adalin": "--activation adalin-relu --adalin.init zeros --dqn.learning-rate 3e-3",
    }


@pytest.mark.usefixtures("no_page")
def test_what_has_diverged_is_named_and_the_rest_is_told(
    serial: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    train: Any = run.train

    def diverging(program: str, flags: str, run_dir: Path) -> Any:
        found = train(program, flags, run_dir)
        if run_dir.name in ("relu", "adalin-relu-new-agent"):
            (run_dir / "diverged").touch()
        return found

    monkeypatch.setattr(run, "train", diverging)
    worlds = {"small": replace(WORLD, every_rate=False)}
    arms = PROTOCOL.arms | {"tanh": Arm("--activation tanh")}
    asked = replace(PROTOCOL, worlds=worlds, arms=arms, asked=("relu", "adalin-relu"))
    run.do(asked, "small", tmp_path / "runs", 1)
    lines = (tmp_path / "results/small.md").read_text().splitlines()
    table = PROTOCOL.read(tmp_path / "runs/tiny/small/final/adalin-relu")
    told = PROTOCOL.read(tmp_path / "runs/tiny/small/final/relu-new-agent")
    relu, *told_relu = [line for line in lines if line.startswith("| relu |")]
    assert relu.endswith("| diverged | | | | |")
    found = f"| diverged | {results.reached(told[1:], '{:.1f}')}; unknown more |"
    assert told_relu[0] == f"| relu | whole visits {found}"
    adalin, told_adalin, end, _ = [line for line in lines if line.startswith("| adalin-relu |")]
    ends = PROTOCOL.read(tmp_path / "runs/tiny/small/final/adalin-relu", "return")[1:]
    found = f"{results.reached(ends, '{:.1f}')} | diverged; unknown more |"
    assert end == f"| adalin-relu | their last 10% | {found}"
    assert results.reached(table, "{:.1f}") in adalin
    assert adalin.endswith("| unknown |")  # against ReLU
    assert told_adalin.endswith("| diverged; unknown more |")
    assert "| adalin-relu earns more | unknown | undecided |" in lines
    assert any("2 seeds" in line for line in lines)


def test_scores_of_trials_outlive_what_ends_the_others(
    serial: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    train, broken = run.train, "relu-dqn.learning-rate-1e-2"

    def interrupted(program: str, flags: str, run_dir: Path) -> bool:
        if run_dir.name == broken:
            raise KeyboardInterrupt
        return bool(train(program, flags, run_dir))

    monkeypatch.setattr(run, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.tune(PROTOCOL, "small", tmp_path / "runs", 1)
    (first,) = serial
    with (tmp_path / "results/small-tuning.csv").open() as file:
        (row,) = csv.DictReader(file)
    table = PROTOCOL.read(tmp_path / "runs/tiny/small/tuning" / first)
    assert float(row["mean"]) == table.mean()
    assert (row["arm"], row["chosen"]) == ("relu", "0")
    monkeypatch.setattr(run, "train", train)
    serial.clear()
    run.tune(PROTOCOL, "small", tmp_path / "elsewhere", 1)
    assert len(serial) == 3
    assert serial[0] == broken


def test_every_rate_is_run_where_the_world_says_so() -> None:
    best = {arm: next(PROTOCOL.trials("small", arm)) for arm in PROTOCOL.arms}
    without = replace(PROTOCOL, worlds={"small": replace(WORLD, every_rate=False)})
    names = ["relu", "adalin-relu", "relu, new agent"]
    assert list(without.final("small", best)) == names
    assert list(PROTOCOL.final("small", best)) == [*names, "relu, rate 1e-2"]


def test_trials_with_other_flags_are_done_again(serial: list[str], tmp_path: Path) -> None:
    run.tune(PROTOCOL, "small", tmp_path / "runs", 1)
    serial.clear()
    other = replace(WORLD, tuning=WORLD.tuning.replace("60", "120"))
    run.tune(replace(PROTOCOL, worlds={"small": other}), "small", tmp_path / "others", 1)
    assert len(serial) == 4


def test_tables_are_kept_without_the_layers(tmp_path: Path) -> None:
    names = (
        "return/episode",
        "plasticity/q/effective_rank",
        "plasticity/q/effective_rank/layer_1",
        "plasticity/q/weight_rms/head",
        "plasticity/q/weight_rms/conv_1",
        "plasticity/q/dormant_fraction@0.1/layer_2",
        "plasticity/q/dormant_fraction@0/layer_2",
        "adalin/q/layer_1/alpha_mean",
    )
    table = "step,seed,task,visit,name,value\n" + "".join(f"1,0,0,0,{name},2\n" for name in names)
    left = [line.split(",")[4] for line in thinned(table).splitlines()]
    assert left == ["name", *(names[i] for i in (0, 1, 5, 7))]
    row = "7,1,0,0,adalin/q/layer_1/alpha_mean,"
    assert thinned(f"head\n{row}0.123456789\n{row}nan\n") == f"head\n{row}0.123457\n{row}nan\n"


def test_runs_that_are_there_are_not_replaced(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "config.yaml").write_text(f"of: {name}\n")
    pack([tmp_path / "runs/b", tmp_path / "runs/a"], tmp_path / "x.tar.xz")
    first = (tmp_path / "x.tar.xz").read_bytes()
    pack([tmp_path / "runs/a", tmp_path / "runs/b"], tmp_path / "x.tar.xz")
    assert (tmp_path / "x.tar.xz").read_bytes() == first
    (tmp_path / "runs/a/config.yaml").write_text("newer\n")
    shutil.rmtree(tmp_path / "runs/b")
    unpack(tmp_path / "x.tar.xz", tmp_path / "runs")
    assert (tmp_path / "runs/a/config.yaml").read_text() == "newer\n"
    assert (tmp_path / "runs/b/config.yaml").read_text() == "of: b\n"


@pytest.mark.usefixtures("no_page")
def test_what_has_ended_is_packed_when_the_rest_is_broken_off(
    serial: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []
    train: Any = run.train

    def interrupted(program: str, flags: str, run_dir: Path) -> Any:
        if len(ended) == 5:  # four trials and a run that counts
            raise KeyboardInterrupt
        ended.append(run_dir.name)
        return bool(train(program, flags, run_dir))

    monkeypatch.setattr(run, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.do(PROTOCOL, "small", tmp_path / "runs", 1)
    archive = tmp_path / "results/small-runs.tar.xz"
    assert packed(archive) == {"relu"}
    archive.unlink()  # lost, as if the driver had been killed
    monkeypatch.setattr(run, "train", train)
    run.do(PROTOCOL, "small", tmp_path / "runs", 1)
    assert packed(archive) > {"relu", "adalin-relu", "relu-new-agent"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1.0, 2.0, 3.0, 2.0), "| it | +2.00 (+0.70 to +3.30) | supported |"),
        ((-1.0, -2.0, -3.0, -2.0), "| it | -2.00 (-3.30 to -0.70) | contradicted |"),
        ((-1.0, 2.0, -3.0, 2.0), "| it | +0.00 (-3.90 to +3.90) | undecided |"),
    ],
)
def test_a_hypothesis_is_judged_by_its_interval(values: tuple[float, ...], expected: str) -> None:
    assert results.verdict("it", np.array(values), "{:+.2f}") == expected


def test_a_new_agent_is_compared_with_a_cleared_replay_too(tmp_path: Path) -> None:
    oracles = {"replay cleared": "--on-switch clear-replay", **PROTOCOL.oracles}
    protocol = replace(PROTOCOL, oracles=oracles)
    values = {"relu": (1, 2), "relu, replay cleared": (4, 6), "relu, new agent": (7, 11)}
    for name, (one, other) in values.items():
        visit = {
            key: {"per_seed": [factor * one, factor * other]}
            for key, factor in (("area_under_curve", 1), ("return", 10))
        }
        first = {key: {"per_seed": [0, 0]} for key in visit}
        folder = protocol.folder(tmp_path, "small", name)
        folder.mkdir(parents=True)
        (folder / "summary.json").write_text(json.dumps({"visits": [first, visit]}))
    head, _, whole, end = results.oracles(protocol, "small", tmp_path)[-4:]
    titles = "replay cleared | new agent | new agent more than replay cleared"
    assert head == f"| arm | | untold | {titles} |"
    cell = results.cell
    a, b, c = (np.array(value, float) for value in values.values())
    for line, text, f in ((whole, "whole visits", 1), (end, "their last 10%", 10)):
        found = (f"{cell(f * x, '{:.1f}')}; {cell(f * (x - a), '{:+.2f}')} more" for x in (b, c))
        told = f"{' | '.join(found)} | {cell(f * (c - b), '{:+.2f}')}"
        assert line == f"| relu | {text} | {cell(f * a, '{:.1f}')} | {told} |"


def test_a_rival_that_is_picked_by_its_result_has_to_be_far_below() -> None:
    tables = {name: np.array([[x, x + 1.0, x + 2.0]]) for name, x in (("a", 0), ("b", 1), ("c", 2))}
    assert results.level_of("", tables) == 0.95
    assert results.level_of("b", tables) == 0.975  # two others
    tables["c"] = np.zeros((0, 0))  # has diverged: there is no choice
    assert results.level_of("b", tables) == 0.95
    # By the table of Student's t with 2 degrees of freedom: 4.303 and 6.205
    assert results.cell([0.0, 1.0, 2.0], "{:.3f}", 0.95) == "1.000 (-1.484 to 3.484)"
    assert results.cell([0.0, 1.0, 2.0], "{:.3f}", 0.975) == "1.000 (-2.583 to 4.583)"
    assert results.judged([3.0, 4.0, 5.0], 0.95) == "supported"
    assert results.judged([3.0, 4.0, 5.0], 0.99) == "undecided"


def test_an_interrupt_of_the_driver_alone_ends_its_workers_with_their_states(
    tmp_path: Path,
) -> None:
    script = tmp_path / "drive.py"
    script.write_text(
        "import signal\n"
        "from pathlib import Path\n"
        "import run\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in a background
        f"    flags = '{WORLD.flags} --steps-per-task 1000000 --total-steps 10000000'\n"
        f"    list(run.all_of('train', {{Path('{tmp_path}') / n: flags for n in 'abc'}}, 1))\n"
    )
    path = os.pathsep.join((str(ROOT), str(ROOT / "experiments")))
    driver = subprocess.Popen(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": path},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        while not any((tmp_path / "a").glob("events*")):  # it trains, or is about to
            time.sleep(0.05)
            assert driver.poll() is None
        time.sleep(0.5)
        driver.send_signal(signal.SIGINT)
        _, errors = driver.communicate(timeout=60)
    finally:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
    assert b"KeyboardInterrupt" in errors
    assert json.loads((tmp_path / "a/summary.json").read_text())["finished"] is False
    assert list((tmp_path / "a/checkpoint").iterdir())
    assert not (tmp_path / "b").exists()
