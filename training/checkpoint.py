"""Saved states: tensors as safetensors, everything else as JSON, nothing that runs code."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

TENSORS, REST = "tensors.safetensors", "state.json"


def save(folder: Path, state: dict[str, Any]) -> None:
    """Writes a nested state to ``folder``: aside first, then in place of the previous one.

    Args:
        folder: Where it goes.
        state: Nested dictionaries of tensors and of what JSON can hold. Keys are whole numbers, or
            names without a slash that do not begin with ``#``.
    """
    aside = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    leaves = dict(_leaves(state))
    tensors: dict[str, Tensor] = {}
    memory: set[int] = set()
    for name, leaf in leaves.items():
        if isinstance(leaf, Tensor):
            tensor = leaf.detach().cpu().contiguous()
            # safetensors refuses shared memory: layers may share one alpha.
            shared = tensor.untyped_storage().data_ptr() in memory
            tensors[name] = tensor.clone() if shared else tensor
            memory.add(tensor.untyped_storage().data_ptr())
    rest = {k: v for k, v in leaves.items() if not isinstance(v, Tensor)}
    save_file(tensors, aside / TENSORS)
    with open(aside / REST, "w") as file:
        json.dump(rest, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    if folder.exists():
        old = folder.with_name(folder.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
        aside.rename(folder)
        shutil.rmtree(old)
    else:
        aside.rename(folder)


def load(folder: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Reads the nested state that ``save`` wrote to ``folder``.

    Raises:
        FileNotFoundError: If there is none.
    """
    leaves: dict[str, Any] = dict(load_file(folder / TENSORS, device=str(device)))
    leaves |= json.loads((folder / REST).read_text())
    state: dict[Any, Any] = {}
    for path, value in leaves.items():
        *branches, last = (
            int(key.removeprefix("#")) if key.startswith("#") else key for key in path.split("/")
        )
        node = state
        for branch in branches:
            node = node.setdefault(branch, {})
        node[last] = value
    return state


def _leaves(state: dict[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in state.items():
        name = f"{prefix}#{key}" if isinstance(key, int) else f"{prefix}{key}"
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{name}/")
        else:
            yield name, value
