"""Numbers inside the simulators: those of the fake exactly, of the real ones by what they do."""

from importlib.util import find_spec
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from envs import Continual, EverySteps, LinearDrift, Shift, Stationary, make
from envs.dynamics import Drawn, Parameter, Wind, log_uniform
from envs.lunar import LunarContext
from tests.envs.fake import Counting, play

box2d = pytest.mark.skipif(find_spec("Box2D") is None, reason="needs the extra box2d")
LUNAR, CHEETAH = "LunarLander-v3", "HalfCheetah-v5"


class Numbers(Counting):
    """Tells its numbers."""

    def _tell(self) -> dict[str, Any]:
        return {"numbers": [self.strength, *self.parts.tolist()]}


def trajectory(
    id: str, shifts: list[Shift], task: int = 0, steps: int = 30
) -> np.ndarray[Any, Any]:
    env = Continual(make(id), Stationary(task), shifts)
    env.action_space.seed(1)
    actions = [env.action_space.sample() for _ in range(steps)]
    return np.array([row["obs"] for row in play(env, actions)])


@pytest.mark.parametrize(
    ("shifts", "expected"),
    [
        (
            [Parameter("strength", (1.0, 0.5), relative=True), Parameter("parts[0]", (7.0, 9.0))],
            [[2, 7, 2], [1, 9, 2], [2, 7, 2]],
        ),
        ([Parameter("parts", (3.0, 5.0))], [[2, 3, 3], [2, 5, 5], [2, 3, 3]]),
        ([Parameter("parts[:]", (1.0, 3.0), relative=True)], [[2, 1, 2], [2, 3, 6], [2, 1, 2]]),
        ([Parameter(("strength", "parts[-1]"), (4.0, 6.0))], [[4, 1, 4], [6, 1, 6], [4, 1, 4]]),
        (
            [Parameter(("strength", "parts[1]"), ((1, 2), (3, 4)), relative=True)],
            [[2, 1, 4], [6, 1, 8], [2, 1, 4]],
        ),
        ([Parameter("strength", lambda task: 10.0**task)], [[1, 1, 2], [10, 1, 2], [100, 1, 2]]),
    ],
)
def test_parameters_of_three_tasks(shifts: list[Shift], expected: list[list[float]]) -> None:
    rows = play(Continual(Numbers(), EverySteps(2), shifts), 6)
    assert [row["numbers"] for row in rows] == [numbers for numbers in expected for _ in range(2)]


def test_a_drift_interpolates_parameters() -> None:
    shift = Parameter(("strength", "parts[1]"), ((1.0, 3.0), (2.0, -1.0)), relative=True)
    rows = play(Continual(Numbers(), LinearDrift(4, 2), [shift]), 5)
    assert [row["numbers"] for row in rows] == [[2 + k / 2, 1, 6 - 2 * k] for k in range(5)]


@pytest.mark.parametrize("apart", [0.0, 1.0])
def test_drawn_values_are_rejected_until_they_are_apart(apart: float) -> None:
    drawn = Drawn(lambda rng: rng.uniform([0.0, 1.0], 2.0), apart=apart)
    rng, expected = np.random.default_rng((3, 0)), list[list[float]]()
    while len(expected) < 12:
        a, b = rng.uniform(0.0, 2.0), rng.uniform(1.0, 2.0)
        if not expected or abs(a - expected[-1][0]) + abs(b - expected[-1][1]) >= apart:
            expected.append([a, b])
    env = Continual(Numbers(), EverySteps(1), [Parameter(("strength", "parts[0]"), drawn)], seed=3)
    assert [row["numbers"][:2] for row in play(env, 12)] == expected


