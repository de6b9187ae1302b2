"""Frames that are kept once: whatever is stored, the same is sampled as from whole observations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import Replay
from agents.agent import Array
from agents.ages import AgeWeights

SEEDS = [3, 5]
HAPPENS = ["step"] * 9 + ["cut", "anew", "clear", "resume"]


def replays(
    num_seeds: int, num_envs: int, length: int, n_step: int, stack: int, aged: bool = False
) -> tuple[Replay, Replay]:
    """A replay that keeps each frame once, and one that keeps observations whole."""
    shared, whole = (
        Replay(
            length * num_envs,
            SEEDS[:num_seeds],
            num_envs,
            (4, 2, 2),
            torch.uint8,
            (),
            torch.int64,
            gamma=0.9,
            n_step=n_step,
            stack=kept,
            ages=AgeWeights(6, 0.1) if aged else None,
        )
        for kept in (stack, None)
    )
    return shared, whole


class Worlds:
    """Stacks of tiny frames in two colours, so that frames which differ in time are often equal.

    Args:
        columns: Number of environments.
        draw: Random numbers.
        ends: Probability that an episode ends.
        wild: Probability that a stack is nothing that could follow.
    """

    def __init__(self, columns: int, draw: np.random.Generator, ends: float, wild: float) -> None:
        self.columns, self.draw, self.ends, self.wild = columns, draw, ends, wild
        self.obs = self.begin()

    def begin(self) -> Array:
        """Stacks that are padded with black, with the first frame, or not at all."""
        obs = self.frames(4)
        for one in obs:
            padding = self.draw.integers(3)
            if padding < 2:
                one[:3] = one[3] * padding
        return obs

    def frames(self, number: int) -> Array:
        return self.draw.integers(2, size=(self.columns, number, 2, 2), dtype=np.uint8)

    def step(self, *replays: Replay) -> None:
        draw, shape = self.draw, (self.columns,)
        next_obs = np.concatenate((self.obs[:, 1:], self.frames(1)), 1)
        torn = draw.random(shape) < self.wild
        next_obs[torn] = self.frames(4)[torn]
        ended = draw.random(shape) < self.ends
        terminated = ended & (draw.random(shape) < 0.5)
        action, reward = draw.integers(9, size=shape), draw.random(shape)
        for replay in replays:
            arrays = self.obs, action, reward, next_obs, terminated, ended
            replay.add(*(torch.from_numpy(array.copy()) for array in arrays))
        self.obs = next_obs.copy()
        self.obs[ended] = self.begin()[ended]


def assert_same(shared: Replay, whole: Replay, batch_size: int = 20) -> None:
    """Draws from both, after the one that is whole has forgotten what the other has."""
    whole.start = max(whole.start, shared.start)
    assert len(shared) == len(whole)
    if len(whole):
        for one, other in zip(shared.sample(batch_size), whole.sample(batch_size), strict=True):
            assert one.dtype == other.dtype
            assert torch.equal(one, other)


@settings(max_examples=150)
@given(
    num_seeds=st.integers(1, 2),
    num_envs=st.integers(1, 3),
    length=st.integers(4, 30),
    n_step=st.integers(1, 4),
    stack=st.sampled_from([1, 2, 4]),
    aged=st.booleans(),
    ends=st.sampled_from([0.0, 0.05, 0.5]),
    wild=st.sampled_from([0.0, 0.05, 1.0]),
    happens=st.lists(
        st.sampled_from(["step"] * 9 + ["cut", "anew", "clear", "resume"]), max_size=9
    ),
    seed=st.integers(0, 1 << 32),
)
def test_whatever_happens_the_same_is_sampled(
    num_seeds: int,
    num_envs: int,
    length: int,
    n_step: int,
    stack: int,
    aged: bool,
    ends: float,
    wild: float,
    happens: list[str],
    seed: int,
) -> None:
    shared, whole = replays(num_seeds, num_envs, length, n_step, stack, aged)
    worlds = Worlds(num_seeds * num_envs, np.random.default_rng(seed), ends, wild)
    for what in happens:
        for replay in (shared, whole):
            if what in ("cut", "anew"):
                replay.cut()
            elif what == "clear":
                replay.clear()
        if what == "anew":
            worlds.obs = worlds.begin()
        if what == "resume":
            state, rows = shared.state_dict(), None
            if shared.steps > shared.oldest:
                rows = shared.rows(shared.oldest, shared.steps)
            shared, _ = replays(num_seeds, num_envs, length, n_step, stack, aged)
            shared.load_state_dict(state)
            if rows is not None:
                shared.put_rows(shared.oldest, shared.steps, rows)
            assert shared.whole
        begun = shared.start
        for _ in range(5):
            worlds.step(shared, whole)
            # Whatever they are, the newest observations have room.
            assert shared.steps - shared.oldest >= min(n_step, shared.steps - begun)
        assert_same(shared, whole)


@pytest.mark.parametrize("padding", [0, 1])
def test_nothing_is_lost_where_episodes_last_50_steps(padding: int) -> None:
    shared, whole = replays(1, 1, 8_000, 1, 4)
    zero = torch.zeros(1)
    for t in range(9_000):
        at, number = t % 50, torch.arange(t - 3, t + 2)
        image = torch.where(number < t - at, padding * (t - at) % 251, number % 251)
        images = image.to(torch.uint8).view(1, 5, 1, 1).expand(1, 5, 2, 2)
        for replay in (shared, whole):
            replay.add(images[:, :4], zero.long(), zero, images[:, 1:], zero > 0, zero + at == 49)
    assert shared.start == 0
    assert_same(shared, whole, 500)


def test_a_million_atari_transitions_take_less_than_7_500_000_000_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agents.replay.free_memory", lambda _: 1 << 40)
    monkeypatch.setattr("agents.replay.zeros", no_memory)
    replay = Replay(
        1_000_000, [0], 1, (4, 84, 84), torch.uint8, (), torch.int64, gamma=0.99, stack=4
    )
    assert 7_056_000_000 < replay.nbytes < 7_500_000_000


def no_memory(shapes: dict[str, tuple[tuple[int, ...], torch.dtype]], _: object) -> object:
    return {
        name: torch.zeros((), dtype=dtype).expand(shape) for name, (shape, dtype) in shapes.items()
    }


def test_each_step_adds_one_frame_and_a_padded_start_two() -> None:
    shared, _ = replays(1, 1, 50, 1, 4)
    frames = torch.arange(1, 30, dtype=torch.uint8).view(1, -1, 1, 1).expand(1, -1, 2, 2)
    zero = torch.zeros(1)
    obs = torch.cat((torch.zeros(1, 3, 2, 2, dtype=torch.uint8), frames[:, :1]), 1)
    for t in range(10):
        next_obs = torch.cat((obs[:, 1:], frames[:, t + 1 : t + 2]), 1)
        shared.add(obs, zero.long(), zero, next_obs, zero > 0, zero > 0)
        obs = next_obs
    assert shared.state_dict()["frames"] == 2 + 10


@pytest.mark.parametrize(
    ("shape", "dtype", "stack", "message"),
    [
        ((4, 2, 2), torch.uint8, 3, "`stack` should divide the first axis"),
        ((4, 2, 2), torch.uint8, 0, "`stack` should divide the first axis"),
        ((), torch.uint8, 1, "`stack` should divide the first axis"),
        ((4,), torch.float32, 1, "`stack` is for observations of integers"),
    ],
)
def test_what_is_no_stack_is_refused(
    shape: tuple[int, ...], dtype: torch.dtype, stack: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Replay(10, [0], 1, shape, dtype, (), torch.int64, gamma=0.9, stack=stack)
