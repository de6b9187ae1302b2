"""AdaLin, the adaptive linearity injection of arXiv 2505.09486.

For unit ``i`` with pre-activation ``x``::

    f_i(x) = phi(x) + alpha_i * x * stop_gradient(g(x))
    g(x)   = cos(pi / 2 * |phi'(x)| / L)

``phi`` is the base activation, ``L`` its Lipschitz constant and ``alpha_i`` a learnable scalar.
Where ``phi`` saturates its slope vanishes, the gate opens and a linear path carries the gradient;
where ``phi`` is steep the gate closes.  With the gate held constant the derivatives are
``df/dx = phi'(x) + alpha_i * g(x)`` and ``df/dalpha_i = sum over the batch of x * g(x)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from networks.initialization import Generators, fill_uniform

GRANULARITIES = ("neuron", "layer")


@dataclass(frozen=True)
class Base:
    """An elementwise activation with what AdaLin needs to know about it.

    Attributes:
        function: ``phi``, elementwise.
        derivative: ``phi'``, elementwise.
        lipschitz: ``L``, the largest ``|phi'|`` (closed form, or numeric to 1e-6).
    """

    function: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor]
    lipschitz: float


def _gelu_derivative(x: Tensor) -> Tensor:
    cdf = 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    density = torch.exp(-0.5 * x.square()) / math.sqrt(2 * math.pi)
    return cdf + x * density


def _silu_derivative(x: Tensor) -> Tensor:
    s = torch.sigmoid(x)
    return s * (1 + x * (1 - s))


def _mish_derivative(x: Tensor) -> Tensor:
    t = torch.tanh(F.softplus(x))
    return t + x * (1 - t.square()) * torch.sigmoid(x)


def _step(x: Tensor, left: float) -> Tensor:
    return torch.where(x > 0, torch.ones_like(x), left)


# GELU'' = density(x) * (2 - x^2), so the largest slope is at sqrt(2).
_GELU_LIPSCHITZ = 0.5 * (1 + math.erf(1)) + math.exp(-1) / math.sqrt(math.pi)

BASES: dict[str, Base] = {
    "relu": Base(F.relu, lambda x: _step(x, 0.0), 1.0),
    "leaky-relu": Base(F.leaky_relu, lambda x: _step(x, 0.01), 1.0),
    "elu": Base(F.elu, lambda x: torch.exp(x.clamp(max=0)), 1.0),
    "tanh": Base(torch.tanh, lambda x: 1 - torch.tanh(x).square(), 1.0),
    "sigmoid": Base(torch.sigmoid, lambda x: torch.sigmoid(x) * torch.sigmoid(-x), 0.25),
    "softplus": Base(F.softplus, torch.sigmoid, 1.0),
    "gelu": Base(F.gelu, _gelu_derivative, _GELU_LIPSCHITZ),
    "silu": Base(F.silu, _silu_derivative, 1.0998393201288669),  # at x = 2.3994
    "mish": Base(F.mish, _mish_derivative, 1.0884981612517279),  # at x = 1.4906
}


def linearity_gate(x: Tensor, base: Base) -> Tensor:
    """The gate ``cos(pi/2 * |phi'(x)| / L)``, in [0, 1], like ``x``, without gradient."""
    with torch.no_grad():
        return torch.cos(base.derivative(x).abs() * (math.pi / (2 * base.lipschitz)))


class AdaLin(nn.Module):
    """An activation with a learnable, gated linear path for every unit.

    Args:
        num_features: Number of units F (channels, for a convolution).
        base: Name of the base activation, a key of ``BASES``.
        granularity: ``"neuron"``, one alpha for each unit (the paper's), or ``"layer"``, one for
            all of them.
        gate: Whether the linear path is gated; ``False`` gives ``phi(x) + alpha * x``.
        init: First value of alpha: ``"zeros"`` (starts exactly at the base activation),
            ``"uniform"`` (U[0, 1)), or a number.
        dim: The axis of the input that holds the units: -1 after a dense layer, -3 for images.
        lead: Leading axes of independent copies, for example ``(S,)`` for S seeds. The input then
            has the shape ``(*lead, ..., F, ...)`` and alpha ``(*lead, F)``.

    Raises:
        ValueError: If an argument is not one of those above.
    """

    def __init__(
        self,
        num_features: int,
        base: str = "relu",
        *,
        granularity: str = "neuron",
        gate: bool = True,
        init: str | float = "zeros",
        dim: int = -1,
        lead: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        if num_features < 1:
            raise ValueError(f"`num_features` should be at least 1. Received {num_features}")
        if base not in BASES:
            near = get_close_matches(base, BASES, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ValueError(f"`base` should be one of {', '.join(BASES)}. Received {base!r}{hint}")
        if granularity not in GRANULARITIES:
            raise ValueError(
                f"`granularity` should be one of {', '.join(GRANULARITIES)}. "
                f"Received {granularity!r}"
            )
        if isinstance(init, str) and init not in ("zeros", "uniform"):
            raise ValueError(f"`init` should be zeros, uniform or a number. Received {init!r}")
        if dim >= 0:
            raise ValueError(f"`dim` counts from the last axis, so it is negative. Received {dim}")
        self.num_features = num_features
        self.base_name = base
        self.base = BASES[base]
        self.granularity = granularity
        self.gate = gate
        self.init = init
        self.dim = dim
        self.lead = lead
        self.alpha = nn.Parameter(
            torch.empty(*lead, num_features if granularity == "neuron" else 1)
        )
        self.reset_parameters()

    def reset_parameters(self, generators: Generators | None = None) -> None:
        """Sets alpha to its first value, drawn for each seed from its own generator if given."""
        with torch.no_grad():
            if self.init == "zeros":
                self.alpha.zero_()
            elif self.init == "uniform":
                fill_uniform(self.alpha, 0.0, 1.0, generators)
            else:
                self.alpha.fill_(float(self.init))

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``x`` of shape ``(*lead, ..., F, ...)`` to the same shape."""
        if x.shape[self.dim] != self.num_features:
            raise ValueError(
                f"AdaLin was made for {self.num_features} units. "
                f"Received {x.shape[self.dim]} on axis {self.dim} of shape {tuple(x.shape)}"
            )
        # (*lead, 1, ..., F, 1, ...): alpha beside the unit axis of x
        between = x.dim() - len(self.lead) + self.dim
        alpha = self.alpha.view(
            *self.lead, *(1,) * between, self.alpha.shape[-1], *(1,) * (-1 - self.dim)
        )
        if self.base_name == "relu" and self.gate:
            # The gate of ReLU is 1 for x <= 0 and 0 elsewhere: this is PReLU. F.prelu is a reshape
            # of the weight before this kernel, and knows no leading axes.
            return torch.ops.aten._prelu_kernel(x, alpha)  # type: ignore[no-any-return]  # untyped op
        linear = x * linearity_gate(x.detach(), self.base) if self.gate else x
        return self.base.function(x) + alpha * linear

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, base={self.base_name!r}, granularity={self.granularity!r}, "
            f"gate={self.gate}, init={self.init!r}, dim={self.dim}"
        )