def test_log_uniform_draws_are_those_of_the_seed_and_in_range() -> None:
    shift = Parameter("strength", log_uniform(0.02, 2))
    rows = play(Continual(Numbers(), EverySteps(1), [shift], seed=4), 5)
    expected = np.exp(np.random.default_rng((4, 0)).uniform(np.log(0.02), np.log(2), 5))
    assert [row["numbers"][0] for row in rows] == pytest.approx(expected)
    assert all(0.02 <= value <= 2 for value in expected)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("strenght", "no 'strenght' there. Did you mean 'strength'"),
        ("strength.real.deep", "no 'deep' there"),
        ("parts[7]", r"'parts\[7\]' of .* is not a number"),
        ("parts[0, 0]", r"'parts\[0, 0\]' of .* is not a number"),
        ("action_space", "'action_space' of .* is not a number"),
        ("a b", "`path` should look like .* Received 'a b'"),
        ("", "`path` should look like .* Received ''"),
    ],
)
def test_bad_paths_are_named(path: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Continual(Counting(), EverySteps(1), [Parameter(path, (1.0,))])


def test_cartpole_keeps_the_products_of_its_parameters() -> None:
    env: Any = make("CartPole-v1")
    shifts = [Parameter("masspole", (0.5, 0.25)), Parameter("length", (2.0, 3.0))]
    continual = Continual(env, EverySteps(1), shifts, switch="step")
    seen = []
    for action in (0, 1):
        seen.append((env.unwrapped.total_mass, env.unwrapped.polemass_length))
        continual.reset(seed=0)
        continual.step(action)
    assert seen == [(1.5, 1.0), (1.25, 0.75)]


def test_wind_is_felt_with_its_density() -> None:
    calm, head, tail, thin = (
        trajectory(CHEETAH, [Wind((speed,), density)])
        for speed, density in ((0, 1.2), (-30, 1.2), (30, 1.2), (30, 1e-9))
    )
    assert head[-1, 8] < calm[-1, 8] < tail[-1, 8]  # velocity along x
    np.testing.assert_allclose(thin, trajectory(CHEETAH, []), atol=1e-4)


def test_wind_that_nobody_feels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model.opt.wind\[0\] does nothing .* the shift Wind"):
        trajectory(CHEETAH, [Parameter("model.opt.wind[0]", (3.0,))])
    with pytest.raises(ValueError, match="`density` should be above 0.* Received 0"):
        Wind((3.0,), density=0)


@pytest.mark.parametrize(
    ("shift", "message"),
    [
        (Wind((3.0,)), "Wind blows in worlds of MuJoCo"),
        (LunarContext(), "LunarContext needs LunarLander"),
    ],
)
def test_shifts_of_other_worlds_are_refused(shift: Shift, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}. Received <Counting"):
        Continual(Counting(), Stationary(), [shift])


def test_an_ant_slides_only_if_it_is_slippery_itself() -> None:
    column = "model.geom_friction[{}, 0]"  # of two geoms in contact the greater friction holds
    usual = trajectory("Ant-v5", [])
    floor, everything = (
        trajectory("Ant-v5", [Parameter(column.format(index), (0.02,))]) for index in "0:"
    )
    np.testing.assert_array_equal(floor, usual)
    assert np.abs(everything - usual).max() > 0.1


@box2d
@pytest.mark.parametrize("path", ["gravity", "wind_power"])
def test_parameters_of_lunar_lander_are_felt(path: str) -> None:
    shift = Parameter(path, (-4.0, -11.0) if path == "gravity" else (0.0, 15.0))
    low, high = (trajectory(LUNAR, [shift], task) for task in (0, 1))
    moved = np.abs(high - low)[:, 3 if path == "gravity" else 2]  # velocity along y, along x
    assert moved[-1] > moved[0] > 0


@box2d
def test_gravity_changes_in_mid_flight() -> None:
    shift = Parameter("gravity", (-1.0, -11.0))
    env = Continual(make(LUNAR), EverySteps(10), [shift], switch="step")
    fall = -np.diff([row["obs"][3] for row in play(env, [0] * 20)])
    assert fall[:9] == pytest.approx(fall[0], rel=0.03)
    assert fall[9:] == pytest.approx(11 * fall[0], rel=0.03)


def contexts(tasks: list[int], plain: bool) -> list[list[list[float]]]:
    """Flies landers of these tasks side by side, and one of no task."""
    landers: list[gym.Env[Any, Any]] = [
        Continual(make(LUNAR), Stationary(task), [LunarContext()]) for task in tasks
    ]
    landers += [make(LUNAR)] * plain
    for lander in landers:
        lander.reset(seed=5)
    flights = [[lander.step(2 + t % 2)[0].tolist() for lander in landers] for t in range(20)]
    return [list(flight) for flight in zip(*flights, strict=True)]


@box2d
def test_contexts_are_of_each_lander_alone() -> None:
    usual = contexts([], plain=True)
    first, second = contexts([1], plain=False), contexts([2], plain=False)
    assert contexts([1, 2], plain=True) == first + second + usual
    assert len({str(flight) for flight in first + second + usual}) == 3


@box2d
def test_contexts_are_drawn_and_the_wind_takes_turns() -> None:
    env: Any = Continual(make(LUNAR), EverySteps(1), [LunarContext()], seed=2)
    rng, factors = np.random.default_rng((2, 0)), list[np.ndarray[Any, Any]]()
    while len(factors) < 4:
        drawn = rng.uniform([0.2, 1.0, 1.0, 0.5], 1.5)
        if not factors or np.abs(drawn - factors[-1]).sum() >= 1:
            factors.append(drawn)
    for task in range(4):
        pushed = env.reset(seed=0)[0][2]
        gravity = env.unwrapped.world.gravity
        assert tuple(gravity) == pytest.approx(((-2, 0, 2, -2)[task], -10 * factors[task][0]))
        names = type(env.unwrapped).step.__globals__
        powers = [names["MAIN_ENGINE_POWER"], names["SIDE_ENGINE_POWER"], names["INITIAL_RANDOM"]]
        assert powers == pytest.approx(np.array([13, 0.6, 1000]) * factors[task][1:])
        if task % 3 == 1:  # no wind: the force of the start alone
            usual = make(LUNAR).reset(seed=0)[0][2]
            assert pushed == pytest.approx(factors[task][3] * usual, rel=1e-3)
        env.step(0)


def test_a_drift_asks_for_no_task_that_does_not_exist() -> None:
    env = Counting()
    strengths = {0: 1.0, 1: 2.0, 2: 4.0}
    shift = Parameter("strength", lambda task: strengths[task])
    continual = Continual(env, LinearDrift(2, 3), [shift])
    continual.reset()
    seen = []
    for _ in range(6):
        seen.append(env.strength)
        continual.step(0)
    assert seen == [1, 1.5, 2, 3, 4, 4]


def test_a_count_stays_one() -> None:
    env: Any = make("cheetah-gravity").env
    Continual(env, EverySteps(1), [Parameter("frame_skip", (4, 3))])
    assert env.unwrapped.frame_skip == 4
    assert isinstance(env.unwrapped.frame_skip, int)
