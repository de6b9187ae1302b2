"""What a run says: before it begins, while it goes on, and at its end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import envs
from training.dashboard import return_against_dormant
from training.finite import to_lists
from training.summary import interval

if TYPE_CHECKING:
    from envs.schedules import Schedule
    from training.loop import Loop
    from training.trainer import Trainer


def introduce(loop: Loop, learner: str, where: str, beside: str = "", *, longer: str) -> None:
    """Prints what will be trained, with how many parameters, and where its files go.

    Args:
        loop: The run, before it begins.
        learner: What learns.
        where: What it learns in.
        beside: What else there is to say.
        longer: The flag with which a run that has ended goes on.
    """
    config, several = loop.config, "s" * (loop.num_seeds > 1)
    remedies = f" and {', '.join(config.mitigation)}" if config.mitigation else ""
    sizes = {
        name: sum(p.numel() for p in learner.network.parameters()) // loop.num_seeds
        for name, learner in loop.learners.items()
        if learner.inputs is not None
    }
    loop.say(
        f"{learner} with {config.activation}{remedies} {where}, {loop.num_seeds} seed{several} "
        f"from {config.seed}, on {loop.device}{beside}\n"
        f"parameters of each seed: {', '.join(f'{n} {size:,}' for n, size in sizes.items())}\n"
        + (
            f"going on at step {loop.step} in {loop.run_dir}"
            if loop.resumed
            else f"writing to {loop.run_dir}"
        )
    )
    if loop.finished:
        loop.say(f"all {loop.step} steps are done; a larger {longer} goes on from there")


def log_common(loop: Loop) -> None:
    """Writes the metrics of the last updates, what remedies did, and where the run is."""
    now, step = loop.summary.now, loop.step
    rows = {}
    for name, value in to_lists(loop.metrics).items():
        kind, _, network = name.partition("/")
        rows[f"plasticity/{network}/{kind}" if kind == "grad_norm" else f"train/{name}"] = value
    did = to_lists(loop.mitigations.report())
    rows |= {f"mitigation/{name}": value for name, value in did.items()}
    loop.tracker.rows(step, now.task, now.visit, rows)
    loop.tracker.scalar("task/index", now.task, step)
    loop.tracker.scalar("task/visit", now.visit, step)
    loop.tracker.scalar("time/steps_per_second", step / max(loop.progress.seconds, 1e-9), step)
    loop.tracker.scalar("time/seconds", loop.progress.seconds, step)


def print_header(trainer: Trainer) -> None:
    """Prints what will be trained, and whether anything will change."""
    config = trainer.config
    introduce(
        trainer,
        config.agent,
        f"in {config.env}",
        f"; replay {trainer.replay.nbytes / 1e6:.1f} MB",
        longer="--total-steps",
    )
    first, total = trainer.schedule.at(0), config.total_steps
    if trainer.finished or math.isinf(first.end):
        return
    if total <= first.end:
        trainer.warn(
            f"the first task lasts {first.end:.0f} steps, so nothing changes in the {total} of "
            "this run; --steps-per-task or a -small environment makes tasks shorter"
        )
    elif first.position is None and math.isinf(trainer.schedule.at(total - 1).end):
        starts = list(_starts(trainer.schedule))
        if total - starts[-1] > starts[-1] - starts[-2]:
            benchmark = envs.find_benchmark(config.env)
            ends = benchmark is not None and benchmark.ends
            trainer.warn(
                f"the last task comes at step {starts[-1]} and stays for the {total - starts[-1]} "
                "that are left" + ("; --cyclic begins with the first again" if ends else "")
            )


def _starts(schedule: Schedule) -> Iterator[int]:
    """Yields the first step of each phase, up to the phase that never ends."""
    start = 0.0
    while math.isfinite(start):
        yield int(start)
        start = schedule.at(int(start)).end


def log(trainer: Trainer) -> None:
    """Writes what training and remedies came to, and shows where the run is."""
    now = trainer.summary.now
    log_common(trainer)
    if trainer.replay.mean_age is not None:
        age = to_lists({"mitigation/sample-weight-decay/replay/mean_age": trainer.replay.mean_age})
        trainer.tracker.rows(trainer.step, now.task, now.visit, age)
    trainer.tracker.returns(trainer.step)
    trainer.tracker.flush()
    recent = interval([ret for episodes in now.episodes for _, ret, _ in episodes[-10:]])[0]
    shown = "" if math.isnan(recent) else f"return {recent:.1f}"
    trainer.progress.show(trainer.step, now.task, shown, trainer.dormant)


def draw(trainer: Trainer) -> None:
    """Draws the visit that ends."""
    figure = return_against_dormant(trainer.summary.visits)
    if figure is not None:
        trainer.tracker.figure("return_against_dormant_neurons", figure, trainer.step)


def results(trainer: Trainer) -> dict[str, Any]:
    """Returns what ``summary.json`` holds of visits; draws the last points of the charts."""
    trainer.tracker.returns(trainer.step)
    found: dict[str, Any] = {"visits": trainer.summary.as_dict()}
    if trainer.evaluator:
        found["evaluation"] = trainer.evaluator.as_dict()
        for row in found["evaluation"]["tasks"]:
            if row["forgetting"]["mean"] is not None:
                name = f"continual/forgetting/task_{row['task']}"
                trainer.tracker.scalar(name, row["forgetting"]["mean"], trainer.step)
    return found
