"""The loop: Act, Observe, Learn, Probe, Log."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

import envs
from agents import AGENTS, Agent, Replay, Streams
from agents.spaces import tensor_dtype, tensor_shape, to_tensor
from configs import Config
from plasticity import MITIGATIONS, Probe
from training import checkpoint
from training.evaluation import Evaluator, score
from training.finite import check_finite, to_lists
from training.progress import ProgressLine
from training.rundir import prepare, write_json
from training.summary import Summary, interval
from training.tracking import Tracker


class Trainer:
    """Trains all seeds of a run in one process.

    Args:
        config: The settings.
        console: Where progress goes.

    Raises:
        ValueError: If the settings do not fit the environment, the machine or the run directory.
    """

    def __init__(self, config: Config, console: Console) -> None:
        self.config, self.console = config, console
        torch.set_num_threads(config.threads)
        device = pick_device(config.device)
        seeds, self.num_seeds, num_envs = config.seeds, config.num_seeds, config.num_envs
        self.schedule = envs.schedule_of(config.env, config.steps_per_task, config.task)
        # An oracle that is told of the switch ends the episode there.
        oracle = config.on_switch != "keep"
        if oracle and self.schedule.at(0).position is not None:
            raise ValueError(
                f"`on_switch` needs an environment that switches; {config.env} drifts. "
                f"Received {config.on_switch}"
            )
        self.envs: Any = envs.make_vec(
            config.env,
            num_envs,
            seeds=seeds,
            task=config.task,
            task_seed=config.task_seed,
            steps_per_task=config.steps_per_task,
            show_task=config.show_task,
            vectorization_mode=config.vector,
            switch="cut" if oracle else None,
        )
        spaces = self.envs.single_observation_space, self.envs.single_action_space
        self.device = device
        self._make_agent()
        settings = config.agent_config
        self.replay = Replay(
            min(settings.buffer_size, config.total_steps),
            seeds,
            num_envs,
            tensor_shape(spaces[0]),
            tensor_dtype(spaces[0]),
            tensor_shape(spaces[1]),
            tensor_dtype(spaces[1]),
            gamma=settings.gamma,
            n_step=settings.n_step,
            device=device,
        )
        self.probe, self.probe_streams = Probe(), Streams(seeds, "probe", device)
        self.evaluator = Evaluator(config) if config.eval_every else None
        self.run_dir = prepare(config)
        self.tracker = Tracker(self.run_dir, seeds, list(self.learners), bool(config.eval_every))
        self.summary = Summary(seeds)
        self.step = self.born = 0
        self.interrupted = False
        self._metrics: dict[str, Tensor] = {}
        self._last_dormant = math.nan
        shape = (self.num_seeds, num_envs)
        self._episode_return, self._episode_length = np.zeros(shape), np.zeros(shape, int)

    def _make_agent(self) -> None:
        """Makes an agent that has learned nothing."""
        config = self.config
        self.agent: Agent = AGENTS[config.agent](
            self.envs.single_observation_space,
            self.envs.single_action_space,
            config.seeds,
            config.agent_config,
            activation=config.activation,
            adalin=config.adalin,
            device=self.device,
        )
        self.learners = self.agent.learners()
        for name in config.mitigation:
            MITIGATIONS[name].make(config.l2_init).attach(self.learners)
        if config.compile:
            self.agent.compile()

    def run(self) -> Summary:
        """Trains until the last step, Ctrl-C or an error; what was learned is on disk then."""
        config = self.config
        self.console.print(
            f"{config.agent} with {config.activation} in {config.env}, "
            f"{self.num_seeds} seed{'s' * (self.num_seeds > 1)} from {config.seed}, "
            f"on {self.agent.device}; replay {self.replay.nbytes / 1e6:.1f} MB"
            f"\nwriting to {self.run_dir}",
            highlight=False,
            soft_wrap=True,
        )
        first = self.schedule.at(0).end
        if config.total_steps <= first < math.inf:
            self.console.print(
                f"warning: the first task lasts {first:.0f} steps, so nothing changes in the "
                f"{config.total_steps} of this run; --steps-per-task or a -small environment "
                "makes tasks shorter",
                highlight=False,
                soft_wrap=True,
            )
        self.progress = ProgressLine(self.console, config.total_steps)
        try:
            with self._stop_on_interrupt():
                self._loop()
        finally:
            self.progress.stop()
            self._finish()
        return self.summary

    def _loop(self) -> None:
        config, num_envs = self.config, self.config.num_envs
        obs, _ = self.envs.reset(seed=envs.reset_seeds(config.seeds, num_envs))
        self.summary.begin(*self._phase(), start=0)
        while self.step < config.total_steps and not self.interrupted:
            # Act
            actions = self.agent.act(self._by_seed(obs), self.step - self.born)

            # Observe
            actions = actions.reshape(-1, *actions.shape[2:])
            next_obs, reward, terminated, truncated, infos = self.envs.step(actions)
            self.step += num_envs
            self._store(obs, actions, reward, next_obs, terminated, truncated, infos)
            ended = terminated | truncated
            self._count_episodes(score(reward, ended, infos), ended, infos)
            obs = next_obs

            # Learn
            for _ in range(self._updates_due()):
                batch = self.replay.sample(self.agent.batch_size)
                self._metrics |= self.agent.update(batch)

            # Probe
            switch = self._phase() != (self.summary.now.task, self.summary.now.visit)
            last = self.step >= config.total_steps
            if (switch or last or self._due(config.probe.every)) and len(self.replay):
                self._probe()
            if self.evaluator and (switch or last or self._due(config.eval_every or 1)):
                self._evaluate(self.evaluator, switch or last)

            # Log
            if switch or last or self._due(config.log_every):
                self._log()
            if switch and not last and not self.interrupted:
                self.summary.begin(*self._phase(), start=self.step)
                self.tracker.switch(self.step, *self._phase())
                self._on_switch()
            if config.checkpoint_every and self._due(config.checkpoint_every):
                self._save()

    def _store(
        self,
        obs: Any,
        actions: Any,
        reward: Any,
        next_obs: Any,
        terminated: Any,
        truncated: Any,
        infos: dict[str, Any],
    ) -> None:
        ended = terminated | truncated
        if ended.any():
            # The vector has moved on to the next episode: put the last observation back.
            next_obs = next_obs.copy()
            for i in np.flatnonzero(ended):
                next_obs[i] = infos["final_obs"][i]
        device = self.replay.device
        self.replay.add(
            to_tensor(obs, device),
            torch.from_numpy(actions),
            torch.from_numpy(reward),
            to_tensor(next_obs, device),
            torch.from_numpy(terminated),
            torch.from_numpy(ended),
        )

    def _count_episodes(self, reward: Any, ended: Any, infos: dict[str, Any]) -> None:
        self._episode_return += self._by_seed(reward)
        self._episode_length += 1
        self.summary.now.end = self.step
        if not ended.any():
            return
        final = infos.get("final_info", {})
        nothing = np.zeros(len(ended), int)
        cut, task, visit = (
            self._by_seed(np.asarray(final.get(name, nothing))) for name in ("cut", "task", "visit")
        )
        for s, n in np.argwhere(self._by_seed(ended)):
            if not cut[s, n]:  # the return of a cut episode says nothing
                ret, length = float(self._episode_return[s, n]), int(self._episode_length[s, n])
                # Tasks may wait for the end of an episode: it belongs to the one it was played in.
                of = self.summary.find(int(task[s, n]), int(visit[s, n]))
                of.episodes[s].append((self.step, ret, length))
                self.tracker.episode(self.step, int(s), of.task, of.visit, ret, length)
            self._episode_return[s, n], self._episode_length[s, n] = 0.0, 0

    def _updates_due(self) -> int:
        """How many updates this step brings: the replay ratio, exact over the whole run."""
        ratio, starts = self.agent.replay_ratio, self.agent.learning_starts + self.born
        cleared = self.config.on_switch == "clear-replay" and self.summary.visits[1:]
        if len(self.replay) < (self.agent.batch_size if cleared else 1):
            return 0
        now = math.floor(max(self.step - starts, 0) * ratio)
        return now - math.floor(max(self.step - self.config.num_envs - starts, 0) * ratio)

    def _on_switch(self) -> None:
        """Does what an agent would do that is told of switches."""
        if self.config.on_switch == "keep":
            return
        self.replay.clear()
        if self.config.on_switch == "reset-agent":
            self._make_agent()
            self.born = self.step
            self.probe, self._metrics = Probe(), {}

    def _evaluate(self, evaluator: Evaluator, visit_ends: bool) -> None:
        now = self.summary.now
        drifts = self.schedule.at(self.step).position is not None  # and is at no task
        ends = now.task if visit_ends and not drifts else None
        rows = evaluator.evaluate(self.agent, ends, stop=lambda: self.interrupted)
        self.tracker.rows(self.step, now.task, now.visit, rows)

    def _probe(self) -> None:
        check_finite(self._metrics, self.learners, self.config.seeds, self.step)
        batch = self.replay.sample(self.config.probe.batch_size, self.probe_streams)
        rows = to_lists(self.probe.measure(self.learners, batch))
        now = self.summary.now
        self.tracker.rows(self.step, now.task, now.visit, rows)
        names = (f"plasticity/{network}/dormant_fraction@0.1" for network in self.learners)
        pooled = [rows[name] for name in names if name in rows]
        if pooled:  # a network without hidden layers has no neurons to look at
            now.dormant = np.mean(pooled, axis=0).tolist()
            self._last_dormant = float(np.mean(pooled))

    def _log(self) -> None:
        now = self.summary.now
        check_finite(self._metrics, self.learners, self.config.seeds, self.step)
        rows = {}
        for name, value in to_lists(self._metrics).items():
            kind, _, network = name.partition("/")
            rows[f"plasticity/{network}/{kind}" if kind == "grad_norm" else f"train/{name}"] = value
        self.tracker.rows(self.step, now.task, now.visit, rows)
        self.tracker.returns(self.step)
        self.tracker.scalar("task/index", now.task, self.step)
        self.tracker.scalar("task/visit", now.visit, self.step)
        speed = self.step / max(self.progress.seconds, 1e-9)
        self.tracker.scalar("time/steps_per_second", speed, self.step)
        self.tracker.scalar("time/seconds", self.progress.seconds, self.step)
        self.tracker.flush()
        recent = [ret for episodes in now.episodes for _, ret, _ in episodes[-10:]]
        self.progress.show(self.step, now.task, interval(recent)[0], self._last_dormant)

    def _save(self) -> None:
        state = {
            "step": self.step,
            "agent": self.agent.state_dict(),
            "replay_streams": self.replay.streams.state_dict(),
            "probe_streams": self.probe_streams.state_dict(),
        }
        checkpoint.save(self.run_dir / "checkpoint", state)

    def _finish(self) -> None:
        self._save()
        self.tracker.returns(self.step)
        evaluation = self.evaluator.as_dict() if self.evaluator else {"tasks": []}
        for row in evaluation["tasks"]:
            if row["forgetting"]["mean"] is not None:
                name = f"continual/forgetting/task_{row['task']}"
                self.tracker.scalar(name, row["forgetting"]["mean"], self.step)
        self.tracker.close()
        result: dict[str, Any] = {
            "finished": self.step >= self.config.total_steps,
            "steps": self.step,
            "seconds": round(self.progress.seconds, 1),
            "seeds": list(self.config.seeds),
            "visits": self.summary.as_dict(),
        }
        if self.evaluator:
            result["evaluation"] = evaluation
        write_json(self.run_dir / "summary.json", result)
        self.envs.close()  # only now: workers may be gone, and then this raises
        if self.evaluator:
            self.evaluator.close()

    def _phase(self) -> tuple[int, int]:
        """Task and visit of the next step; all seeds share the schedule."""
        return self.schedule.at(self.step)[:2]

    def _due(self, every: int) -> bool:
        return self.step // every > (self.step - self.config.num_envs) // every

    def _by_seed(self, array: Any) -> Any:
        """``(S * N, ...)`` to ``(S, N, ...)``."""
        return array.reshape(self.num_seeds, self.config.num_envs, *array.shape[1:])

    @contextmanager
    def _stop_on_interrupt(self) -> Iterator[None]:
        """Lets the first Ctrl-C end the run after the current step; a second one breaks it off."""

        def stop(*_: object) -> None:
            self.interrupted = True
            signal.signal(signal.SIGINT, before)

        try:
            before = signal.signal(signal.SIGINT, stop)
        except ValueError:  # not the main thread: Ctrl-C is somebody else's
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def pick_device(name: str) -> torch.device:
    """Returns the device called ``name``; raises a ValueError if the machine has none such."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "device cuda is not available to PyTorch on this machine; use --device cpu"
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
