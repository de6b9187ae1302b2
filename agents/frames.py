"""Observations of which each image is kept once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from agents.memory import Shapes, Values, pick

SPARE = 25
"""One frame is spare for so many transitions, for what is new where an episode begins."""


class Frames:
    """Keeps each image once, in a ring that all environments share.

    An observation stacks D frames, and is kept as their lifetime numbers; number n lies at
    ``n % length``.  Where ``obs`` equals the ``next_obs`` of the row before, it has the same
    numbers; where ``next_obs`` is ``obs`` moved on by one frame, only the last is new.  Both are
    compared, not supposed, so any observations come back exactly; others have all their frames
    added, but for those that repeat the one before, as where a new episode is padded.

    So a step adds one frame for each environment, the first of an episode one to D more.  The ring
    has room for 4% more frames than transitions.  Where that is not enough, as where episodes that
    are padded with black are shorter than 50 steps, the oldest rows are lost first, of all seeds.
    The newest ``n_step`` are always there.

    Args:
        tensors: Zeros as ``shapes`` describes them.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.frames = tensors["frames"]  # (length, *frame)
        self.rings = {name: tensors[name] for name in ("obs", "next_obs")}  # (T, C, D)
        self.length = len(self.frames)
        self.rows, self.columns, self.depth = self.rings["obs"].shape
        self.written = 0  # lifetime frames

    @staticmethod
    def shapes(
        rows: int, columns: int, shape: Sequence[int], dtype: torch.dtype, depth: int, n_step: int
    ) -> Shapes:
        """Returns what is to be allocated.

        Args:
            rows: T.
            columns: C.
            shape: Of an observation; its first axis is that of the stack.
            dtype: Of an observation.
            depth: Frames D in a stack.
            n_step: So many rows are always there.

        Raises:
            ValueError: If the observations can't be stacks of so many frames.
        """
        if not shape or depth < 1 or shape[0] % depth:
            raise ValueError(
                f"`stack` should divide the first axis of the observations {tuple(shape)}. "
                f"Received {depth}"
            )
        if dtype.is_floating_point:
            raise ValueError(f"`stack` is for observations of integers. Received {dtype}")
        # The frames of a row were added with it or with the D rows before.
        least = columns * 2 * depth * (depth + n_step)
        length = math.ceil(rows * columns * (1 + 1 / SPARE)) + least
        numbers = (rows, columns, depth), torch.int64
        frame = (shape[0] // depth, *shape[1:])
        return {"obs": numbers, "next_obs": numbers, "frames": ((length, *frame), dtype)}

    def add(self, row: int, obs: Values, next_obs: Values, *, follows: bool) -> None:
        stacks = self.columns, self.depth, *self.frames.shape[1:]
        one, other = (torch.as_tensor(x).to(self.frames).view(stacks) for x in (obs, next_obs))
        before = self.rings["next_obs"][row - 1]  # (C, D)
        at = self._add(one, before, self._frames(before), 0, follows)
        self.rings["obs"][row] = at
        self.rings["next_obs"][row] = self._add(other, at, one, 1)

    def _add(
        self, stacks: Tensor, before: Tensor, shown: Tensor, moved: int, follows: bool = True
    ) -> Tensor:
        """Adds what is new of stacks ``(C, D, *frame)``; returns the numbers of their frames.

        Args:
            stacks: The stacks.
            before: Numbers of the frames of the stacks before.
            shown: The stacks before.
            moved: By how many frames they have moved on since, if they have.
            follows: False: they have not.
        """
        keep = self.depth - moved
        known = _same(stacks[:, :keep], shown[:, moved:]).all(1, keepdim=True) & follows
        if known.all():  # as nearly always: only the last frames are new
            number = self._append(stacks[:, keep:].flatten(0, 1)).view(len(before), moved)
            return torch.cat((before[:, moved:], number), 1)
        new = torch.ones_like(before, dtype=torch.bool)
        new[:, 1:] = ~_same(stacks[:, 1:], stacks[:, :-1])
        new[:, :keep] &= ~known
        new[:, keep:] |= known
        number = (self.written - 1 + new.flatten().cumsum(0)).view(new.shape)
        self._append(stacks.flatten(0, 1).index_select(0, new.flatten().nonzero()[:, 0]))
        return torch.where(known, torch.cat((before[:, moved:], number[:, keep:]), 1), number)

    def _append(self, frames: Tensor) -> Tensor:
        """Adds frames ``(M, *frame)``; returns their numbers."""
        number = self._put(self.written, frames)
        self.written += len(frames)
        return number

    def _put(self, first: int, frames: Tensor) -> Tensor:
        number = torch.arange(first, first + len(frames), device=self.frames.device)
        self.frames.index_copy_(0, number % self.length, frames)
        return number

    def _frames(self, number: Tensor) -> Tensor:
        return pick(self.frames, number % self.length)

    def take(self, name: str, index: Tensor) -> Tensor:
        found = self._frames(pick(self.rings[name].flatten(0, 1), index))  # (*index, D, *frame)
        return found.flatten(index.dim(), index.dim() + 1)

    def holds(self, rows: Tensor | int) -> bool:
        lost = self.written - self.length  # frames with lower numbers
        return lost <= 0 or int(self.rings["obs"][rows].min()) >= lost

    def more(self, rows: Tensor) -> dict[str, Tensor]:
        low = int(self.rings["obs"][rows[0]].min())
        high = int(self.rings["next_obs"][rows[-1]].max())
        return {"frames": self._frames(torch.arange(low, high + 1, device=self.frames.device))}

    def put_more(self, rows: Mapping[str, Tensor]) -> None:
        frames, obs, next_obs = (rows[name] for name in ("frames", "obs", "next_obs"))
        low, high = int(obs.min()), int(next_obs.max())
        whole = (
            (frames.dtype, frames.shape[1:]) == (self.frames.dtype, self.frames.shape[1:])
            and 0 <= low <= high < self.written
            and len(frames) == high - low + 1 <= self.length
            and int(obs.max()) <= high
            and bool((obs <= next_obs).all())
        )
        if not whole:
            raise ValueError(f"`rows` should have the frames that they show, {low} to {high}")
        self._put(low, frames.to(self.frames.device))

    def state_dict(self) -> dict[str, int]:
        return {"frames": self.written}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        written = int(state["frames"])
        if not 0 <= written < 1 << 62:
            raise ValueError(f"`frames` should be a number of frames. Received {written}")
        self.written = written


def _same(one: Tensor, other: Tensor) -> Tensor:
    """Which frames of ``(C, D, ...)`` are equal: ``(C, D)``."""
    # As `all` over the pixels, which is five times as slow.
    return (one == other).flatten(2).view(torch.uint8).amin(2).bool()
