"""A shift of one's own: gusts push CartPole, more often from task to task."""

import sys
from typing import Any

import gymnasium as gym
import numpy as np

from envs import Continual, EverySteps, Shift


class Gusts(Shift):
    """Pushes the cart to the right with a probability that grows from task to task."""

    def enter(self, task: int, rng: np.random.Generator) -> None:
        self.probability = 0.1 * task

    def begin(self, rng: np.random.Generator) -> None:
        self.rng = rng  # for one episode: a function of its seed and of its place in the lifetime

    def action(self, action: Any) -> Any:
        return 1 if self.rng.random() < self.probability else action


def main(steps_per_task: int = 2_000) -> None:
    """Prints how long the pole stands in each task."""
    env = Continual(gym.make("CartPole-v1"), EverySteps(steps_per_task, num_tasks=4), [Gusts()])
    env.reset(seed=0)
    lengths = {task: [0] for task in range(4)}
    for t in range(4 * steps_per_task):
        _, _, terminated, truncated, info = env.step(t % 2)
        lengths[info["task"]][-1] += 1
        if terminated or truncated:
            lengths[info["task"]].append(0)
            env.reset()
    for task, episodes in lengths.items():
        print(f"task {task}: {np.mean(episodes[:-1]):.1f} steps an episode, pushed left and right")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
