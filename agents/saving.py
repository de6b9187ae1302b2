"""Saved states: tensors as safetensors, everything else as JSON, nothing that runs code.

A state is a folder with three files.  ``manifest.json`` holds size and SHA-256 of the other two and
of itself, so that a damaged state is never taken for a sound one.  A folder is written aside,
flushed to the disk and renamed: it is there as a whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

TENSORS, REST, MANIFEST = "tensors.safetensors", "state.json", "manifest.json"
MAX_JSON = 1 << 30
"""Bytes of JSON that are read at most: a file that claims more is no state of a run."""


class DamagedError(ValueError):
    """A saved state that is not what was saved."""


def save(folder: Path, state: dict[str, Any]) -> int:
    """Writes a nested state to a new folder, aside first, and returns its size in bytes.

    Args:
        folder: Where it goes; what is there already is replaced.
        state: Nested dictionaries of tensors and of what JSON can hold. Keys are whole numbers or
            strings.

    Raises:
        OSError: If the disk does not take it; what was there before is still there then.
    """
    leaves = dict(_leaves(state))
    tensors = _unshared({k: v for k, v in leaves.items() if isinstance(v, Tensor)})
    # safetensors forgets the order, which is that of the metrics in a table.
    rest = {k: None if isinstance(v, Tensor) else v for k, v in leaves.items()}
    content = {TENSORS: tensors_to_bytes(tensors), REST: json.dumps(rest).encode()}
    manifest: dict[str, Any] = {
        name: {"bytes": len(data), "sha256": sha256(data)} for name, data in content.items()
    }
    content[MANIFEST] = json.dumps({**manifest, MANIFEST: digest(manifest)}).encode()
    aside = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        for name, data in content.items():
            write(aside / name, data)
        sync_folder(aside)
        if folder.exists():
            shutil.rmtree(folder)
        aside.rename(folder)
        sync_folder(folder.parent)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return sum(map(len, content.values()))


def load(folder: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Reads the nested state that ``save`` wrote to ``folder``.

    Raises:
        DamagedError: If a file is missing or is not, to the byte, what was saved.
    """
    try:
        manifest = read_json(folder / MANIFEST)
        own = manifest.pop(MANIFEST, None)
        if own != digest(manifest) or manifest.keys() != {TENSORS, REST}:
            raise DamagedError(f"{folder / MANIFEST} is not what was saved")
        content = {}
        for name, expected in manifest.items():
            content[name] = read(folder / name, expected["bytes"], expected["sha256"])
        tensors = load_tensors(content[TENSORS])
        leaves = {name: tensors.get(name, v) for name, v in json.loads(content[REST]).items()}
    except (OSError, SafetensorError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"{folder} cannot be read: {error}") from error
    except ValueError as error:
        if isinstance(error, DamagedError):
            raise
        raise DamagedError(f"{folder} cannot be read: {error}") from error
    state: dict[Any, Any] = {}
    for path, value in leaves.items():
        *branches, last = (
            int(key.removeprefix("#")) if key.startswith("#") else unquote(key)
            for key in path.split("/")
        )
        node = state
        for branch in branches:
            node = node.setdefault(branch, {})
        node[last] = value.to(device) if isinstance(value, Tensor) else value
    return state


def saved(parent: Path) -> list[Path]:
    """Returns the folders of saved states, which are called as their step, newest first."""
    if not parent.is_dir():
        return []
    steps = [path for path in parent.iterdir() if re.fullmatch(r"\d{1,18}", path.name)]
    return sorted(steps, key=lambda path: int(path.name), reverse=True)


def newest(parent: Path) -> tuple[Path, dict[str, Any], list[str]]:
    """Reads the newest sound state among those of ``saved``.

    Returns:
        Its folder, the state, and a line for each newer one that is damaged.

    Raises:
        DamagedError: If there is none.
    """
    problems: list[str] = []
    for folder in saved(parent):
        try:
            return folder, load(folder), problems
        except DamagedError as error:
            problems.append(str(error))
    raise DamagedError("; ".join(problems) or f"{parent} holds no saved state")


def write(file: Path, data: bytes) -> None:
    """Writes a new file and flushes it to the disk."""
    with file.open("xb") as new:
        new.write(data)
        new.flush()
        os.fsync(new.fileno())


def read(file: Path, size: int, checksum: str) -> bytes:
    """Reads a file that is what was saved; never more than its size.

    Raises:
        DamagedError: If it is not.
        OSError: If it cannot be read.
    """
    if file.is_symlink() or file.stat().st_size != size:
        raise DamagedError(f"{file} does not have the size that was saved")
    data = file.read_bytes()
    if sha256(data) != checksum:
        raise DamagedError(f"{file} is not what was saved")
    return data


def read_json(file: Path) -> dict[str, Any]:
    """Reads a JSON object; a ValueError if it is none."""
    if file.is_symlink() or file.stat().st_size > MAX_JSON:
        raise DamagedError(f"{file} is no saved state")
    content = json.loads(file.read_bytes())
    if not isinstance(content, dict):
        raise DamagedError(f"{file} is no saved state")
    return content


def sync_folder(folder: Path) -> None:
    """Brings the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest(manifest: dict[str, Any]) -> str:
    """Returns the checksum of a manifest, which stands in it."""
    return sha256(json.dumps(manifest, sort_keys=True).encode())


def sha256(data: bytes) -> str:
    """Returns the checksum of a file."""
    return hashlib.sha256(data).hexdigest()


def _unshared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """On the host, contiguous, no two in one memory, which safetensors refuses."""
    found: dict[str, Tensor] = {}
    memory: set[int] = set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        at = tensor.untyped_storage().data_ptr()  # layers may share one alpha
        found[name] = tensor.clone() if at in memory else tensor
        memory.add(at)
    return found


def _leaves(state: dict[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in state.items():
        name = f"{prefix}#{key}" if isinstance(key, int) else f"{prefix}{quote(key, safe=' :@')}"
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{name}/")
        else:
            yield name, value
