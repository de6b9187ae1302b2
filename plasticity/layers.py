"""The layers of a network: what they are called, and what flows through them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from networks.activations import Activation
from networks.convert import base_of
from networks.layers import Conv2d, Linear
from networks.norms import Norm
from plasticity import metrics

WEIGHTS = (Linear, Conv2d, nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (
    *(Norm, nn.LayerNorm, nn.GroupNorm),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
)


@dataclass(frozen=True)
class Watched:
    """An activation of a network, and where its units are."""

    module: nn.Module
    dim: int
    lead: tuple[int, ...]
    expansion: int
    slope_share: Callable[[Tensor], Tensor | None]

    def units_last(self, x: Tensor) -> Tensor:
        """Brings its input or output to ``(S, ..., B, U)``."""
        if not self.lead:
            x = x.unsqueeze(0)
        return metrics.units_last(x, self.dim, len(self.lead) or 1)

    def scores(self, output: Tensor) -> Tensor:
        """Mean absolute output of each unit ``(*lead, F)``, of all its outputs together."""
        size: Tensor = self.units_last(output).abs().mean(-2)  # (S, ..., expansion * F)
        size = size.unflatten(-1, (self.expansion, -1)).sum(-2)
        return size if self.lead else size[0]


def activations(network: nn.Module) -> dict[str, Watched]:
    """Returns the activations of a network by the name of their layer."""
    found: dict[str, Watched] = {}
    dim = -1
    for path, module in network.named_modules():
        if isinstance(module, Activation):
            of = (module.dim, module.lead, module.expansion, module.slope_share)
            found[path] = Watched(module, *of)
        elif (base := base_of(module)) is not None:
            # PyTorch's own know no axis: it is that of the weights registered before.
            def share(x: Tensor, base: Any = base) -> Tensor:
                slope: Tensor = base.derivative(x).abs() / base.lipschitz
                return slope

            found[path] = Watched(module, dim, (), 1, share)
        elif isinstance(module, nn.Linear):
            dim = -1
        elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            dim = -1 - len(module.kernel_size)
    return dict(zip(layer_names(found, ".activation"), found.values(), strict=True))


def weight_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Returns the dense and convolutional layers of a network by name."""
    found = {path: m for path, m in network.named_modules() if isinstance(m, WEIGHTS)}
    return dict(zip(layer_names(found, ".weights"), found.values(), strict=True))


def lead_of(module: nn.Module) -> tuple[int, ...]:
    """The leading axes of a layer: seeds, twin critics; none of a layer of PyTorch's own."""
    return tuple(getattr(module, "lead", ()))


def running_statistics(norm: nn.Module | None) -> Iterator[tuple[Tensor, float]]:
    """Yields what a normalisation knows of past batches, with its first values."""
    for name, first in (("running_mean", 0.0), ("running_var", 1.0)):
        running = getattr(norm, name, None)
        if running is not None:
            yield running, first


def forget_statistics(network: nn.Module, anew: Container[str]) -> None:
    """Forgets past batches in all normalisations whose parameters, called so, start anew."""
    for path, module in network.named_modules():
        own = (f"{path}.{name}" for name, _ in module.named_parameters(recurse=False))
        if all(name in anew for name in own):
            for running, first in running_statistics(module):
                running.fill_(first)


def layer_names(paths: Iterable[str], suffix: str) -> list[str]:
    """Shortens paths like ``torso.dense.layer_1.weights`` to the layer's name, if it is unique."""
    whole = list(paths)
    short = [
        path.removesuffix(suffix).rsplit(".", 1)[-1] if path.endswith(suffix) else path
        for path in whole
    ]
    return [s if short.count(s) == 1 else path for s, path in zip(short, whole, strict=True)]


@contextmanager
def captured(layers: dict[str, nn.Module]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Yields a dictionary that a forward pass fills with input and output of each layer it calls.

    Further calls of a layer are ``<layer>#2``, ``<layer>#3``, ...
    """
    flow: dict[str, tuple[Tensor, Tensor]] = {}
    inputs: dict[str, Tensor] = {}

    def before(label: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def keep(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            # nn.ReLU(inplace=True) writes over its input.
            inputs[label] = args[0].clone() if getattr(module, "inplace", False) else args[0]

        return keep

    def after(label: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def keep(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            calls = sum(name.split("#")[0] == label for name in flow)
            flow[f"{label}#{calls + 1}" if calls else label] = (inputs.pop(label), output)

        return keep

    handles = [
        handle
        for label, layer in layers.items()
        for handle in (
            layer.register_forward_pre_hook(before(label)),
            layer.register_forward_hook(after(label)),
        )
    ]
    try:
        yield flow
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def evaluating(networks: Iterator[nn.Module]) -> Iterator[None]:
    """Has the networks in evaluation mode inside."""
    modes = [(m, m.training) for network in networks for m in network.modules()]
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, mode in modes:
            module.training = mode
