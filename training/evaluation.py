"""Evaluation on all tasks, with environments and seeds of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import envs
from agents import Agent
from configs import Config
from training import continual
from training.continual import Array
from training.summary import measure
from training.worlds import failed

SEED_OFFSET = 1_000_000
"""What is added to the seeds of a run, so that evaluation has episodes of its own."""


class Evaluator:
    """Plays every task of a benchmark with the greedy policy; learning does not notice.

    Args:
        config: Settings of the run.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        benchmark = envs.find_benchmark(config.env)
        self.changes = benchmark is not None
        if config.task is not None:
            self.tasks = [config.task]
        else:
            self.tasks = list(range(benchmark.num_tasks if benchmark else 1))
        self.scores = envs.scores(config.env)
        self.shape = (config.num_seeds, config.eval_episodes)
        self.envs: Any = envs.make_vec(
            config.env,
            config.eval_episodes,
            seeds=config.seeds,
            task=self.tasks[0] if benchmark else None,
            task_seed=config.task_seed,
            show_task=config.show_task,
            vectorization_mode=config.vector,
        )
        nothing = np.full((len(self.tasks), config.num_seeds), math.nan)
        self.at_end, self.at_visit_end = nothing, nothing.copy()

    def evaluate(
        self, agent: Agent, ends: int | None = None, stop: Callable[[], bool] = lambda: False
    ) -> dict[str, list[float]]:
        """Plays all tasks.

        Args:
            agent: Who plays.
            ends: The task whose visit ends now, if one does.
            stop: Asked at every step whether to give up.

        Returns:
            For each name a value per seed: ``eval/return/task_k``, and where the benchmark has
            scores ``eval/normalized/task_k`` and ``eval/average_performance``. Nothing if it was
            stopped.
        """
        rows = {}
        performance = np.empty((len(self.tasks), self.shape[0]))  # (T, S)
        for i, k in enumerate(self.tasks):
            performance[i] = self._play(agent, k, stop)
            if stop():
                return {}
            rows[f"eval/return/task_{k}"] = performance[i].tolist()
        if self.scores is not None:
            for i, k in enumerate(self.tasks):
                performance[i] = [self.scores.normalize(k, value) for value in performance[i]]
                rows[f"eval/normalized/task_{k}"] = performance[i].tolist()
            average = continual.average_performance(performance)
            rows["eval/average_performance"] = average.tolist()
        self.at_end = performance
        if ends in self.tasks:
            self.at_visit_end[self.tasks.index(ends)] = performance[self.tasks.index(ends)]
        return rows

    def _play(self, agent: Agent, task: int, stop: Callable[[], bool]) -> Array:
        """Returns the mean return of one episode of every environment, ``(S,)``."""
        seeds = [SEED_OFFSET + seed for seed in self.config.seeds]
        try:
            if self.changes:
                envs.show_task(self.envs, task)
            obs, _ = self.envs.reset(seed=envs.reset_seeds(seeds, self.shape[1]))
        except Exception as error:
            raise failed(self.config.env, error) from error
        total = np.zeros(self.shape)
        running = np.ones(self.shape, bool)
        while running.any() and not stop():
            actions = agent.act(obs.reshape(*self.shape, *obs.shape[1:]), 0, explore=False)
            actions = actions.reshape(-1, *actions.shape[2:])
            try:
                obs, reward, terminated, truncated, infos = self.envs.step(actions)
            except Exception as error:
                raise failed(self.config.env, error) from error
            ended = terminated | truncated
            total += running * score(reward, ended, infos).reshape(self.shape)
            running &= ~ended.reshape(self.shape)
        return np.asarray(total.mean(1))

    def as_dict(self) -> dict[str, Any]:
        """Returns what ``summary.json`` says of the evaluations; NaN becomes null."""
        lost = continual.forgetting(self.at_visit_end, self.at_end)
        return {
            "normalized": self.scores is not None,
            "average_performance": measure(continual.average_performance(self.at_end).tolist()),
            "tasks": [
                {
                    "task": k,
                    "at_visit_end": measure(self.at_visit_end[i].tolist()),
                    "at_end": measure(self.at_end[i].tolist()),
                    "forgetting": measure(lost[i].tolist()),
                }
                for i, k in enumerate(self.tasks)
            ],
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns the returns so far; the environments begin anew with each evaluation."""
        return {name: torch.from_numpy(getattr(self, name)) for name in ("at_end", "at_visit_end")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state that ``state_dict`` returned."""
        for name in ("at_end", "at_visit_end"):
            setattr(self, name, state[name].numpy())

    def close(self) -> None:
        """Closes the environments."""
        self.envs.close()


def score(reward: Any, ended: Any, infos: dict[str, Any]) -> Any:
    """Returns what to count as the return: what the game paid where rewards are clipped."""
    final = infos.get("final_info", {})
    if "score" not in infos and "score" not in final:
        return reward
    scores = np.array(infos.get("score", np.zeros(len(reward))), float)
    if "score" in final:
        scores[ended] = np.asarray(final["score"])[ended]
    return scores
