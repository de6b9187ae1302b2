"""Whole networks start anew: fully, in part, by new directions, or from their own slow average."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from agents import Learner
from agents.descent import SGD, Adam, polyak
from agents.settings import AT_LEAST_ZERO, UNIT_INTERVAL, Rule
from plasticity.layers import forget_statistics, lead_of, weight_layers
from plasticity.mitigations.base import Mitigation, MitigationConfig, Subject, by_seed

C = TypeVar("C", bound=MitigationConfig)


class Surgery(Mitigation[C]):
    """A remedy that changes a whole network of all seeds at a cadence, and reports how often."""

    def done(self, name: str) -> None:
        """Counts one operation for each seed."""
        streams = self.subject.streams
        self.count(name, torch.ones(self.subject.num_seeds, device=streams.device))


def forget(subject: Subject, parameter: nn.Parameter) -> None:
    """Makes the optimizer new for a parameter: no moments, and its steps are counted from 0.

    Optimizers that keep more than ``state[parameter]`` keep that: the references of TRAC, the
    preconditioners of Kron (whose momentum is zeroed).
    """
    optimizer = subject.learner.optimizer
    if isinstance(optimizer, Adam | SGD):
        optimizer.forget(parameter)  # in place: compiled code holds its tensors
    else:
        subject.zero_moments(parameter)
        optimizer.state.pop(parameter, None)


@dataclass(frozen=True)
class ShrinkPerturbConfig(MitigationConfig):
    """Settings of shrink-perturb."""

    every: int = 20_000
    """Updates between two operations."""
    shrink: float = 0.5
    """Share of each weight that is taken away."""
    perturb: float = 0.5
    """Share of a new initialisation that is added."""

    def rules(self) -> Mapping[str, Rule]:
        return {"shrink": UNIT_INTERVAL, "perturb": AT_LEAST_ZERO}


class ShrinkPerturb(Surgery[ShrinkPerturbConfig]):
    """Moves the weights toward 0 and toward a new initialisation (Ash and Adams 2020).

    ``theta <- (1 - shrink) theta + perturb * theta_new``, for weights and biases of all dense and
    convolutional layers; normalisations and alphas stay.  Cadence and shares are those of BBF for
    its encoder (Schwarzer et al. 2023), whose head starts fully anew; here the head is treated like
    the rest.  The factors in both papers are the share that is kept, 1 - shrink.  Small steps after
    every update, as in Dohare et al. 2024, are ``every`` 1 with shares near 1e-6.

    The optimizer keeps moments and step counts.  The target network is left alone, and follows by
    its own rule (that of BBF is perturbed, too).
    """

    @torch.no_grad()
    def operate(self) -> None:
        network, fresh = self.subject.network, self.subject.fresh()
        layers = weight_layers(network).values()
        own = {p for layer in layers for p in layer.parameters(recurse=False)}
        for name, parameter in network.named_parameters():
            if parameter in own:
                parameter.mul_(1 - self.config.shrink)
                parameter.add_(fresh[name], alpha=self.config.perturb)
        self.done("perturbations")


@dataclass(frozen=True)
class ResetConfig(MitigationConfig):
    """Settings of reset."""

    every: int = 200_000
    """Updates between two resets."""
    q_layers: int = 2
    """Weight layers of a Q-network to reset, counted from the output; 0: all. Other networks are
    reset whole."""

    def rules(self) -> Mapping[str, Rule]:
        return {"q_layers": AT_LEAST_ZERO}


class Reset(Surgery[ResetConfig]):
    """Starts networks anew, and keeps the replay (Nikishin et al. 2022, arXiv 2205.07802).

    Actor, critic and the temperature of SAC take the values of a new initialisation, and their
    optimizers are new: no moments, step counts from 0.  Running statistics of batch normalisations
    are 0 and 1 again.  Of a Q-network (``q``; ``q_net`` and ``quantile_net`` in stable-baselines3)
    only the last layers do, with the normalisations and alphas behind them; a parameter that
    earlier layers share stays.  The target takes the same values, as a copy.  All seeds are reset
    at the same update.

    The cadence is that of the paper for SAC, at one update per environment step.  Its Rainbow
    leaves the target, which it copies anyway in each step, and trains some more after a reset,
    which nothing here does.  The running statistics of SimBa's observations stay.
    """

    @torch.no_grad()
    def operate(self) -> None:
        subject, fresh = self.subject, self.subject.fresh()
        target = subject.learner.target
        of_target = dict(target.named_parameters()) if target is not None else {}
        for name, parameter in (anew := self.anew()).items():
            parameter.copy_(fresh[name])
            forget(subject, parameter)
            if name in of_target:
                of_target[name].copy_(parameter)
        forget_statistics(subject.network, anew)
        if target is not None:
            forget_statistics(target, anew)
        self.done("resets")

    def anew(self) -> dict[str, nn.Parameter]:
        """The parameters to reset by name: all from the first weight layer to reset onward."""
        network = self.subject.network
        named = list(network.named_parameters())
        layers = self.config.q_layers if self.subject.name.startswith("q") else 0
        weights: list[Any] = list(weight_layers(network).values())
        if not 0 < layers < len(weights):
            return dict(named)
        first = next(i for i, (_, p) in enumerate(named) if p is weights[-layers].weight)
        return dict(named[first:])

    @classmethod
    def suits(cls, learner: Learner) -> bool:
        return True  # the temperature, too


@dataclass(frozen=True)
class FIREConfig(MitigationConfig):
    """Settings of fire."""

    every: int = 200_000
    """Updates between two operations."""


class FIRE(Surgery[FIREConfig]):
    """Makes all weights orthogonal, as near to what they are as can be (2026, arXiv 2602.08040).

    Every weight of dense and convolutional layers, also input and output, becomes
    ``orthogonalized(W) sqrt(O / I)``, each copy and, of a convolution, each position of the kernel
    apart, and divided by their number.  Biases, normalisations and alphas stay.  Target parameters
    become those of the network, and the optimizer is new: no moments, steps from 0.

    The authors (isaac7778/FIRE) do so once, when the data change; agents are not told of that here,
    so it is done at the cadence of ``reset``.  For SAC they also start the temperature anew, for
    DQN they put all dense layers back to their first values; neither is done here.
    """

    @torch.no_grad()
    def operate(self) -> None:
        network, target = self.subject.network, self.subject.learner.target
        for module in weight_layers(network).values():
            weight: Any = module.weight
            shape = weight.shape[: len(lead_of(module)) + 2]
            matrices = weight.reshape(*shape, -1).movedim(-1, -3)  # (*lead, positions, O, I)
            positions, num_outputs, num_inputs = matrices.shape[-3:]
            matrices = orthogonalized(matrices) * math.sqrt(num_outputs / num_inputs) / positions
            weight.copy_(matrices.movedim(-3, -1).reshape(weight.shape))
        if target is not None:
            polyak(target, network, 1.0)
        for parameter in network.parameters():
            forget(self.subject, parameter)
        self.done("projections")


def orthogonalized(matrices: Tensor, iterations: int = 10) -> Tensor:
    """Pushes the singular values of matrices toward 1; singular vectors stay.

    Cubic Newton-Schulz iteration from ``X = W / |W|_F``: ``X <- 1.5 X - 0.5 X X^T X``.  Each step
    multiplies small singular values by 1.5 only, so those below a hundredth of the norm are still
    below 1 after 10.

    Args:
        matrices: ``(..., O, I)``; matrices of zeros stay.
        iterations: Number of steps.
    """
    norm = torch.linalg.matrix_norm(matrices, keepdim=True)
    x = matrices / norm.masked_fill(norm == 0, 1)
    tall = x.shape[-2] >= x.shape[-1]
    x = x if tall else x.mT
    for _ in range(iterations):
        x = 1.5 * x - 0.5 * x @ (x.mT @ x)
    result: Tensor = x if tall else x.mT
    return result


@dataclass(frozen=True)
class HareTortoiseConfig(MitigationConfig):
    """Settings of hare-tortoise."""

    every: int = 2_000
    """Updates between two returns of the weights to their slow average."""
    decay: float = 0.999
    """Share that the slow average keeps in each step of the optimizer."""


class HareTortoise(Surgery[HareTortoiseConfig]):
    """Puts the weights back to their own slow average (Lee et al. 2024, arXiv 2406.02596).

    After each step of the optimizer ``slow <- decay slow + (1 - decay) theta``, from the first
    weights on; at the cadence ``theta <- slow``.  All parameters, alphas and normalisations, too.
    Moments, steps, running statistics and the target stay.  The agent acts by the fast weights.

    The authors' code (dojeon-ai/Hare-Tortoise) is supervised only: every 10 epochs of CIFAR-10,
    which are 1,960 steps.  There the fast weights then share the memory of the slow ones for one
    step, which is a slip; here they never do.  It reports the ``distance`` of both, an L2 norm.
    """

    def __init__(self, config: HareTortoiseConfig, subject: Subject) -> None:
        super().__init__(config, subject)
        self.fast: list[Tensor] = list(subject.network.parameters())
        self.slow = [p.detach().clone() for p in self.fast]

    @torch.no_grad()
    def after_step(self) -> None:
        torch._foreach_lerp_(self.slow, self.fast, 1 - self.config.decay)

    @torch.no_grad()
    def operate(self) -> None:
        torch._foreach_copy_(self.fast, self.slow)
        self.done("returns")

    @torch.no_grad()
    def report(self) -> dict[str, Tensor]:
        pairs = zip(self.fast, self.slow, strict=True)
        squares = [by_seed((f - s).square(), self.subject.num_seeds) for f, s in pairs]
        return super().report() | {"distance": torch.stack(squares).sum(0).sqrt()}

    def state_dict(self) -> dict[str, Tensor]:
        return {str(i): slow for i, slow in enumerate(self.slow)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for i, slow in enumerate(self.slow):
            slow.copy_(state[str(i)])
