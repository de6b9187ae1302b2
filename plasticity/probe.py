"""The probe: what happens inside the networks, on a batch of its own, without changing learning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from agents import Batch, Learner
from networks import AdaLin, Base
from networks.activations import Elementwise
from networks.convert import base_of
from networks.layers import Conv2d, Linear
from plasticity import metrics

TAUS = (0.0, 0.025, 0.1)
METRICS = (
    *(f"dormant_fraction@{tau:g}" for tau in TAUS),
    *("dead_fraction", "linear_fraction", "effective_rank", "srank_001", "feature_norm"),
    *("weight_rms", "weight_change", "q_mean", "q_max"),
    *("alpha_mean", "alpha_min", "alpha_max", "alpha_abs"),
)


@dataclass(frozen=True)
class ProbeConfig:
    """Settings of the probe."""

    every: int = 1_000
    """Environment steps between two probes."""
    batch_size: int = 256
    """Transitions of each seed to look at."""

    def __post_init__(self) -> None:
        for name in ("every", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` should be at least 1. Received {getattr(self, name)}")


class Probe:
    """Measures the learners of an agent.

    Names are ``plasticity/<network>/<metric>`` for a whole network (units pooled over its layers,
    norms averaged), ``plasticity/<network>/<metric>/<layer>`` for a layer and
    ``adalin/<network>/<layer>/alpha_*``.  The two critics of a seed count as one network.
    """

    def __init__(self) -> None:
        self._weights: dict[str, Tensor] = {}  # at the last probe

    def measure(self, learners: dict[str, Learner], batch: Batch) -> dict[str, Tensor]:
        """Returns every metric ``(S,)`` by name.

        Args:
            learners: The networks by name.
            batch: The probe batch, ``(S, B, ...)``, drawn by generators of its own.
        """
        rows: dict[str, Tensor] = {}
        for name, learner in learners.items():
            with torch.no_grad():
                values = learner.values(batch) if learner.values is not None else None  # (S, B)
                rows |= self.network(name, learner.network, learner.inputs(batch), values)
        return rows

    @torch.no_grad()
    def network(
        self, name: str, network: nn.Module, inputs: Sequence[Any], values: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Returns every metric of one network, ``(S,)`` by name.

        Args:
            name: What to call it.
            network: The network, with a leading axis of seeds or, if its layers are PyTorch's own
                or have no ``lead``, without: S is 1 then.
            inputs: What to call it with.
            values: The values that it gives the probe states ``(S, B)``, if it is a critic.
        """
        rows: dict[str, Tensor] = {}

        def record(metric: str, value: Tensor, layer: str = "") -> None:
            rows[f"plasticity/{name}/{metric}" + (f"/{layer}" if layer else "")] = per_seed(value)

        layers = activations(network)
        with captured({label: layer.module for label, layer in layers.items()}) as flow:
            network(*inputs)
        masks: dict[str, list[Tensor]] = {}  # of all layers, each (S, units)
        saturated: list[Tensor] = []
        for label, (inward, outward) in flow.items():
            layer = layers[label.split("#")[0]]
            before, after = layer.units_last(inward), layer.units_last(outward)  # (S, ..., B, U)
            of_units = {
                f"dormant_fraction@{tau:g}": metrics.dormant_mask(after, tau) for tau in TAUS
            }
            of_units["dead_fraction"] = metrics.dead_mask(after)
            for metric, mask in of_units.items():
                record(metric, mask.double().mean(-1), label)
                masks.setdefault(metric, []).append(mask.flatten(1))
            fraction = metrics.linear_fraction(before, layer.base.derivative, layer.base.lipschitz)
            record("linear_fraction", fraction, label)
            saturated.append(fraction)
            if isinstance(layer.module, AdaLin):
                alpha = layer.module.alpha.view(*(layer.lead or (1,)), -1)  # (S, ..., F)
                statistics = metrics.alpha_statistics(alpha, alpha.dim() - 1)
                for statistic, value in statistics.items():
                    rows[f"adalin/{name}/{label}/{statistic}"] = per_seed(value)
        for metric, parts in masks.items():
            record(metric, torch.cat(parts, dim=1).double().mean(-1))
        if flow:  # `after` are now the features, the outputs of the last hidden layer
            record("linear_fraction", torch.stack(saturated).mean(0))
            record("effective_rank", metrics.effective_rank(after))
            record("srank_001", metrics.srank_001(after))
            record("feature_norm", metrics.feature_norm(after))
        rows.update(self._weight_metrics(name, network))
        if values is not None:
            record("q_mean", values.mean(-1))
            record("q_max", values.amax(-1))
        return rows

    def _weight_metrics(self, name: str, network: nn.Module) -> dict[str, Tensor]:
        """Size and change of the weight matrices, of each layer and of all of them together."""
        rows: dict[str, Tensor] = {}
        everything: dict[str, list[Tensor]] = {"weight_rms": [], "weight_change": []}
        weights = {
            path: module.weight if isinstance(module, Linear | Conv2d) else module.weight[None]
            for path, module in network.named_modules()
            if isinstance(module, Linear | Conv2d | nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
        }  # each (S, ..., O, I)
        for label, (path, weight) in zip(
            layer_names(weights, ".weights"), weights.items(), strict=True
        ):
            key = f"{name}.{path}"
            tensors: dict[str, Tensor] = {"weight_rms": weight}
            if key in self._weights:
                tensors["weight_change"] = weight - self._weights[key]
            for metric, tensor in tensors.items():
                everything[metric].append(tensor.flatten(1))
                rows[f"plasticity/{name}/{metric}/{label}"] = metrics.weight_rms(tensor, lead=1)
            self._weights[key] = weight.detach().clone()
        for metric, parts in everything.items():
            if parts:
                together = metrics.weight_rms(torch.cat(parts, dim=1), lead=1)
                rows[f"plasticity/{name}/{metric}"] = together
        return rows


def per_seed(value: Tensor) -> Tensor:
    """Averages all axes but the first: ``(S, ...)`` to ``(S,)``."""
    return value.double().flatten(1).mean(-1) if value.dim() > 1 else value.double()


@dataclass(frozen=True)
class Watched:
    """An activation of a network: its function, and where its units are."""

    module: nn.Module
    base: Base
    dim: int
    lead: tuple[int, ...]

    def units_last(self, x: Tensor) -> Tensor:
        """Brings its input or output to ``(S, ..., B, U)``."""
        if not self.lead:
            x = x.unsqueeze(0)
        return metrics.units_last(x, self.dim, len(self.lead) or 1)


def activations(network: nn.Module) -> dict[str, Watched]:
    """Returns the activations of a network by the name of their layer."""
    found: dict[str, Watched] = {}
    dim = -1
    for path, module in network.named_modules():
        if isinstance(module, AdaLin | Elementwise):
            found[path] = Watched(module, module.base, module.dim, module.lead)
        elif (base := base_of(module)) is not None:
            # PyTorch's own know no axis: it is that of the weights registered before.
            found[path] = Watched(module, base, dim, ())
        elif isinstance(module, nn.Linear):
            dim = -1
        elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            dim = -1 - len(module.kernel_size)
    return dict(zip(layer_names(found, ".activation"), found.values(), strict=True))


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
