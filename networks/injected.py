"""Heads after plasticity injection: what was learned stays, and a new part learns on."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


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
