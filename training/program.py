"""What the programs on the command line share: exit codes, messages, lists."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from configs import one_line
from networks import ACTIVATIONS, describe
from plasticity import MITIGATIONS
from training.finite import NonFiniteError
from training.loop import Loop
from training.worlds import WorldError


def run(program: str, make: Callable[[], Loop], console: Console) -> tuple[int, Loop | None]:
    """Makes a run and lets it train, and tells what came of it.

    Args:
        program: What the user has called.
        make: Makes the run; a ValueError is the user's mistake.
        console: Where to tell it.

    Returns:
        The exit code: 0, 1 after an error that stopped the run, 2 for bad input, 75 after a SIGTERM
        ("the same command goes on"), 130 after Ctrl-C; and the run, if it could be made.
    """
    try:
        trainer = make()
    except ValueError as error:
        print(f"{program}: error: {one_line(error)}", file=sys.stderr)
        return 2, None
    except KeyboardInterrupt:  # before the first step
        return 130, None
    code = 0
    threading.excepthook = lambda _: None  # a writer's error reaches the main thread, too
    stopped = f"{program}: stopped"
    try:
        trainer.run()
    except NonFiniteError as error:
        failed = f"{trainer.run_dir}/checkpoint/failed"
        print(f"{stopped}: {error}; the state is in {failed}", file=sys.stderr)
        code = 1
    except WorldError as error:
        saved = "; the state is saved" if trainer.begun else ""
        print(f"{stopped}: {error}{saved}", file=sys.stderr)
        code = 1
    except OSError as error:
        print(f"{stopped}: {error}; the last checkpoint is as it was", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:  # the second one
        trainer.interrupted = signal.SIGINT
    if trainer.interrupted is not None:
        trainer.say(
            f"interrupted at step {trainer.step}; the same command with --run-dir "
            f"{trainer.run_dir} goes on; results so far:"
        )
        code = 75 if trainer.interrupted == signal.SIGTERM else 130
    console.print(trainer.summary.table())
    trainer.say(
        f"everything is in {trainer.run_dir}; to look at it:\ntensorboard --logdir "
        f"{trainer.run_dir}"
    )
    return code, trainer


def show_lists(
    args: Sequence[str], lists: Mapping[str, Callable[[], Table]], console: Console
) -> bool:
    """Shows the tables that flags ask for, each by its flag; returns whether there were any."""
    asked = [table for flag, table in {**lists, **COMMON_LISTS}.items() if flag in args]
    wide = console if console.is_terminal else Console(width=160)
    for table in asked:
        wide.print(table())
    return bool(asked)


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


COMMON_LISTS: dict[str, Callable[[], Table]] = {
    "--list-activations": list_activations,
    "--list-mitigations": list_mitigations,
}
"""Of all programs."""
