"""Numbers that must stay finite, looked at on the host."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from agents import Learner


class NonFiniteError(RuntimeError):
    """A loss or a parameter is no longer a finite number."""


def check_finite(
    metrics: Mapping[str, Tensor], learners: Mapping[str, Learner], seeds: Sequence[int], step: int
) -> None:
    """Looks at the last losses, then at all parameters; costs one host sync.

    Args:
        metrics: What the last updates returned, ``(S,)`` by name.
        learners: The networks by name.
        seeds: The seeds.
        step: Lifetime step, for the message.

    Raises:
        NonFiniteError: With network, seed and step.
    """
    suspects = {name: value for name, value in metrics.items() if name.startswith("loss/")}
    for name, learner in learners.items():
        for key, parameter in learner.network.named_parameters():
            suspects[f"{name}/{key}"] = parameter.detach().reshape(len(parameter), -1).sum(1)
    for name, values in to_lists(suspects).items():
        for seed, value in zip(seeds, values, strict=True):
            if not math.isfinite(value):
                what = "loss" if name.startswith("loss/") else "parameter"
                network = name.removeprefix("loss/").partition("/")[0]
                raise NonFiniteError(
                    f"a {what} of network {network}, seed {seed}, is {value} at step {step} "
                    "(checked at logs and probes: it may have begun earlier)"
                )


def to_lists(values: Mapping[str, Tensor]) -> dict[str, list[float]]:
    """Moves metrics ``(S,)`` to the host, all at once."""
    if not values:
        return {}
    table = torch.stack([value.double() for value in values.values()]).tolist()
    return dict(zip(values, table, strict=True))
