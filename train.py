"""Train a continual reinforcement learning agent: ``python train.py --help``."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

import configs
import envs
from configs import one_line
from networks import ACTIVATIONS, describe
from plasticity import MITIGATIONS
from training import NonFiniteError, Trainer, WorldError


def main(args: Sequence[str] | None = None) -> int:
    """Runs the program.

    Returns:
        The exit code: 0, 1 after an error that stopped the run, 2 for bad input, 75 after a SIGTERM
        ("the same command goes on"), 130 after Ctrl-C.
    """
    args = sys.argv[1:] if args is None else args
    console = Console()
    lists = [LISTS[arg] for arg in args if arg in LISTS]
    if lists:
        wide = console if console.is_terminal else Console(width=160)
        for table in lists:
            wide.print(table())
        return 0
    if not args:
        console.print(f"no flags: the default experiment, --config {configs.DEFAULT}")
        args = ["--config", str(configs.DEFAULT)]
    try:
        trainer = Trainer(configs.parse(args), console)
    except ValueError as error:
        print(f"train.py: error: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the first step
        return 130
    code = 0
    threading.excepthook = lambda _: None  # a writer's error reaches the main thread, too
    try:
        trainer.run()
    except NonFiniteError as error:
        print(
            f"train.py: stopped: {error}; the state is in {trainer.run_dir}/checkpoint/failed",
            file=sys.stderr,
        )
        code = 1
    except WorldError as error:
        print(f"train.py: stopped: {error}; the state is saved", file=sys.stderr)
        code = 1
    except OSError as error:
        print(f"train.py: stopped: {error}; the last checkpoint is as it was", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:  # the second one
        trainer.interrupted = signal.SIGINT
    if trainer.interrupted is not None:
        console.print(
            f"interrupted at step {trainer.step}; the same command with --run-dir "
            f"{trainer.run_dir} goes on; what there is:",
            highlight=False,
            soft_wrap=True,
        )
        code = 75 if trainer.interrupted == signal.SIGTERM else 130
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
    table = Table(show_lines=True)
    table.add_column("id", no_wrap=True, overflow="fold")
    for title in ("what changes", "tasks x steps (small)", "observations, actions"):
        table.add_column(title, overflow="fold")
    table.add_column("random; reference", overflow="fold")
    for id, b in envs.BENCHMARKS.items():
        if id.endswith("-small"):
            continue
        scores = envs.scores(id)
        spaces = returns = "?"
        if scores is not None:
            spaces = f"{scores.observations}, {scores.actions}"
            reference = f"{_range(scores.reference)}, {scores.reference_source}"
            returns = f"{_range(scores.random)}; {reference}"
        visits = f"{b.num_tasks} x {b.steps_per_task:,} ({b.small_steps:,})"
        table.add_row(id, f"{b.description}. Source: {b.source}", visits, spaces, returns)
    families = ", ".join(f"{name}-ID" for name in envs.FAMILIES)
    table.caption = (
        f"each with a -small version; also {families} over a Gymnasium ID such as Hopper-v5, and "
        "any Gymnasium id, ALE/...-v5, MinAtar/...-v0, Meta-World/...-v3, which do not change. "
        "random and reference: returns, of several tasks least to greatest; random is measured by "
        "python scripts/scores.py"
    )
    return table


def _range(values: Sequence[float]) -> str:
    low, high = (f"{value:g}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def list_activations() -> Table:
    """Returns the activations as a table."""
    table = Table("activation", "what it is")
    for name in ACTIVATIONS:
        table.add_row(name, describe(name))
    return table


def list_mitigations() -> Table:
    """Returns the mitigations as a table."""
    table = Table("mitigation", "seam", "what it does", "source", "settings", show_lines=True)
    for name, entry in MITIGATIONS.items():
        table.add_row(name, entry.seam, entry.description, entry.source, entry.defaults)
    table.caption = (
        "settings are flags: --redo.tau 0.1, --redo.networks critic (default: all that it suits). "
        "Activations are remedies, too: --activation adalin-relu, crelu, ... (--list-activations)"
    )
    return table


LISTS = {
    "--list-envs": list_envs,
    "--list-activations": list_activations,
    "--list-mitigations": list_mitigations,
}

if __name__ == "__main__":
    sys.exit(main())
