"""Activations by name: one line per activation in ``ACTIVATIONS``."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from torch import Tensor

from networks.activation import Activation
from networks.adalin import AdaLin
from networks.bases import BASES, Base
from networks.doubling import CReLU, Fourier
from networks.dropout import AID
from networks.rational import Rational
from networks.smooth_leaky import RandomizedSmoothLeaky

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "AdaLinConfig",
    "Elementwise",
    "describe",
    "make_activation",
]


class Elementwise(Activation):
    """A plain activation: a base function without parameters.

    Args:
        base: Name of the function, a key of ``networks.bases.BASES``.
        dim: The axis of the units, negative; the probe reads it.
        lead: Leading axes of independent copies, see ``AdaLin``.
    """

    def __init__(self, base: str, dim: int = -1, lead: tuple[int, ...] = ()) -> None:
        super().__init__(dim, lead)
        self.base: Base = BASES[base]

    def forward(self, x: Tensor) -> Tensor:
        return self.base.function(x)

    def extra_repr(self) -> str:
        return repr(self.base.name)


@dataclass(frozen=True)
class AdaLinConfig:
    """Options of the ``adalin-*`` activations."""

    init: Literal["zeros", "uniform"] | float = "zeros"
    """First value of alpha: zeros (starts at the base activation), uniform (U[0, 1)), a number."""
    granularity: Literal["neuron", "layer", "network"] = "neuron"
    """One alpha for each unit, for each layer, or for each network."""
    gate: bool = True
    """Gate the linear path by cos(pi/2 |phi'|/L); without, f(x) = phi(x) + alpha x."""

    def __post_init__(self) -> None:
        if not isinstance(self.init, str) and not math.isfinite(self.init):
            raise ValueError(f"`init` should be a finite number. Received {self.init}")


# (num_features, dim, lead, options of AdaLin) -> module
Factory = Callable[[int, int, tuple[int, ...], AdaLinConfig], Activation]


def _plain(base: str) -> Factory:
    return lambda n, dim, lead, _: Elementwise(base, dim, lead)


def _adalin(base: str) -> Factory:
    return lambda n, dim, lead, options: AdaLin(
        n,
        base,
        granularity=options.granularity,
        gate=options.gate,
        init=options.init,
        dim=dim,
        lead=lead,
    )


def _prelu(granularity: str) -> Factory:
    """PReLU with its usual first slope 0.25: AdaLin over ReLU, whose linear path is the slope."""
    return lambda n, dim, lead, _: AdaLin(
        n, "relu", granularity=granularity, init=0.25, dim=dim, lead=lead
    )


ACTIVATIONS: dict[str, Factory] = {
    **{base: _plain(base) for base in BASES},
    **{f"adalin-{base}": _adalin(base) for base in BASES},
    "prelu": _prelu("neuron"),
    "prelu-layer": _prelu("layer"),
    "crelu": lambda n, dim, lead, _: CReLU(dim, lead),
    "fourier": lambda n, dim, lead, _: Fourier(dim, lead),
    "rational": lambda n, dim, lead, _: Rational(dim, lead),
    "randomized-smooth-leaky": lambda n, dim, lead, _: RandomizedSmoothLeaky(dim, lead),
    "aid": lambda n, dim, lead, _: AID(dim=dim, lead=lead),
}

_DESCRIPTIONS = {
    "prelu": "a learned negative slope for each unit (He et al. 2015)",
    "prelu-layer": "one learned negative slope for each layer (He et al. 2015)",
    "smooth-leaky": "a smooth leaky ReLU of slope 0.1 (arXiv 2509.22562)",
    "crelu": "relu(x) and relu(-x), two outputs for each unit (Abbas et al. 2023)",
    "fourier": "sin(x) and cos(x), two outputs for each unit (arXiv 2410.20634)",
    "rational": "a learned quotient of polynomials, starts as a leaky ReLU (Molina et al. 2020)",
    "randomized-smooth-leaky": "smooth leaky ReLU, slope drawn in training (arXiv 2509.22562)",
    "aid": "keeps positive inputs with probability 0.99, negative with 0.01 (arXiv 2502.01342)",
}


def describe(name: str) -> str:
    """Returns one line on an activation of the registry, with its source."""
    if name.startswith("adalin-"):
        return f"AdaLin over {name.removeprefix('adalin-')} (arXiv 2505.09486)"
    return _DESCRIPTIONS.get(name, "plain, without parameters")


def make_activation(
    name: str,
    num_features: int,
    *,
    dim: int = -1,
    lead: tuple[int, ...] = (),
    adalin: AdaLinConfig | None = None,
) -> Activation:
    """Makes the activation module called ``name`` for ``num_features`` units.

    Args:
        name: A key of ``ACTIVATIONS``.
        num_features: Number of units (channels, for images).
        dim: The axis of the units, negative.
        lead: Leading axes of independent copies, see ``AdaLin``.
        adalin: Options of the ``adalin-*`` activations; the others ignore it.

    Raises:
        ValueError: If there is no such activation.
    """
    if name not in ACTIVATIONS:
        near = get_close_matches(name, ACTIVATIONS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(ACTIVATIONS)}."
        raise ValueError(f"there is no activation {name!r}. {hint}")
    return ACTIVATIONS[name](num_features, dim, lead, adalin or AdaLinConfig())
