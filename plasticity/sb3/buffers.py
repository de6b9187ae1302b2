"""Drawing from the buffers of stable-baselines3 by random numbers of one's own."""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import BaseBuffer, RolloutBuffer
from torch import Tensor

Indices = np.ndarray[Any, np.dtype[np.int64]]


def states(
    model: BaseAlgorithm, buffer: BaseBuffer, rows: Indices, envs: Indices
) -> tuple[Any, Tensor]:
    """Returns observations and actions of a buffer as tensors, normalised as in training.

    Args:
        model: The algorithm that owns the buffer.
        buffer: A replay or a rollout.
        rows: Time steps in the buffer, ``(B,)``.
        envs: Environments, ``(B,)``.
    """
    at: Any = rows, envs
    if getattr(buffer, "generator_ready", False):  # a rollout, flattened for training
        at = envs * buffer.buffer_size + rows
    held: Any = buffer.observations  # type: ignore[attr-defined]  # of each kind of buffer
    if isinstance(held, dict):
        obs: Any = {key: value[at] for key, value in held.items()}
    else:
        obs = held[at]
    if not isinstance(buffer, RolloutBuffer):  # which holds normalised ones
        obs = buffer._normalize_obs(obs, model.get_vec_normalize_env())
    actions = buffer.to_torch(buffer.actions[at])  # type: ignore[attr-defined]
    if isinstance(obs, dict):
        return {key: buffer.to_torch(value) for key, value in obs.items()}, actions
    return buffer.to_torch(obs), actions
