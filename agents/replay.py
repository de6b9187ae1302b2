"""Replay of the transitions of all seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from agents.agent import Batch, Streams
from agents.ages import AgeWeights
from agents.frames import Frames
from agents.memory import Shapes, Values, free_memory, num_bytes, pick, put, zeros
from agents.observations import Observations, Pairs


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
    for each of S seeds.  What was seen after a step is stored beside what was seen before it, so an
    episode end or a switch needs no special case; images keep their dtype.  With ``stack`` each
    image is kept once (see ``Frames``), which changes nothing that is sampled, unless episodes are
    so short that there is no room for the frames of the oldest transitions: these are forgotten.

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
        stack: Frames that an observation stacks along its first axis, to keep each frame once (1:
            the observation is one frame); None: observations are kept whole.
        ages: Weights by age, for samples by the streams of the replay; None: all weigh the same.
        device: Where the tensors lie.

    Raises:
        ValueError: If the tensors need more memory than the device has free, a window of
            ``n_step`` does not fit, or observations are no stacks of so many frames.
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
        stack: int | None = None,
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
        self._obs = tuple(obs_shape), obs_dtype
        if stack is None:
            seen = Pairs.shapes(*rows, obs_shape, obs_dtype)
        else:
            seen = Frames.shapes(*rows, obs_shape, obs_dtype, stack, n_step)
        others: Shapes = {
            "action": ((*rows, *action_shape), action_dtype),
            "reward": (rows, torch.float32),
            "terminated": (rows, torch.bool),
            "ended": (rows, torch.bool),
        }
        self.nbytes = num_bytes(seen | others)
        free = free_memory(self.device)
        if self.nbytes > free:
            raise ValueError(
                f"`buffer_size` should fit into the {free / 1e9:.1f} GB of free memory. Received "
                f"{capacity} transitions for each of {self.num_seeds} seeds, "
                f"{self.nbytes / 1e9:.1f} GB"
            )
        kind = Pairs if stack is None else Frames
        self.observations: Observations = kind(zeros(seen, self.device))
        self.store = self.observations.rings | zeros(others, self.device)
        self.steps = 0  # lifetime rows: row t lies at t % length
        self.start = 0  # the first row that counts
        self.cuts: list[int] = []  # rows that ended later than they were stored
        self.mean_age: Tensor | None = None  # of the last sample drawn by age, (S,)
        # Where the environments of a seed stand among the S * N columns: (S, 1)
        self._first_column = torch.arange(len(seeds), device=self.device).unsqueeze(1) * num_envs

    def add(
        self,
        obs: Values,
        action: Values,
        reward: Values,
        next_obs: Values,
        terminated: Values,
        ended: Values,
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
        self.observations.add(row, obs, next_obs, follows=self.steps > self.oldest)
        put(self.store["action"], row, action)
        put(self.store["reward"], row, reward)
        put(self.store["terminated"], row, terminated)
        put(self.store["ended"], row, ended)
        self.steps += 1
        while not self.observations.holds(self.oldest % self.length):
            self.start = self.oldest + 1

    def clear(self) -> None:
        """Forgets all transitions."""
        self.start = self.steps

    def cut(self) -> None:
        """Ends the running episodes with the last step, if there is one."""
        if self.steps:
            self.cuts = [*(row for row in self.cuts if row >= self.oldest), self.steps - 1]
            self._put_cuts()

    @property
    def oldest(self) -> int:
        """The oldest lifetime row that is held."""
        return max(self.steps - self.length, self.start)

    def rows(self, first: int, end: int) -> dict[str, Tensor]:
        """Copies lifetime rows ``first`` to ``end - 1``: ``(end - first, S * N, ...)`` by name.

        There is at least one; where each frame is kept once, ``frames`` has those that they show.
        """
        at = torch.arange(first, end, device=self.device) % self.length
        more = self.observations.more(at)
        return {name: ring.index_select(0, at) for name, ring in self.store.items()} | more

    def put_rows(self, first: int, end: int, rows: Mapping[str, Tensor]) -> None:
        """Puts lifetime rows ``first`` to ``end - 1`` back, as ``rows`` returned them.

        Raises:
            ValueError: If they are not rows of such a replay.
        """
        for name, ring in self.store.items():
            shape = (end - first, *ring.shape[1:])
            if name not in rows or (rows[name].shape, rows[name].dtype) != (shape, ring.dtype):
                raise ValueError(f"`rows` should have {name} of shape {shape}, {ring.dtype}")
        self.observations.put_more(rows)
        at = torch.arange(first, end, device=self.device) % self.length
        for name, ring in self.store.items():
            ring.index_copy_(0, at, rows[name].to(self.device))
        self._put_cuts()

    def _put_cuts(self) -> None:
        """Ends the episodes there again: a file may hold the row as it was before."""
        for row in self.cuts:
            if row >= self.oldest:
                self.store["ended"][row % self.length] = True

    @property
    def whole(self) -> bool:
        """Whether all that was seen in the rows that count is held, as it is but for bad files."""
        at = torch.arange(self.oldest, self.steps, device=self.device) % self.length
        return not len(at) or self.observations.holds(at)

    def state_dict(self) -> dict[str, Any]:
        """Returns all but the rows."""
        state = {"steps": self.steps, "start": self.start, "streams": self.streams.state_dict()}
        state["cuts"] = self.cuts
        state |= self.observations.state_dict()
        return state if self.mean_age is None else state | {"mean_age": self.mean_age}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over a state; the rows are put back by ``put_rows``."""
        self.steps, self.start = state["steps"], state["start"]
        self.cuts = list(state.get("cuts", ()))  # there were none in older states
        self.observations.load_state_dict(state)
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
        streams, held = streams or self.streams, len(self)
        if self.num_envs == 1:
            time = streams.integers(self.oldest + held, batch_size, low=self.oldest)  # (S, B)
            return Places(time, self._first_column.expand_as(time))
        # (S, B) positions among the transitions of a seed, oldest first
        position = streams.integers(held, batch_size)
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
        shape, dtype = self._obs
        obs = torch.zeros(self.num_seeds, 1, *shape, dtype=dtype, device=self.device)
        action, reward = (
            ring.new_zeros(self.num_seeds, 1, *ring.shape[2:])
            for ring in (self.store["action"], self.store["reward"])
        )
        return Batch(obs, action, reward, torch.zeros_like(reward), torch.zeros_like(obs))

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
            self.observations.take("obs", first),
            self._take("action", first),
            reward,
            discount,
            self.observations.take("next_obs", last),
        )

    def _take(self, name: str, index: Tensor) -> Tensor:
        return pick(self.store[name].flatten(0, 1), index)
