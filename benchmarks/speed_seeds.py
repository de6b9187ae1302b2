"""Ten seeds side by side, beside what else two cores could do: one after another, or two at once.

All train DQN on CartPole, compiled.  One seed after another makes as many steps a second as one
seed, whatever their number.
"""

from __future__ import annotations

import time
from typing import Any

from speed_contenders import say
from speed_process import Contender

CHUNK = 2_000
"""Steps of each seed in a round."""
# name in the tables: processes at the same time, seeds and threads of each
WAYS: dict[str, tuple[int, int, int]] = {
    "one seed after another": (1, 1, 1),
    "two processes of one seed": (2, 1, 1),
    "ten seeds at once": (1, 10, 1),
    "ten seeds at once, two threads": (1, 10, 2),
    "two processes of five seeds": (2, 5, 1),
}


def seeds(device: str, repetitions: int) -> dict[str, Any]:
    """Times all ways, interleaved: a round ends when the last of its processes has ended it."""
    running: dict[str, list[Contender]] = {}
    seconds: dict[str, list[float]] = {}
    for name, (processes, number, threads) in WAYS.items():
        say(f"seeds: {name}: warms up")
        who = f"ours --compile --num-seeds {number} --threads {threads}"
        running[name] = [Contender(who, "dqn", CHUNK, device) for _ in range(processes)]
        seconds[name] = []
    for i in range(repetitions):
        say(f"seeds: round {i + 1} of {repetitions}")
        for name, contenders in running.items():
            began = time.perf_counter()
            for contender in contenders:
                contender.begin()
            for contender in contenders:
                contender.end()
            seconds[name].append(time.perf_counter() - began)
    found = {}
    for name, (processes, number, threads) in WAYS.items():
        found[name] = {
            "processes": processes,
            "seeds": number,
            "threads": threads,
            "steps": processes * number * CHUNK,
            "seconds": seconds[name],
            "warm_up": max(c.warm_up for c in running[name]),
            "megabytes": sum(c.megabytes for c in running[name]),
        }
        for contender in running[name]:
            contender.close()
    return found
