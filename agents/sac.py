"""SAC (Haarnoja et al. 2018) with twin critics and a learned temperature."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from agents.agent import USUAL, Array, Batch, Gather, Learner, Seams, Source, Streams
from agents.descent import descend, polyak
from agents.off_policy import OffPolicy
from agents.settings import check_settings
from agents.spaces import check_actions, check_observations, to_tensor
from agents.temperature import Temperature
from networks import AdaLinConfig, Architecture, GaussianActor, TwinCritic, initialize


@dataclass(frozen=True)
class SACConfig:
    """Settings of SAC."""

    learning_rate: float = 1e-3
    """Step size of Adam, for actor, critic and temperature."""
    batch_size: int = 256
    """Transitions of each seed in one update."""
    buffer_size: int = 1_000_000
    """Transitions of each seed in the replay."""
    learning_starts: int = 1_000
    """Environment steps of random actions before the first update."""
    replay_ratio: float = 1.0
    """Updates per environment step; may be below or above 1."""
    learn_every: int = 1
    """Environment steps between two turns of updates; a turn does all that are due by then."""
    gamma: float = 0.99
    """Discount of one step."""
    n_step: int = 1
    """Rewards summed into one transition."""
    tau: float = 0.005
    """How far the target moves toward the critic at each update."""
    policy_delay: int = 1
    """Updates of the critic for one of actor and temperature."""
    initial_temperature: float = 1.0
    """First (or fixed) weight of the entropy."""
    learn_temperature: bool = True
    """Tune the temperature until the entropy is the target."""
    target_entropy: float | None = None
    """Entropy to reach; None: minus the number of action components (0.0 is an entropy of 0)."""
    max_grad_norm: float | None = None
    """Bound of the gradient norm of each seed and network; None: no clipping."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the dense hidden layers."""
    actor_activation: str | None = None
    """Activation of the actor; None: the one of --activation."""
    critic_activation: str | None = None
    """Activation of the critic; None: the one of --activation."""

    def __post_init__(self) -> None:
        check_settings(self)


