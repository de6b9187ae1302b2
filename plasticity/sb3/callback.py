"""The probe for stable-baselines3: ``PlasticityCallback``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np
import torch
from stable_baselines3.common.buffers import BaseBuffer, RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import HumanOutputFormat, KVWriter
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.preprocessing import preprocess_obs
from torch import Tensor, nn

from networks.activations import Elementwise
from networks.adalin import AdaLin
from networks.convert import base_of
from plasticity.probe import METRICS, Probe, activations


class Part(NamedTuple):
    """A network of a policy, what it is called with, and the values that it gives ``(B,)``."""

    name: str
    network: nn.Module
    inputs: Tensor | dict[str, Tensor]
    values: Tensor | None = None


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
                for part in _parts(policy, *self._states(buffer)):
                    values = None if part.values is None else part.values.unsqueeze(0)
                    of_part = self.probe.network(part.name, part.network, (part.inputs,), values)
                    rows |= {name: float(value[0]) for name, value in of_part.items()}
        finally:
            for module, mode in training:
                module.training = mode
        self._write({name: v for name, v in rows.items() if metric_of(name) in self.metrics})

    def _states(self, buffer: BaseBuffer) -> tuple[Any, Tensor]:
        """Observations and actions, drawn from what the buffer holds."""
        rows = self._generator.integers(buffer.size(), size=self.probe_size)
        envs = self._generator.integers(buffer.n_envs, size=self.probe_size)
        held: Any = buffer.observations  # type: ignore[attr-defined]  # of each kind of buffer
        if isinstance(held, dict):
            obs: Any = {key: value[rows, envs] for key, value in held.items()}
        else:
            obs = held[rows, envs]
        if not isinstance(buffer, RolloutBuffer):  # which holds normalised ones
            obs = buffer._normalize_obs(obs, self.model.get_vec_normalize_env())
        actions = buffer.to_torch(buffer.actions[rows, envs])  # type: ignore[attr-defined]
        if isinstance(obs, dict):
            return {key: buffer.to_torch(value) for key, value in obs.items()}, actions
        return buffer.to_torch(obs), actions

    def _write(self, rows: dict[str, float]) -> None:
        row: dict[str, Any] = {**rows, "time/total_timesteps": self.num_timesteps}
        excluded: dict[str, tuple[str, ...]] = dict.fromkeys(rows, ())
        excluded["time/total_timesteps"] = ("tensorboard",)  # as SB3 does
        for output in self.logger.output_formats:
            if isinstance(output, KVWriter) and not isinstance(output, HumanOutputFormat):
                output.write(row, excluded, self.num_timesteps)
        for name, value in rows.items():
            # The console shortens names to 36 characters, and fails where two become equal.
            if name.endswith("/dormant_fraction@0.025"):
                self.logger.record(name, value, exclude=("tensorboard", "csv", "json"))


def metric_of(name: str) -> str:
    """The metric of a row, ``plasticity/<network>/<metric>...`` or ``adalin/.../<metric>``."""
    parts = name.split("/")
    return parts[3] if parts[0] == "adalin" else parts[2]


def by_layer(body: Iterable[nn.Module]) -> nn.Sequential:
    """Names the modules of an SB3 network ``layer_1.weights``, ``layer_1.activation``, ``head``."""
    layers: list[OrderedDict[str, nn.Module]] = []
    for module in body:
        if isinstance(module, nn.Linear) or not layers:
            layers.append(OrderedDict())
        activation = isinstance(module, AdaLin | Elementwise) or base_of(module) is not None
        kind = "weights" if isinstance(module, nn.Linear) else "activation" if activation else None
        layers[-1][kind or f"other_{len(layers[-1])}"] = module
    names = [f"layer_{i + 1}" for i in range(len(layers))]
    if layers and "activation" not in layers[-1]:
        names[-1] = "head"
    return nn.Sequential(
        OrderedDict((n, nn.Sequential(parts)) for n, parts in zip(names, layers, strict=True))
    )


def _parts(policy: Any, raw_obs: Any, actions: Tensor) -> Iterator[Part]:
    """The networks of a policy with their inputs on a batch of observations and actions."""
    obs = preprocess_obs(
        raw_obs, policy.observation_space, normalize_images=policy.normalize_images
    )

    def features(extractor: nn.Module, name: str) -> Iterator[Part]:
        if activations(extractor):
            yield Part(f"{name}_features", extractor, obs)

    if hasattr(policy, "q_net") or hasattr(policy, "quantile_net"):
        owner = policy.q_net if hasattr(policy, "q_net") else policy.quantile_net
        body = owner.q_net if hasattr(policy, "q_net") else owner.quantile_net
        values = owner(raw_obs)  # (B, A), or (B, quantiles, A)
        values = values.mean(1) if values.dim() == 3 else values
        yield from features(owner.features_extractor, "q_net")
        yield Part("q_net", by_layer(body), owner.features_extractor(obs), values.amax(-1))
    elif hasattr(policy, "actor"):
        actor, critic = policy.actor, policy.critic
        # TD3's actor ends in the tanh that bounds the actions, which is no hidden layer.
        body = actor.latent_pi if hasattr(actor, "latent_pi") else actor.mu[:-1]
        yield from features(actor.features_extractor, "actor")
        yield Part("actor", by_layer(body), actor.features_extractor(obs))
        if critic.features_extractor is not actor.features_extractor:
            yield from features(critic.features_extractor, "critic")
        inputs = torch.cat((critic.features_extractor(obs), actions), dim=1)
        for i, body in enumerate(critic.q_networks):
            yield Part(f"critic_{i}", by_layer(body), inputs, body(inputs).mean(-1))
    else:
        bodies = policy.mlp_extractor
        of_actor, of_critic = policy.pi_features_extractor, policy.vf_features_extractor
        yield from features(of_actor, "actor")
        yield Part("actor", by_layer(bodies.policy_net), of_actor(obs))
        if of_critic is not of_actor:
            yield from features(of_critic, "critic")
        values = policy.value_net(bodies.value_net(of_critic(obs))).flatten()
        yield Part("critic", by_layer(bodies.value_net), of_critic(obs), values)
