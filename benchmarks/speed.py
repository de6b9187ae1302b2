"""How fast training is, beside what people use, as tables, a figure and raw numbers.

    python benchmarks/speed.py [--device cuda] [--repetitions 7] [--only peers,update,growth]

writes docs/speed.md, docs/speed.json and docs/speed.png; on a GPU docs/speed-cuda.*.  Peers do the
same work: environment, network, batch size, one update for so many steps, target updates.  Each
runs in a process of its own and warms up, compiling included; then all take turns with chunks of
steps, so that what else the machine does meets all alike.  Ratios are medians over rounds of the
two times within a round.

SBX gets an environment of its own, from the package registry; without one it is left out.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from speed_contenders import WORKS
from speed_report import write

from agents import DQN, SAC, DQNConfig, Replay, SACConfig

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
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
            "sb3",
            "sbx",
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
GOALS = {
    ("dqn", "ours --compile", "sb3"): 3.0,
    ("dqn", "ours --compile", "sbx"): 3.0,
    ("dqn", "ours --compile --num-seeds 10 --threads 2", "sb3"): 12.0,
    ("sac", "ours --compile", "sb3"): 2.2,
    ("sac", "ours --compile", "sbx"): 1.2,
    ("atari", "ours --no-compile", "sb3"): 1.3,
}
NAMES = {"dqn": "DQN CartPole", "sac": "SAC HalfCheetah", "atari": "DQN Pong"}


class Contender:
    """A process that trains, and waits between chunks."""

    def __init__(self, name: str, work: str, chunk: int, device: str, python: str) -> None:
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

    def chunk(self) -> None:
        """Lets it train for a chunk."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
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


def sbx_python(folder: Path) -> str | None:
    """Returns the interpreter of an environment with SBX, which is made if it is not there."""
    python = folder / "bin" / "python"
    if not python.exists():
        say(f"making an environment for SBX in {folder}")
        install = [str(python), "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt")]
        commands = (
            [sys.executable, "-m", "venv", str(folder)],
            [*install, "sbx-rl", "gymnasium[mujoco]"],
        )
        for command in commands:
            if subprocess.run(command, check=False).returncode:
                return None
    probe = subprocess.run([str(python), "-c", "import sbx"], check=False, capture_output=True)
    return None if probe.returncode else str(python)


def say(text: str) -> None:
    """Tells how far the benchmark is."""
    print(text, file=sys.stderr, flush=True)


def peers(device: str, repetitions: int, sbx: str | None) -> dict[str, Any]:
    """Times all contenders of all works, interleaved."""
    found: dict[str, Any] = {}
    for work, (chunk, names) in PEERS.items():
        contenders = []
        for name in names:
            python = sbx if name == "sbx" else sys.executable
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
                contender.chunk()
        for contender in contenders:
            contender.close()
        found[work] = {
            c.name: {
                "steps": chunk,
                "seconds": c.seconds,
                "warm_up": c.warm_up,
                "megabytes": c.megabytes,
            }
            for c in contenders
        }
    return found


def best(function: Callable[[], Any], least: float = 0.3) -> float:
    """The median over nine turns of the seconds of a call."""
    for _ in range(3):
        function()
    began = time.perf_counter()
    function()
    calls = max(int(least / 9 / max(time.perf_counter() - began, 1e-7)), 3)
    turns = []
    for _ in range(9):
        began = time.perf_counter()
        for _ in range(calls):
            function()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        turns.append((time.perf_counter() - began) / calls)
    return median(turns)


