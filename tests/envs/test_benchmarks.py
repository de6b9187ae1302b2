"""The registered benchmarks, on the real simulators."""

import importlib.util
import math
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as check_gymnasium
from stable_baselines3.common.env_checker import check_env as check_sb3

import envs

HAS_METAWORLD = importlib.util.find_spec("metaworld") is not None
NEEDS_METAWORLD = pytest.mark.skipif(not HAS_METAWORLD, reason="needs the extra metaworld")
PUBLISHED = [id for id in envs.BENCHMARKS if not id.endswith("-small")]
ALL = [pytest.param(id, marks=NEEDS_METAWORLD if id.startswith("cw") else ()) for id in PUBLISHED]

SWITCHING = [  # a drift passes through its tasks without stopping
    param for param in ALL if envs.schedule_of(str(param.values[0])).at(0).position is None
]

Steps = list[tuple[Any, float, bool, bool, int]]


def play(env: Any, actions: list[Any], seed: int) -> Steps:
    """Steps through episodes from a reset with a seed; later resets have none."""
    env.reset(seed=seed)
    steps = []
    for action in actions:
        obs, reward, terminated, truncated, info = env.step(action)
        steps.append((obs, reward, terminated, truncated, info["task"]))
        if terminated or truncated:
            env.reset()
    return steps


def equal(a: Steps, b: Steps) -> bool:
    return all(np.array_equal(x[0], y[0]) and x[1:] == y[1:] for x, y in zip(a, b, strict=True))


def sample(id: str, count: int) -> list[Any]:
    space = envs.make(id).action_space
    space.seed(3)
    return [space.sample() for _ in range(count)]


def length(id: str) -> int:
    """Steps after which a change is sure to show: games need longer than robots."""
    return 200 if id.startswith("ale") else 30


@pytest.mark.parametrize("id", ALL)
def test_a_change_is_felt_and_nothing_else(id: str) -> None:
    """The same actions after the same reset: equal within a task, different in the next one."""
    count = length(id)
    actions = sample(id, count)
    env = envs.make(id, task_seed=1, steps_per_task=2 * count)
    first = play(env, actions, seed=5)
    if id != "cheetah-velocity" and env.phase.position is None:  # else it never stands still
        env.clock = 0
        assert equal(first, play(env, actions, seed=5))
    later = 1_000 * count if id == "cheetah-velocity" else 3 * count
    env.clock = later
    env.reset(seed=5)
    assert (env.phase.task, env.phase.position) != (0, 0.0)
    changed = play(env, actions, seed=5)
    assert any(
        not np.array_equal(x[0], y[0]) or x[1] != y[1] for x, y in zip(first, changed, strict=True)
    )


