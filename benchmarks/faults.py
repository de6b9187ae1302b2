"""Kills training processes at random moments: ``python benchmarks/faults.py > docs/faults.md``.

Each kill is a SIGKILL to a real process, a random time after its first new checkpoint or, every
second time, within milliseconds of the beginning of a save.  The same command then goes on, and
after the last kill it runs to the end.  ``metrics.csv`` and every tensor and number of the final
state are compared with those of a run that nobody killed.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import torch

from agents import saving

ROOT = Path(__file__).parent.parent
AGENTS = {
    "dqn": "--env obs-shift-cartpole --steps-per-task 2500 --mitigation redo --redo.every 200 "
    "--dqn.learning-starts 500 --dqn.hidden 256 256",
    "sac": "--agent sac --env obs-shift-Pendulum-v1 --steps-per-task 700 --mitigation redo "
    "--redo.every 100 --sac.hidden 256 256 --sac.batch-size 32 --sac.learning-starts 200",
}
STEPS = {"dqn": (6_000, 500), "sac": (1_800, 150)}
"""All steps, and those between two checkpoints."""


def command(agent: str, seeds: int, envs: int, run_dir: Path) -> list[str]:
    """Returns the command that trains."""
    total, every = STEPS[agent]
    flags = f"{AGENTS[agent]} --total-steps {total} --checkpoint-every {every} --probe.every 500"
    sizes = f"--num-seeds {seeds} --num-envs {envs} --run-dir {run_dir}"
    return [sys.executable, str(ROOT / "train.py"), *flags.split(), *sizes.split()]


def kill(train: list[str], run_dir: Path, in_save: bool, draw: random.Random) -> str:
    """Trains, kills the process, and says when that was."""
    place = run_dir / "checkpoint"
    before = {path.name for path in saving.saved(place)}
    began, when = time.time(), None
    process = subprocess.Popen(train, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        now = time.time()
        if when is None and in_save:
            if any(changed(file) > began for file in aside(place)):
                when = now + draw.uniform(0, 0.03)
        elif when is None and {path.name for path in saving.saved(place)} - before:
            when = now + draw.uniform(0, 2)
        if when is not None and now >= when:
            process.kill()
            break
        time.sleep(0 if in_save else 0.01)
    process.wait()
    if process.returncode != -9:
        assert process.stderr is not None
        assert process.returncode == 0, process.stderr.read()
        return "it had ended"
    _, state, _ = saving.newest(place) if saving.saved(place) else (None, None, None)
    rows = state["replay"]["steps"] if state else 0
    written = [int(file.stem.split("-")[1]) for file in place.glob("replay/*.safetensors")]
    return "within a save" if aside(place) or max(written, default=0) > rows else "between saves"


def aside(place: Path) -> list[Path]:
    """Returns the files of a save that has not ended."""
    with contextlib.suppress(FileNotFoundError):  # they come and go
        return [*place.glob("*.tmp"), *place.glob("replay/*.tmp")]
    return []


def changed(file: Path) -> float:
    """Returns when a file was changed last; 0 if it is gone."""
    with contextlib.suppress(FileNotFoundError):
        return file.stat().st_mtime
    return 0.0


def differences(one: Any, other: Any) -> int:
    """Counts the tensors and values that are not the same, bit for bit."""
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return 1
        return sum(differences(one[key], other[key]) for key in one)
    if isinstance(one, torch.Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape
        return int(not (same and one.numpy().tobytes() == other.numpy().tobytes()))
    return int(one != other and not (one != one and other != other))


def outcome(run_dir: Path) -> tuple[bytes, dict[str, Any]]:
    """Returns the table of a run and its final state, but for times and sizes of files."""
    _, state, _ = saving.newest(run_dir / "checkpoint")
    del state["trainer"]["seconds"], state["tracker"]["sizes"], state["replay_files"]
    return (run_dir / "metrics.csv").read_bytes(), state


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=32, help="how many, of all runs together")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    cases = list(product(AGENTS, (1, 3), (1, 4)))
    each = -(-options.kills // len(cases))
    print("# Runs that were killed\n\n`python benchmarks/faults.py > docs/faults.md`\n")
    print("| agent | seeds | environments | kills | within a save | differences |")
    print("|---|---|---|---|---|---|")
    for agent, seeds, envs in cases:
        with tempfile.TemporaryDirectory() as folder:
            whole, killed = Path(folder) / "whole", Path(folder) / "killed"
            subprocess.run(
                command(agent, seeds, envs, whole), check=True, stdout=subprocess.DEVNULL
            )
            train = command(agent, seeds, envs, killed)
            moments = [kill(train, killed, k % 2 == 1, draw) for k in range(each)]
            subprocess.run(train, check=True, stdout=subprocess.DEVNULL)
            (table, state), (other, end) = outcome(whole), outcome(killed)
            found = int(table != other) + differences(state, end)
        number = sum(moment != "it had ended" for moment in moments)
        within = moments.count("within a save")
        print(f"| {agent} | {seeds} | {envs} | {number} | {within} | {found} |", flush=True)


if __name__ == "__main__":
    main()
