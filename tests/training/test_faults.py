"""Worlds that fail, full disks, signals, clocks, two processes: all cost nothing but time."""

import errno
import io
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import train
from agents import saving
from tests.training import faulty
from tests.training.test_resume import DQN, assert_same, parse, run, trainer
from training import Trainer, WorldError

pytestmark = pytest.mark.usefixtures("no_pictures")

ROOT = Path(__file__).parents[2]
FAULTY = DQN.replace("obs-shift-cartpole --steps-per-task 100", faulty.ID)


def loud(flags: str, run_dir: Path) -> tuple[Trainer, io.StringIO]:
    output = io.StringIO()
    return Trainer(parse(flags, run_dir), Console(file=output, width=1000)), output


# Environments


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", "RuntimeError: the simulator has crashed"),
        ("nan", "ValueError: environment tests/Faulty-v0 has returned an observation with NaN"),
        ("infinite-reward", "ValueError: environment tests/Faulty-v0 has returned the reward inf"),
        ("shape", "has returned an observation of shape and dtype ((3,), dtype('float32'))"),
        ("dtype", "has returned an observation of shape and dtype ((4,), dtype('float64'))"),
    ],
)
@pytest.mark.parametrize("vector", ["sync", "async", "sync --overlap"])
def test_a_world_that_fails_is_named_and_the_run_goes_on(
    fault: str, message: str, vector: str, tmp_path: Path
) -> None:
    flags = f"{FAULTY} --vector {vector} --num-envs 2"
    faulty.register(fault, 10**9, tmp_path / "armed")
    whole = run(flags, tmp_path / "whole")
    faulty.register(fault, 20, tmp_path / "armed")
    with pytest.raises(WorldError, match=re.escape(message)) as error:
        run(flags, tmp_path / "broken")
    assert str(error.value).startswith("environment tests/Faulty-v0 has failed: ")
    assert "\n" not in str(error.value)
    _, state, _ = saving.newest(tmp_path / "broken/checkpoint")
    assert state["trainer"]["step"] == 38
    assert_same(run(flags, tmp_path / "broken"), whole)


def test_a_worker_that_dies_is_a_world_that_fails(tmp_path: Path) -> None:
    faulty.register("kill", 20, tmp_path / "armed")
    with pytest.raises(WorldError, match="environment tests/Faulty-v0 has failed: "):
        run(f"{FAULTY} --vector async --num-envs 2", tmp_path / "broken")
    faulty.register("kill", 10**9, tmp_path / "armed")
    whole = run(f"{FAULTY} --vector async --num-envs 2", tmp_path / "whole")
    assert_same(run(f"{FAULTY} --vector async --num-envs 2", tmp_path / "broken"), whole)


def test_worlds_are_made_again_as_often_as_they_may(tmp_path: Path) -> None:
    faulty.register("raise", 26, tmp_path / "armed", forever=True)
    flags = f"{FAULTY} --env-restarts 4"
    t, output = loud(flags, tmp_path / "broken")
    with pytest.raises(WorldError):
        t.run()
    steps = re.findall(r"restart (\d) of 4 at step (\d+)", output.getvalue())
    assert steps == [("1", "25"), ("2", "50"), ("3", "75"), ("4", "115")]
    assert t.step == 140
    rows = (tmp_path / "broken/metrics.csv").read_text().splitlines()
    assert len({*rows}) == len(rows)  # nothing was looked at twice
    (tmp_path / "armed").unlink()
    goes_on = run(flags, tmp_path / "broken", stop=200)
    assert goes_on.worlds.restarts == 4
    assert_same(run(flags, tmp_path / "broken"), run(flags, tmp_path / "broken"))


def test_a_step_that_is_taken_again_brings_its_updates_once(tmp_path: Path) -> None:
    counts = []
    for where in (10**9, 26):
        faulty.register("raise", where, tmp_path / "armed")
        t = run(f"{FAULTY} --overlap --env-restarts 1", tmp_path / f"r{where}")
        assert t.worlds.restarts == (where == 26)
        counts.append(t.agent.state_dict()["updates"])
    assert counts == [120, 120]  # (260 - 20) * 0.5


def test_a_world_without_a_seed_begins_anew(tmp_path: Path, monkeypatch: Any) -> None:
    faulty.register("raise", 10**9, tmp_path / "armed")
    whole = faulty.Faulty.reset

    def drawn(self: Any, *, seed: Any = None, options: Any = None) -> Any:
        return whole(self, seed=random.randrange(10**6), options=options)

    monkeypatch.setattr(faulty.Faulty, "reset", drawn)
    run(FAULTY, tmp_path / "r", stop=130)
    t, output = loud(FAULTY, tmp_path / "r")
    assert "the environment does not repeat itself" in output.getvalue()
    assert t.replay.store["ended"][129]
    t.run()
    assert t.finished