@pytest.mark.parametrize("id", ALL)
def test_a_lifetime_goes_on_from_step_and_seed_alone(id: str) -> None:
    """2N steps with a reset at N are N steps, and N of an environment that is built at N."""
    count = length(id)
    actions = sample(id, 2 * count)
    settings: dict[str, Any] = dict(task_seed=2, steps_per_task=count // 3)
    whole = envs.make(id, **settings)
    play(whole, actions[:count], seed=7)
    rest = play(whole, actions[count:], seed=8)
    built = envs.make(id, start_step=count, **settings)
    assert equal(rest, play(built, actions[count:], seed=8))
    assert (whole.clock, whole.phase) == (built.clock, built.phase)


@pytest.mark.parametrize("id", SWITCHING)
def test_a_task_is_the_one_of_the_sequence(id: str) -> None:
    actions = sample(id, 19)
    schedule = envs.schedule_of(id, 20)
    for start in (0, 20, 40):
        task = schedule.at(start).task
        of_sequence = envs.make(id, task_seed=4, steps_per_task=20, start_step=start)
        alone = envs.make(id, task=task, task_seed=4)
        assert equal(play(of_sequence, actions, seed=1), play(alone, actions, seed=1))
        assert alone.phase == (task, 0, math.inf, None)


@pytest.mark.parametrize("id", ALL)
def test_two_thousand_random_steps_without_a_warning(id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = envs.make(id, steps_per_task=500)
        for seed, action in enumerate(sample(id, 2_000)):
            if seed == 0:
                obs, info = env.reset(seed=0)
            obs, reward, terminated, truncated, info = env.step(action)
            assert env.observation_space.contains(obs)
            assert math.isfinite(reward)
            if terminated or truncated:
                env.reset()
        env.close()
    assert env.clock == 2_000
    changed = (info["task"], info["visit"]) != (0, 0)
    assert changed or "position" in info or env.switch == "episode"


@pytest.mark.parametrize("id", ALL)
def test_checkers_of_gymnasium_and_sb3_pass(id: str) -> None:
    with warnings.catch_warnings():  # advice on infinite bounds, no faults
        warnings.simplefilter("ignore")
        check_gymnasium(envs.make(id), skip_render_check=True)
        check_sb3(envs.make(id))
    assert gym.make(f"envs:{envs.make(id).spec.id}") is not None  # type: ignore[union-attr]


@pytest.mark.parametrize("id", PUBLISHED)
def test_small_versions_are_shorter_and_nothing_else(id: str) -> None:
    benchmark, small = envs.BENCHMARKS[id], envs.BENCHMARKS[f"{id}-small"]
    assert small == replace(benchmark, steps_per_task=benchmark.small_steps)
    assert small.num_tasks * small.steps_per_task <= 1_300_000
    assert envs.scores(id) == envs.scores(f"{id}-small")


@pytest.mark.parametrize("id", ALL)
def test_stored_spaces_are_those_of_the_environment(id: str) -> None:
    scores, env = envs.scores(id), envs.make(id)
    assert scores is not None
    assert env.observation_space.shape is not None
    assert scores.observations.rsplit(" ", 1)[0] == " x ".join(
        map(str, env.observation_space.shape)
    )
    discrete = isinstance(env.action_space, gym.spaces.Discrete)
    assert scores.actions.endswith("discrete" if discrete else "reals")
    assert len(scores.random) in (1, envs.BENCHMARKS[id].num_tasks)
    assert len(scores.reference) in (1, envs.BENCHMARKS[id].num_tasks)
    assert scores.normalize(0, scores.random[0]) == 0
    assert scores.normalize(1, scores.reference[1 % len(scores.reference)]) == 1
    assert scores.reference_source.startswith(("measured: ", "cited: "))


def test_published_schedules() -> None:
    """The parameters of the table, by hand."""
    ends = {
        "slippery-ant": (2_000_000, 0, 1, 9),
        "obs-shift-cartpole": (160_000, 0, 1, 9),
        "lunar-context": (500_000, 0, 1, 19),
        "mujoco-cycle": (1_000_000, 0, 1, 3),
        "minatar-3": (2_000_000, 0, 1, 2),
        "minatar-7": (500_000, 0, 1, 1),
        "ale-spaceinvaders-modes": (1_000_000, 0, 1, 9),
        "ale-switch5": (5_000_000, 0, 1, 4),
        "ale-cora6": (50_000_000, 0, 1, 5),
        "cw20": (1_000_000, 0, 1, 9),
    }
    for id, (steps, first, second, last) in ends.items():
        at = envs.schedule_of(id).at
        visits = {"minatar-7": 7, "cw20": 20}.get(id, last + 1)
        assert [at(0).task, at(steps).task, at(steps * visits - 1).task] == [first, second, last]
    order = [envs.schedule_of("minatar-7").at(500_000 * k)[:2] for k in range(7)]
    assert order == [(0, 0), (1, 0), (2, 0), (1, 1), (0, 1), (2, 1), (1, 2)]


def test_friction_of_every_geom_is_drawn_for_each_task() -> None:
    frictions = set()
    for task in range(5):
        env: Any = envs.make("slippery-ant", task=task)
        column = env.unwrapped.model.geom_friction[:, 0]
        assert (column == column[0]).all()
        assert 0.02 <= column[0] <= 2
        frictions.add(float(column[0]))
    assert len(frictions) == 5


def test_low_friction_makes_the_ant_slide() -> None:
    env: Any = envs.make("slippery-ant", steps_per_task=10)
    model = env.unwrapped.model
    slid = []
    for friction in (0.02, 2.0):
        model.geom_friction[:, 0] = friction
        env.reset(seed=0)
        env.unwrapped.data.qvel[0] = 4.0
        for _ in range(5):
            env.step(np.zeros(8, np.float32))
        slid.append(env.unwrapped.data.qpos[0])
    assert slid[0] > 1.05 * slid[1]


def test_cheetah_velocity_follows_the_episodes() -> None:
    env = envs.make("cheetah-velocity")
    target: Any = env.shifts[0]
    for episode in range(3):
        env.reset(seed=0)
        assert target.velocity == pytest.approx(1.5 + 1.5 * math.sin(0.5 * episode))
        for _ in range(1_000):
            ended = env.step(env.action_space.sample())[3]
        assert ended


def test_mujoco_leaves_no_log_and_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    envs.make("slippery-ant").reset(seed=0)
    assert list(tmp_path.iterdir()) == []
    assert "WARNING" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("id", "module", "extra"),
    [
        ("slippery-ant", "mujoco", "mujoco"),
        ("minatar-3", "minatar", "minatar"),
        ("cw10", "metaworld", "metaworld"),
        ("ale-freeway-modes", "cv2", "atari"),
    ],
)
def test_missing_extra_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, id: str, module: str, extra: str
) -> None:
    for name in [name for name in sys.modules if name.startswith("gymnasium.envs.mujoco")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=rf"needs the extra '{extra}'.*pip install .*\.\[{extra}"):
        envs.make(id)


