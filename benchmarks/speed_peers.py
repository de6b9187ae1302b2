"""Everyone who does the same work, in turns: ours, SB3, SBX and plain loops."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from speed_contenders import say
from speed_process import ROOT, Contender

# work: steps of a chunk, contenders
PEERS: dict[str, tuple[int, tuple[str, ...]]] = {
    "dqn": (
        2_000,
        (
            "ours --compile",
            "ours --no-compile",
            "ours --compile --activation adalin-relu",
            "ours --compile --num-seeds 10 --threads 2",
            "ours --compile --num-seeds 10 --threads 2 --activation adalin-relu",
            "ours --compile --dqn.learn-every 4",
            "sb3",
            "sb3 train_freq=4",
            "sbx",
            "sbx train_freq=4",
            "plain",
        ),
    ),
    "sac": (
        400,
        (
            "ours --compile",
            "ours --no-compile",
            "ours --compile --activation adalin-relu",
            "sb3",
            "sbx",
            "plain",
        ),
    ),
    "atari": (400, ("ours --no-compile", "ours --no-compile --activation adalin-relu", "sb3")),
}


def peers(device: str, repetitions: int, sbx: str | None) -> dict[str, Any]:
    """Times all contenders of all works, interleaved."""
    found: dict[str, Any] = {}
    for work, (chunk, names) in PEERS.items():
        contenders = []
        for name in names:
            python = sbx if name.startswith("sbx") else sys.executable
            if python is None:
                say("SBX is left out: its environment cannot be made")
                continue
            say(f"{work}: {name} warms up")
            try:
                contenders.append(Contender(name, work, chunk, device, python))
            except RuntimeError as error:
                say(f"left out: {error}")
        for i in range(repetitions):
            say(f"{work}: round {i + 1} of {repetitions}")
            for contender in contenders:
                contender.begin()
                contender.end()
        for contender in contenders:
            contender.close()
        found[work] = {
            c.name: {
                "steps": chunk * seeds_of(c.name),  # of all seeds together
                "seconds": c.seconds,
                "warm_up": c.warm_up,
                "megabytes": c.megabytes,
            }
            for c in contenders
        }
    return found


def seeds_of(name: str) -> int:
    """Returns how many seeds a contender trains at once."""
    _, _, words = name.partition("--num-seeds ")
    return int(words.split()[0]) if words else 1


def sbx_python(folder: Path) -> str | None:
    """Returns the interpreter of an environment with SBX, made if it is not there; None: it fails.

    An environment that could not be filled is tried again the next time.
    """
    python = str(folder / "bin" / "python")
    if not has_sbx(python):
        say(f"making an environment for SBX in {folder}")
        install = [python, "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt")]
        commands = (
            [sys.executable, "-m", "venv", str(folder)],
            [*install, "sbx-rl", "gymnasium[mujoco]"],
        )
        for command in commands:
            if subprocess.run(command, check=False).returncode:
                return None
    return python if has_sbx(python) else None


def has_sbx(python: str) -> bool:
    """Whether there is such an interpreter, and SBX with it."""
    command = [python, "-c", "import sbx"]
    return Path(python).exists() and not subprocess.run(command, capture_output=True).returncode