class SAC(OffPolicy):
    """Soft actor-critic for S seeds side by side.

    Actor and critic work on actions in [-1, 1]; ``act`` and the batch hold them in the units of the
    environment.

    Args:
        observation_space: Space of one observation, a Box.
        action_space: Space of one action, a Box with finite bounds and one axis.
        seeds: The seeds.
        config: Settings.
        activation: Name of the activation of the hidden layers.
        adalin: Options of the ``adalin-*`` activations.
        seams: Changes of how networks and optimizers are made.
        device: Where the networks lie.

    Raises:
        ValueError: If a space is not of the kind above.
    """

    _LEARN = ("actor", "critic", "temperature")
    PARTS = (*_LEARN, *(f"{name}_optimizer" for name in _LEARN), "target", "exploration", "noise")
    LOSS = "critic_loss"
    config: SACConfig

    def __init__(
        self,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        seeds: Sequence[int],
        config: SACConfig,
        *,
        activation: str = "adalin-relu",
        adalin: AdaLinConfig | None = None,
        seams: Seams = USUAL,
        device: torch.device | str = "cpu",
    ) -> None:
        obs_shape = check_observations("sac", observation_space)
        actions = check_actions("sac", action_space)
        super().__init__(config, seeds, device)
        self.num_actions = actions.shape[0]
        bounds = torch.as_tensor(np.stack((actions.low, actions.high)), dtype=torch.float32)
        low, high = bounds.to(self.device).unbind()
        self.middle, self.half_range = (high + low) / 2, (high - low) / 2  # (A,)
        entropy = config.target_entropy
        self.target_entropy = -float(self.num_actions) if entropy is None else entropy

        def architecture(name: str) -> Architecture:
            own = getattr(config, f"{name}_activation") or activation
            usual = Architecture(config.hidden, own, adalin or AdaLinConfig())
            return seams.architecture(name, usual)

        self.architectures = made = {name: architecture(name) for name in ("actor", "critic")}
        sizes = obs_shape, self.num_actions, len(seeds)
        self.actor = GaussianActor(*sizes, made["actor"])
        self.critic = TwinCritic(*sizes, made["critic"])
        first, learn = config.initial_temperature, config.learn_temperature
        self.temperature = Temperature(len(seeds), first, learn=learn)
        initial = Streams(seeds, "initialize").generators
        for network in (self.actor, self.critic, self.temperature):
            initialize(network, initial)
            network.to(self.device)
        self.target = copy.deepcopy(self.critic).requires_grad_(False)
        self.actor_optimizer, self.critic_optimizer, self.temperature_optimizer = (
            seams.optimizer(name, list(getattr(self, name).parameters()), config.learning_rate)
            for name in self._LEARN
        )
        self.noise = Streams(seeds, "noise", self.device)

    def greedy(self, obs: Tensor) -> Tensor:
        still = torch.zeros(*obs.shape[:2], self.num_actions, device=self.device)
        return SAC.explore(self, obs, still)  # never the compiled one

    def random(self, num_envs: int) -> Tensor:
        unit = 2 * self.exploration.uniform(num_envs, self.num_actions) - 1  # (S, N, A)
        return self.middle + self.half_range * unit.to(self.device)

    def wander(self, obs: Array, step: int) -> tuple[Tensor, Tensor]:
        """Returns the observations, and noise ``(S, N, A)`` of the actions there."""
        noise = self.exploration.normal(obs.shape[1], self.num_actions)
        return to_tensor(obs, self.device), noise.to(self.device)

    @torch.no_grad()
    def explore(self, obs: Tensor, noise: Tensor) -> Tensor:
        """Draws actions ``(S, N, A)`` by standard normal noise; without any they are the mean."""
        return self.middle + self.half_range * self.actor.sample(obs, noise)[0]

    def draw(self, sources: Sequence[Any]) -> tuple[list[Tensor], list[bool]]:
        sizes = [(2, source[0].shape[1], self.num_actions) for source in sources]
        noise = [self.noise.normal(*size) for size in sizes]  # (S, 2, B, A)
        first, self.updates = self.updates, self.updates + len(sources)
        return noise, [i % self.config.policy_delay == 0 for i in range(first, self.updates)]

    def learn(
        self,
        sources: Sequence[Source],
        gather: Gather[Source],
        noise: list[Tensor],
        acts: list[bool],
        exploring: tuple[Tensor, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Does the work of updates, some with one of the actor, and may act after them.

        All of it can be compiled.  Where the agent acts, ``action`` is among the metrics.
        """
        metrics: dict[str, Tensor] = {}
        clip = self.config.max_grad_norm
        for source, drawn, acting in zip(sources, noise, acts, strict=True):
            batch = gather(source)
            temperature = metrics["temperature"] = self.temperature().detach()  # (S,)
            if acting:
                action, log_prob = self.actor.sample(batch.obs, drawn[:, 0])
                if self.config.learn_temperature:
                    surplus = (log_prob.detach() + self.target_entropy).mean(-1)
                    descend(-self.temperature.log_value * surplus, self.temperature_optimizer, None)
            critic_loss = self.critic_loss(batch, drawn[:, 1], temperature)  # (S,)
            metrics["loss/critic"] = critic_loss.detach()
            metrics["grad_norm/critic"] = descend(critic_loss, self.critic_optimizer, clip)
            polyak(self.target, self.critic, self.config.tau)
            if acting:
                actor_loss = self.actor_loss(batch.obs, (action, log_prob), temperature)
                metrics["loss/actor"] = actor_loss.detach()
                metrics["grad_norm/actor"] = descend(actor_loss, self.actor_optimizer, clip)
                metrics["entropy"] = -log_prob.detach().mean(-1)
        return metrics | {"action": self.explore(*exploring)} if exploring else metrics

    def critic_loss(
        self, batch: Batch, noise: Tensor, temperature: Tensor, target: Tensor | None = None
    ) -> Tensor:
        """Returns half the squared error of both critics, summed: ``(S,)``; see ``td_target``."""
        target = self.td_target(batch, noise, temperature) if target is None else target
        error: Tensor = self.critic(*self._critic_inputs(batch)) - target.unsqueeze(1)  # (S, 2, B)
        return 0.5 * error.square().mean(-1).sum(-1)

    @torch.no_grad()
    def td_target(self, batch: Batch, noise: Tensor, temperature: Tensor) -> Tensor:
        """Returns the reward and the discounted soft value of what follows, ``(S, B)``.

        Standard normal noise ``(S, B, A)`` draws the next actions; the temperature is ``(S,)``.
        """
        next_action, next_log_prob = self.actor.sample(batch.next_obs, noise)
        next_value: Tensor = self.target(batch.next_obs, next_action).amin(1)
        next_value = next_value - temperature.unsqueeze(-1) * next_log_prob
        return batch.reward + batch.discount * next_value

    def actor_loss(self, obs: Tensor, sample: tuple[Tensor, Tensor], temperature: Tensor) -> Tensor:
        """Returns the weighted log-probability less the smaller value, ``(S,)``."""
        action, log_prob = sample
        value: Tensor = self.critic(obs, action).amin(1)  # (S, B)
        return (temperature.unsqueeze(-1) * log_prob - value).mean(-1)

    def _critic_inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        return batch.obs, (batch.action - self.middle) / self.half_range

    def learners(self) -> dict[str, Learner]:
        def drawn(batch: Batch, streams: Streams) -> tuple[Tensor, Tensor]:
            return streams.normal(*batch.action.shape[1:]), self.temperature().detach()

        def actor_loss(batch: Batch, streams: Streams, _: Tensor | None) -> Tensor:
            noise, temperature = drawn(batch, streams)
            return self.actor_loss(batch.obs, self.actor.sample(batch.obs, noise), temperature)

        actor = Learner(
            self.actor,
            self.actor_optimizer,
            inputs=lambda batch: (batch.obs,),
            actions=lambda outputs: outputs[0].tanh(),  # of the mean
            loss=actor_loss,
        )
        critic = Learner(
            self.critic,
            self.critic_optimizer,
            self.target,
            self._critic_inputs,
            values=lambda q: q.amin(1),
            td_target=lambda batch, streams: self.td_target(batch, *drawn(batch, streams)),
            loss=lambda batch, streams, target: SAC.critic_loss(  # never the compiled one
                self, batch, *drawn(batch, streams), target
            ),
        )
        found = {"actor": actor, "critic": critic}
        if self.config.learn_temperature:
            found["temperature"] = Learner(self.temperature, self.temperature_optimizer)
        return found
