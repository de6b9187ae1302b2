"""The hidden layers of a network: the weights before their units, and those that read them.

Nothing is assumed of how a network is written.  Which columns of which weights read a unit is found
by numbering: a forward pass in which every activation puts out the numbers of its units shows them
at the inputs of the weights behind, through flattening, concatenation and pooling.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from networks import AdaLin
from plasticity.layers import (
    NORMS,
    WEIGHTS,
    Watched,
    activations,
    lead_of,
    running_statistics,
)


@dataclass(frozen=True)
class Reader:
    """Weights that read the units of a layer.

    Attributes:
        weights: The layer, its weight ``(*lead, O, I, ...)``.
        unit: The unit that each input reads, ``(I,)``; -1: none of that layer.
    """

    weights: nn.Module
    unit: Tensor

    def columns(self, mask: Tensor) -> Tensor:
        """The part of the weight that reads the masked units ``(*lead, F)``, as a mask of it."""
        read: Tensor = mask[..., self.unit.clamp(min=0)] & (self.unit >= 0)  # (*lead, I)
        weight: Any = self.weights.weight
        return read.unsqueeze(-2).view(
            *read.shape[:-1], 1, -1, *(1,) * (weight.dim() - read.dim() - 1)
        )


@dataclass(frozen=True)
class Hidden:
    """A hidden layer: weights, perhaps a norm, an activation, and those who read its units."""

    name: str
    weights: nn.Module
    norm: nn.Module | None
    activation: Watched
    readers: tuple[Reader, ...]

    @property
    def num_units(self) -> int:
        """Number of units F (channels of a convolution)."""
        return _num_outputs(self.weights)

    def own_parameters(self) -> Iterator[nn.Parameter]:
        """Yields the parameters that belong to single units, ``(*lead, F, ...)``.

        These are the incoming weights, biases, gains, and alphas that are not shared.
        """
        modules = [self.weights, *([self.norm] if self.norm is not None else [])]
        activation = self.activation.module
        if isinstance(activation, AdaLin | nn.PReLU):
            modules.append(activation)
        for module in modules:
            axis = len(lead_of(module))
            for parameter in module.parameters(recurse=False):
                if parameter.dim() > axis and parameter.shape[axis] == self.num_units:
                    yield parameter

    def forget_statistics(self, mask: Tensor) -> None:
        """Forgets what a batch normalisation knows of the masked units ``(*lead, F)``."""
        for running, first in running_statistics(self.norm):
            running.masked_fill_(mask, first)


@dataclass
class Numbering:
    """What a forward pass shows in which the units put out their numbers.

    Attributes:
        first: Number of the first unit of each activation, and how many it has.
        before: Weights that were called last before each activation, and the norm behind them.
        inputs: The numbers at the inputs of each weight layer, ``(I,)``.
        inward: What each activation received.
        outputs: All that the network returned, flattened.
    """

    first: dict[str, tuple[int, int]]
    before: dict[str, tuple[nn.Module | None, nn.Module | None]]
    inputs: list[tuple[nn.Module, Tensor]]
    inward: dict[str, Tensor]
    outputs: Tensor

    @property
    def incoming(self) -> set[nn.Module | None]:
        """The weights that are called just before an activation."""
        return {weights for weights, _ in self.before.values()}


NO_NUMBER = 0.3
"""What weights put out instead of their outputs: no sum of it and a number is one."""


@torch.no_grad()
def _number(
    network: nn.Module, inputs: Sequence[Any], start: int, earlier: Numbering | None = None
) -> Numbering:
    """Calls the network once, in evaluation mode, with numbers from ``start`` on.

    Weights put out a constant.  If there was an earlier numbering, units are numbered downward, and
    weights that are not just before an activation put out a ramp: so what is no constant differs
    from what it was, also behind normalisations, which take away shifts and scales.
    """
    watched = activations(network)
    label_of = {layer.module: label for label, layer in watched.items()}
    seen = Numbering({}, {}, [], {}, torch.empty(0))
    called: list[nn.Module] = []  # weights and norms since the last activation
    following = start

    def read(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        called.append(module)
        if isinstance(module, WEIGHTS):
            weight: Any = module.weight
            axes = weight.dim() - len(lead_of(module)) - 1  # of one input: units, positions
            one = args[0].reshape(-1, *args[0].shape[-axes:])[0]
            seen.inputs.append((module, one.reshape(len(one), -1)[:, 0]))

    def write(module: nn.Module, _: Any, output: Tensor) -> Tensor:
        values = torch.full_like(output, NO_NUMBER)
        if earlier is not None and module not in earlier.incoming:
            values += torch.linspace(0, 1, values.numel()).to(values).view_as(values)
        return values

    def number(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        nonlocal following
        label, layer = label_of[module], watched[label_of[module]]
        if label in seen.first:
            raise ValueError(f"layer {label} is called more than once, so its units are not clear")
        behind = list(takewhile(lambda m: not isinstance(m, WEIGHTS), reversed(called)))
        weights = called[-1 - len(behind)] if len(behind) < len(called) else None
        seen.before[label] = (weights, behind[0] if behind else None)
        called.clear()
        seen.inward[label] = args[0].clone()
        outputs = output.shape[layer.dim]
        units = outputs // layer.expansion
        seen.first[label] = following, units
        numbers = torch.arange(outputs, device=output.device) % units
        numbers = following + (numbers if earlier is None else units - 1 - numbers)
        following += units
        return numbers.to(output.dtype).view(-1, *(1,) * (-1 - layer.dim)).expand_as(output).clone()

    modes = [(module, module.training) for module in network.modules()]
    handles = [layer.module.register_forward_hook(number) for layer in watched.values()]
    for module in network.modules():
        if isinstance(module, WEIGHTS + NORMS):
            handles.append(module.register_forward_pre_hook(read))
        if isinstance(module, WEIGHTS):
            handles.append(module.register_forward_hook(write))
    try:
        network.eval()
        result = network(*tree_map_only(Tensor, torch.zeros_like, tuple(inputs)))
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    seen.outputs = torch.cat([x.flatten() for x in tree_leaves(result)])
    return seen


def hidden_layers(network: nn.Module, inputs: Sequence[Any]) -> tuple[Hidden, ...]:
    """Finds the hidden layers of a network, in the order in which they are called.

    An activation whose units no weights read, but which reach the output of the network, is an
    output (such as the tanh that bounds actions) and no hidden layer.

    Args:
        network: The network; it is called in evaluation mode, without gradient, and not changed.
        inputs: What it can be called with; only shapes and types matter.

    Raises:
        ValueError: If the weights before or behind an activation can't be found, or units are sums,
            as in residual networks: then no single weights stand before or behind them.
    """
    # Other values may look like numbers of units, but not in both of two numberings.
    once = _number(network, inputs, 1 << 16)
    again = _number(network, inputs, 1 << 17, once)
    watched = activations(network)

    def units_at(first: Tensor, second: Tensor, label: str) -> Tensor:
        start, size = once.first[label]
        unit = (first - start).round()
        falling = again.first[label][0] + size - 1 - unit
        same = ((first - start) - unit).abs().add((second - falling).abs()) < 0.05
        return torch.where(same & (unit >= 0) & (unit < size), unit, -1).long()

    found = []
    for label, (weights, norm) in once.before.items():
        # Where the weights before it put out a constant, nothing else should reach it.
        inward = once.inward[label], again.inward[label]
        if weights is not None and not torch.allclose(*inward, rtol=0, atol=0, equal_nan=True):
            raise ValueError(
                f"the units of layer {label} are sums that other weights or units reach, too, as "
                "in residual networks, so its incoming weights can't be told apart"
            )
        pairs = zip(once.inputs, again.inputs, strict=True)
        readers = [(m, units_at(x, y, label)) for (m, x), (_, y) in pairs]
        readers = [(m, unit) for m, unit in readers if bool((unit >= 0).any())]
        num_units = once.first[label][1]
        read = {unit for _, units in readers for unit in units.tolist()} - {-1}
        if len(read) < num_units:
            if not read and bool((units_at(once.outputs, again.outputs, label) >= 0).any()):
                continue
            raise ValueError(
                f"the outgoing weights of layer {label} were not found: no dense or convolutional "
                "layer reads its units as they are"
            )
        if any(getattr(m, "groups", 1) > 1 for m, _ in readers):
            raise ValueError(
                f"the outgoing weights of layer {label} can't be told apart: a convolution in "
                "groups reads its units"
            )
        if weights is None or _num_outputs(weights) != num_units:
            raise ValueError(
                f"the incoming weights of layer {label} were not found: no dense or convolutional "
                f"layer of {num_units} units is called just before it"
            )
        of = tuple(Reader(module, unit) for module, unit in readers)
        found.append(Hidden(label, weights, norm, watched[label], of))
    return tuple(found)


def _num_outputs(weights: nn.Module) -> int:
    weight: Any = weights.weight
    return int(weight.shape[len(lead_of(weights))])
