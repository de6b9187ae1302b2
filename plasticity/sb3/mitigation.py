"""Remedies as a callback."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback

from agents import Batch, Learner, Streams
from plasticity.mitigations import MITIGATIONS, MitigationConfig, Mitigations, check_pairs
from plasticity.sb3.buffers import states
from plasticity.sb3.learners import born_again, example_of, learners_of
from plasticity.sb3.logging import write

Chosen = Mapping[str, MitigationConfig | Mapping[str, Any]]


class MitigationCallback(BaseCallback):
    """Has remedies for lost plasticity work on the networks of an SB3 algorithm.

    Works with DQN, SAC, TD3, DDPG, PPO, A2C, and QR-DQN and TQC of sb3-contrib.  The networks are
    ``q_net``; ``actor``, ``critic`` (all critics) and ``temperature`` (of SAC, if it is learned);
    or ``policy`` (PPO, A2C).  Remedies of the seams gradient and surgery are those of
    ``--list-mitigations``; cadences count steps of the optimizer of ``q_net``, ``critic`` or
    ``policy``.  Surgery that falls due within a call of ``train`` happens before the next one.

    Example::

        model.learn(100_000, callback=MitigationCallback({"redo": {"every": 500, "tau": 0.1}}))

    Args:
        mitigations: Settings by the name of the remedy, as their class or as a mapping.
        log_every: Environment steps between two rows of what they did.
        seed: Of the generators that they draw from.
        verbose: As in SB3.

    Raises:
        ValueError: If there is no such remedy or setting, or the algorithm can't have it; the last
            when training starts.
    """

    def __init__(
        self, mitigations: Chosen, *, log_every: int = 1_000, seed: int = 0, verbose: int = 0
    ) -> None:
        super().__init__(verbose)
        if log_every < 1:
            raise ValueError(f"`log_every` should be at least 1. Received {log_every}")
        self.chosen = {name: _config(name, settings) for name, settings in mitigations.items()}
        check_pairs(list(self.chosen))
        self.log_every, self.seed = log_every, seed
        self.mitigations: Mitigations | None = None
        self._of: object = None
        self._pending = 0
        self._counter: Any = None

    def _on_training_start(self) -> None:
        learners = learners_of(self.model)
        if self.mitigations is None or self._of is not self.model:
            self.mitigations = Mitigations(
                self.chosen,
                learners,
                [self.seed],
                self._draw,
                example_of(self.model),
                lambda network, streams: born_again(self.model, network, streams),
            )
            self._of = self.model
        else:
            self.mitigations.attach()
        last: Learner = next(iter(learners.values()))

        def count(*_: Any) -> None:
            self._pending += 1

        self._counter = last.optimizer.register_step_post_hook(count)
        self._next = (self.num_timesteps // self.log_every + 1) * self.log_every

    def _on_step(self) -> bool:
        if not isinstance(getattr(self.model, "rollout_buffer", None), RolloutBuffer):
            self._catch_up()
        return True

    def _on_rollout_end(self) -> None:
        if isinstance(getattr(self.model, "rollout_buffer", None), RolloutBuffer):
            self._catch_up()

    def _on_training_end(self) -> None:
        assert self.mitigations is not None
        self._catch_up()
        self.mitigations.detach()
        self._counter.remove()

    def _catch_up(self) -> None:
        """Lets those operate whose time has come since the last call."""
        assert self.mitigations is not None
        pending, self._pending = self._pending, 0
        for _ in range(pending):
            self.mitigations.after_update()
        if self.num_timesteps >= self._next:
            self._next += self.log_every
            did = {f"mitigation/{k}": float(v.sum()) for k, v in self.mitigations.report().items()}
            write(self.logger, self.num_timesteps, did)

    def _draw(self, size: int, streams: Streams) -> Batch:
        """Draws observations and actions, ``(B, ...)``: SB3's networks have no axis of seeds."""
        model: Any = self.model
        buffer = getattr(model, "replay_buffer", None) or model.rollout_buffer
        rows, envs = (
            streams.integers(high, size)[0].cpu().numpy() for high in (buffer.size(), buffer.n_envs)
        )
        nothing = torch.zeros(size)
        obs, actions = states(model, buffer, rows, envs)
        return Batch(obs, actions, nothing, nothing, obs)


def _config(name: str, settings: MitigationConfig | Mapping[str, Any]) -> MitigationConfig:
    """The settings of a remedy; raises a ValueError if it has no such."""
    if name not in MITIGATIONS:
        near = get_close_matches(name, MITIGATIONS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(MITIGATIONS)}."
        raise ValueError(f"there is no mitigation {name!r}. {hint}")
    entry = MITIGATIONS[name]
    if entry.optimizer is not None:
        raise ValueError(
            f"mitigation {name} is an optimizer: give it to the policy, "
            "policy_kwargs={'optimizer_class': ...}"
        )
    if entry.make is None or entry.architecture is not None:
        raise ValueError(
            f"mitigation {name} changes the {entry.seam}, which a callback can't; "
            "the remedies for SB3 are of the seams gradient and surgery"
        )
    if isinstance(settings, MitigationConfig):
        if not isinstance(settings, entry.config):
            raise ValueError(
                f"mitigation {name} should have a {entry.config.__name__}. "
                f"Received {type(settings).__name__}"
            )
        return settings
    known = entry.config.__dataclass_fields__
    for key in settings:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ValueError(
                f"mitigation {name} has the settings {', '.join(known)}. Received {key!r}{hint}"
            )
    return entry.config(**settings)