class Failing:
    """Calls of a method of all environments, of which some fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, *which: int) -> None:
        self.count = 0
        whole = getattr(faulty.Faulty, name)

        def call(env: Any, *args: Any, **kwargs: Any) -> Any:
            self.count += 1
            if self.count in which:
                raise ValueError("no licence")
            return whole(env, *args, **kwargs)

        monkeypatch.setattr(faulty.Faulty, name, call)


@pytest.mark.parametrize("name", ["__init__", "reset"])
def test_worlds_that_cannot_be_made_again_are_tried_as_often_as_they_may(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty.register("raise", 10**9, tmp_path / "armed")
    calls = Failing(monkeypatch, name)
    run(FAULTY, tmp_path / "counted", stop=89)
    first = calls.count + 1  # of the checkpoint at step 90, before it is saved
    monkeypatch.undo()
    Failing(monkeypatch, name, first)
    with pytest.raises(WorldError, match="Faulty-v0 has failed: ValueError: no licence"):
        run(FAULTY, tmp_path / "r")
    assert saving.newest(tmp_path / "r/checkpoint")[1]["trainer"]["step"] == 90
    t, output = loud(FAULTY, tmp_path / "r")
    assert "does not repeat itself" not in output.getvalue()
    t.run()
    assert t.finished
    monkeypatch.undo()
    Failing(monkeypatch, name, first, first + 1)
    t, output = loud(f"{FAULTY} --env-restarts 3", tmp_path / "again")
    t.run()
    assert re.findall(r"restart (\d) of 3 at step (\d+)", output.getvalue()) == [
        ("1", "90"),
        ("2", "90"),
    ]
    assert t.finished


def test_a_first_reset_that_fails_is_one_line_and_leaves_the_folder_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faulty.register("raise", 10**9, tmp_path / "armed")
    Failing(monkeypatch, "reset", 1)
    flags = [*FAULTY.split(), "--run-dir", str(tmp_path / "r")]
    assert train.main(flags) == 1
    error = capsys.readouterr().err
    assert (
        error == f"train.py: stopped: environment {faulty.ID} has failed: ValueError: no licence\n"
    )
    assert train.main(flags) == 0


def test_an_evaluation_whose_reset_fails_is_a_world_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty.register("raise", 10**9, tmp_path / "armed")
    flags = f"{FAULTY} --eval-every 60 --eval-episodes 1"
    t = trainer(flags, tmp_path / "r")
    assert t.evaluator is not None
    reset = t.evaluator.envs.reset
    monkeypatch.setattr(t.evaluator.envs, "reset", lambda **_: 1 / 0)
    with pytest.raises(WorldError, match="has failed: ZeroDivisionError"):
        t.run()
    assert saving.newest(tmp_path / "r/checkpoint")[1]["trainer"]["step"] == 60
    monkeypatch.setattr(t.evaluator.envs, "reset", reset)
    assert_same(run(flags, tmp_path / "r"), run(flags, tmp_path / "whole"))


# Disks


@pytest.mark.parametrize("what", ["state", "replay"])
def test_a_full_disk_leaves_the_last_checkpoint(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(DQN, tmp_path / "whole")
    t, output = loud(DQN, tmp_path / "r")
    place = tmp_path / "r/checkpoint"
    sync = os.fsync

    def full(descriptor: int) -> None:
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        part = "/replay/" if what == "replay" else "state.json"
        if t.step == 180 and part in name:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    look = t._look

    def watched() -> None:
        look()
        if t.step == 180:
            assert [path.name for path in saving.saved(place)] == ["90"]
            assert saving.load(place / "90")["trainer"]["step"] == 90
            assert not list(tmp_path.rglob("*.tmp"))

    t._look = watched  # type: ignore[method-assign]
    t.run()
    assert "the checkpoint at step 180 cannot be written ([Errno 28] No space left" in (
        output.getvalue()
    )
    assert_same(t, whole)
    assert_same(run(DQN, tmp_path / "r"), whole)


@pytest.mark.parametrize(
    "name", ["metrics.csv", "events.out.tfevents.1.host", "summary.json", "checkpoint"]
)
def test_files_of_others_are_not_written_over(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("theirs\n")
    with pytest.raises(ValueError, match=f"{name} is there already, without a config.yaml"):
        trainer(DQN, tmp_path)
    assert (tmp_path / name).read_text() == "theirs\n"
    assert not (tmp_path / "config.yaml").exists()


def test_files_that_may_not_grow_stop_a_run_in_one_line(tmp_path: Path) -> None:
    code = (
        "import resource, sys, train; resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000)); "
        "sys.exit(train.main(sys.argv[1:]))"
    )
    flags = DQN.replace("--total-steps 260", "--total-steps 5000").split()
    command = [sys.executable, "-c", code, *flags, "--run-dir", str(tmp_path / "r")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("train.py: stopped: [Errno 27] File too large")
    assert done.stderr.count("\n") == 1
    saving.newest(tmp_path / "r/checkpoint")


# Processes


def started(run_dir: Path, *more: str) -> subprocess.Popen[str]:
    long = DQN.replace("--total-steps 260", "--total-steps 1000000")  # which would be compiled
    flags = [*long.split(), "--no-compile", *more]
    command = [sys.executable, "train.py", *flags, "--run-dir", str(run_dir)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=ROOT, text=True, **pipes)
    while not saving.saved(run_dir / "checkpoint"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return process


def test_a_scheduler_gets_the_code_that_says_resume_me(tmp_path: Path) -> None:
    process = started(tmp_path / "r")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (75, "")
    step = int(re.findall(r"interrupted at step (\d+)", out)[0])
    _, state, _ = saving.newest(tmp_path / "r/checkpoint")
    assert state["trainer"]["step"] == step


def test_a_run_directory_is_for_one_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = started(tmp_path / "r")
    flags = [*DQN.split(), "--no-compile", "--run-dir", str(tmp_path / "r")]
    before = (tmp_path / "r/config.yaml").read_bytes()
    assert train.main(flags) == 2
    assert f"another process (process {process.pid}) works in" in capsys.readouterr().err
    assert (tmp_path / "r/config.yaml").read_bytes() == before
    process.kill()  # the lock dies with it
    process.communicate()
    assert train.main(flags) == 2
    assert "`total_steps` should be at least the 1000000" in capsys.readouterr().err


def test_clocks_may_jump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(DQN, tmp_path / "whole")
    monkeypatch.setattr(time, "time", lambda: random.uniform(0, 4e9))
    run(DQN, tmp_path / "r", stop=120)
    assert_same(run(DQN, tmp_path / "r"), whole)
