"""The loop: Act, Observe, Learn, Probe, Log."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

import envs
from agents import AGENTS, Agent, Replay, Streams
from agents.agent import Array
from agents.descent import can_compile
from agents.replay import Places
from agents.spaces import is_large, tensor_dtype, tensor_shape, to_tensor
from configs import Config
from plasticity import Mitigations, Probe, UpdateWatch, seams
from plasticity.mitigations.replay import age_weights
from training.checkpoints import Checkpoints
from training.device import pick_device
from training.episodes import Episodes
from training.evaluation import Evaluator, score
from training.finite import NonFiniteError, check_finite, to_lists
from training.going_on import go_on, state_of
from training.interrupt import on_interrupt
from training.progress import ProgressLine
from training.reporting import draw, log, print_header, write_summary
from training.rundir import open_run
from training.summary import Summary
from training.tracking import Tracker
from training.worlds import WorldError, Worlds


class Trainer:
    """Trains all seeds of a run in one process, or goes on with a run that was broken off.

    Args:
        config: The settings.
        console: Where progress goes.

    Raises:
        ValueError: If the settings do not fit the environment, the machine or the run directory,
            or what is there cannot be gone on with.
    """

    def __init__(self, config: Config, console: Console) -> None:
        self.config, self.console = config, console
        torch.set_num_threads(config.threads)
        self.device = pick_device(config.device)
        if config.compile and not can_compile():
            raise ValueError("`compile` needs a C++ compiler, and there is none: --no-compile")
        seeds, self.num_seeds, num_envs = config.seeds, config.num_seeds, config.num_envs
        self.schedule = envs.schedule_of(config.env, config.steps_per_task, config.task)
        # An oracle that is told of the switch ends the episode there.
        oracle = config.on_switch != "keep"
        if oracle and self.schedule.at(0).position is not None:
            raise ValueError(
                f"`on_switch` needs an environment that switches; {config.env} drifts. "
                f"Received {config.on_switch}"
            )
        self.worlds = Worlds(config, switch="cut" if oracle else None)
        vector = self.worlds.vector
        self.spaces = vector.single_observation_space, vector.single_action_space
        settings = config.agent_config
        self.replay = Replay(
            min(settings.buffer_size, config.total_steps),
            seeds,
            num_envs,
            tensor_shape(self.spaces[0]),
            tensor_dtype(self.spaces[0]),
            tensor_shape(self.spaces[1]),
            tensor_dtype(self.spaces[1]),
            gamma=settings.gamma,
            n_step=settings.n_step,
            stack=envs.frame_stack(config.env, show_task=config.show_task)
            if is_large(self.spaces[0])
            else None,
            ages=age_weights(config.remedies),
            device=self.device,
        )
        self.probe_streams = Streams(seeds, "probe", self.device)
        self.make_agent()
        self.evaluator = Evaluator(config) if config.eval_every else None
        self.summary = Summary(seeds)
        self.episodes = Episodes(self.num_seeds, num_envs)
        self.step = self.born = 0
        self.interrupted: int | None = None  # the signal
        self.metrics: dict[str, Tensor] = {}
        self.dormant = math.nan
        self.obs: Array | None = None  # (S * N, ...)
        self.actions: Array | None = None  # chosen, but not taken
        self.looked = True  # at what the last step has brought
        self.next_look = 0.0  # the step at which there is something to see
        self.seconds_before = 0.0  # before an interruption
        self._own = open_run(config)
        self.run_dir = self._own.path
        self.checkpoints = Checkpoints(self.run_dir, self.replay if config.save_replay else None)
        self.resumed = self._own.exists and self.checkpoints.exist()
        if not self.resumed and (self.run_dir / "summary.json").exists():
            raise ValueError(
                f"{self.run_dir} holds a run without a checkpoint to go on from: give another "
                "--run-dir"
            )
        tracked: Mapping[str, Any] | None = None
        if self.resumed:
            tracked = go_on(self)
        networks = [name for name, learner in self.learners.items() if learner.inputs is not None]
        self.tracker = Tracker(
            self.run_dir, seeds, networks, bool(config.eval_every), config.mitigation, tracked
        )

    def make_agent(self) -> None:
        """Makes an agent that has learned nothing."""
        config = self.config
        self.agent: Agent = AGENTS[config.agent](
            *self.spaces,
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
        self.compiled = False
        if config.compile:
            self.agent.compile()

    @property
    def finished(self) -> bool:
        """Whether all steps have been taken."""
        return self.step >= self.config.total_steps and self.looked

    def run(self) -> Summary:
        """Trains until the last step, a signal or an error; what was learned is on disk then.

        Raises:
            NonFiniteError: If a loss or a parameter is no longer finite.
            WorldError: If an environment fails, more often than it may.
            OSError: If the disk does not take what is written.
        """
        print_header(self)
        if self.finished:
            self._close()
            return self.summary
        self.progress = ProgressLine(self.console, self.config.total_steps)
        self.progress.go_on_from(self.seconds_before)
        try:
            with on_interrupt(self._interrupt):
                try:
                    self._loop()
                except NonFiniteError:
                    self.checkpoints.save_failed(state_of(self))
                    raise
                except WorldError:
                    self._save()
                    raise
                else:
                    self._save()
        finally:
            self.progress.stop()
            try:
                write_summary(self)
            finally:
                self._close()
        return self.summary

    def _loop(self) -> None:
        if self.obs is None:
            self.obs = self.worlds.begin(0)
            self.summary.begin(*self._phase(), start=0)
        while self.interrupted is None and not self.finished:
            if self.looked:
                self._advance()
            if not self.looked:
                self._look()

    def _advance(self) -> None:
        """One step of all environments, and the updates that it brings."""
        assert self.obs is not None
        # Act
        if self.actions is None:
            self.mitigations.observe(self._by_seed(self.obs))
            chosen = self.agent.act(self._by_seed(self.obs), self.step - self.born)
            self.actions = chosen.reshape(-1, *chosen.shape[2:])

        # Observe
        try:
            following = self.worlds.step(self.actions)
        except WorldError as error:
            self._restart(error)
            return
        actions, self.actions = self.actions, None
        next_obs, reward, terminated, truncated, infos = following
        self.step += self.config.num_envs
        self.looked = self.step < self.next_look
        self._store(self.obs, actions, reward, next_obs, terminated, truncated, infos)
        ended = terminated | truncated
        paid = score(reward, ended, infos)
        self.episodes.count(self.step, paid, ended, infos, self.summary, self.tracker)
        self.obs = next_obs

        # Learn
        for _ in range(self._updates_due()):
            places = self.replay.draw(self.agent.batch_size)
            if self.watch.armed:
                self.watch.before(self.learners, self.replay.gather(places))
            self.metrics |= self._update(places)
            self.watch.after(self.learners)
            self.mitigations.after_update()

    def _update(self, places: Places) -> dict[str, Tensor]:
        if self.compiled or not self.config.compile:
            return self.agent.update(places, self.replay.gather)
        begin = time.perf_counter()
        self.progress.say("compiling the update")
        metrics = self.agent.update(places, self.replay.gather)
        self.tracker.scalar("time/compile_seconds", time.perf_counter() - begin, self.step)
        self.compiled = True
        return metrics

    def _look(self) -> None:
        """Looks at what the step has brought; a signal may break it off before anything is done."""
        config = self.config
        switch = self._phase() != (self.summary.now.task, self.summary.now.visit)
        last = self.step >= config.total_steps
        evaluates = self.evaluator and (switch or last or self._due(config.eval_every or 1))
        if evaluates and not self._evaluate(switch or last):
            return
        self.looked, self.next_look = True, self._following()

        # Probe
        if (switch or last or self._due(config.probe.every)) and len(self.replay):
            self._probe()

        # Log
        if switch or last or self._due(config.log_every):
            log(self)
        if switch or last:
            draw(self)
        if switch and not last:
            self.summary.begin(*self._phase(), start=self.step)
            self.tracker.switch(self.step, *self._phase())
            self._on_switch()
        if self._due(config.checkpoint_every or config.total_steps) and not last:
            self.begin_anew()
            self._save()

    def _restart(self, error: WorldError) -> None:
        """Makes environments that have failed again, if they may."""
        if self.worlds.restarts >= self.config.env_restarts:
            raise error
        self.worlds.restarts += 1
        self.warn(
            f"{error}; restart {self.worlds.restarts} of {self.config.env_restarts} at step "
            f"{self.step}"
        )
        self.begin_anew()

    def begin_anew(self) -> None:
        """Ends all episodes where they are."""
        self.obs, self.actions = self.worlds.begin(self.step), None
        self.replay.cut()
        self.episodes.cut()

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
        if self.checkpoints.log:
            self.checkpoints.log.grow()

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
            self.make_agent()
            self.born, self.metrics = self.step, {}

    def _evaluate(self, visit_ends: bool) -> bool:
        """Evaluates; False if a signal breaks it off."""
        assert self.evaluator is not None
        now = self.summary.now
        drifts = self.schedule.at(self.step).position is not None  # and is at no task
        ends = now.task if visit_ends and not drifts else None
        rows = self.evaluator.evaluate(self.agent, ends, stop=lambda: self.interrupted is not None)
        self.tracker.rows(self.step, now.task, now.visit, rows)
        return bool(rows)

    def _probe(self) -> None:
        check_finite(self.metrics, self.learners, self.config.seeds, self.step)
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
            self.dormant = float(np.mean(pooled))

    def _save(self) -> None:
        try:
            saved = self.checkpoints.save(self.step, lambda: state_of(self))
        except OSError as error:
            self.warn(
                f"the checkpoint at step {self.step} cannot be written ({error}); those before it "
                "are as they were"
            )
            return
        self.tracker.scalar("time/checkpoint_seconds", saved.seconds, self.step)
        self.tracker.scalar("time/checkpoint_megabytes", saved.bytes / 1e6, self.step)

    def _close(self) -> None:
        self.tracker.close()
        self.worlds.close()
        if self.evaluator:
            self.evaluator.close()
        self.checkpoints.close()
        self._own.lock.close()

    def warn(self, text: str) -> None:
        """Tells of something that does not stop the run."""
        self.console.print(f"warning: {text}", highlight=False, soft_wrap=True)

    def _phase(self) -> tuple[int, int]:
        """Task and visit of the next step; all seeds share the schedule."""
        return self.schedule.at(self.step)[:2]

    def _following(self) -> float:
        """The next step at which there is something to look at."""
        config = self.config
        cadences = config.log_every, config.probe.every, config.eval_every, config.checkpoint_every
        due = ((self.step // every + 1) * every for every in cadences if every)
        return min(self.schedule.at(self.step).end, config.total_steps, *due)

    def _due(self, every: int) -> bool:
        return self.step // every > (self.step - self.config.num_envs) // every

    def _by_seed(self, array: Any) -> Any:
        """``(S * N, ...)`` to ``(S, N, ...)``."""
        return array.reshape(self.num_seeds, self.config.num_envs, *array.shape[1:])

    def _interrupt(self, number: int) -> None:
        """Ends the run after the current step."""
        self.interrupted = number
