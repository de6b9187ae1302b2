"""Remedies that are another way to draw from the replay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agents.ages import AgeWeights
from agents.settings import Rule
from plasticity.mitigations.base import MitigationConfig


@dataclass(frozen=True)
class SampleWeightDecayConfig(MitigationConfig):
    """Settings of sample-weight-decay."""

    decay_steps: int = 80_000
    """Age T in the weight max(min_weight, 1 - age / T), in time steps of the replay."""
    min_weight: float = 0.1
    """Weight of the oldest transitions, in (0, 1]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.weights()  # which has rules of its own

    def rules(self) -> Mapping[str, Rule]:
        return {"networks": (lambda x: not x, "be empty: all networks learn from one replay")}

    def weights(self) -> AgeWeights:
        """Returns the weights of transitions by their age."""
        return AgeWeights(self.decay_steps, self.min_weight)


def age_weights(chosen: Mapping[str, MitigationConfig]) -> AgeWeights | None:
    """Returns how the replay is to weigh ages: sample weight decay, if it is among the chosen."""
    for config in chosen.values():
        if isinstance(config, SampleWeightDecayConfig):
            return config.weights()
    return None
