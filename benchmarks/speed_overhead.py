"""What the trainer takes for itself: ``python benchmarks/speed_overhead.py WORK``."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from speed_contenders import START, WORKS, flags, say

import configs
from training import Trainer

ROOT = str(Path(__file__).resolve().parents[1])
STEPS = {"dqn": 10_000, "sac": 2_000, "atari": 2_000}


def overhead() -> list[dict[str, Any]]:
    """Times the parts of a step in all works, each in a process of its own."""
    rows = []
    for work in WORKS:
        say(f"overhead: {work}")
        command = [sys.executable, __file__, work]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONPATH": ROOT},
        )
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    return rows


def main() -> None:
    """Trains with a clock around each part; prints a JSON line."""
    work = sys.argv[1]
    first, end = 2 * START, 2 * START + STEPS[work]
    seconds: dict[str, float] = {}
    found: dict[str, float] = {}

    def around(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        seconds[name] = 0.0

        def timed(*args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            result = function(*args, **kwargs)
            seconds[name] += time.perf_counter() - begin
            return result

        return timed

    with tempfile.TemporaryDirectory() as folder:
        extra = f"--total-steps {end} {'--no-compile' if work == 'atari' else '--compile'}"
        config = configs.parse([*flags(work, "cpu", extra), "--run-dir", f"{folder}/run"])
        trainer: Any = Trainer(config, Console(file=io.StringIO()))
        trainer.agent.act = around("act", trainer.agent.act)
        for name in ("update", "update_and_act"):
            setattr(trainer.agent, name, around("update", getattr(trainer.agent, name)))
        trainer.replay.draw = around("sample", trainer.replay.draw)
        trainer.worlds.step = around("environment", trainer.worlds.step)
        trainer._store = around("store", trainer._store)
        trainer._probe = around("probe", trainer._probe)
        advance, began = trainer.advance, 0.0

        def wrapped() -> None:
            nonlocal began
            if trainer.step == first:
                began = time.perf_counter()
                seconds.update(dict.fromkeys(seconds, 0.0))
            advance()
            if trainer.step == end:
                found.update(seconds, all=time.perf_counter() - began)

        trainer.advance = wrapped
        trainer.run()
    print(json.dumps({"work": work, "steps": STEPS[work], **found}))


if __name__ == "__main__":
    main()
