"""Kills training processes at random moments: ``python benchmarks/faults.py > docs/faults.md``.

Each kill is a SIGKILL to a real process, a random time after its first new checkpoint or, every
second time, within milliseconds of the beginning of a save.  The same command then goes on, and
after the last kill it runs to the end.  ``metrics.csv`` and every tensor and number of the final
state are compared with those of a run that nobody killed.
"""

from __future__ import annotations

import argparse
import os
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
    "--dqn.learning-starts 500",
    "sac": "--agent sac --env obs-shift-Pendulum-v1 --steps-per-task 700 --mitigation redo "
    "--redo.every 100 --sac.hidden 32 32 --sac.batch-size 32 --sac.learning-starts 200",
}
STEPS = {"dqn": (8_000, 700), "sac": (2_400, 200)}
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
    process = subprocess.Popen(train, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    began = time.monotonic()
    wait = draw.uniform(0, 2.0)
    seen = None
    while process.poll() is None:
        now = time.monotonic()
        if seen is None and in_save and _saving(place):
            seen = now + draw.uniform(0, 0.003)
        fresh = {path.name for path in saving.saved(place)} - before
        if seen is None and not in_save and (fresh or now - began > 8):
            seen = now + wait
        if seen is not None and now >= seen:
            process.kill()
            break
        time.sleep(0 if in_save else 0.01)
    process.wait()
    if process.returncode != -9:
        assert process.stderr is not None
        assert process.returncode == 0, process.stderr.read()
        return "it had ended"
    return "within a save" if _saving(place) else "between saves"


def _saving(place: Path) -> bool:
    """Whether files of a save lie aside."""
    return any(
        name.endswith(".tmp") for _, folders, files in os.walk(place) for name in (*folders, *files)
    )


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
