"""Remedies that are networks of another make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from agents.settings import AT_LEAST_ONE, AT_LEAST_ZERO, Rule
from networks import Architecture, SimBaConfig, observe
from networks.norms import LayerNorm
from networks.simba import RunningNorm
from plasticity.mitigations.base import Mitigation, MitigationConfig
from plasticity.mitigations.optimizers import MakeOptimizer


@dataclass(frozen=True)
class LayerNormConfig(MitigationConfig):
    """Settings of layer-norm."""


class Gains(Mitigation[LayerNormConfig]):
    """Reports ``gain``, the mean absolute gain of all LayerNorms of a network; 1 at first."""

    @torch.no_grad()
    def report(self) -> dict[str, Tensor]:
        norms = [m for m in self.subject.network.modules() if isinstance(m, LayerNorm)]
        gains = [norm.gain.abs().reshape(self.subject.num_seeds, -1) for norm in norms]
        return {"gain": torch.cat(gains, 1).mean(1)} if gains else {}


def layer_norm(config: LayerNormConfig, name: str, usual: Architecture) -> Architecture:
    """Normalises the pre-activations of every hidden layer (Lyle et al. 2023, arXiv 2303.01486)."""
    return replace(usual, layer_norm=True)


@dataclass(frozen=True)
class SimBaRemedyConfig(MitigationConfig):
    """Settings of simba; the learning rate is the agent's, the paper has 1e-4 for all networks."""

    actor_blocks: int = 1
    """Residual blocks of an actor."""
    actor_width: int = 128
    """Width of the residual stream of an actor."""
    critic_blocks: int = 2
    """Residual blocks of a critic or Q-network."""
    critic_width: int = 512
    """Width of the residual stream of a critic or Q-network."""
    weight_decay: float = 1e-2
    """Share of each weight, times the learning rate, that every step takes away (AdamW)."""

    def rules(self) -> Mapping[str, Rule]:
        sizes = ("actor_blocks", "actor_width", "critic_blocks", "critic_width")
        return {**dict.fromkeys(sizes, AT_LEAST_ONE), "weight_decay": AT_LEAST_ZERO}


def simba(config: SimBaRemedyConfig, name: str, usual: Architecture) -> Architecture:
    """Residual blocks over normalised observations (Lee et al. 2025, arXiv 2410.09754)."""
    if name == "actor":
        size = SimBaConfig(config.actor_blocks, config.actor_width)
    else:
        size = SimBaConfig(config.critic_blocks, config.critic_width)
    return replace(usual, simba=size)


def simba_optimizer(
    config: SimBaRemedyConfig, usual: MakeOptimizer, seeds: Sequence[int]
) -> MakeOptimizer:
    """Returns a function that makes AdamW.

    As in the authors' code (SonyResearch/simba) all parameters decay, also biases and the gains of
    normalisations (and alphas, which it does not have); the temperature does not.
    """

    def make(name: str, parameters: Sequence[nn.Parameter], learning_rate: float) -> Optimizer:
        decay = config.weight_decay
        return torch.optim.AdamW(parameters, learning_rate, weight_decay=decay, fused=True)

    return make


class SimBaStatistics(Mitigation[SimBaRemedyConfig]):
    """Shows the observations that the agent acts on to the network and its target.

    The running mean and variance that normalise observations are part of the networks, and are
    saved with them.  It reports ``observations``, how many they have seen.
    """

    def observe(self, obs: Tensor) -> None:
        for network in (self.subject.network, self.subject.learner.target):
            if network is not None:
                observe(network, obs)

    def report(self) -> dict[str, Tensor]:
        (norm,) = (m for m in self.subject.network.modules() if isinstance(m, RunningNorm))
        return {"observations": norm.count.reshape(self.subject.num_seeds, -1)[:, 0]}
