"""A contender in a process of its own, which trains a chunk of steps whenever it is told to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Contender:
    """A process that trains, and waits between chunks.

    Args:
        name: Who trains, as ``speed_contenders.py`` takes it.
        work: What is trained.
        chunk: Environment steps between two waits.
        device: Where PyTorch computes.
        python: The interpreter.

    Attributes:
        seconds: Of each chunk so far.
        warm_up: Seconds until it was ready.
        megabytes: The most memory it has used.

    Raises:
        RuntimeError: If the process ends, here or in a chunk.
    """

    def __init__(
        self, name: str, work: str, chunk: int, device: str, python: str = sys.executable
    ) -> None:
        self.name, self.seconds = name, list[float]()
        command = [python, str(ROOT / "benchmarks/speed_contenders.py"), name, work]
        self.process = subprocess.Popen(
            [*command, str(chunk), device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        first = self._told()
        self.warm_up, self.megabytes = first["warm_up"], first["megabytes"]

    def begin(self) -> None:
        """Lets it train for a chunk."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """Waits until the chunk is done."""
        told = self._told()
        self.seconds.append(told["seconds"])
        self.megabytes = told["megabytes"]

    def close(self) -> None:
        """Ends it."""
        self.process.kill()
        self.process.communicate()

    def _told(self) -> dict[str, float]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                told: dict[str, float] = json.loads(line)
                return told
        _, errors = self.process.communicate()
        raise RuntimeError(f"{self.name} has ended: {errors.strip().splitlines()[-1:]}")
