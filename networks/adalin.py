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

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from networks.activation import Activation
from networks.bases import BASES, Base, Function, find_base
from networks.fused import fused, gate, plain
from networks.initialization import Generators, fill_uniform

__all__ = ["BASES", "GRANULARITIES", "AdaLin", "linearity_gate", "share_alpha"]

GRANULARITIES = ("neuron", "layer", "network")


def linearity_gate(x: Tensor, base: Base) -> Tensor:
    """The gate ``cos(pi/2 * |phi'(x)| / L)``, in [0, 1], like ``x``, without gradient."""
    with torch.no_grad():
        return gate(base.derivative(x), base.lipschitz)


class AdaLin(Activation):
    """An activation with a learnable, gated linear path for every unit.

    Args:
        num_features: Number of units F (channels, for a convolution).
        base: The base activation: a key of ``BASES``, an elementwise function, or a ``Base`` (see
            ``make_base``).
        granularity: ``"neuron"``, one alpha for each unit (the paper's); ``"layer"``, one for all
            of them; ``"network"``, one that all such layers of a network share, once
            ``share_alpha`` has tied them.
        gate: Whether the linear path is gated; ``False`` gives ``phi(x) + alpha * x``.
        init: First value of alpha: ``"zeros"`` (starts exactly at the base activation),
            ``"uniform"`` (U[0, 1)), a number, or a tensor of the shape of alpha.
        dim: The axis of the input that holds the units: -1 after a dense layer, -3 for images.
        lead: Leading axes of independent copies, for example ``(S,)`` for S seeds. The input then
            has the shape ``(*lead, ..., F, ...)`` and alpha ``(*lead, F)``.

    Attributes:
        alpha: ``(*lead, F)``, or ``(*lead, 1)`` if the units share it.
        path: Where it is in its network, for error messages; ``adalinize`` sets it.

    Raises:
        ValueError: If an argument is not one of those above.
    """

    def __init__(
        self,
        num_features: int,
        base: str | Base | Function = "relu",
        *,
        granularity: str = "neuron",
        gate: bool = True,
        init: str | float | Tensor = "zeros",
        dim: int = -1,
        lead: tuple[int, ...] = (),
    ) -> None:
        super().__init__(dim, lead)
        for name, size in (("num_features", num_features), *(("lead", size) for size in lead)):
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise ValueError(f"`{name}` should be at least 1, a whole number. Received {size}")
        if granularity not in GRANULARITIES:
            raise ValueError(
                f"`granularity` should be one of {', '.join(GRANULARITIES)}. "
                f"Received {granularity!r}"
            )
        if dim >= 0:
            raise ValueError(f"`dim` counts from the last axis, so it is negative. Received {dim}")
        shape = (*lead, num_features if granularity == "neuron" else 1)
        self.num_features = num_features
        self.base: Base = find_base(base)
        self.granularity = granularity
        self.gate = gate
        self.init = _check_init(init, shape)
        self.path = ""
        self.alpha = nn.Parameter(torch.empty(shape))
        self.reset_parameters()

    def reset_parameters(self, generators: Generators | None = None) -> None:
        """Sets alpha to its first value, drawn for each seed from its own generator if given."""
        with torch.no_grad():
            if isinstance(self.init, Tensor):
                self.alpha.copy_(self.init)
            elif self.init == "zeros":
                self.alpha.zero_()
            elif self.init == "uniform":
                fill_uniform(self.alpha, 0.0, 1.0, generators)
            else:
                self.alpha.fill_(float(self.init))

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``x`` of shape ``(*lead, ..., F, ...)`` to the same shape and type."""
        self._check(x)
        alpha: Tensor = self.alpha
        if alpha.dtype != x.dtype:  # under autocast
            alpha = alpha.to(x.dtype)
        of = (self.base, self.gate, self.dim)
        return plain(x, alpha, *of) if _traced() else fused(x, alpha, *of)

    def _check(self, x: Tensor) -> None:
        if not x.is_floating_point():
            raise ValueError(f"AdaLin needs inputs of a floating-point type. Received {x.dtype}")
        axes = len(self.lead) - self.dim
        if x.dim() < axes:
            raise ValueError(
                f"AdaLin with units on axis {self.dim} needs inputs of at least {axes} axes. "
                f"Received shape {tuple(x.shape)}"
            )
        if x.shape[: len(self.lead)] != self.lead:
            raise ValueError(
                f"AdaLin was made for the leading axes {self.lead}. Received shape {tuple(x.shape)}"
            )
        if x.shape[self.dim] != self.num_features:
            raise ValueError(
                f"AdaLin over {self.base.name!r}{self.path and f' at {self.path}'} was made for "
                f"{self.num_features} units. "
                f"Received {x.shape[self.dim]} on axis {self.dim} of shape {tuple(x.shape)}"
            )

    def extra_repr(self) -> str:
        init = f"tensor{tuple(self.init.shape)}" if isinstance(self.init, Tensor) else self.init
        return (
            f"{self.num_features}, base={self.base.name!r}, granularity={self.granularity!r}, "
            f"gate={self.gate}, init={init!r}, dim={self.dim}"
            + (f", lead={self.lead}" if self.lead else "")
        )


def _traced() -> bool:
    """Whether somebody looks at each operation: a compiler, a transform, forward-mode autograd."""
    return (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch._C._get_tracing_state() is not None
        or torch._C._len_torch_dispatch_stack() > 0
    )


def _check_init(init: str | float | Tensor, shape: tuple[int, ...]) -> str | float | Tensor:
    if isinstance(init, Tensor):
        if init.shape != shape:
            raise ValueError(
                f"`init` should have the shape of alpha, {shape}. Received {tuple(init.shape)}"
            )
        if not bool(init.isfinite().all()):
            raise ValueError("`init` should be finite. Received a tensor with NaN or infinity")
        return init.detach().clone()
    named = isinstance(init, str) and init in ("zeros", "uniform")
    number = isinstance(init, int | float) and not isinstance(init, bool) and math.isfinite(init)
    if not (named or number):
        raise ValueError(
            f"`init` should be zeros, uniform, a finite number or a tensor. Received {init!r}"
        )
    return init


def share_alpha(module: nn.Module) -> None:
    """Ties the alphas of all AdaLin layers of granularity ``"network"`` inside ``module``.

    Raises:
        ValueError: If these layers have different leading axes.
    """
    layers = [
        layer
        for layer in module.modules()
        if isinstance(layer, AdaLin) and layer.granularity == "network"
    ]
    for layer in layers[1:]:
        if layer.lead != layers[0].lead:
            raise ValueError(
                "layers of granularity 'network' should have the same leading axes. "
                f"Received {layers[0].lead} and {layer.lead}"
            )
        layer.alpha = layers[0].alpha
