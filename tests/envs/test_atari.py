"""Games of ALE: settings that change, and the native vector against Python."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import envs
from envs import Continual, EverySteps
from envs.atari import AtariSettings, NativeAtari, make_atari
from tests.envs.fake import Counting


@pytest.fixture(scope="module", autouse=True)
def _games() -> None:
    import ale_py

    gym.register_envs(ale_py)


def frames(env: Any, seed: int | None, count: int = 120) -> Any:
    env.reset(seed=seed)
    return np.array([env.step(t % 3)[0][-1] for t in range(count)])


def test_a_mode_survives_resets_with_and_without_a_seed() -> None:
    """`reset(seed=...)` of ALE loads the game anew, in the mode of its constructor."""
    env = envs.make("ale-freeway-modes", task=3, repeat_action_probability=0.0, noop_max=0)
    expected = make_atari("ALE/Freeway-v5", mode=3, repeat_action_probability=0.0, noop_max=0)
    default = make_atari("ALE/Freeway-v5", mode=0, repeat_action_probability=0.0, noop_max=0)
    for seed in (0, 1, None):
        seen = frames(env, seed)
        np.testing.assert_array_equal(seen, frames(expected, seed))
        assert not np.array_equal(seen, frames(default, seed))


def test_the_mode_changes_at_the_switch() -> None:
    env = envs.make("ale-freeway-modes", steps_per_task=10, repeat_action_probability=0.0)
    expected = [make_atari("ALE/Freeway-v5", mode=k, repeat_action_probability=0.0) for k in (0, 1)]
    for task in (0, 1):
        env.clock = 10 * task
        np.testing.assert_array_equal(frames(env, 4, 9), frames(expected[task], 4, 9))


def test_difficulty_and_sticky_actions_change() -> None:
    game: Any = make_atari("ALE/Breakout-v5")
    shift = AtariSettings(difficulties=(0, 1), sticky=(0.0, 0.9))
    env = Continual(game, EverySteps(5), [shift], start_step=0)
    for task in (0, 1):
        env.clock = 5 * task
        env.reset(seed=0)
        assert game.unwrapped._game_difficulty == task
        assert game.unwrapped.ale.getFloat("repeat_action_probability") == pytest.approx(0.9 * task)
    # Sticky actions are felt: moving right all the time, the paddle lags where they repeat no-ops.
    ends = []
    for task in (0, 1):
        env.clock = 5 * task
        env.schedule = envs.Stationary(task)
        env._enter()
        env.reset()
        for t in range(40):
            obs = env.step(2 if t % 2 else 3)[0]
        ends.append(obs)
    assert not np.array_equal(*ends)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"modes": (0, 99)}, "freeway has no mode 99: it has 0, 1, 2, 3, 4, 5, 6, 7"),
        ({"difficulties": (7,)}, "freeway has no difficulty 7: it has 0, 1"),
    ],
)
def test_settings_that_a_game_lacks(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Continual(make_atari("ALE/Freeway-v5"), EverySteps(5), [AtariSettings(**settings)])


def test_settings_need_a_game_and_a_reset() -> None:
    with pytest.raises(ValueError, match="AtariSettings needs a game of ALE"):
        Continual(Counting(), EverySteps(5), [AtariSettings(modes=(0,))])
    with pytest.raises(ValueError, match="AtariSettings cannot change in the middle of an episode"):
        Continual(
            make_atari("ALE/Freeway-v5"), EverySteps(5), [AtariSettings(modes=(0,))], switch="step"
        )


def test_every_fourth_frame_is_seen_not_every_sixteenth() -> None:
    env: Any = make_atari("ALE/Freeway-v5", noop_max=0)
    env.reset(seed=0)
    env.step(0)
    assert env.unwrapped.ale.getEpisodeFrameNumber() == 4


@pytest.mark.parametrize("game", ["Breakout", "SpaceInvaders"])
def test_the_native_vector_equals_python_without_random_numbers(game: str) -> None:
    """The documented differences are no-ops and sticky actions: without them all is equal."""
    settings: dict[str, Any] = dict(repeat_action_probability=0.0, noop_max=0)
    native: Any = NativeAtari([f"ALE/{game}-v5"], 1, envs.Stationary(), **settings)
    single = make_atari(f"ALE/{game}-v5", **settings)
    obs, _ = native.reset(seed=[0])
    np.testing.assert_array_equal(obs[0], single.reset(seed=0)[0])
    rng = np.random.default_rng(0)
    paid = 0.0
    for _ in range(600):
        action = int(rng.integers(native.single_action_space.n))
        obs, reward, terminated, truncated, infos = native.step(np.array([action]))
        other, other_reward, other_terminated, other_truncated, info = single.step(action)
        ended = terminated[0] or truncated[0]
        assert (terminated[0], truncated[0]) == (other_terminated, other_truncated)
        last = infos["final_info"] if ended else infos
        assert (reward[0], last["score"][0]) == (other_reward, info["score"])
        np.testing.assert_array_equal(infos["final_obs"][0] if ended else obs[0], other)
        paid = max(paid, info["score"])
        if ended:
            break
    assert paid > 0


def test_the_native_vector_does_not_depend_on_threads() -> None:
    rows = []
    for threads in (1, 2):
        games = [f"ALE/{game}-v5" for game in ("Pong", "Boxing")]
        kwargs: dict[str, Any] = dict(full_action_space=True, num_threads=threads)
        vector: Any = NativeAtari(games, 3, EverySteps(20), **kwargs)
        vector.reset(seed=[4, 5, 6])
        rows.append([vector.step(np.full(3, t % 18))[0] for t in range(40)])
    np.testing.assert_array_equal(rows[0], rows[1])


def test_the_native_vector_truncates_and_goes_on_with_the_next_game() -> None:
    vector: Any = envs.make_vec("ale-switch5", 2, seeds=[0, 1], steps_per_task=10)
    assert vector.single_action_space == gym.spaces.Discrete(18)
    obs, infos = vector.reset(seed=envs.reset_seeds([0, 1], 2))
    for t in range(5):
        assert infos["task"].tolist() == [0] * 4
        last, before = obs, t
        obs, _, terminated, truncated, infos = vector.step(np.zeros(4, int))
        assert truncated.tolist() == [t == 4] * 4
    assert before == 4
    assert not terminated.any()
    assert infos["task"].tolist() == [1] * 4
    assert infos["final_info"]["task"].tolist() == [0] * 4
    assert infos["final_info"]["cut"].all()
    np.testing.assert_array_equal(infos["final_obs"][:, :3], last[:, 1:])  # one frame further
    assert not obs[:, :3].any()  # a stack that has just begun
    again: Any = envs.make_vec(
        "ale-switch5", 2, seeds=[0, 1], steps_per_task=10, start_step=10, task=None
    )
    assert again.reset(seed=0)[1]["task"].tolist() == [1] * 4
    envs.show_task(vector, 4)
    assert vector.reset(seed=[1, 2, 3, 4])[1]["task"].tolist() == [4] * 4


def test_the_native_vector_refuses_what_ale_would_not() -> None:
    """ALE waits for ever on an action that a game does not have."""
    vector = envs.make_vec("ALE/Breakout-v5", 2)
    vector.reset(seed=1)
    with pytest.raises(ValueError, match=r"actions should be from 0 to 3. Received \[9, 1\]"):
        vector.step(np.array([9, 1]))
    with pytest.raises(ValueError, match="takes no options"):
        vector.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(ValueError, match="need `full_action_space` True"):
        NativeAtari(["ALE/Breakout-v5", "ALE/Alien-v5"], 1, EverySteps(4))
    with pytest.raises(ValueError, match="breakout has no mode 77: it has 0, 4, 8"):
        envs.make("ALE/Breakout-v5", mode=77)


def test_a_new_native_vector_is_seeded_by_the_first_reset() -> None:
    rows = []
    for _ in range(2):
        vector: Any = envs.make_vec("ale-switch5", 2)
        vector.reset(seed=3)
        envs.show_task(vector, 1)
        rows.append(vector.reset()[0])
        rows[-1] = [rows[-1], *(vector.step(np.zeros(2, int))[0] for _ in range(5))]
    np.testing.assert_array_equal(rows[0], rows[1])


def test_settings_that_only_python_has_are_stepped_in_python() -> None:
    for kwargs in ({"mode": 4}, {"difficulty": 0}, {"render_mode": "rgb_array"}):
        vector = envs.make_vec("ALE/Breakout-v5", 1, **kwargs)
        assert isinstance(vector, gym.vector.SyncVectorEnv)
    with pytest.raises(ValueError, match="`task` is for environments that change"):
        envs.make_vec("ALE/Pong-v5", 1, task=3)
