"""Measures what random actions earn in every benchmark: ``python scripts/scores.py [ID ...]``.

Writes ``envs/scores.json``: for each benchmark the mean return of uniformly random actions in each
task (of tasks that are drawn: over all tasks of three task seeds), the reference beside it, and the
spaces.  Games of ALE are scored by what the game pays, not by the clipped reward.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np

import envs
from envs.benchmarks import Benchmark

FILE = Path(envs.__file__).with_name("scores.json")
EPISODES = 20
"""Episodes in each task; of drawn tasks, in all."""

THRESHOLD = "cited: Gymnasium's reward_threshold"
HUMAN = "cited: human starts-with-no-ops scores of Wang et al. 2016 (mode 0)"
MINATAR = "cited: DQN of Young and Tian 2019, read off their plot"
CARTPOLE, ACROBOT, LANDER = (500.0,), (-100.0,), (200.0,)
MOST = "cited: the most that CartPole-v1 pays"
CW = "cited: 200 steps of at most 10, Meta-World's reward"
BOUND = "cited: 0, as no velocity error is below it"
CHEETAH, HOPPER = (4800.0,), (3800.0,)
CYCLE = "cited: Gymnasium's reward_threshold; Walker2d: Tianshou's SAC after 1M steps"

REFERENCES: dict[str, tuple[tuple[float, ...], str]] = {
    **{f"{kind}-cartpole": (CARTPOLE, MOST) for kind in envs.FAMILIES},
    **{f"{kind}-acrobot": (ACROBOT, THRESHOLD) for kind in envs.FAMILIES},
    **{f"{kind}-lunarlander": (LANDER, THRESHOLD) for kind in envs.FAMILIES},
    "cartpole-gravity": (CARTPOLE, MOST),
    "cartpole-context": (CARTPOLE, MOST),
    "lunar-context": (LANDER, THRESHOLD),
    "classic-cycle": ((500.0, -100.0, -110.0), f"{MOST}; {THRESHOLD}"),
    "slippery-ant": ((6000.0,), THRESHOLD),
    "cheetah-velocity": ((0.0,), BOUND),
    "cheetah-gravity": (CHEETAH, THRESHOLD),
    "cheetah-gravity-drift": (CHEETAH, THRESHOLD),
    "hopper-mass": (HOPPER, THRESHOLD),
    "hopper-mass-drift": (HOPPER, THRESHOLD),
    "actuator-loss": (CHEETAH, THRESHOLD),
    "actuator-loss-drift": (CHEETAH, THRESHOLD),
    "mujoco-cycle": ((4800.0, 3800.0, 5007.0, 6000.0), CYCLE),
    "minatar-3": ((43.0, 17.0, 20.0), MINATAR),
    "minatar-7": ((10.0, 43.0, 50.0), MINATAR),
    "ale-spaceinvaders-modes": ((1668.7,), HUMAN),
    "ale-freeway-modes": ((29.6,), HUMAN),
    "ale-switch5": ((7127.7, 29028.1, 12.1, 30.5, 12017.0), HUMAN),
    "ale-cora6": ((1668.7, 2665.5, 16926.5, 30826.4, 10250.0, 6951.6), HUMAN),
    "cw10": ((2000.0,), CW),
    "cw20": ((2000.0,), CW),
}


def random_return(id: str, task: int, task_seed: int, episodes: int) -> float:
    """Returns the mean return of random actions over some episodes."""
    env = envs.make(id, task=task, task_seed=task_seed)
    seeds = np.random.SeedSequence((task, task_seed)).generate_state(episodes + 1) >> 1
    env.action_space.seed(int(seeds[-1]))
    total = 0.0
    for seed in seeds[:-1]:
        env.reset(seed=int(seed))
        ended = False
        while not ended:
            _, reward, terminated, truncated, info = env.step(env.action_space.sample())
            total += info.get("score", reward)
            ended = terminated or truncated
    env.close()
    return total / episodes


def measure(id: str, benchmark: Benchmark) -> dict[str, object]:
    """Returns the row of a benchmark."""
    tasks = range(benchmark.num_tasks)
    if benchmark.drawn:
        returns = [random_return(id, task, seed, 4) for seed in range(3) for task in tasks]
        random = [float(np.mean(returns))]
    else:
        random = [random_return(id, task, 0, EPISODES) for task in tasks]
    env = envs.make(id)
    reference, source = REFERENCES[id]
    return {
        "random": [round(value, 2) for value in random],
        "random_source": f"measured: python scripts/scores.py {id}",
        "reference": list(reference),
        "reference_source": source,
        "observations": in_words(env.observation_space),
        "actions": in_words(env.action_space),
    }


def in_words(space: gym.Space[object]) -> str:
    """Returns a space as the list of environments shows it."""
    if isinstance(space, gym.spaces.Discrete):
        return f"{space.n} discrete"
    kind = "bytes" if space.dtype == np.uint8 else "reals"
    return f"{' x '.join(map(str, space.shape or ()))} {kind}"


def main(ids: list[str]) -> None:
    """Measures the given benchmarks, or all, and keeps the rows of the others."""
    rows = json.loads(FILE.read_text()) if FILE.exists() else {}
    published = [id for id in envs.BENCHMARKS if not id.endswith("-small")]
    for id in ids or published:
        try:
            rows[id] = measure(id, envs.BENCHMARKS[id])
        except ValueError as error:  # an extra that is not installed
            print(error)
            continue
        print(id, rows[id]["random"], flush=True)
        ordered = {name: rows[name] for name in published if name in rows}
        FILE.write_text(json.dumps(ordered, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
