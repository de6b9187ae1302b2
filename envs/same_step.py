"""Environments in one process, one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv


class SameStepVector(SyncVectorEnv):
    """Does what ``SyncVectorEnv`` does with ``AutoresetMode.SAME_STEP``, with less in between.

    Args:
        makers: Make the environments.
    """

    def __init__(self, makers: Any) -> None:
        super().__init__(makers, autoreset_mode=AutoresetMode.SAME_STEP)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        seen = self._observations
        if not (isinstance(seen, np.ndarray) and isinstance(actions, np.ndarray)):
            return super().step(actions)
        infos: dict[str, Any] = {}
        told: list[dict[str, Any]] = []
        for i, (env, action) in enumerate(zip(self.envs, actions, strict=True)):
            obs, self._rewards[i], terminated, truncated, info = env.step(action)
            self._terminations[i], self._truncations[i] = terminated, truncated
            if terminated or truncated:
                infos = self._add_info(infos, {"final_obs": obs, "final_info": info}, i)
                obs, info = env.reset()
            seen[i] = obs
            told.append(info)
        self._gather(infos, told)
        self._autoreset_envs = self._terminations | self._truncations
        flags = self._terminations.copy(), self._truncations.copy()
        return seen.copy(), self._rewards.copy(), *flags, infos

    def _gather(self, infos: dict[str, Any], told: list[dict[str, Any]]) -> None:
        """Adds what environments told: at once the numbers that all of them have, as is usual."""
        whole = set()
        for key, value in told[0].items():
            kind = type(value)
            number = kind in (int, float, bool) or issubclass(kind, np.number)
            if number and all(key in info for info in told):
                infos[key] = np.array([info[key] for info in told], kind)
                infos[f"_{key}"] = np.ones(len(told), bool)
                whole.add(key)
        for i, info in enumerate(told):
            if rest := {key: value for key, value in info.items() if key not in whole}:
                self._add_info(infos, rest, i)
