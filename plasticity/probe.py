"""The probe: what happens inside the networks, on a batch of its own, without changing learning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from agents import Batch, Learner
from networks import AdaLin
from networks.layers import Conv2d, Linear
from networks.torsos import Layer
from plasticity import metrics

TAUS = (0.0, 0.025, 0.1)


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

    @torch.no_grad()
    def measure(self, learners: dict[str, Learner], batch: Batch) -> dict[str, Tensor]:
        """Returns every metric ``(S,)`` by name.

        Args:
            learners: The networks by name.
            batch: The probe batch, ``(S, B, ...)``, drawn by generators of its own.
        """
        rows: dict[str, Tensor] = {}
        for name, learner in learners.items():
            rows.update(self._network(name, learner, batch))
        return rows

    def _network(self, name: str, learner: Learner, batch: Batch) -> dict[str, Tensor]:
        rows: dict[str, Tensor] = {}

        def record(metric: str, value: Tensor, layer: str = "") -> None:
            rows[f"plasticity/{name}/{metric}" + (f"/{layer}" if layer else "")] = per_seed(value)

        layers = {
            path.rsplit(".", 1)[-1]: module
            for path, module in learner.network.named_modules()
            if isinstance(module, Layer)
        }
        with captured(layers) as flow:
            learner.network(*learner.inputs(batch))
        masks: dict[str, list[Tensor]] = {}  # of all layers, each (S, units)
        saturated: list[Tensor] = []
        for label, layer in layers.items():
            lead, activation = len(layer.weights.lead), layer.activation
            before, after = (metrics.units_last(x, activation.dim, lead) for x in flow[label])
            of_units = {
                f"dormant_fraction@{tau:g}": metrics.dormant_mask(after, tau) for tau in TAUS
            }
            of_units["dead_fraction"] = metrics.dead_mask(after)
            for metric, mask in of_units.items():
                record(metric, mask.double().mean(-1), label)
                masks.setdefault(metric, []).append(mask.flatten(1))
            base = activation.base
            fraction = metrics.linear_fraction(before, base.derivative, base.lipschitz)
            record("linear_fraction", fraction, label)
            saturated.append(fraction)
            if isinstance(activation, AdaLin):
                for statistic, value in metrics.alpha_statistics(activation.alpha, lead).items():
                    rows[f"adalin/{name}/{label}/{statistic}"] = per_seed(value)
        for metric, parts in masks.items():
            record(metric, torch.cat(parts, dim=1).double().mean(-1))
        if layers:  # `after` are now the features, the outputs of the last hidden layer
            record("linear_fraction", torch.stack(saturated).mean(0))
            record("effective_rank", metrics.effective_rank(after))
            record("srank_001", metrics.srank_001(after))
            record("feature_norm", metrics.feature_norm(after))
        rows.update(self._weight_metrics(name, learner.network))
        if learner.values is not None:
            values = learner.values(batch)  # (S, B)
            record("q_mean", values.mean(-1))
            record("q_max", values.amax(-1))
        return rows

    def _weight_metrics(self, name: str, network: nn.Module) -> dict[str, Tensor]:
        """Size and change of the weight matrices, of each layer and of all of them together."""
        rows: dict[str, Tensor] = {}
        everything: dict[str, list[Tensor]] = {"weight_rms": [], "weight_change": []}
        for path, module in network.named_modules():
            if not isinstance(module, Linear | Conv2d):
                continue
            weight, key = module.weight, f"{name}.{path}"
            label = path.removesuffix(".weights").rsplit(".", 1)[-1]
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


@contextmanager
def captured(layers: dict[str, Layer]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Yields a dictionary; a forward pass fills it with input and output of each activation."""
    flow: dict[str, tuple[Tensor, Tensor]] = {}

    def hook(label: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def keep(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            flow[label] = (inputs[0], output)

        return keep

    handles = [
        layer.activation.register_forward_hook(hook(label)) for label, layer in layers.items()
    ]
    try:
        yield flow
    finally:
        for handle in handles:
            handle.remove()
