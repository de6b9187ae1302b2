"""Shifts and the lifetime clock on an environment with exact values."""

from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from envs import Continual, Cyclic, EverySteps
from envs.action import ActionPermutation
from envs.dynamics import Parameter, log_uniform
from envs.observation import ObservationOffset, ObservationPermutation
from envs.reward import RewardScale
from envs.sequence import EnvSequence, SelectEnv
from envs.shift import Shift, nth_permutation
from tests.envs.fake import Counting


def play(env: Continual, steps: int, action: Any = 1) -> list[dict[str, Any]]:
    """Steps through episodes; returns what each step gave."""
    env.reset(seed=0)
    rows = []
    for _ in range(steps):
        obs, reward, terminated, truncated, info = env.step(action)
        rows.append({"obs": obs, "reward": reward, "end": (terminated, truncated), **info})
        if terminated or truncated:
            env.reset()
    return rows


def test_clock_runs_over_episodes_and_truncates_at_the_switch() -> None:
    rows = play(Continual(Counting(length=4), EverySteps(6), []), 13)
    assert [row["task"] for row in rows] == [0] * 6 + [1] * 6 + [2]
    assert [i for i, row in enumerate(rows) if row.get("cut")] == [5, 11]
    ends = [row["end"] for row in rows]
    assert ends[3] == (True, False)  # the episode's own end
    assert ends[5] == (False, True)  # cut by the switch, to be bootstrapped
    assert rows[6]["obs"][0] == 1  # a new episode


def test_an_episode_that_ends_at_the_switch_by_itself_is_not_cut() -> None:
    rows = play(Continual(Counting(length=3), EverySteps(6), []), 7)
    assert rows[5]["end"] == (True, False)
    assert "cut" not in rows[5]
    assert rows[6]["task"] == 1


def test_copies_share_a_lifetime_and_visits_are_counted() -> None:
    rows = play(Continual(Counting(), Cyclic(6, 2), [], stride=3), 6)
    assert [(row["task"], row["visit"]) for row in rows] == [
        (0, 0),
        (0, 0),
        (1, 0),
        (1, 0),
        (0, 1),
        (0, 1),
    ]


def test_a_lifetime_continues_at_any_step() -> None:
    whole = play(Continual(Counting(5), EverySteps(10), [ObservationOffset(1.0)], seed=3), 30)
    rest = play(
        Continual(Counting(5), EverySteps(10), [ObservationOffset(1.0)], seed=3, start_step=20), 10
    )
    for a, b in zip(whole[20:], rest, strict=True):
        assert np.array_equal(a["obs"], b["obs"])
        assert a["task"] == b["task"]


def test_offset_is_none_at_first_then_fixed_for_the_task() -> None:
    rows = play(Continual(Counting(), EverySteps(10), [ObservationOffset(2.0)], seed=1), 30)
    clean = play(Continual(Counting(), EverySteps(10), []), 30)
    offsets = np.array([a["obs"] - b["obs"] for a, b in zip(rows, clean, strict=True)])
    drawn = np.random.default_rng((1, 0)).normal(0, 2, (2, 3))
    np.testing.assert_allclose(offsets[:10], 0)
    np.testing.assert_allclose(offsets[10:20], np.tile(drawn[0], (10, 1)), rtol=1e-4)
    np.testing.assert_allclose(offsets[20:], np.tile(drawn[1], (10, 1)), rtol=1e-4)


def test_observation_permutation_moves_components() -> None:
    env = Continual(Counting(), EverySteps(1), [ObservationPermutation()], seed=0)
    rows = play(env, 8)
    assert rows[0]["obs"].tolist() == [1, 10, 100]
    for k, row in enumerate(rows):
        order = nth_permutation(k, 3, np.random.default_rng((0, 0)))
        assert row["obs"].tolist() == np.array([1, 10, 100])[order].tolist()
    assert env.observation_space.contains(rows[3]["obs"])


def test_no_permutation_is_that_of_the_task_before() -> None:
    for size in (2, 3):
        orders = [tuple(nth_permutation(k, size, np.random.default_rng(5))) for k in range(30)]
        assert orders[0] == tuple(range(size))
        assert all(a != b for a, b in pairwise(orders))
        assert all(sorted(order) == list(range(size)) for order in orders)


def test_action_permutation_reaches_the_environment() -> None:
    env = Continual(Counting(), EverySteps(1), [ActionPermutation()], seed=0)
    for k in range(5):
        order = nth_permutation(k, 4, np.random.default_rng((0, 0)))
        env.reset()
        assert env.step(3)[1] == order[3]  # the fake pays the action


