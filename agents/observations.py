"""How a replay keeps what was seen before and after each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from agents.memory import Shapes, Values, pick, put


class Observations(Protocol):
    """Observations before and after each step of T rows of C environments.

    ``rings`` has tensors ``(T, C, ...)`` that go with the other columns of a transition.
    """

    rings: dict[str, Tensor]

    def add(self, row: int, obs: Values, next_obs: Values, *, follows: bool) -> None:
        """Stores what was seen before and after a step.

        Args:
            row: The row of the rings.
            obs: ``(C, ...)``.
            next_obs: ``(C, ...)``.
            follows: Whether the row before holds the step before.
        """
        ...

    def take(self, name: str, index: Tensor) -> Tensor:
        """Returns ``obs`` or ``next_obs`` at places among the T * C: ``(*index.shape, ...)``."""
        ...

    def holds(self, rows: Tensor | int) -> bool:
        """Whether all of some rows is still there."""
        ...

    def more(self, rows: Tensor) -> dict[str, Tensor]:
        """Returns what consecutive rows need beside the rings, by name."""
        ...

    def put_more(self, rows: Mapping[str, Tensor]) -> None:
        """Puts back what ``more`` returned, given together with the rings.

        Raises:
            ValueError: If it is not what these rows need.
        """
        ...

    def state_dict(self) -> dict[str, int]:
        """Returns all that is not in rows."""
        ...

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Takes over a state."""
        ...


class Pairs:
    """Keeps both observations of each transition whole: fast, and right for small ones."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.rings = dict(tensors)

    @staticmethod
    def shapes(rows: int, columns: int, shape: Sequence[int], dtype: torch.dtype) -> Shapes:
        """Returns what is to be allocated."""
        return dict.fromkeys(("obs", "next_obs"), ((rows, columns, *shape), dtype))

    def add(self, row: int, obs: Values, next_obs: Values, *, follows: bool) -> None:
        put(self.rings["obs"], row, obs)
        put(self.rings["next_obs"], row, next_obs)

    def take(self, name: str, index: Tensor) -> Tensor:
        return pick(self.rings[name].flatten(0, 1), index)

    def holds(self, rows: Tensor | int) -> bool:
        return True

    def more(self, rows: Tensor) -> dict[str, Tensor]:
        return {}

    def put_more(self, rows: Mapping[str, Tensor]) -> None:
        pass

    def state_dict(self) -> dict[str, int]:
        return {}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        pass
