"""The loop: Act, Observe, Learn, Probe, Log."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

import envs
from agents import AGENTS, Agent, Replay, Streams
from agents.spaces import tensor_dtype, tensor_shape, to_tensor
from configs import Config
from plasticity import Mitigations, Probe, UpdateWatch, seams
from plasticity.mitigations.replay import age_weights
from training import checkpoint
from training.dashboard import return_against_dormant
from training.device import pick_device
from training.episodes import Episodes
from training.evaluation import Evaluator, score
from training.finite import check_finite, to_lists
from training.interrupt import on_interrupt
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
            ages=age_weights(config.remedies),
            device=device,
        )
        self.probe_streams = Streams(seeds, "probe", device)
        self._make_agent()
        self.evaluator = Evaluator(config) if config.eval_every else None
        self.run_dir = prepare(config)
        networks = [name for name, learner in self.learners.items() if learner.inputs is not None]
        self.tracker = Tracker(
            self.run_dir, seeds, networks, bool(config.eval_every), config.mitigation
        )
        self.summary = Summary(seeds)
        self.step = self.born = 0
        self.interrupted = False
        self._metrics: dict[str, Tensor] = {}
        self._last_dormant = math.nan
        self._episodes = Episodes(self.num_seeds, num_envs)

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
            seams=seams(config.remedies, config.seeds, halve_widths=config.halve_widths),
            device=self.device,
        )
        self.learners = self.agent.learners()
        self.mitigations = Mitigations(
            config.remedies, self.learners, config.seeds, self.replay.sample, self.replay.example()
        )
        noise = Streams(config.seeds, "probe noise", self.device)
        self.probe = Probe(noise, config.probe.refit_steps)
        self.watch = UpdateWatch(noise)
        if config.compile:
            self.agent.compile()

    def run(self) -> Summary:
        """Trains until the last step, Ctrl-C or an error; what was learned is on disk then."""
        config = self.config
        remedies = f" and {', '.join(config.mitigation)}" if config.mitigation else ""
        sizes = {
            name: sum(p.numel() for p in learner.network.parameters()) // self.num_seeds
            for name, learner in self.learners.items()
            if learner.inputs is not None
        }
        self.console.print(
            f"{config.agent} with {config.activation}{remedies} in {config.env}, "
            f"{self.num_seeds} seed{'s' * (self.num_seeds > 1)} from {config.seed}, "
            f"on {self.agent.device}; replay {self.replay.nbytes / 1e6:.1f} MB\n"
            f"parameters of each seed: {', '.join(f'{n} {size:,}' for n, size in sizes.items())}\n"
            f"writing to {self.run_dir}",
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
            with on_interrupt(self._interrupt):
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
            self.mitigations.observe(self._by_seed(obs))
            actions = self.agent.act(self._by_seed(obs), self.step - self.born)

            # Observe
            actions = actions.reshape(-1, *actions.shape[2:])
            next_obs, reward, terminated, truncated, infos = self.envs.step(actions)
            self.step += num_envs
            self._store(obs, actions, reward, next_obs, terminated, truncated, infos)
            ended = terminated | truncated
            paid = score(reward, ended, infos)
            self._episodes.count(self.step, paid, ended, infos, self.summary, self.tracker)
            obs = next_obs

            # Learn
            for _ in range(self._updates_due()):
                batch = self.replay.sample(self.agent.batch_size)
                self.watch.before(self.learners, batch)
                self._metrics |= self.agent.update(batch)
                self.watch.after(self.learners)
                self.mitigations.after_update()

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
            if switch or last:
                self._draw()
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
            self.born, self._metrics = self.step, {}

    def _evaluate(self, evaluator: Evaluator, visit_ends: bool) -> None:
        now = self.summary.now
        drifts = self.schedule.at(self.step).position is not None  # and is at no task
        ends = now.task if visit_ends and not drifts else None
        rows = evaluator.evaluate(self.agent, ends, stop=lambda: self.interrupted)
        self.tracker.rows(self.step, now.task, now.visit, rows)

    def _probe(self) -> None:
        check_finite(self._metrics, self.learners, self.config.seeds, self.step)
        batch = self.replay.sample(self.config.probe.batch_size, self.probe_streams)
        dear = self._due(self.config.probe.dear_every) or self.step >= self.config.total_steps
        refit = bool(self.config.probe.refit_every) and self._due(
            self.config.probe.refit_every or 1
        )
        measured = self.probe.measure(self.learners, batch, dear=dear, refit=refit)
        measured |= self.watch.take()
        rows = to_lists(measured)
        if dear:
            self.tracker.histograms(self.step, self.probe.distributions())
        now = self.summary.now
        self.tracker.rows(self.step, now.task, now.visit, rows)
        names = (f"plasticity/{network}/dormant_fraction@0.1" for network in self.learners)
        pooled = [rows[name] for name in names if name in rows]
        if pooled:  # a network without hidden layers has no neurons to look at
            now.dormant = np.mean(pooled, axis=0).tolist()
            now.probes.append((self.step, now.dormant))
            self._last_dormant = float(np.mean(pooled))

    def _draw(self) -> None:
        """Draws the visit that ends."""
        figure = return_against_dormant(self.summary.visits)
        if figure is not None:
            self.tracker.figure("return_against_dormant_neurons", figure, self.step)

    def _log(self) -> None:
        now = self.summary.now
        check_finite(self._metrics, self.learners, self.config.seeds, self.step)
        rows = {}
        for name, value in to_lists(self._metrics).items():
            kind, _, network = name.partition("/")
            rows[f"plasticity/{network}/{kind}" if kind == "grad_norm" else f"train/{name}"] = value
        did = self.mitigations.report()
        if self.replay.mean_age is not None:
            did["sample-weight-decay/replay/mean_age"] = self.replay.mean_age
        rows |= {f"mitigation/{name}": value for name, value in to_lists(did).items()}
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
            "mitigations": self.mitigations.state_dict(),
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

    def _interrupt(self) -> None:
        """Ends the run after the current step."""
        self.interrupted = True
