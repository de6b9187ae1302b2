"""ResNet-18 for small images (He et al. 2016), many side by side."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from networks.activations import Activation, make_activation
from networks.adalin import share_alpha
from networks.layers import Conv2d, Linear
from networks.norms import NormName, make_norm
from networks.torsos import Architecture, pixels


def _activation(units: int, lead: tuple[int, ...], architecture: Architecture) -> Activation:
    options = architecture.adalin
    return make_activation(architecture.activation, units, dim=-3, lead=lead, adalin=options)


class Block(nn.Module):
    """A basic block: ``activation(norm(conv(activation(norm(conv(x))))) + shortcut(x))``.

    The sum has as many channels as the block has units.  Where its input has others, or the block
    a stride, the shortcut is a 1 x 1 convolution with a normalisation; else it is the input itself.
    An activation with two outputs for each unit doubles the channels behind itself, so every
    shortcut is a convolution then.

    Args:
        in_channels: Channels of the input.
        units: Units of both convolutions.
        stride: Of the first convolution.
        lead: Leading axes.
        architecture: Activation.
        norm: The normalisation behind each convolution.

    Attributes:
        num_outputs: Channels of the output.
    """

    def __init__(
        self,
        in_channels: int,
        units: int,
        stride: int,
        lead: tuple[int, ...],
        architecture: Architecture,
        norm: NormName,
    ) -> None:
        super().__init__()
        self.conv_1 = Conv2d(in_channels, units, 3, stride, lead, 1, before_norm=True)
        self.norm_1 = make_norm(norm, units, lead)
        self.activation_1 = _activation(units, lead, architecture)
        inner = self.activation_1.expansion * units
        self.conv_2 = Conv2d(inner, units, 3, 1, lead, 1, before_norm=True)
        self.norm_2 = make_norm(norm, units, lead)
        self.shortcut: nn.Module = nn.Identity()
        self.shortcut_norm: nn.Module = nn.Identity()
        if in_channels != units or stride != 1:
            self.shortcut = Conv2d(in_channels, units, 1, stride, lead, before_norm=True)
            self.shortcut_norm = make_norm(norm, units, lead)
        self.activation_2 = _activation(units, lead, architecture)
        self.num_outputs = inner

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(*lead, B, C, H, W)`` to ``(*lead, B, O, H', W')``."""
        inner: Tensor = self.activation_1(self.norm_1(self.conv_1(x)))
        inner = self.norm_2(self.conv_2(inner))
        output: Tensor = self.activation_2(inner + self.shortcut_norm(self.shortcut(x)))
        return output


class ResNet18(nn.Module):
    """ResNet-18 with a stem for small images, from images to logits.

    A 3 x 3 convolution without pooling, four stages of two blocks with ``width`` times 1, 2, 4 and
    8 channels, the last three of stride 2, the mean over positions, and a dense layer; as in the
    class-incremental CIFAR-100 of Dohare et al. 2024 (Nature 632, 768).

    Convolutions have no biases, because a normalisation follows each, and start from a normal
    distribution of variance 2 / fan-out as in torchvision; the head starts as PyTorch's dense
    layers do.  The authors' code (shibhansh/loss-of-plasticity) has biases in convolutions, and
    draws these by fan-in and the head with variance 1 / fan-in.

    Args:
        image_shape: Shape of one image (C, H, W).
        num_classes: Number of classes K.
        num_seeds: Number of seeds S.
        architecture: Activation, its options, and whether to halve doubled widths; ``hidden`` does
            not matter.
        norm: Normalisation behind each convolution: ``"batch"`` or ``"group"``.
        width: Channels of the first stage.

    Raises:
        ValueError: If ``width`` is below 1, there is no such normalisation, or ``architecture``
            asks for LayerNorm or SimBa.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int,
        num_seeds: int,
        architecture: Architecture,
        *,
        norm: NormName = "batch",
        width: int = 64,
    ) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"`width` should be at least 1. Received {width}")
        if architecture.layer_norm:
            raise ValueError(
                "`layer_norm` should be False with resnet-18, whose `norm` is batch or group. "
                "Received True"
            )
        if architecture.simba:
            raise ValueError(
                "`simba` should be None with resnet-18, which has residual blocks of its own. "
                f"Received {architecture.simba}"
            )
        lead = (num_seeds,)
        units = architecture.units(width)
        activation = _activation(units, lead, architecture)
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            weights=Conv2d(image_shape[0], units, 3, 1, lead, 1, before_norm=True),
            norm=make_norm(norm, units, lead),
            activation=activation,
        )
        self.stem = nn.Sequential(parts)
        channels = activation.expansion * units

        def stage(factor: int, stride: int) -> nn.Sequential:
            nonlocal channels
            blocks: OrderedDict[str, nn.Module] = OrderedDict()
            units = architecture.units(factor * width)
            for i, step in enumerate((stride, 1)):
                block = Block(channels, units, step, lead, architecture, norm)
                blocks[f"block_{i + 1}"] = block
                channels = block.num_outputs
            return nn.Sequential(blocks)

        self.stage_1 = stage(1, 1)
        self.stage_2 = stage(2, 2)
        self.stage_3 = stage(4, 2)
        self.stage_4 = stage(8, 2)
        self.head = Linear(channels, num_classes, lead)
        share_alpha(self)

    def forward(self, images: Tensor) -> Tensor:
        """Maps images ``(S, B, C, H, W)`` to logits ``(S, B, K)``; uint8 is scaled to [0, 1]."""
        x: Tensor = self.stem(pixels(images))
        for stage in (self.stage_1, self.stage_2, self.stage_3, self.stage_4):
            x = stage(x)
        logits: Tensor = self.head(x.mean((-2, -1)))
        return logits
