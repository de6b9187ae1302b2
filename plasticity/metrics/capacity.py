"""Capacity left: how well a copy of a network fits fresh targets."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from plasticity.metrics.checks import check


def identity(outputs: Any) -> Any:
    """Returns the outputs of the network as they are."""
    return outputs


def refit_loss(
    network: nn.Module,
    inputs: Sequence[Any],
    targets: Tensor,
    *,
    steps: int = 100,
    learning_rate: float = 1e-3,
    outputs: Callable[[Any], Tensor] = identity,
) -> Tensor:
    """Mean squared error of a copy of the network after ``steps`` steps on fresh targets, ``(S,)``.

    Target-fitting capacity of Lyle et al. 2022 (arXiv 2204.09560), where the targets are outputs of
    a freshly initialised network.  The larger, the less is left.  Each step is one of Adam on the
    whole batch.  The seeds' losses are summed, so that no gradient crosses from seed to seed.

    The network, its gradients and buffers and all generators stay as they are.  Parameters that are
    frozen in the network are frozen in the copy.

    Args:
        network: The network, with the seeds as first axis of its outputs.
        inputs: What to call it with.
        targets: What to fit, ``(S, ...)``, the shape of the outputs.
        steps: Number of steps, at least 1.
        learning_rate: Adam's, above 0.
        outputs: From what the network returns to the tensor to fit.

    Raises:
        ValueError: If a setting is out of range, the targets have not the shape of the outputs, or
            no parameter can be trained.
    """
    if steps < 1:
        raise ValueError(f"`steps` should be at least 1. Received {steps}")
    if not learning_rate > 0:
        raise ValueError(f"`learning_rate` should be above 0. Received {learning_rate}")
    check(1, targets=targets)
    for tensor in inputs:
        if isinstance(tensor, Tensor):
            check(inputs=tensor)
    student = copy.deepcopy(network)
    trained = [parameter for parameter in student.parameters() if parameter.requires_grad]
    if not trained:
        raise ValueError("`network` should have a parameter that requires a gradient. It has none")
    optimizer = torch.optim.Adam(trained, learning_rate)

    def losses() -> Tensor:
        fitted = outputs(student(*inputs))
        if fitted.shape != targets.shape:
            raise ValueError(
                f"`targets` should have the shape of the outputs, {tuple(fitted.shape)}. "
                f"Received {tuple(targets.shape)}"
            )
        return (fitted - targets).square().reshape(len(targets), -1).mean(-1)  # (S,)

    devices = {parameter.device for parameter in trained if parameter.is_cuda}
    with torch.random.fork_rng(list(devices)):  # noise of the network is drawn apart
        for _ in range(steps):
            optimizer.zero_grad()
            with torch.enable_grad():
                losses().sum().backward()
            optimizer.step()
        with torch.no_grad():
            return losses()
