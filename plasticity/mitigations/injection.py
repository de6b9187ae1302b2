"""Plasticity injection: a new head takes over learning, and nothing that is predicted changes."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from agents.settings import AT_LEAST_ONE, Rule
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


class InjectedHead(nn.Module):
    """``h_theta(x) + h_1(x) - h_2(x)``: what was learned stays, only h_1 learns on.

    The weights of h_theta (``frozen``) and h_2 (``subtracted``) are buffers, no parameters: no
    optimizer, no ``requires_grad_``, no average of a target reaches them.  Gradients flow through
    all three to what lies before.

    Args:
        trained: h_1, its layers by name.
        frozen: h_theta.
        subtracted: h_2, in the beginning equal to h_1.
    """

    def __init__(self, trained: nn.Sequential, frozen: nn.Sequential, subtracted: nn.Sequential):
        super().__init__()
        self.frozen, self.subtracted, self.trained = frozen, subtracted, trained

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(*lead, B, I)`` to ``(*lead, B, O)``."""
        frozen, subtracted = self.frozen(x), self.subtracted(x)
        # The difference is exactly 0 in the beginning.  h_1 is called last: it has the features.
        output: Tensor = frozen + (self.trained(x) - subtracted)
        return output


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
                "the networks of dqn and sac. SimBa is residual, and a model of stable-baselines3 "
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


@torch.no_grad()
def inject(network: Any, layers: int, fresh: Mapping[str, Tensor]) -> list[nn.Parameter]:
    """Replaces the head of a network: the last dense layers of its torso and the output.

    Args:
        network: It has a ``torso`` with ``dense`` layers, and a ``head``.
        layers: How many layers the head has.
        fresh: New values by the names of the parameters.

    Returns:
        The parameters of h_1 that took new values.
    """
    names = {parameter: name for name, parameter in network.named_parameters()}
    dense = list(network.torso.dense.named_children())
    split = len(dense) + 1 - layers
    # The output layer keeps its name, too: probes call `head.weights` by `head`.
    output = nn.Sequential(OrderedDict(weights=network.head))
    trained = nn.Sequential(OrderedDict([*dense[split:], ("head", output)]))
    network.torso.dense = nn.Sequential(OrderedDict(dense[:split]))
    shared = set(network.torso.parameters())
    frozen = frozen_copy(trained, "frozen")
    anew = [parameter for parameter in trained.parameters() if parameter not in shared]
    for parameter in anew:
        parameter.copy_(fresh[names[parameter]])
    network.head = InjectedHead(trained, frozen, frozen_copy(trained, "subtracted"))
    return anew


def frozen_copy(modules: nn.Sequential, suffix: str) -> nn.Sequential:
    """Copies modules with buffers in place of parameters; adds the suffix to their names."""
    copied = copy.deepcopy(modules)
    for module in copied.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.detach())
    return nn.Sequential(OrderedDict((f"{n}_{suffix}", m) for n, m in copied.named_children()))
