"""Where tensors lie, and which numbers they hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def pick_device(name: str) -> torch.device:
    """Returns the device called ``name``; raises a ValueError if the machine has none such."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "device cuda is not available to PyTorch on this machine; use --device cpu"
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


@contextmanager
def without_denormals() -> Iterator[None]:
    """Lets this thread, and those that start meanwhile, take numbers below about 1e-38 as 0.

    CPUs are slow on such numbers, and Adam's means for the weights of dormant neurons shrink until
    they are.
    """
    before = _are_zero()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def _are_zero() -> bool:
    return (torch.tensor(1e-39) * 1.0).item() == 0.0