def test_any_gymnasium_id_is_a_benchmark_of_one_task() -> None:
    env = envs.make("CartPole-v1")
    assert env.reset(seed=0)[1] == {"task": 0, "visit": 0}
    for name, value in (("steps_per_task", 5), ("task", 0), ("cyclic", True)):
        with pytest.raises(ValueError, match=f"`{name}` is for environments that change"):
            envs.make("CartPole-v1", **{name: value})  # type: ignore[arg-type]  # one at a time
    with pytest.raises(ValueError, match="`show_task` is for environments that change"):
        envs.make("CartPole-v1", show_task=True)


def test_families_over_any_gymnasium_id() -> None:
    env = envs.make("obs-permute-MountainCar-v0", steps_per_task=5)
    assert env.observation_space.shape == (2,)
    assert env.schedule.at(5).task == 1
    assert envs.schedule_of("action-permute-Taxi-v3-small").at(0).end == 20_000
    with pytest.raises(ValueError, match="ActionPermutation needs a Discrete action space"):
        envs.make("action-permute-Pendulum-v1")
    with pytest.raises(ValueError, match=r"no environment 'Pendulom-v1'. Did you mean 'Pendulum"):
        envs.make("obs-shift-Pendulom-v1")


def test_a_sequence_that_begins_again_has_the_same_tasks_again() -> None:
    env = envs.make("obs-shift-cartpole", steps_per_task=1, cyclic=True)
    seen, offset = [], []
    for _ in range(20):
        obs, info = env.reset(seed=0)
        seen.append((info["task"], info["visit"]))
        offset.append(tuple(obs))
        env.step(0)
    assert seen == [(task, visit) for visit in range(2) for task in range(10)]
    assert offset[:10] == offset[10:]
    assert len(set(offset)) == 10


def test_an_order_of_its_own_does_not_begin_again() -> None:
    for id in ("minatar-7", "cartpole-gravity", "hopper-mass-drift"):
        for make in (envs.make, envs.make_vec, envs.schedule_of):
            with pytest.raises(ValueError, match=f"`cyclic` is for tasks .* {id} have an order"):
                make(id, cyclic=True)


@pytest.mark.parametrize("task", [-1, 10])
def test_tasks_that_do_not_exist_are_refused(task: int) -> None:
    with pytest.raises(ValueError, match=f"`task` should be from 0 to 9 .* Received {task}"):
        envs.make("obs-shift-cartpole", task=task)


@pytest.mark.parametrize("name", ["Ant-v3", "GymV21Environment-v0"])
def test_ids_that_cannot_be_made_say_why(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} cannot be made here: "):
        envs.make(name)


@pytest.mark.parametrize(
    "name",
    ["obs-shift-cartpol", "CartPole-v7", "CartPol-v1", "ALE/SpaceInvader-v5", "MinAtar/Breakot-v0"],
)
def test_unknown_ids_get_the_nearest_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"there is no .* Did you mean"):
        envs.make(name)


def test_ids_of_gymnasium() -> None:
    env = gym.make("continual/CartpoleGravitySmall-v0", task_seed=2, task=3)
    assert env.reset(seed=0)[1]["task"] == 3
    again = gym.make(env.spec)  # type: ignore[arg-type]  # there is one
    assert again.unwrapped.gravity == env.unwrapped.gravity == 3.0 * 9.8  # type: ignore[attr-defined]


def test_the_task_can_be_shown() -> None:
    env = envs.make("minatar-3", task=1, show_task=True)
    obs, _ = env.reset(seed=0)
    assert obs.shape == (13, 10, 10)
    assert obs[10:].mean((1, 2)).tolist() == [0, 255, 0]
    assert env.observation_space.contains(obs)


def test_families_over_games_and_vectors_of_gymnasium() -> None:
    env = envs.make("action-permute-MinAtar/Breakout-v0", task=1)
    assert env.reset(seed=0)[1]["task"] == 1
    with pytest.raises(ValueError, match="there is no environment 'obs-permute-obs-shift-CartPole"):
        envs.make("obs-permute-obs-shift-CartPole-v1")
    vector: Any = gym.make_vec(
        "envs:continual/CartpoleGravity-v0", num_envs=2, vectorization_mode="sync"
    )
    assert vector.reset(seed=0)[1]["task"].tolist() == [0, 0]


def test_the_task_is_shown_all_around_an_endless_drift() -> None:
    env = envs.make("cheetah-velocity", show_task=True, start_step=70_000)
    shown = env.reset(seed=0)[0][17:]
    assert (shown.argmax(), shown.sum()) == (70 - 63, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stride": 0}, "`stride` should be at least 1. Received 0"),
        ({"start_step": -5}, "`start_step` should be at least 0. Received -5"),
        ({"task_seed": -1}, "`seed` should be at least 0. Received -1"),
        ({"steps_per_task": 2.5}, "`period` should be an integer. Received 2.5"),
        ({"task": 1.5}, "`task` should be from 0 to 4 for cartpole-gravity. Received 1.5"),
        ({"switch": "never"}, "`switch` should be one of .* Received 'never'"),
        ({"foo": 1}, "CartPole-v1 cannot be made with foo=1: "),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        envs.make("cartpole-gravity", **settings)
