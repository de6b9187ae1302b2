"""The probe as a callback."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.buffers import BaseBuffer, RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from plasticity.metrics import q_max, q_mean
from plasticity.probe import METRICS, Probe
from plasticity.sb3.buffers import states
from plasticity.sb3.logging import write
from plasticity.sb3.parts import parts


class PlasticityCallback(BaseCallback):
    """Measures the networks of an SB3 algorithm, and writes to its logger.

    Works with DQN, SAC, TD3, DDPG, PPO, A2C, and QR-DQN and TQC of sb3-contrib, with AdaLin
    policies and SB3's own.  The metrics are those of ``python train.py``, by the same names; the
    networks are ``q_net``; ``actor``, ``critic_0``, ``critic_1``, ...; ``actor``, ``critic`` (PPO,
    A2C); and ``..._features`` for a features extractor that has activations.  The probe states are
    drawn from the replay or the last rollout by a generator of its own: no other random state is
    touched, and learning is bit for bit what it is without.

    TensorBoard, CSV and JSON get a row for each probe, at its own step; the table on the console
    shows the latest dormant fraction (tau 0.025) of each network.  On-policy algorithms are probed
    at the end of the rollout in which a probe falls due.

    Args:
        every: Environment steps between two probes.
        probe_size: Number of states to look at.
        metrics: Which of ``plasticity.probe.METRICS``; by default all.
        seed: Of the generator of the probe states.
        verbose: As in SB3.

    Raises:
        ValueError: If a number is below 1 or there is no such metric; when training starts, if the
            algorithm is of another kind.
    """

    def __init__(
        self,
        every: int = 1_000,
        probe_size: int = 256,
        metrics: Sequence[str] | None = None,
        *,
        seed: int = 0,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        for name, value in (("every", every), ("probe_size", probe_size)):
            if value < 1:
                raise ValueError(f"`{name}` should be at least 1. Received {value}")
        for metric in (metrics := tuple(METRICS if metrics is None else metrics)):
            if metric not in METRICS:
                near = get_close_matches(metric, METRICS, n=1)
                hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(METRICS)}."
                raise ValueError(f"there is no metric {metric!r}. {hint}")
        self.every, self.probe_size, self.metrics = every, probe_size, metrics
        self.probe = Probe()
        self._generator = np.random.default_rng(seed)
        self._probed: object = None
        self._next = every

    def _on_training_start(self) -> None:
        if self.model is not self._probed:  # whose weights the probe remembers
            self.probe, self._probed = Probe(), self.model
        self._next = (self.num_timesteps // self.every + 1) * self.every
        policy = self.model.policy
        known = any(hasattr(policy, name) for name in ("q_net", "quantile_net", "actor"))
        if not (known or isinstance(policy, ActorCriticPolicy)) or hasattr(policy, "lstm_actor"):
            raise ValueError(
                f"PlasticityCallback does not know the networks of {type(policy).__name__}"
            )

    def _on_step(self) -> bool:
        if isinstance(self.model, OffPolicyAlgorithm) and self._due():
            buffer = self.model.replay_buffer
            if buffer is not None and buffer.size() > 0:
                self._measure(buffer)
        return True

    def _on_rollout_end(self) -> None:
        buffer = getattr(self.model, "rollout_buffer", None)
        if isinstance(buffer, RolloutBuffer) and self._due():
            self._measure(buffer)

    def _due(self) -> bool:
        due = self.num_timesteps >= self._next
        if due:
            self._next += self.every * ((self.num_timesteps - self._next) // self.every + 1)
        return due

    def _measure(self, buffer: BaseBuffer) -> None:
        policy = self.model.policy
        training = [(module, module.training) for module in policy.modules()]
        policy.train(False)
        rows: dict[str, float] = {}
        try:
            # A features extractor of the user's may draw numbers.
            with torch.no_grad(), torch.random.fork_rng():
                for part in parts(policy, *self._states(buffer)):
                    of_part = self.probe.network(part.name, part.network, (part.inputs,))
                    if part.values is not None:
                        for name, metric in {"q_mean": q_mean, "q_max": q_max}.items():
                            of_part[f"plasticity/{part.name}/{name}"] = metric(part.values)[None]
                    rows |= {name: float(value[0]) for name, value in of_part.items()}
        finally:
            for module, mode in training:
                module.training = mode
        self._write({name: v for name, v in rows.items() if metric_of(name) in self.metrics})

    def _write(self, rows: dict[str, float]) -> None:
        shown = [name for name in rows if name.endswith("/dormant_fraction@0.025")]
        write(self.logger, self.num_timesteps, rows, shown)

    def _states(self, buffer: BaseBuffer) -> tuple[Any, Tensor]:
        """Observations and actions, drawn from what the buffer holds."""
        rows = self._generator.integers(buffer.size(), size=self.probe_size)
        envs = self._generator.integers(buffer.n_envs, size=self.probe_size)
        return states(self.model, buffer, rows, envs)


def metric_of(name: str) -> str:
    """The metric of a row, ``plasticity/<network>/<metric>...`` or ``adalin/.../<metric>``."""
    parts = name.split("/")
    return parts[3] if parts[0] == "adalin" else parts[2]
