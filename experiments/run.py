"""Run an experiment: tune every arm, run the chosen settings, write tables and a figure.

    python experiments/run.py random-label-digits [--jobs 2] [--runs runs] [--worlds NAME ...]

A second call goes on with what is there.  The protocol stands in the file of the experiment; a
trial or run that diverges counts as 0 in tuning, and is named in the table.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import random_label_digits
import rl_plasticity
from protocol import Protocol
from results import write
from rich.console import Console

import configs
from configs import Config, SupervisedConfig
from training import NonFiniteError, SupervisedTrainer, Trainer

ROOT = Path(__file__).resolve().parents[1]
PROTOCOLS = {p.name: p for p in (random_label_digits.PROTOCOL, rl_plasticity.PROTOCOL)}


def train(program: str, flags: str, run_dir: Path) -> None:
    """Does a run, or goes on with it; one that diverges leaves a file that says so."""
    summary, diverged = run_dir / "summary.json", run_dir / "diverged"
    if diverged.exists() or (summary.exists() and json.loads(summary.read_text())["finished"]):
        return
    args = [*flags.split(), "--run-dir", str(run_dir)]
    try:
        if program == "supervise":
            config = configs.parse_as(SupervisedConfig, args)
            SupervisedTrainer(config, Console(quiet=True)).run()
        else:
            Trainer(configs.parse_as(Config, args), Console(quiet=True)).run()
    except NonFiniteError as error:
        diverged.write_text(f"{error}\n")


def all_of(program: str, jobs: dict[Path, str], processes: int) -> None:
    """Does runs side by side."""
    begin, context = time.monotonic(), multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        futures = [pool.submit(train, program, flags, run_dir) for run_dir, flags in jobs.items()]
        for i, future in enumerate(as_completed(futures)):
            future.result()
            print(f"{i + 1} of {len(futures)} runs, {time.monotonic() - begin:.0f} s", flush=True)


def tune(protocol: Protocol, world: str, runs: Path, processes: int) -> dict[str, str]:
    """Returns the flags of the best trial of each arm, and writes what all of them reached."""
    of = protocol.worlds[world]
    jobs = {
        protocol.folder(runs, world, arm, trial): f"{of.flags} {of.tuning} {trial}"
        for arm in protocol.arms
        for trial in protocol.trials(world, arm)
    }
    all_of(protocol.program, jobs, processes)
    best: dict[str, str] = {}
    with (ROOT / f"experiments/results/{world}-tuning.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("arm", "trial", "mean", "chosen"))
        for arm in protocol.arms:
            scores = {}
            for trial in protocol.trials(world, arm):
                found: Any = protocol.read(protocol.folder(runs, world, arm, trial))
                scores[trial] = float(np.nanmean(found)) if found.size else -np.inf
            best[arm] = max(scores, key=lambda trial: scores[trial])
            for trial, score in scores.items():
                table.writerow((arm, trial, f"{score:.5g}", int(trial == best[arm])))
    return best


def main() -> None:
    """Tunes, runs and reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("experiment", choices=PROTOCOLS)
    parser.add_argument("--worlds", nargs="+", help="some of its worlds (default: all)")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    options = parser.parse_args()
    protocol = PROTOCOLS[options.experiment]
    for world in options.worlds or protocol.worlds:
        if world not in protocol.worlds:
            parser.error(f"there is no world {world!r}, but {', '.join(protocol.worlds)}")
        print(f"{protocol.name}: {world}")
        best = tune(protocol, world, options.runs, options.jobs)
        of = protocol.worlds[world]
        jobs = {
            protocol.folder(options.runs, world, arm): f"{of.flags} {of.final} {best[arm]}"
            for arm in protocol.arms
        }
        all_of(protocol.program, jobs, options.jobs)
        write(protocol, world, options.runs, best)


if __name__ == "__main__":
    main()
