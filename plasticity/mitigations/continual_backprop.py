"""Continual backprop: all the time, the least useful of the grown-up units start anew."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from networks.layers import Linear
from plasticity.layers import lead_of
from plasticity.mitigations.base import MitigationConfig, Subject
from plasticity.mitigations.recycling import Recycler
from plasticity.wiring import Hidden, Reader


@dataclass(frozen=True)
class ContinualBackpropConfig(MitigationConfig):
    """Settings of continual-backprop."""

    rate: float = 1e-4
    """Share of the units older than ``maturity`` that are replaced in each update."""
    maturity: int = 10_000
    """Updates that a unit is left alone after its start."""
    decay: float = 0.99
    """How much of a unit's utility is kept in each update."""
    batch_size: int = 64
    """Transitions of each seed that the activations are averaged over."""
    correct_bias: bool = True
    """Add what a unit put out on average to the biases of the layers that read it."""


class Ages:
    """How many units of a layer have which age.

    It is the same for all seeds, because how many start anew depends on nothing else.  So it is
    known here, and the device is not asked.
    """

    def __init__(self, num_units: int) -> None:
        self.now = 0
        self.born = deque([[0, num_units]])  # when, and how many, of those not yet mature
        self.mature = 0
        self.owed = 0.0

    def advance(self, rate: float, maturity: int) -> int:
        """Makes all one update older, and returns how many of the mature units start anew."""
        self.now += 1
        while self.born and self.now - self.born[0][0] > maturity:
            self.mature += self.born.popleft()[1]
        self.owed += rate * self.mature
        count = int(self.owed)
        if count:
            self.owed -= count
            self.mature -= count
            self.born.append([self.now, count])
        return count

    def state_dict(self) -> dict[str, Any]:
        born = [list(cohort) for cohort in self.born]
        return {"now": self.now, "born": born, "mature": self.mature, "owed": self.owed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.now, self.mature, self.owed = state["now"], state["mature"], state["owed"]
        self.born = deque(list(cohort) for cohort in state["born"])


class Units:
    """What is known of the units of a hidden layer.

    Attributes:
        age: Updates since each unit started, ``(*lead, F)``.
        utility: Moving average of the utility of each unit, from 0 on, ``(*lead, F)``.
        readers: The dense layers with biases that read the units.
        means: Moving average, from 0 on, of what each input of these readers receives, each
            ``(*lead, I)``.
    """

    def __init__(self, layer: Hidden, config: ContinualBackpropConfig) -> None:
        self.layer, self.config = layer, config
        self.ages = Ages(layer.num_units)
        weight: Any = layer.weights.weight
        self.utility = weight.new_zeros(*lead_of(layer.weights), layer.num_units)
        self.age = torch.zeros_like(self.utility, dtype=torch.int64)
        self.readers = [r for r in layer.readers if config.correct_bias and _has_bias(r)]
        self.means = [weight.new_zeros(*lead_of(r.weights), len(r.unit)) for r in self.readers]
        # Which inputs of each reader come from here, and how many weights read each unit.
        self._inputs = [(reader.unit >= 0).nonzero()[:, 0] for reader in layer.readers]
        self._num_weights: Tensor = weight.new_zeros(layer.num_units)
        for reader, inputs in zip(layer.readers, self._inputs, strict=True):
            weight, axis = reader.weights.weight, len(lead_of(reader.weights))
            each = weight.shape[axis] * weight.shape[axis + 2 :].numel()
            self._num_weights += each * reader.unit[inputs].bincount(minlength=layer.num_units)

    def outgoing(self) -> Tensor:
        """Mean absolute outgoing weight of each unit ``(*lead, F)``, over all that read it."""
        total = torch.zeros_like(self.utility)
        for reader, inputs in zip(self.layer.readers, self._inputs, strict=True):
            weight: Any = reader.weights.weight
            axis = len(lead_of(reader.weights))
            sums = weight.abs().sum((axis, *range(axis + 2, weight.dim())))  # (*lead, I)
            total.index_add_(-1, reader.unit[inputs], sums[..., inputs])
        return total / self._num_weights

    def advance(self, output: Tensor, received: Sequence[Tensor]) -> int:
        """Makes all one update older.

        Args:
            output: What the activation put out.
            received: What each of ``readers`` received, each ``(*lead, B, I)``.

        Returns:
            How many units start anew.
        """
        self.age += 1
        new = 1 - self.config.decay
        self.utility.lerp_(self.outgoing() * self.layer.activation.scores(output), new)
        for mean, x in zip(self.means, received, strict=True):
            mean.lerp_(x.flatten(mean.dim() - 1, -2).mean(-2), new)
        return self.ages.advance(self.config.rate, self.config.maturity)

    def least_useful(self, count: int) -> Tensor:
        """Which mature units have the least utility, ``(*lead, F)``: as many in each network."""
        utility = self._unbiased(self.utility, self.age)
        utility = utility.masked_fill(self.age <= self.config.maturity, torch.inf)
        least = utility.topk(count, largest=False).indices
        return torch.zeros_like(self.utility, dtype=torch.bool).scatter_(-1, least, True)

    def forget(self, mask: Tensor) -> None:
        """Gives what these units put out on average to the biases of readers; their age is 0."""
        for reader, mean in zip(self.readers, self.means, strict=True):
            columns = reader.columns(mask)  # (*lead, 1, I)
            average = self._unbiased(mean, self.age[..., reader.unit.clamp(min=0)])
            lost = torch.where(columns, average.unsqueeze(-2), 0)
            module: Any = reader.weights
            module.bias.add_((module.weight * lost).sum(-1))
            mean.masked_fill_(columns.squeeze(-2), 0)
        self.utility.masked_fill_(mask, 0)
        self.age.masked_fill_(mask, 0)

    def _unbiased(self, average: Tensor, age: Tensor) -> Tensor:
        return average / (1 - self.config.decay ** age.to(average.dtype))


class ContinualBackprop(Recycler[ContinualBackpropConfig]):
    """Continual backprop with the contribution utility (Dohare et al. 2024, Nature 632, 768).

    In each update, for each hidden layer with the last one: all units age by 1;
    ``u <- decay u + (1 - decay) mean |W_out| mean |h|``; of the units older than ``maturity`` a
    share of ``rate`` is replaced, fractions add up over the updates, the lowest
    ``u / (1 - decay^age)`` first.  ``mean |W_out|`` is over all weights that read the unit, of a
    channel in front of a dense layer those of all its positions; ``mean |h|`` is over batch and
    positions.  A replaced unit is reset as in ``recycle``; with ``correct_bias`` the dense layers
    behind it first take over what it put out on average, ``b += W_out h``, so that their outputs
    keep their means.

    What differs from the authors' code (shibhansh/loss-of-plasticity): activations come from a
    batch of the remedy's own and from the weights after the step, theirs are those of the training
    batch before it.  Their bias correction adds 0, because the average is zeroed before it is used.
    They replace layer by layer, so a weight between two units replaced at once stays fresh, and
    here is 0.  They also restart Adam's step count of the entries; see ``recycle``.  Their agent
    (PPO) adds a weight decay of 1e-4, and Adam with betas of 0.99.
    """

    def __init__(self, config: ContinualBackpropConfig, subject: Subject) -> None:
        super().__init__(config, subject)
        self.units = [Units(layer, config) for layer in subject.hidden]

    @torch.no_grad()
    def operate(self) -> None:
        readers = {
            f"reader {i} {j}": reader.weights
            for i, units in enumerate(self.units)
            for j, reader in enumerate(units.readers)
        }
        flow = self.flow(self.config.batch_size, readers)
        counts = []
        for i, units in enumerate(self.units):
            received = [flow[f"reader {i} {j}"][0] for j in range(len(units.readers))]
            counts.append(units.advance(flow[units.layer.name][1], received))
        if any(counts):
            masks = [u.least_useful(count) for u, count in zip(self.units, counts, strict=True)]
            for units, mask in zip(self.units, masks, strict=True):
                units.forget(mask)
            self.reset(masks)

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {}
        for i, units in enumerate(self.units):
            state |= {f"ages_{i}": units.ages.state_dict()}
            state |= {f"age_{i}": units.age, f"utility_{i}": units.utility}
            state |= {f"mean_{i}_{j}": mean for j, mean in enumerate(units.means)}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for i, units in enumerate(self.units):
            units.ages.load_state_dict(state[f"ages_{i}"])
            units.age.copy_(state[f"age_{i}"])
            units.utility.copy_(state[f"utility_{i}"])
            for j, mean in enumerate(units.means):
                mean.copy_(state[f"mean_{i}_{j}"])


def _has_bias(reader: Reader) -> bool:
    weights = reader.weights
    return isinstance(weights, Linear | nn.Linear) and weights.bias is not None
