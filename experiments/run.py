"""Run an experiment: tune every arm, run the chosen settings, write tables and a figure.

    python experiments/run.py random-label-digits [--jobs 2] [--runs runs] [--worlds NAME ...]

A second call goes on with what is there, on another machine with what is in ``results/``: trials
by their scores, runs by their tables.  The protocol stands in the file of the experiment; a trial
that diverges is never chosen, and a run that does is named in the table.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import random_label_digits
import rl_plasticity
from keeping import pack, packed, unpack, write_page
from overview import write_overview
from protocol import Protocol
from results import FOLDER, write
from rich.console import Console

import configs
from configs import RunConfig, SupervisedConfig, differences
from training import NonFiniteError, SupervisedTrainer, Trainer
from training.checkpoints import forget_unsaved
from training.rundir import settings_of

interrupted = False
"""Whether a signal has ended a run in this process, which then does no other."""
PROTOCOLS = {p.name: p for p in (random_label_digits.PROTOCOL, rl_plasticity.PROTOCOL)}


def train(program: str, flags: str, run_dir: Path) -> bool:
    """Does a run, or goes on with it; one that diverges leaves a file that says so.

    Returns:
        Whether there was something to do.

    Raises:
        ValueError: If there is a run with other settings.
        KeyboardInterrupt: If it was interrupted; what it has learned is on the disk.
    """
    global interrupted
    parent = multiprocessing.parent_process()
    if interrupted or (parent is not None and not parent.is_alive()):  # nobody waits for it
        raise KeyboardInterrupt
    args, console = [*flags.split(), "--run-dir", str(run_dir)], Console(quiet=True)
    trainer: SupervisedTrainer | Trainer
    forget_unsaved(run_dir)
    if program == "supervise":
        supervised = configs.parse_as(SupervisedConfig, args)
        if is_done(supervised, run_dir):
            return False
        trainer = SupervisedTrainer(supervised, console)
    else:
        config = configs.parse(args)
        if is_done(config, run_dir):
            return False
        trainer = Trainer(config, console)
    try:
        trainer.run()
    except NonFiniteError as error:
        (run_dir / "diverged").write_text(f"{error}\n")
    if trainer.interrupted is not None:
        interrupted = True
        raise KeyboardInterrupt
    return True


def is_done(config: RunConfig, run_dir: Path) -> bool:
    """Whether such a run has ended; it may be one out of the archive, without its checkpoint."""
    if not has_ended(run_dir):
        return False
    settings = config.used()
    del settings["run_dir"]
    if different := differences(settings_of(run_dir, type(config)), settings):
        raise ValueError(
            f"{run_dir} holds a run with other settings ({'; '.join(different)}): remove it, and "
            "the archive in results/ that it may be from"
        )
    return True


def has_ended(run_dir: Path) -> bool:
    """Whether a run is complete, or has diverged."""
    summary = run_dir / "summary.json"
    finished = summary.exists() and json.loads(summary.read_text())["finished"]
    return finished or (run_dir / "diverged").exists()


def all_of(program: str, jobs: dict[Path, str], processes: int) -> Iterator[Path]:
    """Does runs side by side; the first error, or Ctrl-C, ends all, and saves their states.

    Args:
        program: What does them.
        jobs: Their flags, by their folders.
        processes: How many at once.

    Yields:
        The folder of each run when it has ended.
    """
    begin, context = time.monotonic(), multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        futures = {pool.submit(train, program, jobs[run_dir], run_dir): run_dir for run_dir in jobs}
        try:
            for i, future in enumerate(as_completed(futures)):
                future.result()
                print(
                    f"{i + 1} of {len(futures)} runs, {time.monotonic() - begin:.0f} s", flush=True
                )
                yield futures[future]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def tune(protocol: Protocol, world: str, runs: Path, processes: int) -> dict[str, str]:
    """Returns the flags of the best trial of each arm, and writes what all of them reached."""
    of, file = protocol.worlds[world], FOLDER / f"{world}-tuning.csv"
    flags = {
        (arm, trial): f"{of.flags} {of.tuning} {trial}"
        for arm in protocol.arms
        for trial in protocol.trials(world, arm)
    }
    scores = stored_scores(file, flags)
    jobs = {protocol.folder(runs, world, *which): which for which in flags if which not in scores}
    for run_dir in all_of(protocol.program, {of: flags[jobs[of]] for of in jobs}, processes):
        found: Any = protocol.read(run_dir)
        scores[jobs[run_dir]] = float(np.nanmean(found)) if found.size else -np.inf
        store_scores(file, flags, scores, {})  # now: a kill loses no trial that has ended
    best = {
        arm: max(protocol.trials(world, arm), key=lambda trial: scores[arm, trial])
        for arm in protocol.arms
    }
    store_scores(file, flags, scores, best)
    return best


def store_scores(
    file: Path,
    flags: dict[tuple[str, str], str],
    scores: dict[tuple[str, str], float],
    best: dict[str, str],
) -> None:
    """Writes what trials have reached, and which were chosen."""
    file.parent.mkdir(exist_ok=True)
    aside = file.with_suffix(".tmp")
    with aside.open("w", newline="") as opened:
        table = csv.writer(opened, lineterminator="\n")
        table.writerow(("arm", "trial", "mean", "chosen", "flags"))
        for (arm, trial), words in flags.items():
            if (arm, trial) in scores:
                chosen = int(trial == best.get(arm))
                table.writerow((arm, trial, scores[arm, trial], chosen, words))
    aside.replace(file)


def stored_scores(file: Path, flags: dict[tuple[str, str], str]) -> dict[tuple[str, str], float]:
    """Returns what trials have reached that were done with the same flags."""
    if not file.exists():
        return {}
    with file.open() as opened:
        rows = [row for row in csv.DictReader(opened) if "flags" in row]
    return {
        (row["arm"], row["trial"]): float(row["mean"])
        for row in rows
        if flags.get((row["arm"], row["trial"])) == row["flags"]
    }


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
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    try:
        for world in options.worlds or protocol.worlds:
            print(f"{protocol.name}: {world}", flush=True)
            do(protocol, world, options.runs, options.jobs)
    except ValueError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        sys.exit(130)


def do(protocol: Protocol, world: str, runs: Path, processes: int) -> None:
    """Tunes in a world, does the runs that count, and writes what came of them."""
    best = tune(protocol, world, runs, processes)
    folder, archive = protocol.folder(runs, world), FOLDER / f"{world}-runs.tar.xz"
    folder.mkdir(parents=True, exist_ok=True)
    if archive.exists():
        unpack(archive, folder)
    jobs = {
        protocol.folder(runs, world, name): flags
        for name, flags in protocol.final(world, best).items()
    }
    try:
        for _ in all_of(protocol.program, jobs, processes):
            pass
    finally:  # once: it takes a minute
        ended = [run for run in jobs if has_ended(run)]
        if not {run.name for run in ended} <= packed(archive):
            pack(ended, archive)
    write(protocol, world, runs, best)
    if len(protocol.worlds) > 1:
        write_overview(protocol)
    drawn = [protocol.folder(runs, world, arm).name for arm in protocol.drawn]
    write_page(drawn, archive, FOLDER / f"{world}.html")


if __name__ == "__main__":
    main()
