"""What one update of an agent does, seen from before and after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from agents import Batch, Learner, Streams
from plasticity import metrics
from plasticity.layers import weight_layers


@dataclass
class Before:
    """The batch of an update, the state of the noise, and weights and losses before it."""

    batch: Batch
    noise: dict[int, Tensor]
    weights: dict[str, dict[nn.Parameter, Tensor]]
    losses: dict[str, Tensor]


class UpdateWatch:
    """Watches the first update after each look at what it saw; the others cost nothing.

    It sees ``effective_lr`` and, of critics, ``one_step_plasticity`` on the batch of the update.

    Args:
        streams: Generators for the noise of losses, the same before and after the update.
    """

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self._armed = True
        self._rows: dict[str, Tensor] = {}
        self._before: Before | None = None

    def before(self, learners: Mapping[str, Learner], batch: Batch) -> None:
        """To be called before each update, with its batch."""
        if not self._armed:
            return
        self._armed = False
        weights = {
            name: {p: p.detach().clone() for p in learner.network.parameters()}
            for name, learner in learners.items()
        }
        noise = {i: state.clone() for i, state in self.streams.state_dict().items()}
        self._before = Before(batch, noise, weights, self._losses(learners, batch))

    @torch.no_grad()
    def after(self, learners: Mapping[str, Learner]) -> None:
        """To be called after each update."""
        if self._before is None:
            return
        before, self._before = self._before, None
        now = self.streams.state_dict()
        self.streams.load_state_dict(before.noise)
        losses = self._losses(learners, before.batch)
        self.streams.load_state_dict(now)
        with metrics.unchecked():
            for name, learner in learners.items():
                if learner.inputs is not None:
                    weights = before.weights[name]
                    self._rows[f"plasticity/{name}/effective_lr"] = _rate(weights, weights)
                    for label, layer in weight_layers(learner.network).items():
                        own = [p for p in layer.parameters(recurse=False) if p in weights]
                        if own:  # else a remedy has frozen it
                            rate = _rate(own, weights)
                            self._rows[f"plasticity/{name}/effective_lr/{label}"] = rate
                if name in losses:
                    left = metrics.one_step_plasticity(before.losses[name], losses[name])
                    self._rows[f"plasticity/{name}/one_step_plasticity"] = left.double()

    def take(self) -> dict[str, Tensor]:
        """Returns what was seen since the last call, ``(S,)`` by name, and watches again."""
        rows, self._rows, self._armed = self._rows, {}, True
        return rows

    @torch.no_grad()
    def _losses(self, learners: Mapping[str, Learner], batch: Batch) -> dict[str, Tensor]:
        """The losses that can't be negative: those of critics."""
        return {
            name: learner.loss(batch, self.streams)
            for name, learner in learners.items()
            if learner.loss is not None and learner.values is not None
        }


def _rate(parameters: Iterable[nn.Parameter], before: Mapping[nn.Parameter, Tensor]) -> Tensor:
    """How far an update has moved parameters, over their size before, ``(S,)``."""
    moved = list(parameters)
    first = [before[p] for p in moved]
    updates = [new - old for new, old in zip(moved, first, strict=True)]
    return metrics.effective_lr(updates, first, lead=1).double()
