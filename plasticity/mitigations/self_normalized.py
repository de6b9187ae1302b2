"""Self-normalized resets: a unit starts anew when it is silent for longer than is usual for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from agents.settings import AT_LEAST_ONE, Rule
from networks import BASES, AdaLin
from networks.convert import base_of
from networks.doubling import CReLU
from plasticity.layers import lead_of
from plasticity.mitigations.base import MitigationConfig, Subject
from plasticity.mitigations.recycling import Recycler
from plasticity.wiring import Hidden


@dataclass(frozen=True)
class SelfNormalizedResetConfig(MitigationConfig):
    """Settings of snr."""

    percentile: float = 0.99
    """The threshold of a unit: this quantile (0.99: the 99th percentile) of its silences."""
    threshold_every: int = 10_000
    """Updates between two computations of the thresholds, each from the silences since the last."""
    reset_every: int = 10
    """Updates between two looks for units that are silent for longer than their threshold."""
    max_age: int = 1_000
    """First and largest threshold, in updates."""
    batch_size: int = 64
    """Transitions of each seed in which a unit may fire, in each update."""

    def rules(self) -> Mapping[str, Rule]:
        whole = dict.fromkeys(("threshold_every", "reset_every", "max_age"), AT_LEAST_ONE)
        return {**whole, "percentile": (lambda x: 0 < x <= 1, "be in (0, 1]")}


class Silences:
    """How long the units of a layer have been silent.

    Attributes:
        age: Updates since each unit fired, ``(*lead, F)``.
        threshold: The longest silence that is usual for it, ``(*lead, F)``.
        histogram: How many of its silences lasted 1, 2, ..., max_age updates,
            ``(*lead, F, max_age)``; longer ones count as max_age.
    """

    def __init__(self, layer: Hidden, max_age: int, device: torch.device) -> None:
        self.layer = layer
        shape = (*lead_of(layer.weights), layer.num_units)
        self.age = torch.zeros(shape, dtype=torch.int64, device=device)
        self.threshold = torch.full_like(self.age, max_age)
        self.histogram = torch.zeros(*shape, max_age, dtype=torch.int32, device=device)

    def advance(self, output: Tensor) -> None:
        """Makes the silences one update longer, or ends them: h > 0 anywhere is firing."""
        activation = self.layer.activation
        fires = (activation.units_last(output) > 0).any(-2)  # (S, ..., expansion * F)
        fires = fires.unflatten(-1, (activation.expansion, -1)).any(-2).view_as(self.age)
        self._end(fires & (self.age > 0))
        self.age.add_(1).masked_fill_(fires, 0)

    def overdue(self) -> Tensor:
        """Returns which units are silent beyond their threshold, and ends these silences."""
        mask = self.age > self.threshold
        self._end(mask)
        self.age.masked_fill_(mask, 0)
        return mask

    def set_thresholds(self, percentile: float) -> None:
        """Takes the thresholds from the silences since the last call; without any they stay."""
        counts = self.histogram.cumsum(-1).double()
        total = counts[..., -1:]
        lasting = 1 + (counts / total < percentile).sum(-1)
        self.threshold.copy_(torch.where(total.squeeze(-1) > 0, lasting, self.threshold))
        self.histogram.zero_()

    def _end(self, mask: Tensor) -> None:
        longest = self.histogram.shape[-1]
        index = self.age.clamp(1, longest) - 1
        self.histogram.scatter_add_(-1, index.unsqueeze(-1), mask.int().unsqueeze(-1))


class SelfNormalizedReset(Recycler[SelfNormalizedResetConfig]):
    """Self-normalized resets (Farias and Jozefiak 2024, arXiv 2410.20098).

    A unit fires if it puts out a number above 0 anywhere in a batch.  The lengths of its silences,
    in updates, are counted, those that a reset ended too; every ``threshold_every`` updates their
    percentile, the shortest length that a share ``percentile`` of them does not exceed, becomes the
    threshold.  A unit that is silent for longer is reset as in ``recycle``.  A unit without
    silences keeps its threshold, which is ``max_age`` at first.

    What differs from the authors' code (ajozefiak/SelfNormalizedResets): the activations come from
    a batch of the remedy's own after the step, theirs are those of the training batch before it.
    Ages count updates, theirs samples, which is the same for batches of one size.  Thresholds are
    the percentile itself; theirs only fall to it, double otherwise, and fall to the least possible
    value where there was no silence.  They reset in silences as long as the threshold, which may be
    the length of all others; and they look for such units in each update.

    Raises:
        ValueError: If h > 0 does not mean that a unit fires: where the activation is not ReLU or
            CReLU.  Tanh has no silence, and the sign of AdaLin's outputs is that of alpha.
    """

    def __init__(self, config: SelfNormalizedResetConfig, subject: Subject) -> None:
        super().__init__(config, subject)
        for layer in subject.hidden:
            if not _is_silent_below_zero(layer.activation.module):
                raise ValueError(
                    "it needs activations that are silent at or below 0 (relu, crelu), so that "
                    f"h > 0 is firing. Layer {layer.name} has {_name(layer.activation.module)}"
                )
        self.updates = 0
        device = subject.streams.device
        self.silences = [Silences(layer, config.max_age, device) for layer in subject.hidden]

    @torch.no_grad()
    def operate(self) -> None:
        self.updates += 1
        flow = self.flow(self.config.batch_size)
        for silences in self.silences:
            silences.advance(flow[silences.layer.name][1])
        if self.updates % self.config.reset_every == 0:
            self.reset([silences.overdue() for silences in self.silences])
        if self.updates % self.config.threshold_every == 0:
            for silences in self.silences:
                silences.set_thresholds(self.config.percentile)

    _KEPT = ("age", "threshold", "histogram")

    def state_dict(self) -> dict[str, Any]:
        kept = {
            f"{name}_{i}": getattr(silences, name)
            for i, silences in enumerate(self.silences)
            for name in self._KEPT
        }
        return {"updates": self.updates, **kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.updates = state["updates"]
        for i, silences in enumerate(self.silences):
            for name in self._KEPT:
                getattr(silences, name).copy_(state[f"{name}_{i}"])


def _is_silent_below_zero(activation: nn.Module) -> bool:
    return isinstance(activation, CReLU) or base_of(activation) is BASES["relu"]


def _name(activation: nn.Module) -> str:
    """What an activation is called; PReLU is AdaLin over relu."""
    base = getattr(activation, "base", None) or base_of(activation)
    name = type(activation).__name__ if base is None else base.name
    return f"AdaLin over {name}" if isinstance(activation, AdaLin) else name
