"""The real program, mostly in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from train import main

ROOT = Path(__file__).parent.parent


def train(*flags: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "train.py"), *flags]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


RUNS = {
    "dqn": "--env obs-shift-cartpole --steps-per-task 1000 --total-steps 3000 --num-envs 2",
    "sac": "--agent sac --env cheetah-gravity --steps-per-task 300 --total-steps 900 "
    "--sac.hidden 32 32 --sac.batch-size 32 --sac.learning-starts 100 --log-every 100 "
    "--probe.every 100",
}


@pytest.mark.parametrize("agent", RUNS)
def test_run_writes_what_the_documentation_says(agent: str, tmp_path: Path) -> None:
    run_dir = tmp_path / "r"
    done = train(*RUNS[agent].split(), "--num-seeds", "2", "--run-dir", str(run_dir))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"tensorboard --logdir {run_dir}" in done.stdout
    files = {path.name.split(".")[0] for path in run_dir.iterdir() if path.name != ".lock"}
    assert files == {"config", "metrics", "events", "checkpoint", "summary"}
    visits = json.loads((run_dir / "summary.json").read_text())["visits"]
    assert [v["task"] for v in visits] == [0, 1, 2]
    board = EventAccumulator(str(run_dir))
    board.Reload()
    tags = set(board.Tags()["scalars"])
    network = "q" if agent == "dqn" else "critic"
    assert tags >= {
        f"plasticity/{network}/dormant_fraction@0.1",
        f"ci_low/plasticity/{network}/dormant_fraction@0.1",
        f"adalin/{network}/layer_1/alpha_mean",
        f"train/loss/{network}",
        "task/index",
        "time/steps_per_second",
    }
    assert [event.value for event in board.Scalars("task/index")][-1] == 2
    if agent == "dqn":  # the cheetah's episodes are longer than its tasks here
        assert tags >= {"return/mean", "return/seed_1", "return/task_1", "task/switch"}
        needles = {event.step // 100 * 100 for event in board.Scalars("task/switch")}
        assert needles == {1000, 2000}
    assert board.Tags()["tensors"].count("custom_scalars__config__") == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--agent sac --env CartPole-v1", "agent sac needs a Box of one axis as action space"),
        ("--env Pendulum-v1", "agent dqn needs a Discrete action space"),
        ("--nonsense", "there is no flag '--nonsense'"),
        ("--mitigation redo --redo.networks critic", "has no network 'critic', it has q"),
        ("--mitigation snr", "Layer layer_1 has AdaLin over relu"),
        ("--mitigation simba --env minatar-3-small", "SimBa needs vector observations"),
        ("--activation crelu --halve-widths --dqn.hidden 7", "should be even to be halved"),
        ("--run-dir /proc/r", "the run directory /proc/r cannot be written"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(
    flags: str,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(flags.split()) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_one_line_also_without_unicode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}.items():
        monkeypatch.setenv(name, value)
    done = train("--seed", "x", cwd=tmp_path)
    message = "--seed: invalid literal for int() with base 10: 'x'"
    assert done.stderr == f"train.py: error: {message}\n"
    assert done.returncode == 2


def test_lists_name_everything() -> None:
    done = train("--list-envs", "--list-activations", "--list-mitigations")
    assert done.returncode == 0
    for name in ("slippery-ant", "adalin-gelu", "l2-init", "tau 0.025", "2302.12902", "surgery"):
        assert name in done.stdout


def test_an_interrupt_before_the_first_step_is_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("train.Trainer", interrupted)
    assert main(["--run-dir", str(tmp_path / "r")]) == 130
    assert capsys.readouterr().err == ""
