"""C-CHAIN: what one update changes in the outputs elsewhere is held down in the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from plasticity.layers import evaluating, lead_of, weight_layers
from plasticity.mitigations.base import Mitigation, MitigationConfig, Subject, by_seed


@dataclass(frozen=True)
class CChainConfig(MitigationConfig):
    """Settings of c-chain."""

    strength: float = 2.0
    """Weight c of the mean squared change of the outputs."""
    batch_size: int = 128
    """Transitions of each seed on which the outputs are compared; best the agent's batch size."""


class CChain(Mitigation[CChainConfig]):
    """Continual churn approximated reduction (Tang et al. 2025; bluecontra/C-CHAIN).

    Adds to the loss of update t ::

        strength * mean (f(theta_t) - f(theta_{t-1}))^2

    on another batch from the replay, of as many states as the batch that is learned from, drawn
    uniformly.  ``theta_{t-1}`` are the weights before the most recent update, a constant: its
    change is pulled back where it changed outputs that it was not meant to.  The first update has
    no such term.  f are the values of all actions of a Q-network, the values of each critic (each
    with a mean of its own, summed), and the mean of the actions of an actor.

    The coefficient is fixed.  Theirs is 1% of the mean task loss over the mean churn for DQN (5%
    for PPO), which a gradient does not show: on CartPole with the defaults of this project that is
    2 to 4.  The authors' SAC (bluecontra/CHAIN) has a fixed 0.1 for its critics.  The gradient
    joins the one of the loss after clipping, theirs before.  All parameters with a gradient take
    part, also alphas and normalisations.  Both networks are in evaluation mode and share buffers,
    such as the statistics of observations.

    What other remedies do to the weights between two updates counts as part of the last update, so
    after a reset the term pulls toward the old outputs, in one update.

    Attributes:
        previous: ``theta_{t-1}`` by the name of the parameter.

    Raises:
        ValueError: If the network has no inputs, or its first output has no gradient.
    """

    def __init__(self, config: CChainConfig, subject: Subject) -> None:
        super().__init__(config, subject)
        if subject.learner.inputs is None:
            raise ValueError("it has no inputs, so there are no outputs to compare")
        with evaluating(iter((subject.network,))), torch.no_grad():
            example = subject.network(*subject.learner.inputs(subject.example))
        if not all(part.is_floating_point() for part in self._compared(example)):
            raise ValueError("its first output is an integer, so a change of it has no gradient")
        self.axes = len(lead_of(next(iter(weight_layers(subject.network).values()))))
        self.previous: dict[str, Tensor] = {}
        device = subject.streams.device
        self.penalty = torch.zeros(subject.num_seeds, dtype=torch.float64, device=device)

    def before_step(self) -> None:
        current = dict(self.subject.network.named_parameters())
        # At first, and where a remedy has put other layers in, there is nothing to compare with.
        if current.keys() == self.previous.keys():
            self._pull([p for p in current.values() if p.requires_grad and p.grad is not None])
            with torch.no_grad():
                for name, parameter in current.items():
                    self.previous[name].copy_(parameter)
        else:
            self.previous = {name: p.detach().clone() for name, p in current.items()}

    def _pull(self, parameters: Sequence[Tensor]) -> None:
        """Adds the gradient of the churn to those of the parameters."""
        network, inputs = self.subject.network, self.subject.learner.inputs
        assert inputs is not None  # see __init__
        given = inputs(self.subject.batch(self.config.batch_size))
        with evaluating(iter((network,))):
            with torch.no_grad():
                before = self._compared(functional_call(network, self.previous, given))
            with torch.enable_grad():
                after = self._compared(network(*given))
        pairs = zip(after, before, strict=True)
        changes = [(new - old).square().flatten(self.axes).mean(-1) for new, old in pairs]
        loss = self.config.strength * torch.stack(changes)  # (1 or critics, *lead)
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(loss.sum(), parameters, allow_unused=True), strict=True
        ):
            if parameter.grad is not None and gradient is not None:
                parameter.grad.add_(gradient)
        self.penalty = by_seed(loss.detach().sum(0), self.subject.num_seeds)

    def _compared(self, outputs: Any) -> tuple[Tensor, ...]:
        """Of all that a network returns: the values of each critic, else the first part."""
        parts = outputs if isinstance(outputs, tuple) else (outputs,)
        return parts if self.subject.name == "critic" else parts[:1]

    def report(self) -> dict[str, Tensor]:
        """Returns the ``penalty`` in the last update, before its step."""
        return {"penalty": self.penalty}

    def state_dict(self) -> dict[str, Any]:
        return {"previous": dict(self.previous), "penalty": self.penalty}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.penalty = state["penalty"].clone()
        self.previous = {name: value.clone() for name, value in state["previous"].items()}
