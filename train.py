"""Train a continual reinforcement learning agent: ``python train.py --help``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

import configs
import envs
from training import Trainer, program


def main(args: Sequence[str] | None = None) -> int:
    """Runs the program, and returns the exit code, see ``training.program.run``."""
    args = sys.argv[1:] if args is None else args
    console = Console()
    if program.show_lists(args, {"--list-envs": list_envs}, console):
        return 0
    if not args:
        console.print(f"no flags: the default experiment, --config {configs.DEFAULT}")
        args = ["--config", str(configs.DEFAULT)]
    code, _ = program.run("train.py", lambda: Trainer(configs.parse(args), console), console)
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


if __name__ == "__main__":
    sys.exit(main())
