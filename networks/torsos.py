"""Torsos: from observations to features."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from networks.activations import Activation, AdaLinConfig, make_activation
from networks.adalin import share_alpha
from networks.layers import Conv2d, Linear


@dataclass(frozen=True)
class Architecture:
    """What the hidden layers of a network are made of.

    Attributes:
        hidden: Widths of the dense hidden layers.
        activation: Name of the activation after each hidden layer.
        adalin: Options of the ``adalin-*`` activations.
    """

    hidden: tuple[int, ...]
    activation: str = "adalin-relu"
    adalin: AdaLinConfig = field(default_factory=AdaLinConfig)


ATARI = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
MINATAR = ((16, 3, 1),)
"""Convolutions: output channels, side of the kernel, stride."""


class Layer(nn.Sequential):
    """A weight layer and the activation behind it: what the probe looks at."""

    def __init__(
        self, weights: Linear | Conv2d, num_features: int, dim: int, architecture: Architecture
    ) -> None:
        activation = make_activation(
            architecture.activation,
            num_features,
            dim=dim,
            lead=weights.lead,
            adalin=architecture.adalin,
        )
        super().__init__(OrderedDict(weights=weights, activation=activation))
        self.weights: Linear | Conv2d
        self.activation: Activation


class Torso(nn.Module):
    """Hidden layers from an observation, and further inputs, to features.

    Vectors go through dense layers of the widths ``architecture.hidden``.  Images (C, H, W) first
    go through the three convolutions of Mnih et al. 2015, those of up to 16 x 16 through the one
    of MinAtar (Young and Tian 2019); uint8 is scaled to [0, 1].

    Args:
        observation_shape: Shape of one observation: three axes are an image, others are flattened.
        lead: Leading axes of the network.
        architecture: Widths and activations.
        extra_inputs: Number of inputs that join before the dense layers (actions of a critic).

    Raises:
        ValueError: If an image is too small for its convolutions.
    """

    def __init__(
        self,
        observation_shape: Sequence[int],
        lead: tuple[int, ...],
        architecture: Architecture,
        extra_inputs: int = 0,
    ) -> None:
        super().__init__()
        self.observation_axes = len(observation_shape)
        num_inputs = math.prod(observation_shape)
        convolutions: OrderedDict[str, nn.Module] = OrderedDict()
        if len(observation_shape) == 3:
            channels, height, width = observation_shape
            small = max(height, width) <= 16
            if min(height, width) < (3 if small else 36):
                raise ValueError(
                    "the convolutional network needs images (C, H, W) of 3 x 3 to 16 x 16, or of "
                    f"at least 36 x 36. Received {tuple(observation_shape)}"
                )
            for i, (out, kernel, stride) in enumerate(MINATAR if small else ATARI):
                weights = Conv2d(channels, out, kernel, stride, lead)
                convolutions[f"conv_{i + 1}"] = Layer(weights, out, -3, architecture)
                channels = out
                height, width = ((side - kernel) // stride + 1 for side in (height, width))
            num_inputs = channels * height * width
        self.convolutions = nn.Sequential(convolutions)
        dense: OrderedDict[str, nn.Module] = OrderedDict()
        before = num_inputs + extra_inputs
        for i, width in enumerate(architecture.hidden):
            dense[f"layer_{i + 1}"] = Layer(Linear(before, width, lead), width, -1, architecture)
            before = width
        self.dense = nn.Sequential(dense)
        self.num_features = before
        share_alpha(self)

    def forward(self, observations: Tensor, extra: Tensor | None = None) -> Tensor:
        """Maps ``(*lead, B, *observation_shape)`` and ``(*lead, B, E)`` to ``(*lead, B, F)``."""
        x = observations
        if x.dtype == torch.uint8:
            x = x.to(torch.get_default_dtype()) / 255
        x = self.convolutions(x).flatten(-self.observation_axes)
        if extra is not None:
            x = torch.cat((x, extra), dim=-1)
        features: Tensor = self.dense(x)
        return features
