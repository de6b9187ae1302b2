"""What a run says before it begins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

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
