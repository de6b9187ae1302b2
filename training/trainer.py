"""Reinforcement learning: Act, Observe, Learn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

import envs
from agents import AGENTS, Agent, Batch, Replay, recipe
from agents.agent import Array
from agents.replay import Places
from agents.spaces import is_large, tensor_dtype, tensor_shape
from configs import Config
from plasticity import Mitigations, seams
from plasticity.mitigations.replay import age_weights
from training import reporting
from training.dashboard import RETURNS_GUIDE, return_charts
from training.episodes import Episodes
from training.evaluation import Evaluator, score
from training.loop import Loop
from training.summary import Summary
from training.together import together
from training.worlds import WorldError, Worlds


class Trainer(Loop):
    """Trains all seeds of a run in one process, or goes on with a run that was broken off.

    Args:
        config: The settings.
        console: Where progress goes.

    Raises:
        ValueError: If the settings do not fit the environment, the machine or the run directory,
            or what is there cannot be gone on with.
    """

    config: Config
    summary: Summary

    def __init__(self, config: Config, console: Console) -> None:
        super().__init__(config, console)
        self.stride = config.num_envs
        self.schedule = envs.schedule_of(
            config.env, config.steps_per_task, config.task, config.cyclic
        )
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
            config.seeds,
            config.num_envs,
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
        self.make_agent()
        self.evaluator = Evaluator(config) if config.eval_every else None
        self.summary = Summary(config.seeds)
        self.episodes = Episodes(self.num_seeds, config.num_envs)
        self.born = 0
        self.obs: Array | None = None  # (S * N, ...)
        self.actions: Array | None = None  # chosen, but not taken
        self.learned = False  # already what the next step brings
        self.beside = ThreadPoolExecutor(1) if config.overlap else None
        self.open(
            self.replay if config.save_replay else None,
            return_charts(self.num_seeds > 1, bool(config.eval_every)),
            RETURNS_GUIDE,
            whole=config.save_replay,
        )

    def make_agent(self) -> None:
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
        mitigations = Mitigations(
            config.remedies, self.learners, config.seeds, self.replay.sample, self.replay.example()
        )
        self.observe_learners(mitigations)
        if config.compile:
            self.agent.compile()
        self.together = together(config, self.learners) if config.compile else 1

    def begin(self) -> None:
        self.begin_anew()
        super().begin()

    def advance(self) -> None:
        """One step of all environments, and the updates that it brings."""
        assert self.obs is not None
        # Act
        if self.actions is None:
            self.mitigations.observe(self._by_seed(self.obs))
            self.actions = self._flat(
                self.agent.act(self._by_seed(self.obs), self.step - self.born)
            )

        # Observe
        reached = self.step + self.stride
        try:
            if self.beside is None:
                following = self.worlds.step(self.actions)
            else:  # learn meanwhile, from what is in the replay already
                stepping = self.beside.submit(self.worlds.step, self.actions)
                try:
                    self._learn(reached)
                finally:
                    stepping.exception()  # waits for it
                following = stepping.result()
        except WorldError as error:
            self._restart(error)
            return
        actions, self.actions = self.actions, None
        next_obs, reward, terminated, truncated, infos = following
        self.step = reached
        self.looked = reached < self.next_look
        ended = terminated | truncated
        self._store(self.obs, actions, reward, next_obs, terminated, ended, infos)
        paid = score(reward, ended, infos)
        self.episodes.count(reached, paid, ended, infos, self.summary, self.tracker)
        self.obs = next_obs

        # Learn
        self._learn(reached)
        self.learned = False

    def _learn(self, reached: int) -> None:
        """Does the updates that the step to ``reached`` brings, once."""
        if self.learned:
            return
        self.learned = True
        due = self._updates_due(reached)
        # Somebody who looks at single updates, or acts after them, gets them one by one.
        alone = self.watch.armed or self.mitigations.at_work
        turn = 1 if alone or due < self.together else self.together
        # What is seen already is acted on in the same call, which may be compiled.
        ahead = due == turn and self.beside is None and not self.mitigations.at_work
        while due:
            count = turn if due >= turn else 1
            places = [self.replay.draw(self.agent.batch_size) for _ in range(count)]
            if self.watch.armed:
                self.watch.before(self.learners, self.replay.gather(places[0]))
            self.update(partial(self._update, places, ahead), count)
            self.watch.after(self.learners)
            self.mitigations.after_update()
            due -= count

    def _update(self, places: list[Places], ahead: bool) -> dict[str, Tensor]:
        """Does an update for each of some places, and may choose the next actions."""
        if not ahead:
            return self.agent.update(*places, gather=self.replay.gather)
        metrics, chosen = self.agent.update_and_act(
            self._by_seed(self.obs), self.step - self.born, *places, gather=self.replay.gather
        )
        self.actions = self._flat(chosen)
        return metrics

    def _updates_due(self, reached: int) -> int:
        """How many updates this step brings: the replay ratio, exact over the whole run."""
        cleared = self.config.on_switch == "clear-replay" and self.summary.visits[1:]
        if len(self.replay) < (self.agent.batch_size if cleared else 1):
            return 0
        return self._updates_until(reached) - self._updates_until(reached - self.stride)

    def _updates_until(self, step: int) -> int:
        """How many updates there are in all turns until a step."""
        step -= step % self.agent.learn_every
        starts = self.agent.learning_starts + self.born
        return math.floor(max(step - starts, 0) * self.agent.replay_ratio)

    def _store(
        self,
        obs: Any,
        actions: Any,
        reward: Any,
        next_obs: Any,
        terminated: Any,
        ended: Any,
        infos: dict[str, Any],
    ) -> None:
        if np.count_nonzero(ended):  # which takes less than any()
            # The vector has moved on to the next episode: put the last observation back.
            next_obs = next_obs.copy()
            for i in np.flatnonzero(ended):
                next_obs[i] = infos["final_obs"][i]
        self.replay.add(obs, actions, reward, next_obs, terminated, ended)
        if self.checkpoints.log:
            self.checkpoints.log.grow()

    def _restart(self, error: WorldError) -> None:
        """Makes environments that have failed again, as often as they may."""
        while self.worlds.restarts < self.config.env_restarts:
            self.worlds.restarts += 1
            self.warn(
                f"{error}; restart {self.worlds.restarts} of {self.config.env_restarts} at step "
                f"{self.step}"
            )
            try:
                return self._begin_anew()
            except WorldError as again:
                error = again
        raise error

    def begin_anew(self) -> None:
        """Ends all episodes where they are; environments that fail may be made again."""
        try:
            self._begin_anew()
        except WorldError as error:
            self._restart(error)

    def _begin_anew(self) -> None:
        self.obs, self.actions = self.worlds.begin(self.step), None
        self.replay.cut()
        self.episodes.cut()

    def on_switch(self) -> None:
        """Does what an agent would do that is told of switches."""
        if self.config.on_switch == "keep":
            return
        self.replay.clear()
        if self.config.on_switch == "reset-agent":
            self.make_agent()
            self.actions = None  # chosen by the one before
            self.born, self.metrics = self.step, {}

    def evaluate(self, ends: bool) -> bool:
        if not self.evaluator or not (ends or self.due(self.config.eval_every or 1)):
            return True
        now = self.summary.now
        drifts = self.schedule.at(self.step).position is not None  # and is at no task
        rows = self.evaluator.evaluate(
            self.agent,
            now.task if ends and not drifts else None,
            stop=lambda: self.interrupted is not None,
        )
        self.tracker.rows(self.step, now.task, now.visit, rows)
        return bool(rows)

    @property
    def total_steps(self) -> int:
        return self.config.total_steps

    def phase(self) -> tuple[int, int]:
        return self.schedule.at(self.step)[:2]

    def phase_end(self) -> float:
        return self.schedule.at(self.step).end

    def cadences(self) -> tuple[int | None, ...]:
        return *super().cadences(), self.config.eval_every

    def before_saving(self) -> None:
        self.begin_anew()

    def probe_batch(self) -> Batch | None:
        if not len(self.replay):
            return None
        return self.replay.sample(self.config.probe.batch_size, self.probe_streams)

    def print_header(self) -> None:
        reporting.print_header(self)

    def log(self) -> None:
        reporting.log(self)

    def draw(self) -> None:
        reporting.draw(self)

    def results(self) -> dict[str, Any]:
        return reporting.results(self)

    def parts(self) -> dict[str, Any]:
        own = {"agent": self.agent, "replay": self.replay, "episodes": self.episodes}
        if self.evaluator:
            own["evaluator"] = self.evaluator
        return super().parts() | own

    def state(self) -> dict[str, Any]:
        state = super().state()
        state["trainer"] |= {"born": self.born, "learned": self.learned}
        if self.actions is not None:
            state["trainer"]["actions"] = torch.from_numpy(self.actions)
        state["recipe"] = recipe(self.config.agent, self.agent, self.spaces, self.config.seeds)
        return state | {"worlds": self.worlds.state_dict()}

    def take(self, state: Mapping[str, Any]) -> None:
        super().take(state)
        own = state["trainer"]
        self.born, self.learned = int(own["born"]), bool(own["learned"])
        self.actions = own["actions"].numpy() if "actions" in own else None

    def took(self, state: Mapping[str, Any]) -> None:
        self.obs, same = self.worlds.load_state_dict(state["worlds"])
        if not same:
            self.warn(
                "the environment does not repeat itself (the same seed and actions led elsewhere): "
                "episodes begin anew, and the run will differ from one that was never interrupted"
            )
            self.begin_anew()

    def close(self) -> None:
        if self.beside:
            self.beside.shutdown()
        self.worlds.close()
        if self.evaluator:
            self.evaluator.close()

    def _flat(self, array: Any) -> Any:
        """``(S, N, ...)`` to ``(S * N, ...)``."""
        return array.reshape(-1, *array.shape[2:])

    def _by_seed(self, array: Any) -> Any:
        """``(S * N, ...)`` to ``(S, N, ...)``."""
        return array.reshape(self.num_seeds, self.config.num_envs, *array.shape[1:])
