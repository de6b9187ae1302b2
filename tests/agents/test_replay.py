"""Replay: what is sampled was stored, and nothing crosses an episode end."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import Replay
from agents import replay as replay_module


def filled(steps: int, num_seeds: int, num_envs: int, capacity: int, n_step: int) -> Replay:
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


@settings(max_examples=30)
@given(
    st.integers(8, 60), st.integers(1, 3), st.integers(1, 4), st.integers(16, 80), st.integers(1, 4)
)
def test_every_sample_is_a_window_of_one_environment(
    steps: int, num_seeds: int, num_envs: int, capacity: int, n_step: int
) -> None:
    replay = filled(steps, num_seeds, num_envs, capacity, n_step)
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


def test_a_seed_samples_the_same_alone_and_among_others() -> None:
    many = filled(40, 5, 2, 100, 1)
    one = Replay(100, [3], 2, (3,), torch.float32, (), torch.int64, gamma=0.9)
    for name, ring in many.store.items():
        one.store[name].copy_(ring[:, 6:8])
    one.steps = many.steps
    for a, b in zip(many.sample(20), one.sample(20), strict=True):
        assert torch.equal(a[3:4], b)


def test_all_transitions_are_drawn_equally_often() -> None:
    replay = filled(10, 1, 2, 100, 1)
    counts = torch.bincount(replay.sample(20_000).action[0], minlength=10)
    assert (counts.float() / 2000 - 1).abs().max() < 0.15


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
