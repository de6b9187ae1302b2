"""Did a run lose plasticity?  ``python -m training.fresh RUN_DIR`` asks fresh agents.

For each task visit of a run it trains an agent that has learned nothing, with the same settings,
seeds and number of steps, in that task alone, and compares the areas under the curves.  Fresh runs
are kept in ``--cache`` under a hash of their settings, so that runs share them.  ``plasticity`` is
the mean of the seeds' ratios; where fresh agents barely learn, ``plasticity_of_means``, the ratio
of the mean areas, is the steadier one.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from torch.utils.tensorboard import SummaryWriter

import configs
import envs
from configs import Config
from training import continual
from training.finite import NonFiniteError
from training.loop import package_version
from training.rundir import write_json
from training.summary import cell, measure
from training.tracking import FRESH_SUFFIX
from training.trainer import Trainer
from training.worlds import WorldError

SHOWN = ("area", "area_of_fresh", "plasticity", "plasticity_of_means", "forward_transfer")


def fresh_config(config: Config, task: int, steps: int, cache: Path) -> Config:
    """Returns the settings of a fresh agent that learns one task, with its place in the cache."""
    fresh = replace(
        config,
        task=task,
        total_steps=steps,
        steps_per_task=None,
        cyclic=False,
        on_switch="keep",
        eval_every=None,
        checkpoint_every=None,
        save_replay=False,
        run_dir=None,
    )
    matters = {k: v for k, v in fresh.used().items() if k not in ("log_every", "run_dir")}
    settings = json.dumps([matters, package_version()], sort_keys=True, default=list)
    return replace(fresh, run_dir=str(cache / hashlib.sha256(settings.encode()).hexdigest()[:16]))


def run_fresh(config: Config, console: Console) -> dict[str, Any] | None:
    """Returns the summary of a fresh run, trained now or before; ``None`` after Ctrl-C."""
    run_dir = Path(config.run_dir or "")
    try:
        run_dir.parent.mkdir(parents=True, exist_ok=True)
        lock = run_dir.with_suffix(".lock").open("w")
    except OSError as error:
        raise ValueError(f"the cache {run_dir.parent} cannot be written: {error}") from None
    with lock:  # two comparisons may want the same fresh run: the second one waits
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print(f"another process trains the fresh agent {run_dir}: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(ValueError):
            summary = read_summary(run_dir)
            if summary["finished"]:
                return summary
        if (run_dir / "config.yaml").exists():  # a fresh run that was broken off
            shutil.rmtree(run_dir)
        trainer = Trainer(config, console)
        trainer.run()
        return None if trainer.interrupted else read_summary(run_dir)


def compare(run_dir: Path, cache: Path, console: Console) -> bool:
    """Compares each visit of a run with a fresh agent; adds ``fresh`` to its summary.

    Args:
        run_dir: The run.
        cache: Where fresh runs are kept.
        console: Where progress goes.

    Returns:
        Whether all visits were compared; False after Ctrl-C.

    Raises:
        ValueError: If there is no run, or its environment does not switch.
    """
    summary = read_summary(run_dir)
    config = configs.parse(["--config", str(run_dir / "config.yaml")])
    if envs.find_benchmark(config.env) is None or config.task is not None:
        raise ValueError(f"{config.env} in {run_dir} does not change: nothing to compare")
    if envs.schedule_of(config.env).at(0).position is not None:
        raise ValueError(f"{config.env} drifts: it has no task that a fresh agent could learn")
    scores = envs.scores(config.env)
    table = Table(title="against fresh agents, mean of the seeds (95% interval)")
    ratios = ("plasticity", "plasticity of means", "forward transfer")
    titles = ("task", "visit", "area", "fresh", *ratios)
    for title in titles:
        table.add_column(title, justify="right", overflow="fold")
    rows = []
    points = []
    for visit in summary["visits"]:
        task, steps = visit["task"], visit["end"] - visit["start"]
        if not steps:
            continue
        fresh = run_fresh(fresh_config(config, task, steps, cache), console)
        if fresh is None:
            return False
        area, other = (
            np.array(v["area_under_curve"]["per_seed"], float) for v in (visit, fresh["visits"][0])
        )
        if scores is not None:
            area, other = (
                np.array([scores.normalize(task, x) for x in values]) for values in (area, other)
            )
        measures = {
            "area": measure(area.tolist()),
            "area_of_fresh": measure(other.tolist()),
            "plasticity": measure(continual.plasticity(area, other).tolist()),
            "plasticity_of_means": measure(
                continual.plasticity(area.mean(keepdims=True), other.mean(keepdims=True)).tolist()
            ),
            "forward_transfer": measure(continual.forward_transfer(area, other).tolist()),
            "relative_gain": measure(continual.relative_gain(area, other).tolist()),
        }
        if scores is None:
            del measures["forward_transfer"]  # its room ends at the reference
        rows.append({"task": task, "visit": visit["visit"], "end": visit["end"], **measures})
        cells = [cell(measures[name], "{:.2f}") if name in measures else "-" for name in SHOWN]
        table.add_row(str(task), str(visit["visit"]), *cells)
        points += [(name, value["mean"], visit["end"]) for name, value in measures.items()]
    for old in run_dir.glob(f"events.out.tfevents.*{FRESH_SUFFIX}"):
        old.unlink()
    with SummaryWriter(str(run_dir), filename_suffix=FRESH_SUFFIX) as board:
        for name, mean, end in points:
            if mean is not None:
                board.add_scalar(f"continual/{name}", mean, end)
    summary["fresh"] = {"normalized": scores is not None, "visits": rows}
    write_json(run_dir / "summary.json", summary)
    console.print(table)
    return True


def read_summary(run_dir: Path) -> dict[str, Any]:
    """Reads ``summary.json``; raises a ValueError if there is none."""
    try:
        summary = json.loads((run_dir / "summary.json").read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{run_dir} holds no run with a summary: {error}") from None
    try:
        seeds = len(summary["seeds"])
        steps = [visit["end"] - visit["start"] for visit in summary["visits"]]
        areas = [visit["area_under_curve"]["per_seed"] for visit in summary["visits"]]
        sound = isinstance(summary["finished"], bool) and min(steps) >= 0
        sound &= all(isinstance(visit["task"], int) for visit in summary["visits"])
        sound &= all(len(per_seed) == seeds for per_seed in areas)
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise ValueError(f"{run_dir}/summary.json is not the summary of a run")
    return dict(summary)


def main(args: Sequence[str] | None = None) -> int:
    """Runs the program; returns the exit code: 0, 1, 2 or 130 as those of ``train.py``."""
    parser = argparse.ArgumentParser(prog="python -m training.fresh", description=__doc__)
    parser.add_argument("run_dir", type=Path, help="the run to compare")
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/fresh"), help="where fresh runs are kept"
    )
    options = parser.parse_args(args)
    try:
        complete = compare(options.run_dir, options.cache, Console())
    except ValueError as error:
        print(f"fresh: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except NonFiniteError as error:
        print(f"fresh: stopped: a fresh agent has diverged: {error}", file=sys.stderr)
        return 1
    except (WorldError, OSError) as error:
        print(f"fresh: stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        complete = False
    return 0 if complete else 130


if __name__ == "__main__":
    sys.exit(main())
