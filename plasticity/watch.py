"""What one update of an agent does: its gradient, its step, and what the step achieves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from agents import Learner, Streams
from plasticity import metrics
from plasticity.layers import evaluating, lead_of, weight_layers
from plasticity.network_probe import Rows

GRAMA_TAUS = (0.025, 0.1)


@dataclass
class Before:
    """The batch of an update, and before it the targets, the losses toward them, the weights."""

    batch: Any
    targets: dict[str, Tensor] = field(default_factory=dict)
    losses: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, dict[nn.Parameter, Tensor]] = field(default_factory=dict)


class UpdateWatch:
    """Watches the first update after each look at what it saw; the others cost nothing.

    On the batch of the update it sees the gradient of each loss (``zero_grad_fraction``,
    ``grama_fraction``), then ``effective_lr`` and, of classifiers and critics,
    ``one_step_plasticity`` toward the labels, or the targets from before: as a label, a target does
    not move with the network.

    Args:
        streams: Generators for the noise of losses and targets.

    Attributes:
        armed: Whether it watches the next update.
    """

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.armed = True
        self._rows: Rows = {}
        self._before: Before | None = None

    def before(self, learners: Mapping[str, Learner], batch: Any) -> None:
        """To be called before an update while it is armed, with the batch."""
        self.armed = False
        self._before = before = Before(batch)
        # Some activations draw numbers in training mode where there is a gradient.
        with evaluating(learner.network for learner in learners.values()), metrics.unchecked():
            for name, learner in learners.items():
                if learner.inputs is None:
                    continue
                weights = {p: p.detach().clone() for p in learner.network.parameters()}
                before.weights[name] = weights
                target = None
                if learner.td_target is not None:
                    target = before.targets[name] = learner.td_target(batch, self.streams)
                if learner.loss is not None:
                    loss = learner.loss(batch, self.streams, target)
                    self._rows |= gradients(f"plasticity/{name}", learner.network, loss)
                    before.losses[name] = loss.detach()

    def after(self, learners: Mapping[str, Learner]) -> None:
        """To be called after each update."""
        if self._before is None:
            return
        before, self._before = self._before, None
        # As before the update; and a look should not move running statistics.
        of = (learner.network for learner in learners.values())
        with torch.no_grad(), evaluating(of), metrics.unchecked():
            for name, weights in before.weights.items():
                learner, prefix = learners[name], f"plasticity/{name}"
                self._rows[f"{prefix}/effective_lr"] = _rate(weights, weights)
                for label, layer in weight_layers(learner.network).items():
                    own = [p for p in layer.parameters(recurse=False) if p in weights]
                    if own:  # else a remedy has frozen it
                        self._rows[f"{prefix}/effective_lr/{label}"] = _rate(own, weights)
                if (name in before.targets or learner.labelled) and learner.loss is not None:
                    loss = learner.loss(before.batch, self.streams, before.targets.get(name))
                    left = metrics.one_step_plasticity(before.losses[name], loss)
                    self._rows[f"{prefix}/one_step_plasticity"] = left.double()

    def state_dict(self) -> dict[str, Any]:
        """Returns what it has seen; between two updates there is nothing else."""
        return {"armed": self.armed, "rows": dict(self._rows)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state that ``state_dict`` returned."""
        device = self.streams.device
        self.armed = state["armed"]
        self._rows = {name: value.to(device) for name, value in state["rows"].items()}

    def take(self) -> Rows:
        """Returns what was seen since the last call, ``(S,)`` by name, and watches again."""
        rows, self._rows, self.armed = self._rows, {}, True
        return rows


def gradients(prefix: str, network: nn.Module, loss: Tensor) -> Rows:
    """Which weights and which units a loss ``(S,)`` reaches."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss.sum(), parameters, allow_unused=True)
    grads = {
        p: torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)
    }
    rows = {f"{prefix}/zero_grad_fraction": metrics.zero_grad_fraction(grads.values(), lead=1)}
    units: dict[float, list[Tensor]] = {tau: [] for tau in GRAMA_TAUS}
    layers = weight_layers(network)
    for label, layer in layers.items():
        own = [grads[p] for p in layer.parameters(recurse=False) if p in grads]
        if not own:  # a remedy has frozen it
            continue
        rows[f"{prefix}/zero_grad_fraction/{label}"] = metrics.zero_grad_fraction(own, lead=1)
        if label == list(layers)[-1]:  # the output, whose units can't be recycled
            continue
        weight: Any = layer.weight
        scores = metrics.grama_scores(grads[weight], len(lead_of(layer)))
        for tau in GRAMA_TAUS:
            mask = (scores <= tau).flatten(1)
            rows[f"{prefix}/grama_fraction@{tau:g}/{label}"] = mask.double().mean(-1)
            units[tau].append(mask)
    for tau, masks in units.items():
        if masks:
            pooled = torch.cat(masks, dim=1).double().mean(-1)
            rows[f"{prefix}/grama_fraction@{tau:g}"] = pooled
    return rows


def _rate(parameters: Iterable[nn.Parameter], before: Mapping[nn.Parameter, Tensor]) -> Tensor:
    """How far an update has moved parameters, over their size before, ``(S,)``."""
    moved = list(parameters)
    first = [before[p] for p in moved]
    updates = [new - old for new, old in zip(moved, first, strict=True)]
    return metrics.effective_lr(updates, first, lead=1).double()
