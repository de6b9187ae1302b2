"""MinAtar as an environment of Gymnasium."""

from typing import Any

import numpy as np
import pytest

import envs
from envs.minatar import GAMES, MinAtar


def test_it_is_the_game() -> None:
    import minatar

    for game in GAMES:
        env = MinAtar(game)
        obs, _ = env.reset(seed=1)
        name = "space_invaders" if game == "SpaceInvaders" else game.lower()
        bare = minatar.Environment(name)
        bare.seed(int(np.random.default_rng(1).integers(2**32)))
        bare.reset()
        for t in range(200):
            np.testing.assert_array_equal(obs, 255 * bare.state().transpose(2, 0, 1))
            obs, reward, terminated, _, _ = env.step(t % 6)
            assert (reward, terminated) == bare.act(t % 6)


def test_no_action_sticks_from_the_episode_before() -> None:
    """The game itself keeps the last action over its reset."""
    env = MinAtar("Breakout", sticky=1.0)
    for first in (1, 3):  # left, right: with sticky 1 the action before is repeated for ever
        env.reset(seed=0)
        env.game.last_action = first
        env.step(0)
        env.reset(seed=0)
        before = env.game.env.pos
        env.step(first)
        assert env.game.env.pos == before


def test_sequences_pad_channels() -> None:
    env = envs.make("minatar-7", task=2)
    assert env.observation_space.shape == (7, 10, 10)
    obs, _ = envs.make("minatar-7", task=0).reset(seed=0)
    assert obs[:4].any()
    assert not obs[4:].any()
    assert not envs.make("minatar-7").unwrapped.envs[0].unwrapped.game.env.difficulty_ramp()  # type: ignore[attr-defined]


def test_endless_games_are_truncated() -> None:
    env: Any = envs.make("MinAtar/SpaceInvaders-v0")
    assert env.env._max_episode_steps == 10_000


def test_unknown_games_get_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="no MinAtar game 'Freway'. Did you mean 'Freeway'"):
        MinAtar("Freway")


def test_it_can_be_seen() -> None:
    env = MinAtar("Breakout", render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert (picture.shape, picture.dtype) == ((160, 160, 3), np.uint8)
    cells = picture[::16, ::16].any(-1)
    np.testing.assert_array_equal(cells, env.game.state().any(-1))


def test_sticky_is_a_probability() -> None:
    with pytest.raises(ValueError, match="`sticky` should be between 0 and 1. Received 3"):
        MinAtar("Breakout", sticky=3)
