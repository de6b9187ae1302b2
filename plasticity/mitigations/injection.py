"""Plasticity injection: a new head takes over learning, and nothing that is predicted changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from agents.settings import AT_LEAST_ONE, Rule
from networks.injected import InjectedHead, inject
from networks.torsos import Torso
from plasticity.mitigations.base import Mitigation, MitigationConfig, Subject
from plasticity.mitigations.resets import forget


@dataclass(frozen=True)
class PlasticityInjectionConfig(MitigationConfig):
    """Settings of plasticity-injection."""

    after: int = 10_000
    """Updates until it happens, once."""
    layers: int = 2
    """Weight layers of the head: 2 are the last hidden layer and the output."""

    def rules(self) -> Mapping[str, Rule]:
        return {"after": AT_LEAST_ONE, "layers": AT_LEAST_ONE}


class PlasticityInjection(Mitigation[PlasticityInjectionConfig]):
    """Gives a network a new head without changing its outputs (Nikishin et al. 2023, 2305.15555).

    After ``after`` updates, once, the head h_theta is frozen, and the network becomes ``h_theta +
    h_1 - h_2`` of the same features, with h_1 = h_2 newly drawn and h_2 frozen, too.  The optimizer
    holds the same parameters as before: they take the values of h_1, their moments are forgotten
    and their steps are counted from 0.  h_theta and h_2 are copies that no optimizer has.  A
    parameter of the head that earlier layers share (alpha of granularity ``network``) stays as it
    is in h_1, and is copied to h_2.  The target gets its own frozen h_theta and the same h_1 and
    h_2, so its outputs stay, too.

    The paper injects after a quarter of a run (50 of 200 million frames), with all behind the
    convolutions as the head; ``after`` has no default that suits all runs.

    Names in the state of the agent change with the injection.  A new agent has to take over the
    state of its remedies first, which injects, and its own afterwards, which sets the values.

    It reports ``injected``, 0 or 1.  The probe counts the units of all three heads; those of the
    frozen ones are called ``<layer>_frozen`` and ``<layer>_subtracted``.

    Raises:
        ValueError: If the network is not a torso of dense layers with a head, or has fewer layers.
    """

    def __init__(self, config: PlasticityInjectionConfig, subject: Subject) -> None:
        super().__init__(config, subject)
        self.updates, self.injected = 0, False
        torso, head = (getattr(subject.network, name, None) for name in ("torso", "head"))
        if not isinstance(torso, Torso) or not isinstance(head, nn.Module):
            raise ValueError(
                "plasticity-injection needs a head behind dense layers that can be split in two, "
                "as in the networks of dqn and sac and in mlp and cnn. SimBa is residual, as "
                "ResNets are, and has none; a model of stable-baselines3 with an injected head "
                "could not be loaded again"
            )
        if isinstance(head, InjectedHead):
            raise ValueError("plasticity-injection works once, and the network has been injected")
        if config.layers > len(torso.dense) + 1:
            raise ValueError(
                f"`layers` should be at most {len(torso.dense) + 1}, the dense layers of the "
                f"network. Received {config.layers}"
            )

    def operate(self) -> None:
        self.updates += 1
        if self.updates == self.config.after:
            self.inject()

    @torch.no_grad()
    def inject(self) -> None:
        """Injects network and target."""
        fresh, learner = self.subject.fresh(), self.subject.learner
        for parameter in inject(learner.network, self.config.layers, fresh):
            forget(self.subject, parameter)
        if learner.target is not None:
            inject(learner.target, self.config.layers, fresh)
        self.injected = True

    def report(self) -> dict[str, Tensor]:
        device = self.subject.streams.device
        return {"injected": torch.full((self.subject.num_seeds,), float(self.injected)).to(device)}

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "injected": self.injected}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.injected and not state["injected"]:
            raise ValueError(
                "an injected network can't take over a state from before the injection: make a new "
                "agent"
            )
        self.updates = state["updates"]
        if state["injected"] and not self.injected:
            self.inject()
