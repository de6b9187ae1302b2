"""Do many runs, on this machine or a cluster: ``python sweep.py --help``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from configs import one_line
from sweeps.board import Board, open_before
from sweeps.definition import Definition, read_sweep
from sweeps.driver import Driver
from sweeps.search import Chooser, make_chooser
from sweeps.storage import open_storage


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def main(args: Sequence[str] | None = None) -> int:
    """Runs the program.

    Returns:
        The exit code: 0, 1 if runs have failed or the storage does not answer, 2 for bad input, 75
        after a SIGTERM ("the same command goes on"), 130 after Ctrl-C.
    """
    try:
        flags = _parser().parse_args(args)
        return _sweep(flags, Console())
    except ValueError as error:
        print(f"sweep.py: error: {one_line(error)}", file=sys.stderr)
        return 2
    except ImportError as error:
        needs = "pip install 'adalin-rl[sweep]'"
        print(f"sweep.py: error: {one_line(error)}: {needs}", file=sys.stderr)
        return 2
    except OSError as error:  # runs are broken off, where their last checkpoints are
        print(f"sweep.py: stopped: {one_line(error)}; the same command goes on", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # the second one, or before the first run
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="sweep.py", description=__doc__, allow_abbrev=False)
    parser.add_argument("sweep", type=Path, help="a sweep file, such as configs/sweeps/quick.yaml")
    parser.add_argument(
        "--out", help="folder or address (such as s3://...) for the runs (default: runs/<file>)"
    )
    parser.add_argument("--address", help="a Ray cluster: HOST:PORT, or auto (default: none)")
    parser.add_argument(
        "--max-concurrent", type=_positive, help="most runs at once (default: all that fit)"
    )
    parser.add_argument(
        "--num-cpus", type=_positive, help="CPUs of this machine to use (default: all)"
    )
    parser.add_argument("--dry-run", action="store_true", help="check all, show the runs, and end")
    return parser


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"should be a whole number. Received {text}") from None
    if value < 1:
        raise argparse.ArgumentTypeError(f"should be at least 1. Received {value}")
    return value


def _sweep(flags: argparse.Namespace, console: Console) -> int:
    definition = read_sweep(flags.sweep)
    out = flags.out or f"runs/{flags.sweep.stem}"
    if flags.address is not None and flags.num_cpus is not None:
        raise ValueError("`--num-cpus` is of this machine; a cluster (`--address`) has its own")
    if flags.dry_run:
        _show(definition, make_chooser(definition), console)
        return 0
    storage = open_storage(out)
    records = open_before(definition, storage, out)
    chooser = make_chooser(definition, records)
    from sweeps.cluster import Cluster

    root = out if "://" in out else str(Path(out).absolute())  # workers are elsewhere
    cluster = Cluster(definition, root, flags.address, flags.num_cpus)
    try:
        lock = storage.lock()
        board = Board(definition, storage, console)
        code = Driver(chooser, board, storage, cluster, flags.max_concurrent).run()
        if lock is not None:
            lock.close()
    finally:
        cluster.close()
    board.say(board.line())
    report = "" if "://" in out else f"\npython report.py {out}"
    board.say(f"everything is in {out}; to look at it:\ntensorboard --logdir {out}{report}")
    return code


def _show(definition: Definition, chooser: Chooser, console: Console) -> None:
    """Prints the runs, as far as they are known beforehand."""
    first, count, per_trial = definition.seeds
    while definition.search is None or definition.search.method != "optuna":
        job = chooser.next()
        if job is None:
            break
        console.print(job.trial.name, highlight=False, soft_wrap=True, markup=False)
    console.print(
        f"{chooser.total} runs of {definition.program}.py, seeds {first} to {first + count - 1}, "
        f"{per_trial} side by side; each takes {definition.cpu:g} CPUs and {definition.gpu:g} GPUs",
        highlight=False,
    )


if __name__ == "__main__":
    sys.exit(main())
