"""Replay: what is sampled was stored, and nothing crosses an episode end."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import Replay, Streams
from agents import replay as replay_module
from agents.ages import AgeWeights


def filled(
    steps: int,
    num_seeds: int,
    num_envs: int,
    capacity: int,
    n_step: int,
    ages: AgeWeights | None = None,
) -> Replay:
    """Every observation holds (seed, env, time); episodes last 5 steps, every second terminates."""
    replay = Replay(
        capacity,
        range(num_seeds),
        num_envs,
        (3,),
        torch.float32,
        (),
        torch.int64,
        gamma=0.9,
        n_step=n_step,
        ages=ages,
    )
    width = num_seeds * num_envs
    place = torch.tensor([[s, n] for s in range(num_seeds) for n in range(num_envs)])
    for t in range(steps):
        now = torch.cat((place, torch.full((width, 1), t)), 1).float()
        then = now + torch.tensor([0.0, 0.0, 1.0])
        ended = torch.full((width,), t % 5 == 4)
        terminated = torch.full((width,), t % 10 == 4)
        replay.add(now, torch.full((width,), t), torch.full((width,), 1.0), then, terminated, ended)
    return replay


@settings(max_examples=60)
@given(
    st.integers(8, 60),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(16, 80),
    st.integers(1, 4),
    st.sampled_from([None, AgeWeights(1, 0.5), AgeWeights(6, 0.01), AgeWeights(1_000, 0.1)]),
)
def test_every_sample_is_a_window_of_one_environment(
    steps: int,
    num_seeds: int,
    num_envs: int,
    capacity: int,
    n_step: int,
    ages: AgeWeights | None,
) -> None:
    replay = filled(steps, num_seeds, num_envs, capacity, n_step, ages)
    if not len(replay):
        return
    batch = replay.sample(50)
    start, end = batch.obs[..., 2], batch.next_obs[..., 2]
    seeds = torch.arange(num_seeds).unsqueeze(1).expand(-1, 50)
    assert torch.equal(batch.obs[..., 0].long(), seeds)
    assert torch.equal(batch.obs[..., :2], batch.next_obs[..., :2])
    assert torch.equal(batch.action, start.long())
    episode_end = (start // 5 + 1) * 5
    assert torch.equal(end, torch.minimum(start + n_step, episode_end))
    assert start.min() >= steps - capacity // num_envs
    length = (end - start).long()
    torch.testing.assert_close(batch.reward, (1 - 0.9**length) / (1 - 0.9))
    terminal = (end == episode_end) & (episode_end % 10 == 5)
    torch.testing.assert_close(batch.discount, torch.where(terminal, 0.0, 0.9**length))


@pytest.mark.parametrize("ages", [None, AgeWeights(30, 0.1)])
def test_a_seed_samples_the_same_alone_and_among_others(ages: AgeWeights | None) -> None:
    many = filled(40, 5, 2, 100, 1, ages)
    one = Replay(100, [3], 2, (3,), torch.float32, (), torch.int64, gamma=0.9, ages=ages)
    for name, ring in many.store.items():
        one.store[name].copy_(ring[:, 6:8])
    one.steps = many.steps
    for a, b in zip(many.sample(20), one.sample(20), strict=True):
        assert torch.equal(a[3:4], b)


@pytest.mark.parametrize("num_envs", [1, 2])
@pytest.mark.parametrize(("steps", "cleared", "first"), [(10, 0, 0), (50, 0, 30), (12, 8, 8)])
def test_all_transitions_are_drawn_equally_often(
    num_envs: int, steps: int, cleared: int, first: int
) -> None:
    replay = filled(steps, 1, num_envs, 20 * num_envs, 1)  # 20 rows, the second ring has wrapped
    replay.start = cleared
    held = steps - first
    places = replay.draw(2_000 * held)
    assert [int(places.time.min()), int(places.time.max())] == [first, steps - 1]
    which = (places.time[0] - first) * num_envs + places.column[0]
    counts = torch.bincount(which, minlength=held * num_envs)
    assert (counts.float() / (2_000 / num_envs) - 1).abs().max() < 0.15


def test_images_stay_bytes_and_their_size_is_reported() -> None:
    replay = Replay(10, [0, 1], 1, (4, 84, 84), torch.uint8, (), torch.int64, gamma=0.9)
    assert replay.store["obs"].dtype == torch.uint8
    assert replay.nbytes == 2 * 10 * (2 * 4 * 84 * 84 + 8 + 4 + 1 + 1)


def test_windows_longer_than_the_replay_are_refused() -> None:
    with pytest.raises(ValueError, match="`n_step` should be at most the 4 time steps"):
        Replay(8, [0], 2, (4,), torch.float32, (), torch.int64, gamma=0.9, n_step=5)


def test_more_than_the_free_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_module, "free_memory", lambda _: 1_000)
    with pytest.raises(ValueError, match="`buffer_size` should fit into the .* of free memory"):
        Replay(1000, [0], 1, (4,), torch.float32, (), torch.int64, gamma=0.9)


def test_the_example_looks_like_a_sample_of_one_transition_of_zeros() -> None:
    replay = Replay(10, [0, 1, 2], 2, (4, 9, 9), torch.uint8, (2,), torch.float32, gamma=0.9)
    example = replay.example()
    for _ in range(3):
        some = [torch.ones_like(ring[0]) for ring in replay.store.values()]
        obs, next_obs, action, reward, terminated, ended = some
        replay.add(obs, action, reward, next_obs, terminated, ended)
    for zeros, real in zip(example, replay.sample(1), strict=True):
        assert (zeros.shape, zeros.dtype) == (real.shape, real.dtype)
        assert not zeros.any()


class Given(Streams):
    """Streams that draw the whole of {0, 1/n, ..., (n - 1)/n}."""

    def integers(self, high: int, *shape: int, low: int = 0) -> torch.Tensor:
        (n,) = shape
        return low + (torch.arange(n) * ((high - low) // n)).repeat(len(self.generators), 1)


@pytest.mark.parametrize("steps", [5, 9, 16, 23, 37])
@pytest.mark.parametrize("decay_steps", [4, 16, 64])
@pytest.mark.parametrize("n_step", [1, 3])
def test_a_replay_draws_by_the_age_of_the_first_step(
    steps: int, decay_steps: int, n_step: int
) -> None:
    # Rings of 16 time steps of 2 environments: not full, full, wrapped.
    replay = filled(steps, 2, 2, 32, n_step, AgeWeights(decay_steps, 0.25))
    replay.streams = Given([0, 1], "test")
    size = 1 << 14
    batch = replay.sample(size)
    drawn = batch.obs.long()
    first, last = max(steps - 16, 0), steps - n_step
    weight = np.maximum(0.25, 1 - (steps - np.arange(first, last + 1)) / decay_steps)
    for seed in (0, 1):
        for env in (0, 1):
            mine = drawn[seed][drawn[seed, :, 1] == env, 2]
            counts = torch.bincount(mine, minlength=steps)[first:].numpy()[: len(weight)]
            assert counts.sum() == len(mine)
            # Of equally spaced shares each interval holds its length, but for one at each end.
            assert np.abs(counts - size * weight / weight.sum() / 2).max() <= 1


def test_ages_weigh_only_what_the_replay_draws_by_its_own_streams() -> None:
    plain, aged = (filled(40, 2, 2, 100, 1, ages) for ages in (None, AgeWeights(10, 1e-6)))
    probes = [replay.sample(50, Streams([5, 6], "probe")) for replay in (plain, aged)]
    for a, b in zip(*probes, strict=True):
        assert torch.equal(a, b)
    assert aged.sample(500).action.min() >= 30  # ages 1 to 10


def test_without_ages_positions_are_the_integers_of_the_streams() -> None:
    replay = filled(40, 2, 2, 100, 1)
    position = Streams([0, 1], "replay").integers(80, 50)
    batch = replay.sample(50)
    assert torch.equal(batch.action, position // 2)
    assert torch.equal(batch.obs[..., 1].long(), position % 2)


def test_a_cleared_replay_counts_ages_anew() -> None:
    replay = filled(40, 1, 1, 100, 1, AgeWeights(4, 0.1))
    replay.clear()
    zero = torch.zeros(1)
    replay.add(torch.full((1, 3), 7.0), zero.long(), zero, torch.ones(1, 3), zero > 0, zero > 0)
    assert (replay.sample(50).obs == 7).all()
