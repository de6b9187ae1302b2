"""The examples run as they are, only shorter."""

import subprocess
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, steps: int, folder: Path) -> str:
    script = EXAMPLES / name
    assert len(script.read_text().splitlines()) <= 41
    command = [sys.executable, str(script), str(steps)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_sb3_dqn(tmp_path: Path) -> None:
    printed = run("sb3_dqn.py", 300, tmp_path)
    assert "AdaLin(256, base='relu'" in printed
    assert "return of 10 greedy episodes: " in printed
    assert (tmp_path / "runs/sb3_dqn.zip").exists()


def test_sb3_sac_in_a_world_that_shifts(tmp_path: Path) -> None:
    run("sb3_sac_shift.py", 510, tmp_path)
    board = EventAccumulator(str(tmp_path / "runs/sb3_sac_shift/SAC_1")).Reload()
    for name in ("plasticity/actor/dormant_fraction@0.025", "adalin/critic_0/layer_1/alpha_abs"):
        assert [event.step for event in board.Scalars(name)] == [500]


def test_plain_pytorch(tmp_path: Path) -> None:
    printed = run("plain_pytorch.py", 2, tmp_path)
    assert "1: AdaLin(16, base='relu'" in printed
    for name in ("ReLU", "AdaLin"):
        assert printed.count(f"{name}, task") == 10


def test_own_shift(tmp_path: Path) -> None:
    printed = run("own_shift.py", 2_000, tmp_path)
    lengths = [float(line.split(": ")[1].split()[0]) for line in printed.splitlines()]
    assert len(lengths) == 4
    assert lengths == sorted(lengths, reverse=True)  # gusts are felt
