"""Image classifiers of the continual-learning literature by name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches

from torch import Tensor, nn

from networks.heads import make_torso
from networks.layers import Linear
from networks.norms import NormName
from networks.resnet import ResNet18
from networks.simba import SimBa
from networks.torsos import Architecture, Convolutions, Torso

CLASSIFIERS = {
    "mlp": "dense layers of widths `hidden`; 100 100 in Kumar et al. 2023 (arXiv 2308.11958)",
    "cnn": "two 5 x 5 convolutions of 16 channels, each with 2 x 2 max-pooling, then dense layers "
    "of widths `hidden`; 100 100 in Kumar et al. 2023 (arXiv 2308.11958)",
    "resnet-18": "ResNet-18 with a 3 x 3 stem (He et al. 2016), as in Dohare et al. 2024",
}
"""What each kind is, with its source."""

CIFAR = Convolutions(((16, 5, 1), (16, 5, 1)), pool=2)
"""The convolutions of Kumar et al. 2023."""


class Classifier(nn.Module):
    """A torso and a dense layer, from images to logits.

    Args:
        torso: From images, or flattened images, to features.
        num_classes: Number of classes K.
        num_seeds: Number of seeds S.
        architecture: That of the torso.
    """

    def __init__(
        self, torso: Torso | SimBa, num_classes: int, num_seeds: int, architecture: Architecture
    ) -> None:
        super().__init__()
        self.torso = torso
        lead = (num_seeds,)
        self.head = Linear(torso.num_features, num_classes, lead, architecture.head_init)

    def forward(self, images: Tensor) -> Tensor:
        """Maps images ``(S, B, C, H, W)`` to logits ``(S, B, K)``; uint8 is scaled to [0, 1]."""
        flat = self.torso.observation_axes == 1
        features = self.torso(images.flatten(-3) if flat else images)
        logits: Tensor = self.head(features)
        return logits


def make_classifier(
    kind: str,
    image_shape: Sequence[int],
    num_classes: int,
    num_seeds: int,
    architecture: Architecture,
    *,
    norm: NormName = "batch",
    width: int = 64,
) -> nn.Module:
    """Makes a network from images ``(S, B, C, H, W)`` to logits ``(S, B, K)``.

    Args:
        kind: A key of ``CLASSIFIERS``.
        image_shape: Shape of one image (C, H, W).
        num_classes: Number of classes K.
        num_seeds: Number of seeds S.
        architecture: Widths of dense layers (resnet-18 has none) and activations.
        norm: Normalisation of resnet-18, the others have none of these.
        width: Channels of the first stage of resnet-18.

    Raises:
        ValueError: If there is no such kind, it can't have these settings, or images don't suit it.
    """
    if kind not in CLASSIFIERS:
        near = get_close_matches(kind, CLASSIFIERS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(CLASSIFIERS)}."
        raise ValueError(f"there is no classifier {kind!r}. {hint}")
    if len(image_shape) != 3:
        raise ValueError(f"`image_shape` should be (C, H, W). Received {tuple(image_shape)}")
    if kind == "resnet-18":
        return ResNet18(image_shape, num_classes, num_seeds, architecture, norm=norm, width=width)
    for name, value, usual in (("norm", norm, "batch"), ("width", width, 64)):
        if value != usual:
            raise ValueError(f"`{name}` is a setting of resnet-18 alone. Received {value!r}")
    lead = (num_seeds,)
    torso: Torso | SimBa
    if kind == "mlp":
        torso = make_torso((math.prod(image_shape),), lead, architecture)
    else:
        torso = _convolutional(image_shape, lead, architecture)
    return Classifier(torso, num_classes, num_seeds, architecture)


def _convolutional(
    image_shape: Sequence[int], lead: tuple[int, ...], architecture: Architecture
) -> Torso:
    side = CIFAR.smallest
    if min(image_shape[1:]) < side:
        raise ValueError(
            f"the cnn needs images of at least {side} x {side}. Received {tuple(image_shape)}"
        )
    if architecture.simba:
        raise ValueError(
            f"`simba` should be None with cnn, which has convolutions. "
            f"Received {architecture.simba}"
        )
    return Torso(image_shape, lead, architecture, convolutions=CIFAR)
