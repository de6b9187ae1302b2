"""What can be seen of one network from its weights and one forward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from networks import AdaLin
from plasticity import metrics
from plasticity.layers import Watched, activations, captured, lead_of, weight_layers

TAUS = (0.0, 0.01, 0.025, 0.1)
OVERLAP_TAU = 0.1

Rows = dict[str, Tensor]


class NetworkProbe:
    """Measures one network, and remembers what changes are measured from.

    Names are ``plasticity/<network>/<metric>`` for a whole network, ``.../<metric>/<layer>`` for a
    layer and ``adalin/<network>/<layer>/alpha_*``.  Of a network, shares of units are pooled over
    all of its units; ``dormant_fraction_of_layers`` is the mean of the layers instead, the other
    form that is published.  Features are the outputs of the last hidden layer.  The two critics of
    a seed count as one network.

    Args:
        name: What to call the network.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._weights: dict[str, Tensor] = {}  # at the last probe
        self._dormant: dict[str, Tensor] = {}  # masks at the last probe
        self.distributions: dict[str, Tensor] = {}
        self.outputs: Any = None  # of the network at the last probe

    @torch.no_grad()
    def measure(self, network: nn.Module, inputs: Sequence[Any], *, dear: bool = True) -> Rows:
        """Returns every metric, ``(S,)`` by name.

        Args:
            network: The network, with a leading axis of seeds or, if its layers are PyTorch's own
                or have no ``lead``, without: S is 1 then.
            inputs: What to call it with.
            dear: Whether to measure stable ranks, and the ranks of all layers and weights, too.
        """
        watched = activations(network)
        with captured({label: layer.module for label, layer in watched.items()}) as flow:
            self.outputs = network(*inputs)
        rows: Rows = {}
        masks: dict[str, list[Tensor]] = {}  # of all layers, each (S, units)
        means: dict[str, list[Tensor]] = {}  # of all layers, each (S,)
        for label, (inward, outward) in flow.items():
            layer = watched[label.split("#")[0]]
            before, after = layer.units_last(inward), layer.units_last(outward)  # (S, ..., B, U)
            for metric, mask in self._units(after, label).items():
                masks.setdefault(metric, []).append(mask.flatten(1))
                rows[self._name(metric, label)] = per_seed(mask.double().mean(-1))
            for metric, value in self._layer(layer, before, after, inward).items():
                means.setdefault(metric, []).append(per_seed(value))
                rows[self._name(metric, label)] = means[metric][-1]
            if dear:
                rows |= self._ranks(after, dear, label)
            if isinstance(layer.module, AdaLin):
                rows |= self._alpha(layer, label)
        for metric, parts in masks.items():
            rows[self._name(metric)] = torch.cat(parts, dim=1).double().mean(-1)
            if metric.startswith("dormant_fraction"):
                of_layers = torch.stack([rows[self._name(metric, label)] for label in flow])
                name = metric.replace("dormant_fraction", "dormant_fraction_of_layers")
                rows[self._name(name)] = of_layers.mean(0)
        for metric, values in means.items():
            rows[self._name(metric)] = torch.stack(values).mean(0)
        if flow:  # `after` are now the features
            rows |= self._ranks(after, dear)
            rows[self._name("feature_norm")] = per_seed(metrics.feature_norm(after))
        return rows | self._overlap(masks, list(flow)) | self._weight(network, dear)

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Returns what changes are measured from."""
        return {"weights": dict(self._weights), "dormant": dict(self._dormant)}

    def load_state_dict(self, state: dict[str, Any], device: torch.device | str) -> None:
        """Takes over a state that ``state_dict`` returned."""
        self._weights = {label: value.to(device) for label, value in state["weights"].items()}
        self._dormant = {label: value.to(device) for label, value in state["dormant"].items()}

    def _name(self, metric: str, layer: str = "") -> str:
        return f"plasticity/{self.name}/{metric}" + (f"/{layer}" if layer else "")

    def _units(self, after: Tensor, label: str) -> dict[str, Tensor]:
        """Which units are dormant and dead, each ``(S, ..., U)``."""
        scores = metrics.dormant_scores(after)
        self.distributions[self._name("neuron_score", label)] = scores.flatten()
        masks = {f"dormant_fraction@{tau:g}": scores <= tau for tau in TAUS}
        return masks | {"dead_fraction": metrics.dead_mask(after)}

    def _layer(self, layer: Watched, before: Tensor, after: Tensor, inward: Tensor) -> Rows:
        """Means over the units of a layer."""
        rows = {
            "sign_entropy": metrics.sign_entropy(before),
            "feature_norm": metrics.feature_norm(after),
        }
        share = layer.slope_share(inward)
        if share is not None:  # some activations have no Lipschitz constant
            rows["linear_fraction"] = metrics.linear_fraction_of(layer.units_last(share))
        return rows

    def _ranks(self, after: Tensor, dear: bool, label: str = "") -> Rows:
        s = metrics.spectrum(after, gram=True)
        ranks = {
            "effective_rank": metrics.effective_rank_of(s),
            "srank_001": metrics.srank_001_of(s),
        }
        if dear:  # of centred features: another decomposition
            centred = metrics.spectrum(after, centred=True, gram=True)
            ranks["stable_rank_fro"] = metrics.stable_rank_fro_of(centred)
        return {self._name(metric, label): per_seed(value) for metric, value in ranks.items()}

    def _alpha(self, layer: Watched, label: str) -> Rows:
        alpha: Any = layer.module.alpha
        alpha = alpha.view(*(layer.lead or (1,)), -1)  # (S, ..., F)
        statistics = metrics.alpha_statistics(alpha, alpha.dim() - 1)
        self.distributions[f"adalin/{self.name}/{label}/alpha"] = alpha.detach().flatten()
        return {f"adalin/{self.name}/{label}/{n}": per_seed(v) for n, v in statistics.items()}

    def _overlap(self, of_units: Mapping[str, list[Tensor]], labels: list[str]) -> Rows:
        """How many of the units that were dormant at the last probe still are."""
        masks = of_units.get(f"dormant_fraction@{OVERLAP_TAU:g}", [])
        rows: Rows = {}
        metric = f"dormant_overlap@{OVERLAP_TAU:g}"
        if masks and self._dormant.keys() == {*labels}:
            before = [self._dormant[label] for label in labels]
            pairs = zip(labels, masks, before, strict=True)
            for label, now, then in pairs:
                rows[self._name(metric, label)] = metrics.dormant_overlap(now, then)
            pooled = (torch.cat(part, dim=1) for part in (masks, before))
            rows[self._name(metric)] = metrics.dormant_overlap(*pooled)
        self._dormant = dict(zip(labels, masks, strict=True))
        return rows

    def _weight(self, network: nn.Module, dear: bool) -> Rows:
        """Size, change and rank of the weights, of each layer and of all of them together."""
        rows: Rows = {}
        together: dict[str, list[Tensor]] = {"weight_rms": [], "weight_change": []}
        for label, layer in weight_layers(network).items():
            weight: Any = layer.weight
            copies = weight.detach() if lead_of(layer) else weight.detach()[None]  # (S, ..., O, I)
            tensors = {"weight_rms": copies}
            before = self._weights.get(label)
            if before is not None and before.shape == copies.shape:
                tensors["weight_change"] = copies - before
            for metric, tensor in tensors.items():
                together[metric].append(tensor.flatten(1))
                rows[self._name(metric, label)] = metrics.weight_rms(tensor, lead=1)
            if dear:
                matrices = copies.flatten(max(len(lead_of(layer)), 1) + 1)
                rank = metrics.stable_rank_fro(matrices)
                rows[self._name("weight_stable_rank_fro", label)] = per_seed(rank)
            self._weights[label] = copies.clone()
        for metric, parts in together.items():
            if parts:
                rows[self._name(metric)] = metrics.weight_rms(torch.cat(parts, dim=1), lead=1)
        return rows


def per_seed(value: Tensor) -> Tensor:
    """Averages all axes but the first: ``(S, ...)`` to ``(S,)``."""
    return value.double().flatten(1).mean(-1) if value.dim() > 1 else value.double()
