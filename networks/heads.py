"""Whole networks: a torso with the head that an algorithm needs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from networks.layers import Linear
from networks.simba import SimBa
from networks.torsos import Architecture, Torso

LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0


def make_torso(
    observation_shape: Sequence[int],
    lead: tuple[int, ...],
    architecture: Architecture,
    extra_inputs: int = 0,
) -> Torso | SimBa:
    """Makes the hidden layers that ``architecture`` asks for."""
    kind = SimBa if architecture.simba else Torso
    return kind(observation_shape, lead, architecture, extra_inputs)


class QNetwork(nn.Module):
    """Action values of a discrete action space.

    Args:
        observation_shape: Shape of one observation.
        num_actions: Number of actions A.
        num_seeds: Number of seeds S.
        architecture: Widths and activations.
        dueling: Split the head into value and advantages, Q = V + A - mean(A) (Wang et al. 2016).
    """

    def __init__(
        self,
        observation_shape: Sequence[int],
        num_actions: int,
        num_seeds: int,
        architecture: Architecture,
        dueling: bool = False,
    ) -> None:
        super().__init__()
        lead = (num_seeds,)
        self.dueling = dueling
        self.torso = make_torso(observation_shape, lead, architecture)
        self.head = Linear(
            self.torso.num_features, num_actions + dueling, lead, architecture.head_init
        )

    def forward(self, observations: Tensor) -> Tensor:
        """Maps observations ``(S, B, ...)`` to values ``(S, B, A)``."""
        outputs: Tensor = self.head(self.torso(observations))
        if not self.dueling:
            return outputs
        value, advantages = outputs[..., :1], outputs[..., 1:]
        return value + advantages - advantages.mean(-1, keepdim=True)


class GaussianActor(nn.Module):
    """A Gaussian squashed by tanh, on actions in [-1, 1] (Haarnoja et al. 2018)."""

    def __init__(
        self,
        observation_shape: Sequence[int],
        action_size: int,
        num_seeds: int,
        architecture: Architecture,
    ) -> None:
        super().__init__()
        lead = (num_seeds,)
        self.torso = make_torso(observation_shape, lead, architecture)
        self.head = Linear(self.torso.num_features, 2 * action_size, lead, architecture.head_init)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Maps observations ``(S, B, ...)`` to mean and log standard deviation, both (S, B, A)."""
        mean, log_std = self.head(self.torso(observations)).chunk(2, dim=-1)
        return mean, log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)

    def sample(self, observations: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draws actions with the reparametrisation trick.

        Args:
            observations: ``(S, B, ...)``.
            noise: Standard normal, ``(S, B, A)``.

        Returns:
            Actions in [-1, 1], ``(S, B, A)``, and their log-probabilities, ``(S, B)``.
        """
        mean, log_std = self(observations)
        x = mean + log_std.exp() * noise  # (S, B, A), before the squashing
        gaussian = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
        # log(1 - tanh(x)^2), exact also where tanh(x) rounds to 1
        squashing = 2 * (math.log(2) - x - F.softplus(-2 * x))
        return torch.tanh(x), (gaussian - squashing).sum(-1)


class TwinCritic(nn.Module):
    """Two action-value networks of every seed (clipped double Q-learning, Fujimoto et al. 2018)."""

    def __init__(
        self,
        observation_shape: Sequence[int],
        action_size: int,
        num_seeds: int,
        architecture: Architecture,
    ) -> None:
        super().__init__()
        lead = (num_seeds, 2)
        self.torso = make_torso(observation_shape, lead, architecture, extra_inputs=action_size)
        self.head = Linear(self.torso.num_features, 1, lead, architecture.head_init)

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Maps observations ``(S, B, ...)`` and actions ``(S, B, A)`` to values ``(S, 2, B)``."""
        both = (-1, 2, *(-1,) * (observations.dim() - 1))
        features = self.torso(
            observations.unsqueeze(1).expand(both), actions.unsqueeze(1).expand(-1, 2, -1, -1)
        )
        values: Tensor = self.head(features)
        return values.squeeze(-1)
