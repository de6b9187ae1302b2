"""Units that do nothing start anew: ReDo by what they put out, ReGraMa by how they learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from plasticity.layers import captured, evaluating, lead_of
from plasticity.metrics import grama_mask, unchecked
from plasticity.metrics.units import relative
from plasticity.mitigations.base import Mitigation, MitigationConfig, Subject, by_seed


@torch.no_grad()
def recycle(subject: Subject, masks: Sequence[Tensor]) -> None:
    """Resets units in place: what comes in starts anew, what goes out is 0.

    First all that comes in: weights, gain, bias of a normalisation and alpha (unless units share
    it) take the values of a new initialisation, the bias of the weights is 0, and running
    statistics of a batch normalisation are 0 and 1.  Then all that goes out is 0 in every layer
    that reads the units, so that weights from one such unit to another end at 0.  Biases of readers
    and the target network are left alone.

    The optimizer forgets the moments of exactly these entries.  Its step counts stay, because they
    belong to whole tensors: the first step of a new entry is larger than Adam's first step, it is
    ``(1 - beta1) / sqrt(1 - beta2)`` times as large, 3.2 by default.

    The outputs of the network stay as they are if the units were silent and no LayerNorm stands
    behind their weights (it would see the new weights through its statistics).

    Args:
        subject: The network.
        masks: Which units of each hidden layer, booleans ``(*lead, F)``.
    """
    fresh = subject.fresh()  # whole, so that a seed draws as much as without the others
    names = {parameter: name for name, parameter in subject.network.named_parameters()}
    for layer, mask in zip(subject.hidden, masks, strict=True):
        for parameter in layer.own_parameters():
            where = mask.view(*mask.shape, *(1,) * (parameter.dim() - mask.dim()))
            bias = parameter is layer.weights.bias
            value = parameter.new_zeros(()) if bias else fresh[names[parameter]]
            parameter.copy_(torch.where(where, value, parameter))
            subject.zero_moments(parameter, where)
        layer.forget_statistics(mask)
    for layer, mask in zip(subject.hidden, masks, strict=True):
        for reader in layer.readers:
            weight: Any = reader.weights.weight
            columns = reader.columns(mask)
            weight.masked_fill_(columns, 0)
            subject.zero_moments(weight, columns)


C = TypeVar("C", bound=MitigationConfig)


class Recycler(Mitigation[C]):
    """A remedy that resets single units.  It reports how many, ``units_reset``.

    Raises:
        ValueError: If the network has no hidden layers, or their weights can't be found.
    """

    def __init__(self, config: C, subject: Subject) -> None:
        super().__init__(config, subject)
        if not subject.hidden:
            raise ValueError("it has no hidden layers, so there are no units to reset")

    def reset(self, masks: Sequence[Tensor]) -> None:
        """Resets the units ``(*lead, F)`` of each hidden layer; see ``recycle``."""
        recycle(self.subject, masks)
        reset = sum((by_seed(mask, self.subject.num_seeds) for mask in masks), torch.zeros(()))
        self.count("units_reset", reset)

    def report(self) -> dict[str, Tensor]:
        self.count("units_reset", torch.zeros(self.subject.num_seeds))  # also where there were none
        return super().report()

    @torch.no_grad()
    def flow(
        self, batch_size: int, others: Mapping[str, nn.Module] | None = None
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Input and output of each activation, on a batch of its own, by the name of the layer.

        Args:
            batch_size: Transitions of each seed.
            others: Further layers to look at, by names of their own.
        """
        learner, batch = self.subject.learner, self.subject.batch(batch_size)
        assert learner.inputs is not None  # there are hidden layers
        layers = {layer.name: layer.activation.module for layer in self.subject.hidden}
        # Another batch than that of the update should not move running statistics.
        with evaluating(iter((learner.network,))), captured({**layers, **(others or {})}) as flow:
            learner.network(*learner.inputs(batch))
        return flow


@dataclass(frozen=True)
class ReDoConfig(MitigationConfig):
    """Settings of redo."""

    every: int = 1_000
    """Updates between two looks at the units."""
    tau: float = 0.025
    """Units with mean |h| of at most tau times the mean of their layer start anew."""
    batch_size: int = 256
    """Transitions of each seed to look at."""


class ReDo(Recycler[ReDoConfig]):
    """Recycles dormant units (Sokar et al. 2023, arXiv 2302.12902; labs/redo of Dopamine).

    A unit is dormant if its score, mean ``|h|`` over a batch divided by the mean of that over the
    layer, is at most tau; see ``plasticity.dormant_scores``.  h is what the activation puts out, in
    every hidden layer with the last one.  All layers are scored by one forward pass.  The authors
    take tau 0.025 every 1000 updates for DQN at replay ratio 0.25, tau 0.1 at higher ones, and
    tau 0 every 200,000 updates for SAC.

    Their code keeps the moments of the reset biases; here they are forgotten.
    """

    @torch.no_grad()
    def operate(self) -> None:
        flow = self.flow(self.config.batch_size)
        self.reset(
            [
                relative(layer.activation.scores(flow[layer.name][1])) <= self.config.tau
                for layer in self.subject.hidden
            ]
        )


@dataclass(frozen=True)
class ReGraMaConfig(MitigationConfig):
    """Settings of regrama."""

    every: int = 1_000
    """Updates between two looks at the gradients."""
    tau: float = 0.01
    """Units with mean |dL/dW| of at most tau times the mean of their layer start anew."""


class ReGraMa(Recycler[ReGraMaConfig]):
    """Recycles units that hardly learn (Liu et al. 2025, arXiv 2505.24061).

    A unit is inactive if its score, see ``plasticity.grama_scores``, is at most tau.  It is read
    from the gradients of the loss between backward and the optimizer's step, and the units start
    anew after the update.  The scale of the gradient, so clipping, does not matter; what other
    remedies have added before does, so regularisers should be chosen after this one.  Where a layer
    has no gradient at all, each of its units counts as inactive.

    The authors reset before the step, leave the outgoing weights as they are and score the gain of
    LayerNorms and the output layer, too; here the reset is that of ReDo.  So the gradient of the
    incoming weights of a new unit is 0 until its outgoing weights have moved, after one step.

    A network that steps less often than the agent updates (an actor with ``policy_delay``) is
    scored every ``every`` steps of its own.
    """

    def __init__(self, config: ReGraMaConfig, subject: Subject) -> None:
        super().__init__(config, subject)
        self.steps = 0
        device = self.subject.streams.device
        self.inactive = [  # of the last gradient that was scored, each (*lead, F)
            torch.zeros(*lead_of(layer.weights), layer.num_units, dtype=torch.bool, device=device)
            for layer in subject.hidden
        ]

    @torch.no_grad()
    def before_step(self) -> None:
        self.steps += 1
        if self.steps % self.config.every:
            return
        for layer, inactive in zip(self.subject.hidden, self.inactive, strict=True):
            weight: Any = layer.weights.weight
            if weight.grad is not None:
                with unchecked():  # no host sync
                    lead = len(lead_of(layer.weights))
                    inactive.copy_(grama_mask(weight.grad, self.config.tau, lead))

    def operate(self) -> None:
        self.reset(self.inactive)
        for inactive in self.inactive:
            inactive.zero_()

    def state_dict(self) -> dict[str, Any]:
        # A checkpoint may fall between the step of a slow network and the reset.
        inactive = {f"inactive_{i}": mask for i, mask in enumerate(self.inactive)}
        return {"steps": self.steps, **inactive}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]
        for i, mask in enumerate(self.inactive):
            mask.copy_(state[f"inactive_{i}"])
