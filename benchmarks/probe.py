"""What the probe costs of a run at its default cadence, as a table in Markdown.

``python benchmarks/probe.py > docs/probe.md``.  Runs train as ``train.py`` does, with the clock
around everything that the probe does: drawing its batch, measuring, histograms, watching an update.
"""

from __future__ import annotations

import io
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

import configs
from training import Trainer

RUNS = {
    "DQN, CartPole, 1 seed": "--env obs-shift-cartpole-small --total-steps 40000",
    "DQN, CartPole, 5 seeds": "--env obs-shift-cartpole-small --total-steps 40000 --num-seeds 5",
    "DQN, MinAtar": "--config configs/minatar-3-small.yaml --num-seeds 1 --total-steps 20000",
    "SAC, HalfCheetah": "--agent sac --env cheetah-gravity-small --total-steps 20000",
}
LIMIT = 0.02
"""The share of a run that the probe may cost."""


class Clock:
    """Adds up the time spent inside functions that it wraps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns the function with the clock around it."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - begin

        return timed


def measure(flags: str, run_dir: Path) -> tuple[float, float, int]:
    """Returns the seconds of a run, those of the probe, and the number of probes."""
    config = configs.parse([*flags.split(), "--run-dir", str(run_dir)])
    trainer = Trainer(config, Console(file=io.StringIO()))
    clock = Clock()
    trainer._probe = clock.around(trainer._probe)  # type: ignore[method-assign]  # the same, timed
    for name in ("before", "after"):
        setattr(trainer.watch, name, clock.around(getattr(trainer.watch, name)))
    begin = time.perf_counter()
    trainer.run()
    total = time.perf_counter() - begin
    return total, clock.seconds, config.total_steps // config.probe.every


def main() -> None:
    """Prints the table."""
    print("# What the probe costs\n")
    print(
        f"`python benchmarks/probe.py > docs/probe.md`, one thread, {platform.machine()}, "
        f"torch {torch.__version__}.\nThe clock stands around all that the probe does.\n"
    )
    print("| run | seconds | of them the probe | probe | one probe (ms) |")
    print("|---|---|---|---|---|")
    for name, flags in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            total, probe, number = measure(flags, Path(folder) / "run")
        print(
            f"| {name} | {total:.0f} | {probe:.2f} | {probe / total:.1%} | "
            f"{1000 * probe / number:.0f} |",
            flush=True,
        )
    print(f"\nThe aim is at most {LIMIT:.0%}.")


if __name__ == "__main__":
    main()
