"""The environments of a run, and how they come back to where they were."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

import envs
from agents.agent import Array
from configs import Config


class WorldError(RuntimeError):
    """An environment has failed."""


class Worlds:
    """All environments of a run, made anew at each boundary.

    Whatever an environment keeps inside, where it stands is a function of the step at which it was
    made, its seed and the actions since.  So that is what is saved: a resumed run makes the
    environments again and takes the same actions.  Boundaries keep these few.

    Args:
        config: The settings.
        switch: What a switch does to a running episode; None: as the benchmark has it.

    Raises:
        ValueError: If there is no such environment, or it does not take the settings.
    """

    def __init__(self, config: Config, switch: Any = None) -> None:
        self.config = config
        self._make = partial(
            envs.make_vec,
            config.env,
            config.num_envs,
            seeds=config.seeds,
            task=config.task,
            task_seed=config.task_seed,
            steps_per_task=config.steps_per_task,
            cyclic=config.cyclic,
            show_task=config.show_task,
            vectorization_mode=config.vector,
            switch=switch,
        )
        self.vector: Any = self._make()
        self.restarts = 0
        self._start, self._used = 0, False
        self._restarts = 0  # until they were made
        self._actions = np.empty(0)  # (capacity, S * N, ...) since the boundary
        self._count = 0
        self._last: Array | None = None  # observations
        self._broken = False

    def begin(self, step: int) -> Array:
        """Begins new episodes in environments made anew; returns observations ``(S * N, ...)``.

        Raises:
            WorldError: If one fails; the state is still that of the episodes before.
        """
        also = (step, self.restarts) if step or self.restarts else ()
        seeds = envs.reset_seeds(self.config.seeds, self.config.num_envs, *also)
        try:
            if self._used or step:
                self.close()
                self.vector, self._broken = self._make(start_step=step), False
            self._used = True
            obs, _ = self.vector.reset(seed=seeds)
        except Exception as error:
            raise self._failed(error) from error
        self._start, self._count, self._restarts = step, 0, self.restarts
        self._last = obs
        return np.array(obs)

    def step(self, actions: Array) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Takes one step of all environments, as Gymnasium's vectors do.

        Raises:
            WorldError: If one fails; the action does not count then.
        """
        try:
            result: tuple[Any, Any, Any, Any, dict[str, Any]] = self.vector.step(actions)
        except Exception as error:
            raise self._failed(error) from error
        if self._count == 0:
            self._actions = np.empty((64, *actions.shape), actions.dtype)
        elif self._count == len(self._actions):
            self._actions = np.concatenate((self._actions, np.empty_like(self._actions)))
        self._actions[self._count] = actions
        self._count += 1
        self._last = result[0]
        return result

    def state_dict(self) -> dict[str, Any]:
        """Returns where they began, the actions since, and what was seen last."""
        assert self._last is not None
        return {
            "start": self._start,
            "restarts": self._restarts,
            "actions": torch.from_numpy(self._actions[: self._count].copy()),
            "last": torch.from_numpy(np.array(self._last)),
        }

    def load_state_dict(self, state: dict[str, Any]) -> tuple[Array, bool]:
        """Goes there again.

        Returns:
            Observations ``(S * N, ...)``, and whether they are those that were seen then.  If they
            are not, the environment has random numbers that no seed reaches.
        """
        self.restarts = state["restarts"]
        obs = self.begin(state["start"])
        actions: Tensor = state["actions"]
        for action in actions.numpy():
            obs = self.step(action)[0]
        last = state["last"].numpy()
        return np.array(obs), np.array_equal(obs, last, equal_nan=obs.dtype.kind == "f")

    def close(self) -> None:
        """Closes them, also where one has failed."""
        with contextlib.suppress(Exception):  # workers may be gone
            self.vector.close(**{"terminate": True} if self._broken else {})
        self.vector.closed = True  # else it would try again when it is collected

    def _failed(self, error: Exception) -> WorldError:
        self._broken = True
        return failed(self.config.env, error)


def failed(env: str, error: Exception) -> WorldError:
    """Says in one line which environment has failed, and how."""
    cause = " ".join(f"{type(error).__name__}: {error}".split())
    return WorldError(f"environment {env} has failed: {cause}")