def learner(
    work: str, device: str, seeds: int = 1, envs: int = 1, width: int | None = None
) -> tuple[Any, Replay]:
    """Returns an agent as the peers' works have it, and a full replay of random numbers."""
    w = WORKS[work]
    hidden = tuple(w["hidden"]) if width is None else (width, width)
    box = gym.spaces.Box(-1, 1, (17 if work == "sac" else 4,))
    many = range(seeds)
    columns = seeds * envs
    agent: Any
    shape: tuple[int, ...]
    if work == "sac":
        config = SACConfig(hidden=hidden, batch_size=w["batch"], max_grad_norm=None)
        action = gym.spaces.Box(-1, 1, (6,))
        agent = SAC(box, action, many, config, activation="relu", device=device)
        shape, dtype = (6,), torch.float32
    else:
        settings = DQNConfig(
            hidden=hidden, batch_size=w["batch"], double=False, tau=1.0, target_every=500
        )
        two = gym.spaces.Discrete(2)
        agent = DQN(box, two, many, settings, activation="relu", device=device)
        shape, dtype = (), torch.int64
    replay = Replay(
        2_000, many, envs, box.shape, torch.float32, shape, dtype, gamma=0.99, device=device
    )
    for _ in range(2_000 // envs):
        obs, other = torch.randn(2, columns, *box.shape, device=device)
        taken = torch.zeros(columns, *shape, dtype=dtype, device=device)
        ended = torch.zeros(columns, dtype=torch.bool, device=device)
        replay.add(obs, taken, torch.randn(columns, device=device), other, ended, ended)
    return agent, replay


def products(work: str, device: str, seeds: int = 1) -> Callable[[], None]:
    """Returns what does the bare matrix products of one update, into tensors that exist."""
    w = WORKS[work]
    batch, (h1, h2) = w["batch"], w["hidden"]
    tasks: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def product(lead: int, rows: int, inner: int, columns: int) -> None:
        one, two = (torch.randn(lead, *s, device=device) for s in ((rows, inner), (inner, columns)))
        tasks.append((one, two, torch.empty(lead, rows, columns, device=device)))

    def network(lead: int, sizes: tuple[int, ...], *, weights: bool, inputs: bool | None) -> None:
        """Forward, and if asked the gradients of weights, hidden layers and inputs."""
        for i, o in pairwise(sizes):
            product(lead, batch, i, o)
            if weights:
                product(lead, o, batch, i)
        if inputs is not None:
            for i, o in pairwise(sizes if inputs else sizes[1:]):
                product(lead, batch, o, i)

    if work == "sac":
        actor, critic = (17, h1, h2, 12), (23, h1, h2, 1)
        network(seeds, actor, weights=False, inputs=None)  # the next actions
        network(2 * seeds, critic, weights=False, inputs=None)  # their targets
        network(2 * seeds, critic, weights=True, inputs=False)  # the critics' loss
        network(seeds, actor, weights=True, inputs=False)  # the actor's
        network(2 * seeds, critic, weights=False, inputs=True)
    else:
        sizes = (4, h1, h2, 2)
        network(seeds, sizes, weights=False, inputs=None)
        network(seeds, sizes, weights=True, inputs=False)

    def all_of_them() -> None:
        for one, two, out in tasks:
            torch.bmm(one, two, out=out)

    return all_of_them


def updates(device: str) -> list[dict[str, Any]]:
    """Times the update alone, sampling included, beside its bare matrix products."""
    rows = []
    for work, seeds, threads in (("dqn", 1, 1), ("dqn", 10, 2), ("sac", 1, 2), ("sac", 10, 2)):
        say(f"update: {work}, {seeds} seeds")
        torch.set_num_threads(threads)
        row: dict[str, Any] = {"work": work, "seeds": seeds, "threads": threads}
        row["products"] = best(products(work, device, seeds))
        for name in ("eager", "compiled"):
            agent, replay = learner(work, device, seeds)
            if name == "compiled":
                agent.compile()
                began = time.perf_counter()
                agent.update(replay.draw(agent.batch_size), replay.gather)
                row["compile_seconds"] = time.perf_counter() - began

            def update(agent: Any = agent, replay: Replay = replay) -> None:
                agent.update(replay.draw(agent.batch_size), replay.gather)

            row[name] = best(update)
        rows.append(row)
    return rows


def growth(device: str) -> list[dict[str, Any]]:
    """Times acting and an update of DQN, compiled, for more seeds, copies and units."""
    torch.set_num_threads(1)
    rows = []
    cases = [("seeds", n) for n in (1, 2, 5, 10, 20)]
    cases += [("envs", n) for n in (1, 4, 16)] + [("width", n) for n in (64, 256, 1024)]
    for axis, n in cases:
        say(f"growth: {axis} {n}")
        torch._dynamo.reset()  # else many agents in one process look like one that changes
        agent, replay = learner("dqn", device, **{axis: n})
        agent.compile()
        shape = (n if axis == "seeds" else 1, n if axis == "envs" else 1, 4)
        obs = np.zeros(shape, np.float32)
        row = {
            "axis": axis,
            "n": n,
            "act": best(lambda agent=agent, obs=obs: agent.act(obs, 9_999)),  # type: ignore[misc]
            "update": best(
                lambda agent=agent, replay=replay: agent.update(  # type: ignore[misc]
                    replay.draw(agent.batch_size), replay.gather
                )
            ),
        }
        rows.append(row)
    return rows


def overhead() -> list[dict[str, Any]]:
    """Times all that the trainer does beside environment, acting, storing, sampling, updates."""
    rows = []
    for work in WORKS:
        say(f"overhead: {work}")
        command = [sys.executable, str(ROOT / "benchmarks/speed_overhead.py"), work]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": ""}
        )
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    return rows


def about(device: str) -> dict[str, Any]:
    """What was measured, and on what."""
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((x.split(":")[1].strip() for x in lines if "model name" in x), cpu)
    packages = ("torch", "gymnasium", "stable_baselines3", "numpy", "ale-py", "mujoco")
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else f"{cpu}, CPU",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
        "commit": commit,
        "date": time.strftime("%Y-%m-%d"),
    }


def main() -> None:
    """Measures, and writes the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--only", default="peers,update,growth,overhead")
    parser.add_argument(
        "--sbx-env", type=Path, default=Path.home() / ".cache/adalin-rl/sbx", help="where SBX goes"
    )
    args = parser.parse_args()
    parts = args.only.split(",")
    file = DOCS / f"speed{'-cuda' if args.device == 'cuda' else ''}.json"
    result: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    result["about"] = about(args.device)
    if "peers" in parts:
        result["peers"] = peers(args.device, args.repetitions, sbx_python(args.sbx_env))
    if "update" in parts:
        result["updates"] = updates(args.device)
    if "growth" in parts:
        result["growth"] = growth(args.device)
    if "overhead" in parts and args.device == "cpu":
        result["overhead"] = overhead()
    file.write_text(json.dumps(result, indent=1) + "\n")
    write(result, file.with_suffix(""), GOALS, NAMES)


if __name__ == "__main__":
    main()
