"""Weights that are kept in bounds: clipped one by one, or at the norm that they started with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from networks import Architecture
from plasticity.layers import lead_of, weight_layers
from plasticity.mitigations.base import Mitigation, MitigationConfig, Subject, by_seed


@dataclass(frozen=True)
class WeightClippingConfig(MitigationConfig):
    """Settings of weight-clipping."""

    kappa: float = 3.0
    """Bound of weights and biases, in units of 1 / sqrt(number of inputs)."""


class WeightClipping(Mitigation[WeightClippingConfig]):
    """Keeps every weight within bounds (Elsayed et al. 2024, arXiv 2407.01704).

    After each step of the optimizer weights and biases of dense and convolutional layers, also of
    the output, are clamped to ``+-kappa / sqrt(I)``, I the number of inputs of a unit.  LayerNorms
    and alphas are free, moments stay.

    Layers start within kappa 1, the bound of PyTorch's uniform draw (those of SimBa and ResNets are
    drawn otherwise).  The authors take kappa 1 to 5 for classification and 3 for PPO; their code
    (mohmdelsayed/weight-clipping) also clips gains, by the bound of the weight before, a slip.

    It reports ``clipped_share``, the share of these numbers that are at their bound.

    Raises:
        ValueError: If the network has no dense or convolutional layers.
    """

    def __init__(self, config: WeightClippingConfig, subject: Subject) -> None:
        super().__init__(config, subject)
        self.parameters: list[Tensor] = []
        self.bounds: list[float] = []
        for module in weight_layers(subject.network).values():
            weight = module.get_parameter("weight")
            num_inputs = weight.shape[len(lead_of(module)) + 1 :].numel()
            for parameter in module.parameters(recurse=False):
                self.parameters.append(parameter)
                self.bounds.append(config.kappa / math.sqrt(num_inputs))
        if not self.parameters:
            raise ValueError("it has no dense or convolutional layers, so no weights to clip")

    @torch.no_grad()
    def after_step(self) -> None:
        torch._foreach_clamp_min_(self.parameters, [-bound for bound in self.bounds])
        torch._foreach_clamp_max_(self.parameters, self.bounds)

    @torch.no_grad()
    def report(self) -> dict[str, Tensor]:
        seeds = self.subject.num_seeds
        pairs = zip(self.parameters, self.bounds, strict=True)
        clipped = torch.stack([by_seed(p.abs() >= bound, seeds) for p, bound in pairs]).sum(0)
        return {"clipped_share": clipped / (sum(p.numel() for p in self.parameters) / seeds)}


@dataclass(frozen=True)
class NaPConfig(MitigationConfig):
    """Settings of nap."""

    project_output: bool = False
    """Keep the norm of the output layer, too."""


def nap_architecture(config: NaPConfig, name: str, usual: Architecture) -> Architecture:
    """Normalises the pre-activations of every hidden layer, so that the norm of weights is free."""
    return replace(usual, layer_norm=True)


class NaP(Mitigation[NaPConfig]):
    """Normalize-and-Project: weights keep their first norm (Lyle et al. 2024, arXiv 2407.01800).

    Behind a LayerNorm the scale of weights does not matter to the output, but the larger they are
    the less a step turns them.  So after each step of the optimizer the weights of every hidden
    layer are scaled to the Frobenius norm that they had at first, each copy apart.  Gain g and bias
    b of the LayerNorm are scaled together to ``|g|^2 + |b|^2 = F``, the number of units, where they
    start.  With homogeneous activations, such as ReLU, and biases of 0 that changes outputs by a
    factor only; with others it is a projection like any other.

    There is no official code.  The joint scaling is that of an independent JAX version; the paper's
    own for other activations, and what it does with the output layer, were not checked.  Biases of
    weights are free here (the paper has none before a LayerNorm).  Weights whose first norm is 0,
    or that have become 0, are left alone.  Moments and the target network stay.  The paper lowers
    the learning rate over time, which is up to the user.

    It reports ``norm_ratio``, the mean over weights of the norm before the last projection divided
    by the first one: how much the last step has made them grow.

    Raises:
        ValueError: If a hidden layer has no LayerNorm before its activation.
    """

    def __init__(self, config: NaPConfig, subject: Subject) -> None:
        super().__init__(config, subject)
        for layer in subject.hidden:
            if layer.norm is None:
                raise ValueError(f"layer {layer.name} has no LayerNorm before its activation")
        if not subject.hidden:
            raise ValueError("it has no hidden layers to project")
        hidden = [layer.weights for layer in subject.hidden]
        self.layers = hidden + [
            module
            for module in weight_layers(subject.network).values()
            if config.project_output and module not in hidden
        ]
        self.norms = [layer.norm for layer in subject.hidden if layer.norm is not None]
        self.first = [norm_of([self._weight(layer)], layer).clone() for layer in self.layers]
        self.ratio = torch.ones(subject.num_seeds, device=subject.streams.device)

    @torch.no_grad()
    def after_step(self) -> None:
        ratios = []
        for layer, first in zip(self.layers, self.first, strict=True):
            norm = scale_to(first, [self._weight(layer)], layer)
            ratio = torch.where(first > 0, norm / first, 1)
            ratios.append(ratio.view(self.subject.num_seeds, -1).mean(1))
        self.ratio = torch.stack(ratios).mean(0)
        for layer in self.norms:
            both = list(layer.parameters(recurse=False))
            units = both[0].shape[len(lead_of(layer)) :].numel()
            scale_to(both[0].new_full((), math.sqrt(units)), both, layer)

    def report(self) -> dict[str, Tensor]:
        return {"norm_ratio": self.ratio}

    def state_dict(self) -> dict[str, Tensor]:
        return {"ratio": self.ratio, **{str(i): first for i, first in enumerate(self.first)}}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.ratio = state["ratio"].to(self.ratio)
        for i, first in enumerate(self.first):
            first.copy_(state[str(i)])

    @staticmethod
    def _weight(layer: nn.Module) -> Tensor:
        return layer.get_parameter("weight")


@torch.no_grad()
def norm_of(parameters: Sequence[Tensor], layer: nn.Module) -> Tensor:
    """The L2 norm of all parameters of a layer together, each copy apart: ``lead``."""
    lead = lead_of(layer)
    squares = [p.reshape(*lead, -1).square().sum(-1) for p in parameters]
    return torch.stack(squares).sum(0).sqrt()


@torch.no_grad()
def scale_to(norm: Tensor, parameters: Sequence[Tensor], layer: nn.Module) -> Tensor:
    """Scales parameters of a layer together to a norm ``lead``, in place, except from or to 0.

    Returns:
        The norm before, ``lead``.
    """
    before = norm_of(parameters, layer)
    scale = torch.where((before > 0) & (norm > 0), norm / before, 1)
    for parameter in parameters:
        parameter.mul_(scale.view(*scale.shape, *(1,) * (parameter.dim() - scale.dim())))
    return before
