"""Train a classifier on tasks that follow one another: ``python supervise.py --help``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

import configs
from configs import SupervisedConfig
from streams import DATA, STREAMS
from training import SupervisedTrainer, program
from training.checkpoints import forget_unsaved
from training.rundir import write_json
from training.summary import cell, measure

DEFAULT = configs.FOLDER / "supervised" / "random-label-mnist-digits.yaml"
SWEEP = "--sweep-lr"


def main(args: Sequence[str] | None = None) -> int:
    """Runs the program, and returns the exit code, see ``training.program.run``."""
    args = list(sys.argv[1:] if args is None else args)
    console = Console()
    lists = {"--list-streams": list_streams, "--list-data": list_data}
    if program.show_lists(args, lists, console):
        return 0
    if not args:
        console.print(f"no flags: the default experiment, --config {DEFAULT}")
        args = ["--config", str(DEFAULT)]
    try:
        rates, args = take_rates(args)
    except ValueError as error:
        print(f"supervise.py: error: {error}", file=sys.stderr)
        return 2
    if rates:
        return sweep(rates, args, console)
    return train(args, console)[0]


def train(args: Sequence[str], console: Console) -> tuple[int, SupervisedTrainer | None]:
    """Does one run; returns its exit code, and the run if it could be made."""
    made: list[SupervisedTrainer] = []

    def make() -> SupervisedTrainer:
        config = configs.parse_as(SupervisedConfig, args)
        made.append(SupervisedTrainer(config, console))
        return made[0]

    code, _ = program.run("supervise.py", make, console)
    return code, made[0] if made else None


def take_rates(args: list[str]) -> tuple[list[str], list[str]]:
    """Splits ``--sweep-lr LR LR ...`` off.

    Raises:
        ValueError: If there are no rates, not numbers, or one of them twice.
    """
    if SWEEP not in args:
        return [], args
    at = args.index(SWEEP)
    rates = []
    for token in args[at + 1 :]:
        if token.startswith("--"):
            break
        rates.append(token)
    try:
        values = [float(rate) for rate in rates]
    except ValueError as error:
        raise ValueError(f"{SWEEP} takes numbers: {error}") from None
    if not rates or len(set(values)) < len(values):
        found = " ".join(rates) or "none"
        raise ValueError(f"{SWEEP} takes different learning rates. Received {found}")
    rest = args[:at] + args[at + 1 + len(rates) :]
    if SWEEP in rest or any(token.startswith("--learning-rate") for token in rest):
        raise ValueError(f"{SWEEP} sets the learning rates; give it once, without --learning-rate")
    return rates, rest


def sweep(rates: Sequence[str], args: Sequence[str], console: Console) -> int:
    """Does a run for each learning rate, in folders beside each other, and names the best."""
    try:
        config = configs.parse_as(SupervisedConfig, args)
    except ValueError as error:
        print(f"supervise.py: error: {error}", file=sys.stderr)
        return 2
    folder = Path(config.run_dir or f"runs/{config.title}-sweep")
    found: dict[str, list[float]] = {}
    for rate in rates:
        run_dir = folder / f"lr-{rate}"
        forget_unsaved(run_dir)  # one that has diverged, say, and does so again
        code, trainer = train([*args, "--learning-rate", rate, "--run-dir", str(run_dir)], console)
        if trainer is None or not (code == 0 or trainer.diverged):
            return code
        # A run that has diverged is complete, and as bad as can be.
        found[rate] = [0.0] * trainer.num_seeds if code else trainer.summary.average()
    return tell(found, folder, console)


def tell(found: dict[str, list[float]], folder: Path, console: Console) -> int:
    """Shows and stores the mean online accuracy of each learning rate; the best one is first."""
    means = {rate: measure(values) for rate, values in found.items()}
    best = max(means, key=lambda rate: means[rate]["mean"])
    table = Table("learning rate", "online accuracy, all tasks", title=f"best: {best}")
    for rate, of in means.items():
        table.add_row(rate, cell(of, "{:.1%}"))
    console.print(table)
    write_json(folder / "sweep.json", {"best": best, "average_online_accuracy": means})
    ordered = sorted(means, key=float)
    if len(means) > 1 and best in (ordered[0], ordered[-1]):
        console.print(
            f"warning: the best learning rate {best} is at the end of the list (the least or the "
            "greatest); rates beyond it may be better",
            highlight=False,
        )
    return 0


def list_streams() -> Table:
    """Returns the streams as a table."""
    table = Table("stream", "how tasks differ", "source", show_lines=True)
    for name, entry in STREAMS.items():
        table.add_row(name, entry.description, entry.source)
    return table


def list_data() -> Table:
    """Returns the data sets as a table."""
    table = Table("data", "images", "published as")
    for name, entry in DATA.items():
        table.add_row(name, entry.description, entry.published)
    return table


if __name__ == "__main__":
    sys.exit(main())
