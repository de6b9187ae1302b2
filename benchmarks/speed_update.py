"""What an update costs: beside its bare matrix products, and as seeds, copies and units grow."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from speed_contenders import WORKS, say

from agents import DQN, SAC, DQNConfig, Replay, SACConfig


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
                agent.update(replay.draw(agent.batch_size), gather=replay.gather)
                row["compile_seconds"] = time.perf_counter() - began

            def update(agent: Any = agent, replay: Replay = replay) -> None:
                agent.update(replay.draw(agent.batch_size), gather=replay.gather)

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
                    replay.draw(agent.batch_size), gather=replay.gather
                )
            ),
        }
        rows.append(row)
    return rows


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
