"""Train a continual reinforcement learning agent: ``python train.py --help``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

import configs
from envs import BENCHMARKS
from networks import ACTIVATIONS
from plasticity import MITIGATIONS
from training import NonFiniteError, Trainer


def main(args: Sequence[str] | None = None) -> int:
    """Runs the program.

    Returns:
        The exit code: 0, 1 after numbers that are not finite, 2 for bad input, 130 after Ctrl-C.
    """
    args = sys.argv[1:] if args is None else args
    console = Console()
    lists = [LISTS[arg] for arg in args if arg in LISTS]
    if lists:
        for table in lists:
            console.print(table())
        return 0
    if not args:
        console.print(f"no flags: the default experiment, --config {configs.DEFAULT}")
        args = ["--config", str(configs.DEFAULT)]
    try:
        trainer = Trainer(configs.parse(args), console)
    except ValueError as error:
        print(f"train.py: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    code = 0
    try:
        trainer.run()
    except NonFiniteError as error:
        print(f"train.py: stopped: {error}; the state is saved", file=sys.stderr)
        code = 1
    if trainer.interrupted:
        console.print(f"interrupted at step {trainer.step}; what there is:")
        code = 130
    console.print(trainer.summary.table())
    console.print(
        f"everything is in {trainer.run_dir}; to look at it:\n"
        f"tensorboard --logdir {trainer.run_dir}",
        highlight=False,
        soft_wrap=True,
    )
    return code


def list_envs() -> Table:
    """Returns the benchmarks as a table."""
    table = Table("id", "what changes", "tasks", "steps per task", "source")
    for id, b in BENCHMARKS.items():
        tasks = f"{b.num_tasks}, cyclic" if b.cyclic else str(b.num_tasks)
        table.add_row(id, b.description, tasks, f"{b.steps_per_task:,}", b.source)
    table.caption = "and any Gymnasium id, which does not change"
    return table


def list_activations() -> Table:
    """Returns the activations as a table."""
    table = Table("activation")
    for name in ACTIVATIONS:
        table.add_row(name)
    return table


def list_mitigations() -> Table:
    """Returns the mitigations as a table."""
    table = Table("mitigation", "seam", "what it does", "source")
    for name, entry in MITIGATIONS.items():
        table.add_row(name, entry.seam, entry.description, entry.source)
    return table


LISTS = {
    "--list-envs": list_envs,
    "--list-activations": list_activations,
    "--list-mitigations": list_mitigations,
}

if __name__ == "__main__":
    sys.exit(main())