def test_reward_scales_take_turns() -> None:
    rows = play(Continual(Counting(), EverySteps(2), [RewardScale((1.0, -3.0))]), 6)
    assert [row["reward"] for row in rows] == [1, 1, -3, -3, 1, 1]


def test_parameter_sets_scales_and_returns_to_nominal() -> None:
    env = Counting()
    shifts = [
        Parameter("strength", (1.0, 0.5), relative=True),
        Parameter("parts[0]", (7.0, 9.0)),
    ]
    continual = Continual(env, EverySteps(2), shifts)
    seen = []
    continual.reset()
    for _ in range(6):
        seen.append((env.strength, env.parts.tolist()))
        if continual.step(0)[3]:
            continual.reset()
    first, second = (2.0, [7.0, 2.0]), (1.0, [9.0, 2.0])
    assert seen == [first, first, second, second, first, first]


def test_cartpole_keeps_the_products_of_its_parameters() -> None:
    env: Any = gym.make("CartPole-v1")
    Continual(env, EverySteps(1), [Parameter("masspole", (0.5,)), Parameter("length", (2.0,))])
    assert env.unwrapped.total_mass == 1.5
    assert env.unwrapped.polemass_length == 1.0


def test_log_uniform_draws_are_those_of_the_seed_and_in_range() -> None:
    env = Counting()
    Continual(
        env, EverySteps(1), [Parameter("strength", log_uniform(0.02, 2))], seed=4, start_step=2
    )
    rng = np.random.default_rng((4, 0))
    third = [np.exp(rng.uniform(np.log(0.02), np.log(2))) for _ in range(3)][2]
    assert env.strength == pytest.approx(third)
    assert 0.02 <= env.strength <= 2


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("strenght", "no 'strenght' there. Did you mean 'strength'"),
        ("parts[7]", "is not a number"),
        ("action_space", "is not a number"),
        ("a b", "`path` should look like"),
    ],
)
def test_bad_paths_are_named(path: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Continual(Counting(), EverySteps(1), [Parameter(path, (1.0,))])


def test_sequence_pads_observations_and_maps_actions() -> None:
    makers = [lambda id=id: gym.make(id) for id in ("CartPole-v1", "Acrobot-v1", "MountainCar-v0")]
    env = Continual(EnvSequence(makers), Cyclic(5, 3), [SelectEnv()])
    assert env.observation_space.shape == (6,)
    assert env.action_space == gym.spaces.Discrete(3)
    rows = play(env, 15, action=2)
    assert [row["task"] for row in rows] == [0] * 5 + [1] * 5 + [2] * 5
    for row, width in zip(rows, [4] * 5 + [6] * 5 + [2] * 5, strict=True):
        assert row["obs"].dtype == np.float32
        assert not row["obs"][width:].any()
    bare = gym.make("CartPole-v1")
    bare.reset(seed=0)
    np.testing.assert_array_equal(rows[0]["obs"][:4], bare.step(2 % 2)[0])


def test_sequence_maps_continuous_actions_to_the_bounds() -> None:
    wide = gym.spaces.Box(np.array([0, -4], "f"), np.array([10, 4], "f"))
    narrow = gym.spaces.Box(-2, 2, (1,), np.float32)
    env = EnvSequence([lambda: Counting(9, wide), lambda: Counting(9, narrow)])
    env.reset(seed=0)
    assert env.step(np.array([1.0, -0.5]))[1] == 10 - 2  # the fake pays the sum
    env.select(1)
    env.reset()
    assert env.step(np.array([0.5, 1.0]))[1] == 1


def test_sequences_of_mixed_actions_are_refused() -> None:
    with pytest.raises(ValueError, match="all Discrete or all Box"):
        EnvSequence([Counting, lambda: Counting(9, gym.spaces.Box(-1, 1, (1,)))])


@pytest.mark.parametrize(
    ("shift", "space", "message"),
    [
        (ActionPermutation(), gym.spaces.Box(-1, 1, (2,)), "needs a Discrete action space"),
        (SelectEnv(), gym.spaces.Discrete(2), "needs an EnvSequence"),
    ],
)
def test_shifts_that_do_not_fit_are_refused(
    shift: Shift, space: gym.Space[Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Continual(Counting(action_space=space), EverySteps(1), [shift])
