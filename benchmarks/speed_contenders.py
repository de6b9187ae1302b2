"""What ``speed.py`` times: each contender trains, and stops after every chunk of steps.

    python benchmarks/speed_contenders.py CONTENDER WORK CHUNK DEVICE

runs one in a process of its own.  It prints a JSON line when it has warmed up, and after each line
that it reads trains for another chunk and prints the seconds.  Libraries are imported where they
are used: SBX has an environment of its own, in which this project is not installed.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

Train = Callable[[int], None]
"""Trains for a number of environment steps."""
START = 1_000
"""Steps before the first update, in all works."""

# work: environment, threads, settings in the words of this project
WORKS: dict[str, dict[str, Any]] = {
    "dqn": {
        "env": "CartPole-v1",
        "threads": 1,
        "hidden": [64, 64],
        "batch": 128,
        "ratio": 1.0,
        "rate": 1e-3,
    },
    "sac": {
        "env": "HalfCheetah-v5",
        "threads": 2,
        "hidden": [256, 256],
        "batch": 256,
        "ratio": 1.0,
        "rate": 3e-4,
    },
    "atari": {
        "env": "ALE/Pong-v5",
        "threads": 2,
        "hidden": [512],
        "batch": 32,
        "ratio": 0.25,
        "rate": 1e-4,
    },
}
NAMES = {"dqn": "DQN CartPole", "sac": "SAC HalfCheetah", "atari": "DQN Pong"}
# work, one of ours, against: steps per second as multiples
GOALS: dict[tuple[str, str, str], float] = {
    ("dqn", "ours --compile", "sb3"): 3.0,
    ("dqn", "ours --compile", "sbx"): 3.0,
    ("dqn", "ours --compile --dqn.learn-every 4", "sb3 train_freq=4"): 3.0,
    ("dqn", "ours --compile --dqn.learn-every 4", "sbx train_freq=4"): 3.0,
    ("dqn", "ours --compile --num-seeds 10 --threads 2", "sb3"): 12.0,
    ("sac", "ours --compile", "sb3"): 2.2,
    ("sac", "ours --compile", "sbx"): 1.2,
    ("atari", "ours --no-compile", "sb3"): 1.3,
}
BUFFER = 20_000
TARGET_EVERY = 500
"""Updates after which DQN's target is copied."""


def flags(work: str, device: str, extra: str) -> list[str]:
    """The work as flags of ``train.py``."""
    w = WORKS[work]
    agent = "sac" if work == "sac" else "dqn"
    a = f"--{agent}."
    words = (
        f"--agent {agent} --env {w['env']} --threads {w['threads']} --device {device} "
        f"--activation relu --total-steps 100000000 {a}hidden {' '.join(map(str, w['hidden']))} "
        f"{a}batch-size {w['batch']} {a}replay-ratio {w['ratio']} {a}learning-rate {w['rate']} "
        f"{a}buffer-size {BUFFER} {a}learning-starts {START} "
    )
    if agent == "dqn":
        words += f"--dqn.no-double --dqn.loss huber --dqn.target-every {TARGET_EVERY} --dqn.tau 1 "
    return (words + extra).split()


def ours(work: str, device: str, extra: str) -> None:
    """Runs ``train.py``'s trainer, which a wrapper around its steps halts."""
    import io

    from rich.console import Console

    import configs
    from training import Trainer

    with tempfile.TemporaryDirectory() as folder:
        config = configs.parse([*flags(work, device, extra), "--run-dir", f"{folder}/run"])
        trainer = Trainer(config, Console(file=io.StringIO()))
        advance, halt = trainer.advance, Halts()

        def wrapped() -> None:
            advance()
            if halt.after(trainer.step):
                trainer.interrupted = 2

        trainer.advance = wrapped  # type: ignore[method-assign]  # the same, and it halts
        trainer.run()


class Halts:
    """Waits after each chunk until it is told to go on."""

    def __init__(self) -> None:
        self.chunk = int(sys.argv[3])
        self.next = START + self.chunk
        self.began: float | None = None
        self.born = time.perf_counter()

    def after(self, step: int) -> bool:
        """Whether to stop; to be called after each step."""
        if step < self.next:
            return False
        now = time.perf_counter()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        told = {"warm_up": now - self.born} if self.began is None else {"seconds": now - self.began}
        print(json.dumps(told | {"megabytes": memory}), flush=True)
        go = sys.stdin.readline()
        self.next = step + self.chunk
        self.began = time.perf_counter()
        return not go


def say(text: str) -> None:
    """Tells how far the benchmark is."""
    print(text, file=sys.stderr, flush=True)


def chunks(train: Train) -> None:
    """Trains in chunks until there is nothing more to read."""
    halt = Halts()
    step = halt.next
    train(step)
    while not halt.after(step):
        train(halt.chunk)
        step += halt.chunk


def sb3(work: str, device: str, package: str, extra: str) -> None:
    """Trains an algorithm of SB3, or of SBX, which has the same interface.

    With ``train_freq=4`` there are turns of four updates after four steps.
    """
    import importlib

    import torch

    w = WORKS[work]
    torch.set_num_threads(w["threads"])
    library = importlib.import_module(package)
    env: Any = w["env"]
    if work == "atari":
        import ale_py  # noqa: F401  # registers the ids
        from stable_baselines3.common.env_util import make_atari_env
        from stable_baselines3.common.vec_env import VecFrameStack

        env = VecFrameStack(make_atari_env("PongNoFrameskip-v4"), 4)
    turn = int(extra.removeprefix("train_freq=") or round(1 / w["ratio"]))
    settings: dict[str, Any] = {
        "learning_rate": w["rate"],
        "batch_size": w["batch"],
        "buffer_size": BUFFER,
        "learning_starts": START,
        "train_freq": turn,
        "gradient_steps": round(turn * w["ratio"]),
        "seed": 0,
    }
    if work != "atari":
        settings["policy_kwargs"] = {"net_arch": w["hidden"]}
    if work != "sac":
        settings |= {"target_update_interval": round(TARGET_EVERY / w["ratio"]), "tau": 1.0}
        settings |= {"exploration_fraction": 0.0001, "exploration_final_eps": 0.02}
    if package == "stable_baselines3":
        settings["device"] = device
    name = "SAC" if work == "sac" else "DQN"
    model = getattr(library, name)("CnnPolicy" if work == "atari" else "MlpPolicy", env, **settings)
    chunks(lambda steps: model.learn(steps, reset_num_timesteps=False))


def plain(work: str, device: str) -> None:
    """Trains the plain loop."""
    from plain_loops import LOOPS

    w = WORKS[work]
    chunks(LOOPS[work](w["env"], w["hidden"], w["batch"], w["rate"], w["threads"], START, device))


def main() -> None:
    """Runs the contender that the arguments name."""
    contender, work, _, device = sys.argv[1:5]
    name, _, extra = contender.partition(" ")
    if name == "ours":
        ours(work, device, extra)
    elif name == "plain":
        plain(work, device)
    else:
        sb3(work, device, {"sb3": "stable_baselines3", "sbx": "sbx"}[name], extra)


if __name__ == "__main__":
    main()
