"""The real program, with Ray where it is installed; each of these takes seconds."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import sweep
from sweeps.definition import read_sweep
from sweeps.expansion import expand
from sweeps.trial import run_trial
from tests.sweeps.files import TINY, write

ROOT = Path(__file__).parent.parent
NEEDS_RAY = "Ray is not installed (the extra `sweep`)"
SHORT = """
program: train
base:
  env: obs-shift-cartpole
  total-steps: 600
  steps-per-task: 200
  checkpoint-every: 100
  dqn: {hidden: [16], learning-starts: 100}
arms:
  relu: {activation: relu}
  adalin-relu: {activation: adalin-relu}
seeds: {first: 0, count: 2, per_trial: 1}
"""


def lines(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("text", "flags", "message"),
    [
        ("program: train\ngird: {}\n", "", "Did you mean 'grid'?"),
        ("program: train\ngrid: {dqn.tau: [2]}\n", "", "`tau` should be in (0, 1]"),
        ("program: train\n", "--max-concurrent 0", "should be at least 1. Received 0"),
        ("program: train\n", "--num-cpus x", "should be a whole number. Received x"),
        ("program: train\n", "--nonsense", "unrecognized arguments: --nonsense"),
        ("program: train\n", "--address x:1 --num-cpus 2", "`--num-cpus` is of this machine"),
        ("- 1\n", "", "should hold `setting: value` lines"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(
    text: str, flags: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, text)
    assert sweep.main([str(path), "--out", str(tmp_path / "out"), *flags.split()]) == 2
    assert message in lines(capsys)
    assert not (tmp_path / "out").exists()


def test_a_dry_run_shows_all_and_does_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert sweep.main([str(write(tmp_path, SHORT)), "--out", str(out), "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert [line.rpartition(",")[0] for line in text.splitlines()[:4]] == [
        f"{arm},seed={seed}" for arm in ("relu", "adalin-relu") for seed in (0, 1)
    ]
    assert "4 runs of train.py, seeds 0 to 1, 1 side by side" in text
    assert not out.exists()


def test_the_programs_do_not_know_ray() -> None:
    code = "import sys, train, supervise, sweep, sweeps.driver; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def test_without_ray_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("ray", "pyarrow"):
        monkeypatch.setitem(sys.modules, module, None)
    path = write(tmp_path, TINY)
    for out in (str(tmp_path / "out"), f"file://{tmp_path}/out"):
        assert sweep.main([str(path), "--out", out]) == 2
        assert "pip install 'adalin-rl[sweep]'" in lines(capsys)
    assert not (tmp_path / "out").exists()


def test_a_storage_that_fails_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: str) -> None:
        raise OSError("no network")

    monkeypatch.setattr("sweep.open_storage", fails)
    assert sweep.main([str(write(tmp_path, TINY)), "--out", "s3://bucket/x"]) == 1
    assert "stopped: no network; the same command goes on" in lines(capsys)


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_cluster_that_does_not_answer_is_one_line(
    silent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason=NEEDS_RAY)
    from sweeps import cluster

    assert cluster.CONNECT + cluster.ANSWER < 30
    monkeypatch.setattr(cluster, "ANSWER", 0.5)
    command = [str(write(tmp_path, TINY)), "--out", str(tmp_path / "out"), "--address"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"127.0.0.1:{server.getsockname()[1]}"
    for address, why in (
        (closed, "refused"),
        (silent, "(0 s)"),
        ("ray://x:1", "should be HOST:PORT"),
    ):
        assert sweep.main([*command, address]) == 2
        error = lines(capsys)
        assert address in error
        assert why in error
    assert not (tmp_path / "out").exists()


def test_resources_that_no_machine_has_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray", reason=NEEDS_RAY)
    path = write(tmp_path, TINY + "resources: {cpu: 1, gpu: 0.5}\n")
    assert sweep.main(flags(path, tmp_path / "out")) == 2
    error = lines(capsys)
    assert "(`resources`: 1 CPUs, 0.5 GPUs); the largest has 2 CPUs, 0 GPUs" in error
    assert not (tmp_path / "out").exists()


def flags(path: Path, out: Path) -> list[str]:
    return [str(path), "--out", str(out), "--num-cpus", "2"]


def worker_beyond(out: Path, step: int) -> int:
    """Waits until a run that goes on has a checkpoint; returns its process."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        time.sleep(0.05)
        for folder in out.glob("*/checkpoint"):
            steps = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
            if steps and step <= max(steps) and not (folder.parent / "summary.json").exists():
                return int((folder.parent / ".lock").read_text())
    raise TimeoutError("no run has come that far")


def test_nothing_is_lost_by_killing_a_worker_and_the_driver(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason=NEEDS_RAY)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # of the workers, too
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # as fast as the rest of the tests
    path, out = write(tmp_path, SHORT), tmp_path / "out"
    command = [sys.executable, str(ROOT / "sweep.py"), *flags(path, out)]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    os.kill(worker_beyond(out, 200), signal.SIGKILL)
    worker_beyond(out, 300)
    driver.kill()
    assert "it goes on from step" in driver.communicate()[0]
    assert sweep.main(flags(path, out)) == 0
    assert "4/4 done" in capsys.readouterr().out
    content = json.loads((out / "sweep.json").read_text())
    assert {trial["status"] for trial in content["trials"]} == {"done"}
    for trial in expand(read_sweep(path))[::2]:
        run_trial(str(tmp_path / "alone"), trial.name, trial.config, "visits.return")
        ours, alone = (
            (folder / trial.name / "metrics.csv").read_bytes()
            for folder in (out, tmp_path / "alone")
        )
        assert ours == alone
