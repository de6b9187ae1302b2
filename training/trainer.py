"""The loop: Act, Observe, Learn, Probe, Log."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

import envs
from agents import AGENTS, Replay, Streams
from agents.spaces import tensor_dtype, tensor_shape, to_tensor
from configs import Config
from plasticity import MITIGATIONS, Probe
from training import checkpoint
from training.finite import check_finite, to_lists
from training.progress import ProgressLine
from training.rundir import prepare
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
        self.envs: Any = envs.make_vec(
            config.env, num_envs, seeds=seeds, steps_per_task=config.steps_per_task
        )
        spaces = self.envs.single_observation_space, self.envs.single_action_space
        settings = config.agent_config
        self.agent = AGENTS[config.agent](
            *spaces,
            seeds,
            settings,
            activation=config.activation,
            adalin=config.adalin,
            device=device,
        )
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
        self.learners = self.agent.learners()
        for name in config.mitigation:
            MITIGATIONS[name].make(config.l2_init).attach(self.learners)
        if config.compile:
            self.agent.compile()
        self.probe, self.probe_streams = Probe(), Streams(seeds, "probe", device)
        self.run_dir = prepare(config)
        self.tracker = Tracker(self.run_dir, seeds, list(self.learners))
        self.summary = Summary(seeds)
        self.step = 0
        self.interrupted = False
        self._metrics: dict[str, Tensor] = {}
        self._last_dormant = math.nan
        shape = (self.num_seeds, num_envs)
        self._episode_return, self._episode_length = np.zeros(shape), np.zeros(shape, int)

    def run(self) -> Summary:
        """Trains until the last step, Ctrl-C or an error; what was learned is on disk then."""
        config = self.config
        self.console.print(
            f"{config.agent} with {config.activation} in {config.env}, "
            f"{self.num_seeds} seeds from {config.seed}, on {self.agent.device}; "
            f"replay {self.replay.nbytes / 1e6:.1f} MB"
            f"\nwriting to {self.run_dir}",
            highlight=False,
            soft_wrap=True,
        )
        if config.env in envs.BENCHMARKS:
            first = envs.BENCHMARKS[config.env].schedule(config.steps_per_task).at(0).end
            if config.total_steps <= first:
                self.console.print(
                    f"note: the first task lasts {first:.0f} steps, so nothing changes yet; "
                    "--steps-per-task or a -small environment makes tasks shorter",
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
        obs, infos = self.envs.reset(seed=envs.reset_seeds(config.seeds, num_envs))
        self.summary.begin(*_phase(infos), start=0)
        while self.step < config.total_steps and not self.interrupted:
            # Act
            actions = self.agent.act(self._by_seed(obs), self.step)

            # Observe
            actions = actions.reshape(-1, *actions.shape[2:])
            next_obs, reward, terminated, truncated, infos = self.envs.step(actions)
            self.step += num_envs
            self._store(obs, actions, reward, next_obs, terminated, truncated, infos)
            self._count_episodes(reward, terminated | truncated, infos)
            obs = next_obs

            # Learn
            for _ in range(self._updates_due()):
                batch = self.replay.sample(self.agent.batch_size)
                self._metrics |= self.agent.update(batch)

            # Probe
            switch = _phase(infos) != (self.summary.now.task, self.summary.now.visit)
            last = self.step >= config.total_steps
            if (switch or last or self._due(config.probe.every)) and len(self.replay):
                self._probe()

            # Log
            if switch or last or self._due(config.log_every):
                self._log()
            if switch and not last:
                self.summary.begin(*_phase(infos), start=self.step)
                self.tracker.switch(self.step, *_phase(infos))
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
        now = self.summary.now
        now.end = self.step
        if not ended.any():
            return
        cut = infos.get("final_info", {}).get("cut", np.zeros_like(ended))
        for s, n in np.argwhere(self._by_seed(ended)):
            if not self._by_seed(cut)[s, n]:  # the return of a cut episode says nothing
                ret, length = float(self._episode_return[s, n]), int(self._episode_length[s, n])
                now.episodes[s].append((self.step, ret, length))
                self.tracker.episode(self.step, int(s), now.task, now.visit, ret, length)
            self._episode_return[s, n], self._episode_length[s, n] = 0.0, 0

    def _updates_due(self) -> int:
        """How many updates this step brings: the replay ratio, exact over the whole run."""
        ratio, starts = self.agent.replay_ratio, self.agent.learning_starts
        if not len(self.replay):
            return 0
        now = math.floor(max(self.step - starts, 0) * ratio)
        return now - math.floor(max(self.step - self.config.num_envs - starts, 0) * ratio)

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
        self.tracker.close()
        self.envs.close()
        result = {
            "finished": self.step >= self.config.total_steps,
            "steps": self.step,
            "seconds": round(self.progress.seconds, 1),
            "seeds": list(self.config.seeds),
            "visits": self.summary.as_dict(),
        }
        (self.run_dir / "summary.json").write_text(json.dumps(result, indent=2) + "\n")

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


def _phase(infos: Mapping[str, Any]) -> tuple[int, int]:
    """Task and visit; all seeds share the schedule. Environments without one have task 0."""
    return int(infos.get("task", (0,))[0]), int(infos.get("visit", (0,))[0])
