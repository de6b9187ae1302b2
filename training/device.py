"""Where tensors lie."""

from __future__ import annotations

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
