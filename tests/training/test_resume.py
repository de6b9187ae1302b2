"""A run that was broken off and goes on is, bit for bit, the run that never was."""

import io
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

import configs
import envs
from agents import saving
from configs import Config
from plasticity import MITIGATIONS
from training import Trainer

pytestmark = pytest.mark.usefixtures("no_pictures")

DQN = (
    "--env obs-shift-cartpole --steps-per-task 100 --total-steps 260 --checkpoint-every 90 "
    "--dqn.hidden 8 8 --dqn.batch-size 8 --dqn.learning-starts 20 --dqn.replay-ratio 0.5 "
    "--dqn.n-step 2 --probe.every 25 --probe.batch-size 16 --probe.dear-every 50 --log-every 30"
)
SAC = (
    "--agent sac --env obs-shift-Pendulum-v1 --steps-per-task 100 --total-steps 260 "
    "--checkpoint-every 90 --sac.hidden 8 8 --sac.batch-size 8 --sac.learning-starts 20 "
    "--sac.replay-ratio 0.5 --probe.every 25 --probe.batch-size 16 --probe.dear-every 50 "
    "--log-every 30"
)


def parse(flags: str, run_dir: Path) -> Config:
    """Reads flags; those of many runs only once, as it takes a while."""
    return replace(configs.parse(flags.split()), run_dir=str(run_dir))


def trainer(flags: str, run_dir: Path) -> Trainer:
    return Trainer(parse(flags, run_dir), Console(file=io.StringIO()))


def run(
    flags: str, run_dir: Path, stop: int | None = None, copies: dict[int, Path] | None = None
) -> Trainer:
    """Trains; is interrupted at step ``stop``, and copied at others as a kill leaves its files."""
    t = trainer(flags, run_dir)
    advance = t.advance
    left = dict(copies or {})

    def watched() -> None:
        advance()
        if stop is not None and t.step >= stop:
            t.interrupted = signal.SIGINT
        for at in [at for at in left if t.step >= at]:
            shutil.copytree(run_dir, left.pop(at))

    t.advance = watched  # type: ignore[method-assign]
    t.run()
    return t


@pytest.mark.usefixtures("traced")
def test_a_compiled_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = run(f"{DQN} --compile", tmp_path / "whole")
    run(f"{DQN} --compile", tmp_path / "broken", stop=130)
    assert_same(whole, run(f"{DQN} --compile", tmp_path / "broken"))
    eager = run(f"{DQN} --no-compile", tmp_path / "eager")
    for a, b in zip(
        *(t.agent.learners()["q"].network.parameters() for t in (whole, eager)), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=0.1, atol=0.01)


def assert_same(one: Trainer, other: Trainer) -> None:
    tables = [(t.run_dir / "metrics.csv").read_bytes() for t in (one, other)]
    assert tables[0] == tables[1]
    states = [saving.newest(t.run_dir / "checkpoint")[1] for t in (one, other)]
    for state in states:
        assert state["trainer"]["step"] >= one.config.total_steps
        del state["trainer"]["seconds"], state["tracker"]["sizes"], state["replay_files"]
    compare(states[0], states[1])
    rows = [t.replay.rows(t.replay.oldest, t.replay.steps) for t in (one, other)]
    compare(rows[0], rows[1])


def compare(one: Any, other: Any, name: str = "") -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys(), name
        for key in one:
            compare(one[key], other[key], f"{name}/{key}")
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype, name
        assert torch.equal(one.nan_to_num(7), other.nan_to_num(7)), name
    else:
        assert one == other or one != one, name


@pytest.mark.parametrize(
    ("flags", "more"),
    [
        (DQN, ""),
        (DQN, "--num-seeds 3 --num-envs 4 --mitigation redo --redo.every 10 --activation aid"),
        (DQN, "--num-envs 2 --on-switch clear-replay --eval-every 60 --eval-episodes 1"),
        (DQN, "--on-switch reset-agent --mitigation plasticity-injection"),
        (SAC, "--num-seeds 3 --num-envs 2"),
        (SAC, "--num-envs 4 --mitigation continual-backprop --activation adalin-tanh"),
        (DQN, "--num-envs 2 --vector async"),
        (DQN, "--num-envs 2 --num-seeds 2 --overlap"),
        (DQN, "--dqn.n-step 3 --dqn.buffer-size 90"),  # a file of rows ends at each checkpoint
        (DQN, "--num-envs 16 --env minatar-3 --vector native"),
    ],
)
def test_kills_and_interruptions_leave_no_trace(flags: str, more: str, tmp_path: Path) -> None:
    flags = f"{flags} {more}"
    killed = {step: tmp_path / f"killed-{step}" for step in (50, 100, 220)}
    whole = run(flags, tmp_path / "whole", copies=killed)
    for copy in killed.values():
        assert_same(run(flags, copy), whole)
    for stop in (17, 100, 233):
        run(flags, tmp_path / "interrupted", stop)
    assert_same(run(flags, tmp_path / "interrupted"), whole)


def test_a_run_of_before_a_setting_existed_goes_on_with_its_default(tmp_path: Path) -> None:
    whole = run(DQN, tmp_path / "whole")
    run(DQN, tmp_path / "old", stop=130)
    config = tmp_path / "old/config.yaml"
    text = config.read_text()
    assert "cyclic: false\n" in text
    config.write_text(text.replace("cyclic: false\n", ""))
    with pytest.raises(ValueError, match=r"another configuration \(cyclic: False -> True\)"):
        trainer(f"{DQN} --cyclic", tmp_path / "old")
    assert_same(run(DQN, tmp_path / "old"), whole)


def assert_goes_on(flags: str, folder: Path, stop: int) -> None:
    """Compares a run with one that is killed, and interrupted later."""
    whole = run(flags, folder / "whole", copies={stop: folder / "killed"})
    run(flags, folder / "killed", stop + 7)
    assert_same(run(flags, folder / "killed"), whole)


@pytest.mark.parametrize("name", MITIGATIONS)
def test_every_remedy_goes_on_exactly(name: str, tmp_path: Path) -> None:
    due = {"every": 10, "after": 10, "critic_width": 8}  # where it has such a setting
    fields = MITIGATIONS[name].config.__dataclass_fields__
    settings = (f"--{name}.{key.replace('_', '-')} {due[key]}" for key in due if key in fields)
    flags = DQN.replace("--dqn.hidden 8 8", "") if name == "simba" else DQN
    flags += f" --activation relu --mitigation {name} {' '.join(settings)}"
    assert_goes_on(flags, tmp_path, 150)


HERE = [name for name, b in envs.BENCHMARKS.items() if not b.bases[0].startswith("Meta-World/")]


@pytest.mark.parametrize("name", [name for name in HERE if name.endswith("-small")])
def test_every_benchmark_goes_on_exactly(name: str, tmp_path: Path) -> None:
    discrete = envs.scores(name).actions.endswith("discrete")  # type: ignore[union-attr]
    agent = "dqn" if discrete else "sac"
    flags = (
        f"--agent {agent} --env {name} --total-steps 70 --checkpoint-every 30 --num-envs 2 "
        f"--{agent}.batch-size 4 --{agent}.learning-starts 10 --{agent}.replay-ratio 0.2 "
        f"--{agent}.hidden 8 --{agent}.buffer-size 1000 --probe.every 30 --probe.batch-size 8 "
        "--log-every 20"
    )
    t = trainer(flags, tmp_path / "probe")
    switches = "" if t.schedule.at(0).position is not None else "--steps-per-task 24"
    assert_goes_on(f"{flags} {switches}", tmp_path, 40)
