"""Activations by name: one line per activation in ``ACTIVATIONS``."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from torch import Tensor, nn

from networks.adalin import AdaLin
from networks.bases import BASES


class Elementwise(nn.Module):
    """A plain activation: a base function without parameters.

    Args:
        base: Name of the function, a key of ``networks.bases.BASES``.
        dim: The axis of the units, negative; the probe reads it.
        lead: Leading axes of independent copies, see ``AdaLin``.
    """

    def __init__(self, base: str, dim: int = -1, lead: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.base = BASES[base]
        self.dim = dim
        self.lead = lead

    def forward(self, x: Tensor) -> Tensor:
        return self.base.function(x)

    def extra_repr(self) -> str:
        return repr(self.base.name)


Activation = Elementwise | AdaLin
"""Every activation of the registry: has ``base`` (phi, phi', L), ``dim`` (unit axis), ``lead``."""


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
}


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
