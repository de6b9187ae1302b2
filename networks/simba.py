"""SimBa (Lee et al. 2025): residual blocks over normalised observations.

The order of the operations and the initialisation are those of the authors' code
(SonyResearch/simba): observations by their running statistics, then actions beside them, a linear
embedding, residual blocks with normalisation before, and a last normalisation.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from networks.adalin import share_alpha
from networks.fused import beside
from networks.layers import Linear
from networks.norms import LayerNorm
from networks.torsos import Architecture, Layer


class RunningNorm(nn.Module):
    """Normalises observations by the mean and variance of all that were observed so far.

    The statistics are buffers that only ``observe`` changes: neither optimizers, Polyak averages
    nor ``initialize`` do, so a target network has to observe, too. Before the first observation the
    mean is 0 and the variance 1.

    Args:
        num_features: Length of an observation O.
        lead: Leading axes of the network.

    Attributes:
        mean: ``(*lead, O)``.
        var: ``(*lead, O)``.
        count: Observations so far, ``lead``.
    """

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, num_features: int, lead: tuple[int, ...]) -> None:
        super().__init__()
        self.lead = lead
        self.register_buffer("mean", torch.zeros(*lead, num_features))
        self.register_buffer("var", torch.ones(*lead, num_features))
        self.register_buffer("count", torch.zeros(lead, dtype=torch.int64))

    @torch.no_grad()
    def observe(self, observations: Tensor) -> None:
        """Takes observations ``(S, N, ...)`` into the statistics of their seeds, in place.

        The parallel formula of Chan et al. 1979, with population variances.
        """
        new = observations.flatten(2).to(self.mean.dtype)  # (S, N, O)
        var, mean = torch.var_mean(new, 1, correction=0)
        copies = (len(new), *(1,) * (len(self.lead) - 1), -1)
        var, mean = var.view(copies), mean.view(copies)  # (S, 1, O) for twin critics
        self.count += new.shape[1]
        share = new.shape[1] / self.count.to(self.mean.dtype).unsqueeze(-1)  # (*lead, 1)
        between = (mean - self.mean).square() * share * (1 - share)
        self.var.lerp_(var, share).add_(between)
        self.mean.lerp_(mean, share)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(*lead, B, O)`` to the same shape."""
        mean, var = (beside(x, part, -1) for part in (self.mean, self.var))
        return (x - mean) * torch.rsqrt(var + 1e-8)

    def extra_repr(self) -> str:
        return f"{self.mean.shape[-1]}, lead={self.lead}"


def observe(network: nn.Module, observations: Tensor) -> None:
    """Shows observations ``(S, N, ...)`` to every ``RunningNorm`` inside ``network``."""
    for module in network.modules():
        if isinstance(module, RunningNorm):
            module.observe(observations)


class Block(nn.Module):
    """``x + W2 activation(W1 norm(x))``, four times as wide inside."""

    def __init__(self, width: int, lead: tuple[int, ...], architecture: Architecture) -> None:
        super().__init__()
        units = architecture.units(4 * width)
        self.norm = LayerNorm(width, lead)
        self.hidden = Layer(Linear(width, units, lead, "he"), units, -1, architecture)
        self.projection = Linear(self.hidden.num_outputs, width, lead, "he")

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(*lead, B, width)`` to the same shape."""
        inner: Tensor = self.projection(self.hidden(self.norm(x)))
        return x + inner


class SimBa(nn.Module):
    """Hidden layers from a vector observation, and further inputs, to features.

    Args:
        observation_shape: Shape of one observation; it is flattened.
        lead: Leading axes of the network.
        architecture: Size (its ``simba``) and activation.
        extra_inputs: Number of inputs that join behind the normalisation (actions of a critic).

    Raises:
        ValueError: If observations are images, or ``architecture`` has no ``simba``.
    """

    def __init__(
        self,
        observation_shape: Sequence[int],
        lead: tuple[int, ...],
        architecture: Architecture,
        extra_inputs: int = 0,
    ) -> None:
        super().__init__()
        if len(observation_shape) == 3:
            raise ValueError(
                "SimBa needs vector observations, it has no convolutions. "
                f"Received images of shape {tuple(observation_shape)}"
            )
        if architecture.simba is None:
            raise ValueError("`simba` of the architecture should be a SimBaConfig. Received None")
        size, width = math.prod(observation_shape), architecture.simba.width
        self.observation_axes = len(observation_shape)
        self.running_norm = RunningNorm(size, lead)
        self.embedding = Linear(size + extra_inputs, width, lead, "orthogonal")
        self.blocks = nn.Sequential(
            OrderedDict(
                (f"block_{i + 1}", Block(width, lead, architecture))
                for i in range(architecture.simba.num_blocks)
            )
        )
        self.norm = LayerNorm(width, lead)
        self.num_features = width
        share_alpha(self)

    def forward(self, observations: Tensor, extra: Tensor | None = None) -> Tensor:
        """Maps ``(*lead, B, *observation_shape)`` and ``(*lead, B, E)`` to ``(*lead, B, F)``."""
        x = observations.to(self.embedding.weight.dtype).flatten(-self.observation_axes)
        x = self.running_norm(x)
        if extra is not None:
            x = torch.cat((x, extra), dim=-1)
        features: Tensor = self.norm(self.blocks(self.embedding(x)))
        return features
