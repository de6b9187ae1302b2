"""SAC (Haarnoja et al. 2018) with twin critics and a learned temperature."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor, nn

from agents.agent import Array, Batch, Learner, Streams, clip_per_seed, polyak
from agents.settings import check_settings
from agents.spaces import check_observations, to_tensor
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
    """Entropy to reach; None: minus the number of action components. 0.0 is a value of its own."""
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


class SAC:
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
        device: Where the networks lie.

    Raises:
        ValueError: If a space is not of the kind above.
    """

    def __init__(
        self,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        seeds: Sequence[int],
        config: SACConfig,
        *,
        activation: str = "adalin-relu",
        adalin: AdaLinConfig | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        obs_shape = check_observations("sac", observation_space)
        if not isinstance(action_space, gym.spaces.Box) or len(action_space.shape) != 1:
            raise ValueError(
                f"agent sac needs a Box of one axis as action space. Received {action_space}"
                + ("; agent dqn takes it" if isinstance(action_space, gym.spaces.Discrete) else "")
            )
        if not action_space.is_bounded():
            raise ValueError(f"agent sac needs finite action bounds. Received {action_space}")
        self.config = config
        self.batch_size, self.replay_ratio = config.batch_size, config.replay_ratio
        self.learning_starts = config.learning_starts
        self.device = torch.device(device)
        self.num_actions, num_seeds = action_space.shape[0], len(seeds)
        low = torch.as_tensor(action_space.low, dtype=torch.float32, device=self.device)
        high = torch.as_tensor(action_space.high, dtype=torch.float32, device=self.device)
        self.middle, self.half_range = (high + low) / 2, (high - low) / 2  # (A,)
        entropy = config.target_entropy
        self.target_entropy = -float(self.num_actions) if entropy is None else entropy

        def architecture(own: str | None) -> Architecture:
            return Architecture(config.hidden, own or activation, adalin or AdaLinConfig())

        initial = Streams(seeds, "initialize").generators
        actor_architecture = architecture(config.actor_activation)
        self.actor = GaussianActor(obs_shape, self.num_actions, num_seeds, actor_architecture)
        critic_architecture = architecture(config.critic_activation)
        self.critic = TwinCritic(obs_shape, self.num_actions, num_seeds, critic_architecture)
        for network in (self.actor, self.critic):
            initialize(network, initial)
            network.to(self.device)
        self.target = copy.deepcopy(self.critic).requires_grad_(False)
        first = torch.full((num_seeds,), config.initial_temperature, device=self.device).log()
        self.log_temperature = nn.Parameter(first, requires_grad=config.learn_temperature)  # (S,)

        def adam(parameters: Sequence[Tensor]) -> torch.optim.Adam:
            return torch.optim.Adam(parameters, config.learning_rate, fused=True)

        self.actor_optimizer = adam(list(self.actor.parameters()))
        self.critic_optimizer = adam(list(self.critic.parameters()))
        self.temperature_optimizer = adam([self.log_temperature])
        self.exploration = Streams(seeds, "exploration")
        self.noise = Streams(seeds, "noise", self.device)
        self.updates = 0

    @torch.no_grad()
    def act(self, obs: Array, step: int, *, explore: bool = True) -> Array:
        shape = (obs.shape[1], self.num_actions)
        if not explore:
            still = torch.zeros(len(obs), *shape, device=self.device)
            unit, _ = self.actor.sample(to_tensor(obs, self.device), still)
        elif step < self.learning_starts:
            unit = 2 * self.exploration.uniform(*shape) - 1  # (S, N, A)
            unit = unit.to(self.device)
        else:
            noise = self.exploration.normal(*shape).to(self.device)
            unit, _ = self.actor.sample(to_tensor(obs, self.device), noise)
        actions: Array = (self.middle + self.half_range * unit).cpu().numpy()
        return actions

    def update(self, batch: Batch) -> dict[str, Tensor]:
        batch = batch._replace(action=(batch.action - self.middle) / self.half_range)
        noise = self.noise.normal(2, *batch.action.shape[1:])  # (S, 2, B, A)
        clip = self.config.max_grad_norm
        metrics = {}
        acting = self.updates % self.config.policy_delay == 0
        self.updates += 1
        temperature = self.log_temperature.detach().exp()  # (S,)
        if acting:
            action, log_prob = self.actor.sample(batch.obs, noise[:, 0])
            if self.config.learn_temperature:
                surplus = (log_prob.detach() + self.target_entropy).mean(-1)
                self.temperature_optimizer.zero_grad(set_to_none=True)
                (-self.log_temperature * surplus).sum().backward()
                self.temperature_optimizer.step()

        critic_loss = self.critic_loss(batch, noise[:, 1], temperature)  # (S,)
        self.critic_optimizer.zero_grad(set_to_none=True)
        critic_loss.sum().backward()
        metrics["grad_norm/critic"] = clip_per_seed(self.critic.parameters(), clip)
        self.critic_optimizer.step()
        polyak(self.target, self.critic, self.config.tau)

        if acting:
            # Gradients of the critic's weights are not needed here, only those of its input.
            self.critic.requires_grad_(False)
            value = self.critic(batch.obs, action).amin(1)  # (S, B)
            actor_loss = (temperature.unsqueeze(-1) * log_prob - value).mean(-1)
            self.actor_optimizer.zero_grad(set_to_none=True)
            actor_loss.sum().backward()
            self.critic.requires_grad_(True)
            metrics["grad_norm/actor"] = clip_per_seed(self.actor.parameters(), clip)
            self.actor_optimizer.step()
            metrics["loss/actor"] = actor_loss.detach()
            metrics["entropy"] = -log_prob.detach().mean(-1)
        return metrics | {"loss/critic": critic_loss.detach(), "temperature": temperature}

    def critic_loss(self, batch: Batch, noise: Tensor, temperature: Tensor) -> Tensor:
        """Returns half the squared error of both critics, summed: ``(S,)``.

        Args:
            batch: Transitions with actions in [-1, 1].
            noise: Standard normal, for the next actions, ``(S, B, A)``.
            temperature: ``(S,)``.
        """
        with torch.no_grad():
            next_action, next_log_prob = self.actor.sample(batch.next_obs, noise)
            next_value = self.target(batch.next_obs, next_action).amin(1)  # (S, B)
            next_value = next_value - temperature.unsqueeze(-1) * next_log_prob
            target = batch.reward + batch.discount * next_value
        error: Tensor = self.critic(batch.obs, batch.action) - target.unsqueeze(1)  # (S, 2, B)
        return 0.5 * error.square().mean(-1).sum(-1)

    def learners(self) -> dict[str, Learner]:
        def critic_inputs(batch: Batch) -> tuple[Tensor, ...]:
            return batch.obs, (batch.action - self.middle) / self.half_range

        return {
            "actor": Learner(
                self.actor, self.actor_optimizer, None, lambda batch: (batch.obs,), None
            ),
            "critic": Learner(
                self.critic,
                self.critic_optimizer,
                self.target,
                critic_inputs,
                lambda batch: self.critic(*critic_inputs(batch)).amin(1),
            ),
        }

    def compile(self) -> None:
        """Compiles the critic's loss, forward and backward, in place."""
        self.critic_loss = torch.compile(self.critic_loss)  # type: ignore[method-assign]  # same signature

    _PARTS = [
        "actor",
        "critic",
        "target",
        "actor_optimizer",
        "critic_optimizer",
        "temperature_optimizer",
        "exploration",
        "noise",
    ]

    def state_dict(self) -> dict[str, Any]:
        state = {name: getattr(self, name).state_dict() for name in self._PARTS}
        state["log_temperature"] = self.log_temperature.detach().clone()
        return state | {"updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in self._PARTS:
            getattr(self, name).load_state_dict(state[name])
        with torch.no_grad():
            self.log_temperature.copy_(state["log_temperature"])
        self.updates = state["updates"]
