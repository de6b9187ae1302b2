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
from networks.layers import Conv2d, Init, Linear, MaxPool
from networks.norms import LayerNorm


@dataclass(frozen=True)
class SimBaConfig:
    """Size of a SimBa network (Lee et al. 2025); theirs: actor 1 x 128, critic 2 x 512."""

    num_blocks: int = 1
    """Residual blocks."""
    width: int = 128
    """Width of the residual stream; the hidden layers inside of the blocks are 4 times as wide."""

    def __post_init__(self) -> None:
        for name in ("num_blocks", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` should be at least 1. Received {getattr(self, name)}")


@dataclass(frozen=True)
class Architecture:
    """What the hidden layers of a network are made of.

    Attributes:
        hidden: Widths of the dense hidden layers; SimBa has its own.
        activation: Name of the activation after each hidden layer.
        adalin: Options of the ``adalin-*`` activations.
        layer_norm: Normalise the pre-activations of every hidden layer.
        halve: Halve the number of units where the activation has two outputs for each (``crelu``,
            ``fourier``), so that the next layer has as many inputs as with other activations.
        simba: Residual blocks in place of ``hidden`` (see ``SimBa``), of this size.

    Raises:
        ValueError: If ``layer_norm`` is set together with ``simba``.
    """

    hidden: tuple[int, ...]
    activation: str = "adalin-relu"
    adalin: AdaLinConfig = field(default_factory=AdaLinConfig)
    layer_norm: bool = False
    halve: bool = False
    simba: SimBaConfig | None = None

    def __post_init__(self) -> None:
        if self.layer_norm and self.simba:
            raise ValueError(
                "`layer_norm` should be False with SimBa, which has its own. Received True"
            )

    @property
    def head_init(self) -> Init:
        """How the weights behind the torso start."""
        return "orthogonal" if self.simba else "uniform"

    def units(self, width: int) -> int:
        """Returns the number of units of a hidden layer that is to be ``width`` wide.

        Raises:
            ValueError: If an odd width is to be halved.
        """
        if not self.halve or make_activation(self.activation, 1).expansion == 1:
            return width
        if width % 2:
            raise ValueError(
                f"hidden widths should be even to be halved for {self.activation!r}. "
                f"Received {width}"
            )
        return width // 2


@dataclass(frozen=True)
class Convolutions:
    """The convolutions in front of the dense layers.

    Attributes:
        filters: Output channels, side of the kernel and stride of each.
        pool: Side of the max-pooling behind each activation; 1: there is none.
    """

    filters: tuple[tuple[int, int, int], ...]
    pool: int = 1

    @property
    def smallest(self) -> int:
        """The side of the smallest images that leave something."""
        side = 1
        for _, kernel, stride in reversed(self.filters):
            side = (side * self.pool - 1) * stride + kernel
        return side

    def after(self, side: int) -> int:
        """The side of what is left of images of such a side."""
        for _, kernel, stride in self.filters:
            side = ((side - kernel) // stride + 1) // self.pool
        return side


ATARI = Convolutions(((32, 8, 4), (64, 4, 2), (64, 3, 1)))
MINATAR = Convolutions(((16, 3, 1),))


def convolutions_for(image_shape: Sequence[int]) -> Convolutions:
    """Returns the convolutions of Mnih et al. 2015, or of MinAtar for images of up to 16 x 16.

    Raises:
        ValueError: If an image is too small for them.
    """
    chosen = MINATAR if max(image_shape[1:]) <= 16 else ATARI
    if min(image_shape[1:]) < chosen.smallest:
        raise ValueError(
            "the convolutional network needs images (C, H, W) of 3 x 3 to 16 x 16, or of "
            f"at least 36 x 36. Received {tuple(image_shape)}"
        )
    return chosen


def pixels(x: Tensor) -> Tensor:
    """Scales uint8 to [0, 1]; other types stay."""
    return x.to(torch.get_default_dtype()) / 255 if x.dtype == torch.uint8 else x


class Layer(nn.Sequential):
    """A weight layer, perhaps a normalisation, and an activation: what the probe looks at.

    Attributes:
        num_outputs: How many outputs the activation has.
    """

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
        parts: OrderedDict[str, nn.Module] = OrderedDict(weights=weights)
        if architecture.layer_norm:
            parts["norm"] = LayerNorm(num_features, weights.lead, dim)
        super().__init__(parts | {"activation": activation})
        self.num_outputs = activation.expansion * num_features
        self.weights: Linear | Conv2d
        self.activation: Activation


class Torso(nn.Module):
    """Hidden layers from an observation, and further inputs, to features.

    Vectors go through dense layers of the widths ``architecture.hidden``.  Images (C, H, W) first
    go through the three convolutions of Mnih et al. 2015, those of up to 16 x 16 through the one
    of MinAtar (Young and Tian 2019), or through those given; uint8 is scaled to [0, 1].

    Args:
        observation_shape: Shape of one observation: three axes are an image, others are flattened.
        lead: Leading axes of the network.
        architecture: Widths and activations.
        extra_inputs: Number of inputs that join before the dense layers (actions of a critic).
        convolutions: Those for images; None: by the size of the images, see above.

    Raises:
        ValueError: If an image is too small for its convolutions, or a width can't be halved.
    """

    def __init__(
        self,
        observation_shape: Sequence[int],
        lead: tuple[int, ...],
        architecture: Architecture,
        extra_inputs: int = 0,
        convolutions: Convolutions | None = None,
    ) -> None:
        super().__init__()
        self.observation_axes = len(observation_shape)
        num_inputs = math.prod(observation_shape)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if len(observation_shape) == 3:
            chosen = convolutions or convolutions_for(observation_shape)
            channels, height, width = observation_shape
            for i, (out, kernel, stride) in enumerate(chosen.filters):
                units = architecture.units(out)
                last = i + 1 == len(chosen.filters) and chosen.pool == 1
                weights = Conv2d(channels, units, kernel, stride, lead, before_dense=last)
                layers[f"conv_{i + 1}"] = layer = Layer(weights, units, -3, architecture)
                if chosen.pool > 1:
                    layers[f"pool_{i + 1}"] = MaxPool(chosen.pool)
                channels = layer.num_outputs
            num_inputs = channels * chosen.after(height) * chosen.after(width)
        self.convolutions = nn.Sequential(layers)
        dense: OrderedDict[str, nn.Module] = OrderedDict()
        before = num_inputs + extra_inputs
        for i, width in enumerate(architecture.hidden):
            units = architecture.units(width)
            layer = Layer(Linear(before, units, lead), units, -1, architecture)
            dense[f"layer_{i + 1}"] = layer
            before = layer.num_outputs
        self.dense = nn.Sequential(dense)
        self.num_features = before
        share_alpha(self)

    def forward(self, observations: Tensor, extra: Tensor | None = None) -> Tensor:
        """Maps ``(*lead, B, *observation_shape)`` and ``(*lead, B, E)`` to ``(*lead, B, F)``."""
        x = self.convolutions(pixels(observations)).flatten(-self.observation_axes)
        if extra is not None:
            x = torch.cat((x, extra), dim=-1)
        features: Tensor = self.dense(x)
        return features
