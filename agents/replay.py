"""Replay of the transitions of all seeds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from agents.agent import Batch, Streams
from agents.ages import AgeWeights


class Places(NamedTuple):
    """Where transitions lie.

    Attributes:
        time: Lifetime rows ``(S, B)``.
        column: Which of the S * N environments ``(S, B)``.
    """

    time: Tensor
    column: Tensor


class Replay:
    """A ring of the newest transitions, sampled uniformly, or by age, for each seed.

    Everything lies in preallocated tensors ``(T, S * N, ...)`` for T time steps of N environments
    for each of S seeds.  The observation after a step is stored beside the one before it, so an
    episode end or a switch needs no special case; images keep their dtype.  (Storage that keeps
    each frame once belongs behind ``gather``.)

    Args:
        capacity: Transitions of each seed, rounded down to a multiple of ``num_envs``.
        seeds: The seeds; they seed the sampling.
        num_envs: Number of environments N for each seed.
        obs_shape: Shape of one observation.
        obs_dtype: Its dtype.
        action_shape: Shape of one action, ``()`` for discrete actions.
        action_dtype: Its dtype.
        gamma: Discount of one step.
        n_step: Number of rewards summed into one transition.
        ages: Weights by age, for samples by the streams of the replay; None: all weigh the same.
        device: Where the tensors lie.

    Raises:
        ValueError: If the tensors need more memory than the device has free, or a window of
            ``n_step`` does not fit.
    """

    def __init__(
        self,
        capacity: int,
        seeds: Sequence[int],
        num_envs: int,
        obs_shape: Sequence[int],
        obs_dtype: torch.dtype,
        action_shape: Sequence[int],
        action_dtype: torch.dtype,
        *,
        gamma: float,
        n_step: int = 1,
        ages: AgeWeights | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.gamma, self.n_step, self.device = gamma, n_step, torch.device(device)
        self.num_seeds, self.num_envs, self.ages = len(seeds), num_envs, ages
        self.length = max(capacity // num_envs, 1)
        if n_step > self.length:
            raise ValueError(
                f"`n_step` should be at most the {self.length} time steps that the replay holds. "
                f"Received {n_step}"
            )
        self.streams = Streams(seeds, "replay", device)
        rows = (self.length, self.num_seeds * num_envs)
        shapes = {
            "obs": ((*rows, *obs_shape), obs_dtype),
            "next_obs": ((*rows, *obs_shape), obs_dtype),
            "action": ((*rows, *action_shape), action_dtype),
            "reward": (rows, torch.float32),
            "terminated": (rows, torch.bool),
            "ended": (rows, torch.bool),
        }
        self.nbytes = sum(
            torch.Size(shape).numel() * dtype.itemsize for shape, dtype in shapes.values()
        )
        free = free_memory(self.device)
        if self.nbytes > free:
            raise ValueError(
                f"`buffer_size` should fit into the {free / 1e9:.1f} GB of free memory. Received "
                f"{capacity} transitions for each of {self.num_seeds} seeds, "
                f"{self.nbytes / 1e9:.1f} GB"
            )
        self.store = {
            name: torch.zeros(shape, dtype=dtype, device=self.device)
            for name, (shape, dtype) in shapes.items()
        }
        self.steps = 0  # lifetime rows: row t lies at t % length
        self.start = 0  # the first row that counts
        self.mean_age: Tensor | None = None  # of the last sample drawn by age, (S,)
        # Where the environments of a seed stand among the S * N columns: (S, 1)
        self._first_column = (
            torch.arange(self.num_seeds, device=self.device).unsqueeze(1) * num_envs
        )

    def add(
        self,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        next_obs: Tensor,
        terminated: Tensor,
        ended: Tensor,
    ) -> None:
        """Stores one step of all environments.

        Args:
            obs: ``(S * N, ...)``.
            action: ``(S * N)`` or ``(S * N, A)``.
            reward: ``(S * N)``.
            next_obs: What followed, of an ended episode its last observation, ``(S * N, ...)``.
            terminated: Whether the episode ended for good, so that nothing follows, ``(S * N)``.
            ended: Whether it ended for any reason, ``(S * N)``.
        """
        row = self.steps % self.length
        store = self.store
        store["obs"][row] = obs
        store["action"][row] = action
        store["reward"][row] = reward
        store["next_obs"][row] = next_obs
        store["terminated"][row] = terminated
        store["ended"][row] = ended
        self.steps += 1

    def clear(self) -> None:
        """Forgets all transitions."""
        self.start = self.steps

    def cut(self) -> None:
        """Ends the running episodes with the last step, if there is one."""
        if self.steps:
            self.store["ended"][(self.steps - 1) % self.length] = True

    @property
    def oldest(self) -> int:
        """The oldest lifetime row that is held."""
        return max(self.steps - self.length, self.start)

    def rows(self, first: int, end: int) -> dict[str, Tensor]:
        """Copies lifetime rows ``first`` to ``end - 1``: ``(end - first, S * N, ...)`` by name."""
        at = torch.arange(first, end, device=self.device) % self.length
        return {name: ring.index_select(0, at) for name, ring in self.store.items()}

    def put_rows(self, first: int, rows: Mapping[str, Tensor]) -> None:
        """Puts lifetime rows back from ``first`` on, as ``rows`` returned them."""
        for name, ring in self.store.items():
            at = torch.arange(first, first + len(rows[name]), device=self.device) % self.length
            ring.index_copy_(0, at, rows[name].to(self.device))

    def state_dict(self) -> dict[str, Any]:
        """Returns all but the rows."""
        state = {"steps": self.steps, "start": self.start, "streams": self.streams.state_dict()}
        return state if self.mean_age is None else state | {"mean_age": self.mean_age}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over a state; the rows are put back by ``put_rows``."""
        self.steps, self.start = state["steps"], state["start"]
        self.streams.load_state_dict(state["streams"])
        self.mean_age = state.get("mean_age")

    def __len__(self) -> int:
        """Returns the number of transitions of each seed that can be sampled."""
        return max(self.steps - self.oldest - self.n_step + 1, 0) * self.num_envs

    def sample(self, batch_size: int, streams: Streams | None = None) -> Batch:
        """Draws ``batch_size`` transitions for each seed, with replacement.

        Args:
            batch_size: Number of transitions B.
            streams: Generators to draw from, uniformly; default: those of the replay.
        """
        return self.gather(self.draw(batch_size, streams))

    def draw(self, batch_size: int, streams: Streams | None = None) -> Places:
        """Draws where the transitions of a sample lie."""
        if streams is None and self.ages is not None:
            return self._drawn_by_age(self.ages, batch_size)
        # (S, B) positions among the transitions of a seed, oldest first
        position = (streams or self.streams).integers(len(self), batch_size)
        if self.num_envs == 1:
            return Places(position + self.oldest, self._first_column.expand_as(position))
        time = position // self.num_envs + self.oldest
        return Places(time, position % self.num_envs + self._first_column)

    def _drawn_by_age(self, ages: AgeWeights, batch_size: int) -> Places:
        """Draws lifetime rows and columns (S, B) of transitions; one number for each."""
        bits = 53  # of a number in [0, 1) in float64: in float32 a million rows differ by 6%
        share = self.streams.integers(1 << bits, batch_size).double() / (1 << bits)
        newer, within = ages.pick(share, self.n_step, len(self) // self.num_envs)
        self.mean_age = newer.mean(1) + self.n_step
        time = self.steps - self.n_step - newer.long()
        env = (within * self.num_envs).long().clamp(max=self.num_envs - 1)
        return Places(time, env + self._first_column)

    def example(self) -> Batch:
        """Returns one transition of zeros for each seed, ``(S, 1, ...)``, for shapes."""
        zeros = {
            name: ring.new_zeros(self.num_seeds, 1, *ring.shape[2:])
            for name, ring in self.store.items()
        }
        reward = zeros["reward"]
        discount = torch.zeros_like(reward)
        return Batch(zeros["obs"], zeros["action"], reward, discount, zeros["next_obs"])

    def gather(self, places: Places) -> Batch:
        """Collects the transitions that begin at these places."""
        time, column = places
        width = self.num_seeds * self.num_envs
        first = (time % self.length) * width + column  # (S, B) into the flattened rings
        last = first
        reward = self._take("reward", first)
        weight = torch.full_like(reward, self.gamma)  # gamma^k of the steps that count
        for k in range(1, self.n_step):
            running = ~self._take("ended", last)
            following = ((time + k) % self.length) * width + column
            reward = reward + torch.where(running, weight * self._take("reward", following), 0.0)
            weight = torch.where(running, weight * self.gamma, weight)
            last = torch.where(running, following, last)
        discount = torch.where(self._take("terminated", last), 0.0, weight)
        return Batch(
            self._take("obs", first),
            self._take("action", first),
            reward,
            discount,
            self._take("next_obs", last),
        )

    def _take(self, name: str, index: Tensor) -> Tensor:
        flat = self.store[name].flatten(0, 1)
        return flat.index_select(0, index.flatten()).view(*index.shape, *flat.shape[1:])


def free_memory(device: torch.device) -> int:
    """Returns the free bytes of the device's memory."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):  # not Linux: the whole memory is the bound that can be had
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
