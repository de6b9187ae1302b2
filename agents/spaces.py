"""What spaces agents take, and their arrays as tensors."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from agents.agent import Array

LARGE = 4096
"""Bytes of a large observation."""


def check_observations(agent: str, space: gym.Space[Any]) -> tuple[int, ...]:
    """Returns the shape of an observation; raises a ValueError if the space is not a Box."""
    if not isinstance(space, gym.spaces.Box):
        raise ValueError(f"agent {agent} needs a Box as observation space. Received {space}")
    if not space.shape:
        raise ValueError(f"agent {agent} needs observations with an axis. Received {space}")
    return space.shape


def check_actions(agent: str, space: gym.Space[Any]) -> gym.spaces.Box:
    """Returns the space; raises a ValueError if it is not a finite Box of one axis."""
    if not isinstance(space, gym.spaces.Box) or len(space.shape) != 1:
        raise ValueError(
            f"agent {agent} needs a Box of one axis as action space. Received {space}"
            + ("; agent dqn takes it" if isinstance(space, gym.spaces.Discrete) else "")
        )
    if not space.is_bounded():
        raise ValueError(f"agent {agent} needs finite action bounds. Received {space}")
    return space


def tensor_dtype(space: gym.Space[Any]) -> torch.dtype:
    """Returns the dtype to keep values of a space in: bytes stay bytes, floats are 32 bit."""
    if np.issubdtype(space.dtype, np.floating):
        return torch.float32
    if space.dtype == np.uint8:
        return torch.uint8
    return torch.int64 if isinstance(space, gym.spaces.Discrete) else torch.float32


def tensor_shape(space: gym.Space[Any]) -> tuple[int, ...]:
    """Returns the shape of one value of a space: () of a discrete one.

    Raises:
        ValueError: If its values are not single arrays.
    """
    if space.shape is None:
        raise ValueError(f"agents need spaces of single arrays, as Box. Received {space}")
    return space.shape


def is_large(space: gym.Space[Any]) -> bool:
    """Whether a replay should keep each observation once.

    Then what is seen before and after a step shares memory, for some 60 microseconds a step
    (docs/frames.md).  Small images, as those of MinAtar, would take longer to sample, too.
    """
    return space.dtype == np.uint8 and math.prod(tensor_shape(space)) >= LARGE


def to_tensor(array: Array, device: torch.device) -> Tensor:
    """Moves observations to a tensor: bytes as they are, all else as 32-bit floats."""
    tensor = torch.from_numpy(array)
    return tensor.to(device, torch.uint8 if tensor.dtype == torch.uint8 else torch.float32)
