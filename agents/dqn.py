"""DQN (Mnih et al. 2015) with double Q-learning, dueling heads and n-step returns."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import torch
from torch import Tensor
from torch.nn import functional as F

from agents.agent import USUAL, Array, Batch, Gather, Learner, Seams, Source, Streams
from agents.descent import descend, polyak
from agents.off_policy import OffPolicy
from agents.settings import check_settings
from agents.spaces import check_observations, to_tensor
from networks import AdaLinConfig, Architecture, QNetwork, initialize


@dataclass(frozen=True)
class DQNConfig:
    """Settings of DQN."""

    learning_rate: float = 1e-3
    """Step size of Adam."""
    batch_size: int = 128
    """Transitions of each seed in one update."""
    buffer_size: int = 50_000
    """Transitions of each seed in the replay."""
    learning_starts: int = 1_000
    """Environment steps of random actions before the first update."""
    replay_ratio: float = 0.5
    """Updates per environment step; may be below or above 1."""
    learn_every: int = 1
    """Environment steps between two turns of updates; a turn does all that are due by then."""
    gamma: float = 0.99
    """Discount of one step."""
    n_step: int = 1
    """Rewards summed into one transition."""
    double: bool = True
    """Choose the next action by the online network (van Hasselt et al. 2016)."""
    dueling: bool = False
    """Split the head into value and advantages (Wang et al. 2016)."""
    loss: Literal["huber", "mse"] = "mse"
    """Loss of the temporal-difference error; huber has its corner at 1."""
    tau: float = 0.01
    """How far the target moves toward the network: 1 copies it."""
    target_every: int = 1
    """Updates between two moves of the target."""
    epsilon_start: float = 1.0
    """First share of random actions."""
    epsilon_end: float = 0.02
    """Last share of random actions."""
    epsilon_steps: int = 5_000
    """Environment steps from the first to the last share, linearly."""
    max_grad_norm: float | None = 10.0
    """Bound of the gradient norm of each seed; None: no clipping."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the dense hidden layers."""

    def __post_init__(self) -> None:
        check_settings(self)


class DQN(OffPolicy):
    """Deep Q-learning for S seeds side by side.

    Args:
        observation_space: Space of one observation, a Box.
        action_space: Space of one action, Discrete.
        seeds: The seeds.
        config: Settings.
        activation: Name of the activation of the hidden layers.
        adalin: Options of the ``adalin-*`` activations.
        seams: Changes of how network and optimizer are made.
        device: Where the networks lie.

    Raises:
        ValueError: If a space is not of the kind above.
    """

    PARTS, LOSS = ("q", "target", "optimizer", "exploration"), "loss"
    config: DQNConfig

    def __init__(
        self,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        seeds: Sequence[int],
        config: DQNConfig,
        *,
        activation: str = "adalin-relu",
        adalin: AdaLinConfig | None = None,
        seams: Seams = USUAL,
        device: torch.device | str = "cpu",
    ) -> None:
        obs_shape = check_observations("dqn", observation_space)
        if not isinstance(action_space, gym.spaces.Discrete):
            raise ValueError(
                f"agent dqn needs a Discrete action space. Received {action_space}"
                + ("; agent sac takes it" if isinstance(action_space, gym.spaces.Box) else "")
            )
        super().__init__(config, seeds, device)
        self.num_actions, self.first_action = int(action_space.n), int(action_space.start)
        usual = Architecture(config.hidden, activation, adalin or AdaLinConfig())
        self.architectures = {"q": seams.architecture("q", usual)}
        self.q = QNetwork(
            obs_shape, self.num_actions, len(seeds), self.architectures["q"], config.dueling
        )
        initialize(self.q, Streams(seeds, "initialize").generators)
        self.q.to(self.device)
        self.target = copy.deepcopy(self.q).requires_grad_(False)
        self.optimizer = seams.optimizer("q", list(self.q.parameters()), config.learning_rate)

    def epsilon(self, step: int) -> float:
        """Share of random actions ``step`` steps after the beginning."""
        c = self.config
        progress = min(step / c.epsilon_steps, 1.0) if c.epsilon_steps else 1.0
        return c.epsilon_start + progress * (c.epsilon_end - c.epsilon_start)

    def greedy(self, obs: Tensor) -> Tensor:
        best: Tensor = self.q(obs).argmax(-1) + self.first_action
        return best

    def random(self, num_envs: int) -> Tensor:
        self.exploration.uniform(num_envs)  # as if it asked whether to wander
        return self.exploration.integers(self.num_actions, num_envs) + self.first_action

    def wander(self, obs: Array, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the observations, where the agent wanders, and where to: ``(S, N, ...)``."""
        at_random = self.exploration.uniform(obs.shape[1]) < self.epsilon(step)
        random = self.exploration.integers(self.num_actions, obs.shape[1])
        return to_tensor(obs, self.device), at_random.to(self.device), random.to(self.device)

    @torch.no_grad()
    def explore(self, obs: Tensor, at_random: Tensor, random: Tensor) -> Tensor:
        """Returns random actions where the agent wanders, else the greatest: all ``(S, N)``."""
        return torch.where(at_random, random, self.q(obs).argmax(-1)) + self.first_action

    def draw(self, sources: Sequence[Any]) -> tuple[list[bool]]:
        first, self.updates = self.updates + 1, self.updates + len(sources)
        return ([i % self.config.target_every == 0 for i in range(first, self.updates + 1)],)

    def learn(
        self,
        sources: Sequence[Source],
        gather: Gather[Source],
        moves: Sequence[bool],
        exploring: tuple[Tensor, Tensor, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Does the work of updates, each of which may move the target, and may act after them.

        All of it can be compiled.  Where the agent acts, ``action`` is among the metrics.
        """
        for source, move_target in zip(sources, moves, strict=True):
            loss, td_error = self.loss(gather(source))
            norm = descend(loss, self.optimizer, self.config.max_grad_norm)
            if move_target:
                polyak(self.target, self.q, self.config.tau)
        metrics = {"loss/q": loss.detach(), "td_error": td_error, "grad_norm/q": norm}
        return metrics | {"action": self.explore(*exploring)} if exploring else metrics

    def loss(self, batch: Batch, target: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns the loss and the mean absolute temporal-difference error, both ``(S,)``."""
        target = self.td_target(batch) if target is None else target  # (S, B)
        index = (batch.action - self.first_action).unsqueeze(-1)
        q = self.q(batch.obs).gather(-1, index).squeeze(-1)  # (S, B)
        elementwise = F.smooth_l1_loss if self.config.loss == "huber" else F.mse_loss
        loss: Tensor = elementwise(q, target, reduction="none").mean(-1)
        return loss, (q - target).detach().abs().mean(-1)

    @torch.no_grad()
    def td_target(self, batch: Batch) -> Tensor:
        """Returns the reward and the discounted value of what follows, ``(S, B)``."""
        values: Tensor = self.target(batch.next_obs)  # (S, B, A)
        chooser = self.q(batch.next_obs) if self.config.double else values
        next_value = values.gather(-1, chooser.argmax(-1, keepdim=True)).squeeze(-1)
        return batch.reward + batch.discount * next_value

    def learners(self) -> dict[str, Learner]:
        return {
            "q": Learner(
                self.q,
                self.optimizer,
                self.target,
                inputs=lambda batch: (batch.obs,),
                values=lambda q: q.max(-1).values,
                td_target=lambda batch, _: self.td_target(batch),
                actions=lambda q: q.argmax(-1),
                # never the compiled one
                loss=lambda batch, _, target: DQN.loss(self, batch, target)[0],
            )
        }
