"""The seams of an agent, as the chosen remedies change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import nn
from torch.optim import Optimizer

from agents import Seams
from agents.descent import adam
from networks import Architecture
from plasticity.mitigations.base import MitigationConfig
from plasticity.mitigations.optimizers import MakeOptimizer
from plasticity.mitigations.registry import MITIGATIONS


def seams(
    chosen: Mapping[str, MitigationConfig],
    seeds: Sequence[int],
    *,
    halve_widths: bool = False,
    optimizer: MakeOptimizer = adam,
) -> Seams:
    """Returns how an agent is to make its networks and optimizers.

    Args:
        chosen: Settings by the name of the remedy.
        seeds: The seeds, for optimizers that draw numbers.
        halve_widths: Whether to halve hidden layers whose activation doubles them.
        optimizer: Makes the optimizers that no remedy replaces.
    """

    def architecture(name: str, usual: Architecture) -> Architecture:
        made = replace(usual, halve=halve_widths)
        for remedy, config in chosen.items():
            change = MITIGATIONS[remedy].architecture
            if change is not None and _works_on(config, name):
                made = change(config, name, made)
        return made

    # TRAC works on whatever optimizer there is, so it comes last.
    for remedy, config in sorted(chosen.items(), key=lambda item: item[0] == "trac"):
        wrap = MITIGATIONS[remedy].optimizer
        if wrap is not None:
            optimizer = _only(config, wrap(config, optimizer, seeds), optimizer)
    return Seams(architecture, optimizer)


def _works_on(config: MitigationConfig, network: str) -> bool:
    """Whether a seam is for that network: those it was told, or all but the temperature."""
    return network in config.networks if config.networks else network != "temperature"


def _only(config: MitigationConfig, special: MakeOptimizer, usual: MakeOptimizer) -> MakeOptimizer:
    """Makes the special optimizer for the networks of a remedy, and the usual for others."""

    def make(name: str, parameters: Sequence[nn.Parameter], learning_rate: float) -> Optimizer:
        return (special if _works_on(config, name) else usual)(name, parameters, learning_rate)

    return make
