import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from configs import RunConfig
from sweeps import trial
from sweeps.definition import read_sweep
from sweeps.expansion import expand
from sweeps.trial import run_trial
from tests.sweeps.files import TINY, write
from training import SupervisedTrainer
from training.rundir import BusyError

METRIC = "average_online_accuracy"


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return expand(read_sweep(write(tmp_path, TINY)))[0].config


def table(root: Path, name: str) -> bytes:
    return (root / name / "metrics.csv").read_bytes()


def test_it_is_the_same_run_as_by_hand(config: RunConfig, tmp_path: Path) -> None:
    import supervise

    outcome = run_trial(str(tmp_path), "a", config, METRIC)
    flags = "--num-tasks 2 --images-per-task 32 --hidden 8 --checkpoint-every 1 --device cpu"
    assert supervise.main([*flags.split(), "--run-dir", str(tmp_path / "hand")]) == 0
    assert table(tmp_path, "a") == table(tmp_path, "hand")
    ours, theirs = (
        {f.name.split(".tfevents")[0] for f in (tmp_path / name).iterdir()}
        for name in ("a", "hand")
    )
    assert ours == theirs | {"log.txt"}
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert (outcome.status, outcome.step) == ("done", 4)
    assert outcome.value == summary[METRIC]["mean"]


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_it_stops_where_it_is_asked_and_goes_on(
    where: str, config: RunConfig, tmp_path: Path
) -> None:
    root = str(tmp_path)
    if where == "bucket":
        pytest.importorskip("pyarrow", reason="the extra `sweep` is not installed")
        root = f"file://{root}"
    for until, expected in ((1, 1), (1, 1), (3, 3)):
        outcome = run_trial(root, "a", config, METRIC, until)
        assert (outcome.status, outcome.step) == ("stopped", expected)
    assert run_trial(root, "a", config, METRIC).status == "done"
    assert run_trial(root, "a", config, METRIC, 2).status == "done"
    run_trial(str(tmp_path), "b", config, METRIC)
    assert table(tmp_path, "a") == table(tmp_path, "b")


def test_its_own_failures_are_told_and_left_behind(config: RunConfig, tmp_path: Path) -> None:
    hot = replace(config, learning_rate=1e38, log_every=1)  # type: ignore[call-arg]
    outcome = run_trial(str(tmp_path), "hot", hot, METRIC)
    assert outcome.status == "failed"
    assert outcome.error.startswith("NonFiniteError: a ")
    assert (tmp_path / "failed" / "hot").read_text() == outcome.error + "\n"
    assert (tmp_path / "hot" / "checkpoint" / "failed").is_dir()
    bad = replace(config, data="mnist", data_dir=str(tmp_path))  # type: ignore[call-arg]
    outcome = run_trial(str(tmp_path), "bad", bad, METRIC)
    assert outcome.error.startswith("ValueError: ")


def test_what_failed_before_it_had_saved_anything_begins_anew(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = replace(config, checkpoint_every=1000)

    class Full(SupervisedTrainer):
        def advance(self) -> None:
            if self.step == 3:
                raise OSError("no space left")
            super().advance()

    with monkeypatch.context() as patched:
        patched.setattr(trial, "SupervisedTrainer", Full)
        assert run_trial(str(tmp_path), "a", late, METRIC).error == "OSError: no space left"
    assert json.loads((tmp_path / "a/summary.json").read_text())["finished"] is False
    assert run_trial(str(tmp_path), "a", late, METRIC).status == "done"
    run_trial(str(tmp_path), "b", late, METRIC)
    assert table(tmp_path, "a") == table(tmp_path, "b")
    # By hand it is refused, and so is what was complete.
    for file in (tmp_path / "a/checkpoint").iterdir():
        shutil.rmtree(file)
    outcome = run_trial(str(tmp_path), "a", late, METRIC)
    assert "without a checkpoint to go on from" in outcome.error


def test_a_checkpoint_that_cannot_be_copied_stops_nothing(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow", reason="the extra `sweep` is not installed")
    from sweeps.storage import Bucket

    put, calls = Bucket.put, []

    def failing(self: Bucket, path: str, content: bytes) -> None:
        calls.append(path)
        if len(calls) == 1:
            raise OSError("no network")
        put(self, path, content)

    monkeypatch.setattr(Bucket, "put", failing)
    assert run_trial(f"file://{tmp_path}", "a", config, METRIC).status == "done"
    assert "cannot be copied: no network" in (tmp_path / "a" / "log.txt").read_text()
    assert json.loads((tmp_path / "a" / "summary.json").read_text())["finished"]


def test_it_waits_for_whoever_has_its_folder(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[object, ...]] = []

    class Busy(SupervisedTrainer):
        def __init__(self, *args: object) -> None:
            made.append(args)
            if len(made) < 3:
                raise BusyError("another process works in it")
            super().__init__(*args)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(trial, "SupervisedTrainer", Busy)
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert run_trial(str(tmp_path), "a", config, METRIC).status == "done"
    assert len(made) == 3
    monkeypatch.setattr(trial, "PATIENCE", -1.0)
    made.clear()
    assert run_trial(str(tmp_path), "b", config, METRIC).error.startswith("BusyError: ")
