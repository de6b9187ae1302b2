"""What a run says: before it begins, while it goes on, and at its end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from training.dashboard import return_against_dormant
from training.finite import check_finite, to_lists
from training.rundir import write_json
from training.summary import interval

if TYPE_CHECKING:
    from training.trainer import Trainer


def print_header(trainer: Trainer) -> None:
    """Prints what will be trained, where and with what, and whether anything will change."""
    config, console = trainer.config, trainer.console
    remedies = f" and {', '.join(config.mitigation)}" if config.mitigation else ""
    sizes = {
        name: sum(p.numel() for p in learner.network.parameters()) // trainer.num_seeds
        for name, learner in trainer.learners.items()
        if learner.inputs is not None
    }
    console.print(
        f"{config.agent} with {config.activation}{remedies} in {config.env}, "
        f"{trainer.num_seeds} seed{'s' * (trainer.num_seeds > 1)} from {config.seed}, "
        f"on {trainer.agent.device}; replay {trainer.replay.nbytes / 1e6:.1f} MB\n"
        f"parameters of each seed: {', '.join(f'{n} {size:,}' for n, size in sizes.items())}\n"
        + (
            f"going on at step {trainer.step} in {trainer.run_dir}"
            if trainer.resumed
            else f"writing to {trainer.run_dir}"
        ),
        highlight=False,
        soft_wrap=True,
    )
    if trainer.finished:
        console.print(f"all {trainer.step} steps are done; a larger --total-steps goes on")
        return
    first = trainer.schedule.at(0).end
    if config.total_steps <= first < math.inf:
        console.print(
            f"warning: the first task lasts {first:.0f} steps, so nothing changes in the "
            f"{config.total_steps} of this run; --steps-per-task or a -small environment "
            "makes tasks shorter",
            highlight=False,
            soft_wrap=True,
        )


def log(trainer: Trainer) -> None:
    """Writes what training and remedies came to, and shows where the run is."""
    now = trainer.summary.now
    check_finite(trainer.metrics, trainer.learners, trainer.config.seeds, trainer.step)
    rows = {}
    for name, value in to_lists(trainer.metrics).items():
        kind, _, network = name.partition("/")
        rows[f"plasticity/{network}/{kind}" if kind == "grad_norm" else f"train/{name}"] = value
    did = trainer.mitigations.report()
    if trainer.replay.mean_age is not None:
        did["sample-weight-decay/replay/mean_age"] = trainer.replay.mean_age
    rows |= {f"mitigation/{name}": value for name, value in to_lists(did).items()}
    trainer.tracker.rows(trainer.step, now.task, now.visit, rows)
    trainer.tracker.returns(trainer.step)
    trainer.tracker.scalar("task/index", now.task, trainer.step)
    trainer.tracker.scalar("task/visit", now.visit, trainer.step)
    speed = trainer.step / max(trainer.progress.seconds, 1e-9)
    trainer.tracker.scalar("time/steps_per_second", speed, trainer.step)
    trainer.tracker.scalar("time/seconds", trainer.progress.seconds, trainer.step)
    trainer.tracker.flush()
    recent = [ret for episodes in now.episodes for _, ret, _ in episodes[-10:]]
    trainer.progress.show(trainer.step, now.task, interval(recent)[0], trainer.dormant)


def draw(trainer: Trainer) -> None:
    """Draws the visit that ends."""
    figure = return_against_dormant(trainer.summary.visits)
    if figure is not None:
        trainer.tracker.figure("return_against_dormant_neurons", figure, trainer.step)


def write_summary(trainer: Trainer) -> None:
    """Writes ``summary.json``, and the last points of the charts."""
    trainer.tracker.returns(trainer.step)
    evaluation = trainer.evaluator.as_dict() if trainer.evaluator else {"tasks": []}
    for row in evaluation["tasks"]:
        if row["forgetting"]["mean"] is not None:
            name = f"continual/forgetting/task_{row['task']}"
            trainer.tracker.scalar(name, row["forgetting"]["mean"], trainer.step)
    result: dict[str, Any] = {
        "finished": trainer.finished,
        "steps": trainer.step,
        "seconds": round(trainer.progress.seconds, 1),
        "seeds": list(trainer.config.seeds),
        "visits": trainer.summary.as_dict(),
    }
    if trainer.evaluator:
        result["evaluation"] = evaluation
    write_json(trainer.run_dir / "summary.json", result)
