"""Shifts and the lifetime clock on an environment with exact values."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from envs import Continual, Cyclic, EverySteps, LinearDrift, Shift, Stationary
from envs.action import ActionDelay, ActionPermutation, ActionScale, DeadActuator
from envs.continual import Switch
from envs.observation import (
    ObservationInversion,
    ObservationMask,
    ObservationNoise,
    ObservationOffset,
    ObservationPermutation,
    ObservationScale,
    PixelPermutation,
)
from envs.reward import RewardDelay, RewardScale, RewardSign, TargetVelocity
from envs.schedules import Schedule
from envs.sequence import EnvSequence, SelectEnv
from envs.shift import nth_permutation
from tests.envs.fake import Counting, Images, Runner, play

Array = np.ndarray[Any, Any]
FIRST = np.array([1.0, 10.0, 100.0])  # what the fake shows after one step


def box(low: float, high: float, size: int) -> gym.Space[Any]:
    return gym.spaces.Box(low, high, (size,), np.float32)


def rewards(rows: Sequence[dict[str, Any]]) -> list[float]:
    return [row["reward"] for row in rows]


@pytest.mark.parametrize(
    ("switch", "tasks", "ends", "cuts"),
    [
        ("cut", [0] * 6 + [1] * 6 + [2], [3, 5, 9, 11], [5, 11]),
        ("episode", [0] * 8 + [1] * 4 + [2], [3, 7, 11], []),
        ("step", [0] * 6 + [1] * 6 + [2], [3, 7, 11], []),
    ],
)
def test_the_clock_runs_over_episodes_and_switches(
    switch: Switch, tasks: list[int], ends: list[int], cuts: list[int]
) -> None:
    scale = RewardScale((1.0, 3.0, 5.0))
    rows = play(Continual(Counting(length=4), EverySteps(6), [scale], switch=switch), 13)
    assert [row["task"] for row in rows] == tasks
    assert rewards(rows) == [1 + 2 * task for task in tasks]
    assert [i for i, row in enumerate(rows) if row.get("cut")] == cuts
    assert [i for i, row in enumerate(rows) if row["end"] == (False, True)] == cuts
    assert [i for i, row in enumerate(rows) if any(row["end"])] == ends
    assert all(rows[i + 1]["obs"][0] == 1 for i in ends)  # a new episode


def test_an_episode_that_ends_at_the_switch_by_itself_is_not_cut() -> None:
    rows = play(Continual(Counting(length=3), EverySteps(6), []), 7)
    assert rows[5]["end"] == (True, False)
    assert "cut" not in rows[5]
    assert rows[6]["task"] == 1


def test_copies_share_a_lifetime_and_visits_are_counted() -> None:
    rows = play(Continual(Counting(), Cyclic(6, 2), [], stride=3), 6)
    shown = [(row["task"], row["visit"]) for row in rows]
    assert shown == [(0, 0)] * 2 + [(1, 0)] * 2 + [(0, 1)] * 2


@pytest.mark.parametrize("switch", ["cut", "episode"])
def test_a_lifetime_continues_at_any_step(switch: Switch) -> None:
    def lifetime(start: int) -> Continual:
        shifts = [ObservationOffset(1.0), ObservationNoise((1.0, 2.0))]
        return Continual(
            Counting(5), EverySteps(10), shifts, seed=3, start_step=start, switch=switch
        )

    whole, rest = play(lifetime(0), 30, seed=8), play(lifetime(20), 10, seed=8)
    for a, b in zip(whole[20:], rest, strict=True):
        assert np.array_equal(a["obs"], b["obs"])
        assert a["task"] == b["task"]
    assert not np.array_equal(rest[0]["obs"], play(lifetime(20), 1, seed=9)[0]["obs"])


@pytest.mark.parametrize(
    ("drift", "switch", "length", "positions"),
    [
        (LinearDrift(4, 2), "cut", 100, [0, 0.25, 0.5, 0.75, 1, 1]),
        (LinearDrift(4, 3), "step", 2, [0, 0.25, 0.5, 0.75, 1, 1.25]),
        (LinearDrift(4, 2, every=2), "cut", 100, [0, 0, 0.5, 0.5, 1, 1]),
        (LinearDrift(4, 3), "episode", 3, [0, 0, 0, 0.75, 0.75, 0.75]),
    ],
)
def test_a_drift_interpolates_numbers(
    drift: Schedule, switch: Switch, length: int, positions: list[float]
) -> None:
    env = Continual(Counting(length), drift, [RewardScale((1.0, 3.0, 5.0))], switch=switch)
    rows = play(env, 6)
    assert [row["position"] for row in rows] == positions
    assert rewards(rows) == [1 + 2 * position for position in positions]
    assert not any(row["end"][1] for row in rows)


def test_in_a_drift_a_permutation_is_that_of_the_nearest_task() -> None:
    shift = ActionPermutation(((0, 1, 2, 3), (3, 2, 1, 0)))
    rows = play(Continual(Counting(), LinearDrift(5, 2), [shift]), [0] * 6)
    assert rewards(rows) == [0, 0, 0, 3, 3, 3]  # at 0, 0.2, 0.4, 0.6, 0.8, 1


@pytest.mark.parametrize(
    ("schedule", "codes"),
    [
        (Cyclic(2, 3), [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]),
        (LinearDrift(4, 3), [[1 - k / 4, k / 4, 0] for k in range(5)]),
    ],
)
@pytest.mark.parametrize("switch", ["cut", "step"])
def test_the_task_is_appended(schedule: Schedule, codes: list[list[float]], switch: Switch) -> None:
    vector = Continual(Counting(), schedule, [], switch=switch, show_tasks=3)
    for row, code in zip(play(vector, 5), codes, strict=True):
        assert row["obs"][3:].tolist() == code
        assert row["obs"][1] == 10 * row["obs"][0]
        assert vector.observation_space.contains(row["obs"])
    images = Continual(Images(), schedule, [], switch=switch, show_tasks=3)
    assert images.observation_space == gym.spaces.Box(0, 255, (5, 2, 3), np.uint8)
    for row, code in zip(play(images, 5), codes, strict=True):
        planes = np.floor(255 * np.array(code)).reshape(3, 1, 1)
        assert np.array_equal(row["obs"][2:], np.broadcast_to(planes, (3, 2, 3)))
        assert images.observation_space.contains(row["obs"])


def test_show_stays_at_a_task() -> None:
    env = Continual(Counting(), EverySteps(2), [RewardScale((1.0, 3.0))], show_tasks=2)
    play(env, 1)
    env.show(1)
    rows = play(env, 9)
    assert [row["task"] for row in rows] == [1] * 9
    assert rewards(rows) == [3] * 9
    assert [row["obs"][3:].tolist() for row in rows] == [[0, 1]] * 9


class Line(Shift):
    def __init__(self, factor: int, plus: int) -> None:
        self.factor, self.plus = factor, plus

    def enter(self, task: int, rng: np.random.Generator) -> None:
        self.now: int = self.factor ** (task + 1)

    def observation(self, observation: Any) -> Any:
        return observation * self.now + self.plus

    def action(self, action: Any) -> Any:
        return action * self.now + self.plus

    def reward(self, reward: float, info: dict[str, Any], ended: bool) -> float:
        return reward * self.now + self.plus


@pytest.mark.parametrize(
    ("shifts", "expected"),
    [
        ([Line(2, 0)], [(2, 4), (4, 16)]),
        ([Line(2, 0), Line(1, 1)], [(3, 9), (5, 33)]),  # reward: ((1 + 1) x 2) x 2 + 1
        ([Line(1, 1), Line(2, 0)], [(4, 8), (8, 24)]),  # reward: ((1 x 2 + 1) + 1) x 2
    ],
)
def test_own_shifts_stack_from_the_environment_outwards(
    shifts: list[Shift], expected: list[tuple[float, float]]
) -> None:
    rows = play(Continual(Counting(), EverySteps(1), shifts), 2)
    assert [(row["obs"][0], row["reward"]) for row in rows] == expected


def offsets(rng: np.random.Generator) -> Array:
    return FIRST + np.vstack((np.zeros(3), rng.normal(0, 2, (3, 3))))


def scales(rng: np.random.Generator) -> Array:
    return FIRST * np.exp(np.vstack((np.zeros(3), rng.uniform(np.log(0.5), np.log(4), (3, 3)))))


def masks(rng: np.random.Generator, count: int = 2) -> Array:
    hidden = [rng.choice(3, count, replace=False) for _ in range(3)]
    return np.array([FIRST, *(FIRST * ~np.isin(range(3), h) for h in hidden)])


def permutations(rng: np.random.Generator) -> Array:
    orders = [np.arange(3)]
    while len(orders) < 4:
        order = rng.permutation(3)
        if order.tolist() != orders[-1].tolist():
            orders.append(order)
    return FIRST[np.array(orders)]


@pytest.mark.parametrize(
    ("shift", "expected"),
    [
        (ObservationOffset(2.0), offsets),
        (ObservationScale(0.5, 4.0), scales),
        (ObservationMask(0.5), masks),  # round(1.5) of the three
        (ObservationMask(0.1), lambda rng: masks(rng, 1)),
        (ObservationInversion(), lambda _: FIRST * [[1], [-1], [1], [-1]]),
        (ObservationPermutation(), permutations),
        (
            ObservationPermutation(((0, 1, 2), (2, 0, 1))),
            lambda _: FIRST[[[0, 1, 2], [2, 0, 1]] * 2],
        ),
    ],
)
def test_observations_of_four_tasks(
    shift: Shift, expected: Callable[[np.random.Generator], Array]
) -> None:
    env = Continual(Counting(), EverySteps(1), [shift], seed=6)
    seen = np.array([row["obs"] for row in play(env, 4)])
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen, expected(np.random.default_rng((6, 0))), rtol=1e-6)
    assert all(env.observation_space.contains(obs) for obs in seen)
    again = Continual(Counting(), EverySteps(1), [shift], seed=6, start_step=3)
    np.testing.assert_array_equal(play(again, 1)[0]["obs"], seen[3])


def test_noise_is_that_of_the_reset_seed_and_the_step() -> None:
    env = Continual(Counting(5), Stationary(1), [Line(1, 1), ObservationNoise((0.0, 2.0))])
    rows = play(env, 10, seed=7)
    for start in (0, 5):
        noise = np.random.default_rng((7, 1, start)).standard_normal((6, 3), np.float32)
        for t in range(5):  # the reset has taken the first draw
            expected = (t + 1) * FIRST + 1 + 2 * noise[t + 1]
            np.testing.assert_allclose(rows[start + t]["obs"], expected, rtol=1e-6)
    assert env.observation_space.contains(rows[0]["obs"])


def test_images_are_inverted_and_their_pixels_permuted() -> None:
    plain = np.arange(1, 13, dtype=np.uint8).reshape(2, 2, 3)
    env = Continual(Images(), EverySteps(1), [ObservationInversion()])
    seen = [row["obs"] for row in play(env, 2)]
    np.testing.assert_array_equal(seen, [plain, 255 - plain])
    assert env.observation_space.contains(seen[1])
    seen = [row["obs"] for row in play(Continual(Images(), EverySteps(1), [PixelPermutation()]), 9)]
    assert np.array_equal(seen[0], plain)
    for before, after in pairwise(seen):
        assert not np.array_equal(before, after)
        assert sorted(after[0].flat) == list(range(1, 7))
        assert np.array_equal(after[1], after[0] + 6)  # both channels alike


@pytest.mark.parametrize("size", [2, 3])
def test_no_permutation_is_that_of_the_task_before(size: int) -> None:
    orders = [tuple(nth_permutation(k, size, np.random.default_rng(5))) for k in range(30)]
    assert orders[0] == tuple(range(size))
    assert all(a != b for a, b in pairwise(orders))
    assert all(sorted(order) == list(range(size)) for order in orders)


@pytest.mark.parametrize("start", [0, 2])
def test_actions_are_permuted(start: int) -> None:
    env = Counting(action_space=gym.spaces.Discrete(4, start=start))
    orders = [nth_permutation(k, 4, np.random.default_rng((2, 0))) for k in range(6)]
    drawn = Continual(env, EverySteps(1), [ActionPermutation()], seed=2)
    # The fake pays the action.
    assert rewards(play(drawn, [start + 3] * 6)) == [start + order[3] for order in orders]
    given = Continual(env, EverySteps(1), [ActionPermutation([[0, 1, 2, 3], [1, 2, 3, 0]])])
    assert rewards(play(given, [start + 3] * 3)) == [start + 3, start, start + 3]


def test_actions_are_scaled_and_clipped() -> None:
    env, shift = Counting(action_space=box(-1, 1, 2)), ActionScale((1.0, 3.0, -1.0))
    actions = [np.array([0.25, 0.5], np.float32)] * 3
    assert rewards(play(Continual(env, EverySteps(1), [shift]), actions)) == [0.75, 1.75, -0.75]
    assert rewards(play(Continual(env, LinearDrift(8, 2), [shift]), actions)) == [
        0.75 * factor for factor in (1, 1.25, 1.5)
    ]


@pytest.mark.parametrize(
    ("space", "length", "delays", "actions", "paid"),
    [
        (gym.spaces.Discrete(4), 9, (2,), [1, 2, 3, 1], [0, 0, 1, 2]),
        (gym.spaces.Discrete(4, start=1), 9, (2,), [2, 3, 4, 2], [1, 1, 2, 3]),
        (box(-1, 1, 1), 9, (1,), np.array([[0.5], [-0.25], [1]], "f"), [0, 0.5, -0.25]),
        (box(0.5, 1, 2), 9, (1,), np.array([[0.75, 1], [0.5, 1]], "f"), [1, 1.75]),
        # An episode does not see the actions of the one before.
        (gym.spaces.Discrete(4), 3, (1,), [1, 2, 3, 3, 2, 1], [0, 1, 2, 0, 3, 2]),
        # The delay changes after three steps: to a shorter one, or to a longer one.
        (gym.spaces.Discrete(4), 9, (2, 0), [1, 2, 3, 1, 2], [0, 0, 1, 1, 2]),
        (gym.spaces.Discrete(4), 9, (0, 1), [1, 2, 3, 1, 2, 3], [1, 2, 3, 0, 1, 2]),
    ],
)
def test_actions_are_delayed(
    space: gym.Space[Any], length: int, delays: list[int], actions: list[Any], paid: list[float]
) -> None:
    shifts = [ActionDelay(delays)]
    env = Continual(Counting(length, space), EverySteps(3), shifts, switch="step")
    assert rewards(play(env, actions)) == paid


@pytest.mark.parametrize("count", [1, 2])
def test_other_actuators_die_in_each_task(count: int) -> None:
    shift = DeadActuator(count)
    env = Continual(Counting(action_space=box(-4, 4, 3)), EverySteps(1), [shift], seed=4)
    rng, dead = np.random.default_rng((4, 0)), [set[int]()]
    while len(dead) < 6:
        drawn = set(rng.choice(3, count, replace=False).tolist())
        if drawn != dead[-1]:
            dead.append(drawn)
    alive = [sum(2**i for i in range(3) if i not in d) for d in dead]
    assert rewards(play(env, [np.array([1, 2, 4], np.float32)] * 6)) == alive


def test_rewards_are_scaled_and_change_their_sign() -> None:
    env = Continual(Counting(), EverySteps(2), [RewardScale((1.0, -3.0))])
    assert rewards(play(env, 6)) == [1, 1, -3, -3, 1, 1]
    assert rewards(play(Continual(Counting(), EverySteps(1), [RewardSign()]), 3)) == [1, -1, 1]


@pytest.mark.parametrize(
    ("length", "delays", "switch", "paid"),
    [
        (6, (2,), "step", [0, 0, 1, 2, 3, 15]),
        (6, (9,), "step", [0, 0, 0, 0, 0, 21]),
        (6, (0, 2), "step", [1, 2, 3, 0, 0, 15]),
        (6, (2, 0), "step", [0, 0, 1, 2 + 3 + 4, 5, 6]),
        (6, (2,), "cut", [0, 0, 6, 0, 0, 15]),  # cut after three steps
        (2, (1,), "episode", [0, 3, 0, 7, 0, 11]),
    ],
)
def test_delayed_rewards_are_all_paid(
    length: int, delays: list[int], switch: Switch, paid: list[float]
) -> None:
    env = Continual(Counting(length), EverySteps(3), [RewardDelay(delays)], switch=switch)
    assert rewards(play(env, range(1, 7))) == paid


def test_runners_are_paid_for_a_velocity() -> None:
    steps = Continual(Runner(), EverySteps(2), [TargetVelocity((1.0, 2.5))], switch="step")
    assert rewards(play(steps, 4)) == [-2, -3, -2.5, -3.5]  # -2 is half the control cost
    drift = Continual(Runner(), LinearDrift(4, 2), [TargetVelocity((1.0, 2.0))])
    assert rewards(play(drift, 3)) == [-2, -2.75, -3.5]


def test_sequence_pads_observations_and_maps_actions() -> None:
    makers = [lambda id=id: gym.make(id) for id in ("CartPole-v1", "Acrobot-v1", "MountainCar-v0")]
    env = Continual(EnvSequence(makers), Cyclic(5, 3), [SelectEnv()])
    assert env.observation_space.shape == (6,)
    assert env.action_space == gym.spaces.Discrete(3)
    rows = play(env, [2] * 15)
    assert [row["task"] for row in rows] == [0] * 5 + [1] * 5 + [2] * 5
    for row, width in zip(rows, [4] * 5 + [6] * 5 + [2] * 5, strict=True):
        assert row["obs"].dtype == np.float32
        assert not row["obs"][width:].any()
    bare = gym.make("CartPole-v1")
    bare.reset(seed=0)
    np.testing.assert_array_equal(rows[0]["obs"][:4], bare.step(2 % 2)[0])


def test_sequence_maps_continuous_actions_to_the_bounds() -> None:
    wide = gym.spaces.Box(np.array([0, -4], "f"), np.array([10, 4], "f"))
    env = EnvSequence([lambda: Counting(9, wide), lambda: Counting(9, box(-2, 2, 1))])
    env.reset(seed=0)
    assert env.step(np.array([1.0, -0.5]))[1] == 10 - 2  # the fake pays the sum
    env.select(1)
    env.reset()
    assert env.step(np.array([0.5, 1.0]))[1] == 1


def test_sequences_of_mixed_actions_are_refused() -> None:
    with pytest.raises(ValueError, match="all Discrete or all Box"):
        EnvSequence([Counting, lambda: Counting(9, box(-1, 1, 1))])


@pytest.mark.parametrize(
    ("schedule", "switch"),
    [(EverySteps(2), "step"), (LinearDrift(2, 2), "cut"), (LinearDrift(2, 2), "step")],
)
def test_whole_environments_change_only_between_episodes(
    schedule: Schedule, switch: Switch
) -> None:
    def sequence(switch: Switch) -> Continual:
        makers = [lambda: Counting(3), Runner]
        return Continual(EnvSequence(makers), schedule, [SelectEnv()], switch=switch)

    message = 'SelectEnv cannot change in the middle .* switch="episode". Received'
    with pytest.raises(ValueError, match=f"{message} '{switch}'"):
        sequence(switch)
    assert ["x_velocity" in row for row in play(sequence("episode"), 5)] == [False] * 3 + [True] * 2


DISCRETE, CONTINUOUS = Counting(), Counting(action_space=box(-1, 1, 2))
SWITCHES, LAKE = Counting(action_space=gym.spaces.MultiBinary(2)), gym.make("FrozenLake-v1")


@pytest.mark.parametrize(
    ("shift", "env", "message"),
    [
        (ObservationOffset(1.0), Images(), "ObservationOffset needs a Box of floats"),
        (ObservationScale(1, 2), Images(), "ObservationScale needs a Box of floats"),
        (ObservationNoise((1,)), Images(), "ObservationNoise needs a Box of floats"),
        (ObservationMask(0.5), Images(), "ObservationMask needs a Box of floats"),
        (ObservationInversion(), LAKE, "ObservationInversion needs a Box of floats or bytes"),
        (ObservationPermutation(), Images(), "ObservationPermutation needs a Box of floats"),
        (PixelPermutation(), DISCRETE, r"PixelPermutation permutes images \(C, H, W\)"),
        (ActionPermutation(), CONTINUOUS, "ActionPermutation needs a Discrete action space"),
        (ActionScale((1,)), DISCRETE, "ActionScale needs a Box as action space"),
        (DeadActuator(), DISCRETE, "DeadActuator needs a Box as action space"),
        (ActionDelay((1,)), SWITCHES, "ActionDelay needs a Box as action space"),
        (TargetVelocity((1,)), DISCRETE, "TargetVelocity needs a runner of MuJoCo"),
        (SelectEnv(), DISCRETE, "SelectEnv needs an EnvSequence"),
        (DeadActuator(2), CONTINUOUS, "`count` should be below the 2 components of an action"),
        (ActionPermutation([[0, 1, 2, 2]]), DISCRETE, "a permutation should hold each of 0 to 3"),
        (ObservationPermutation([[0, 1]]), DISCRETE, "a permutation should hold each of 0 to 2"),
    ],
)
def test_shifts_that_do_not_fit_are_refused(
    shift: Shift, env: gym.Env[Any, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=rf"^{message}.*Received [^\n]+$"):
        Continual(env, EverySteps(1), [shift])


def test_a_task_cannot_be_appended_to_a_discrete_observation() -> None:
    with pytest.raises(ValueError, match=r"vectors and images \(C, H, W\). Received Discrete"):
        Continual(LAKE, Stationary(), [], show_tasks=2)


def test_a_task_beyond_those_that_are_shown_is_named() -> None:
    env = Continual(Counting(), EverySteps(1), [], switch="step", show_tasks=1)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="`show_tasks` should be above task 1. Received 1"):
        env.step(0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ObservationOffset(-1), "`scale` should be at least 0. Received -1"),
        (lambda: ObservationScale(2, 1), "0 < low <= high. Received 2, 1"),
        (lambda: ObservationNoise((1, -2)), r"`stds` should be at least 0. Received \[1, -2\]"),
        (lambda: ObservationMask(1.5), "`share` should be between 0 and 1. Received 1.5"),
        (lambda: ActionDelay((1, -1)), r"`delays` should be at least 0. Received \[1, -1\]"),
        (lambda: RewardDelay((-3,)), r"`delays` should be at least 0. Received \[-3\]"),
        (lambda: DeadActuator(0), "`count` should be at least 1. Received 0"),
        (lambda: ActionScale(()), "`factors` should hold at least one value. Received none"),
    ],
)
def test_wrong_settings_are_named(make: Callable[[], Shift], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
