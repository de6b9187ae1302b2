"""Many environments at once."""

import os
import signal
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import envs
from envs.same_step import SameStepVector
from envs.schedules import EverySteps
from envs.vector import VectorMode


def test_vector_is_the_single_environments_side_by_side() -> None:
    vector: Any = envs.make_vec("obs-shift-cartpole", 2, seeds=[0, 7], steps_per_task=20)
    seeds = envs.reset_seeds([0, 7], 2)
    singles = [
        envs.make("obs-shift-cartpole", task_seed=s, steps_per_task=20, stride=2)
        for s in (0, 0, 7, 7)
    ]
    obs, _ = vector.reset(seed=seeds)
    expected = [env.reset(seed=seed)[0] for env, seed in zip(singles, seeds, strict=True)]
    np.testing.assert_array_equal(obs, expected)
    for t in range(40):
        obs, _, terminated, truncated, infos = vector.step(np.full(4, t % 2))
        for i, env in enumerate(singles):
            single, _, one_terminated, one_truncated, _ = env.step(t % 2)
            if one_terminated or one_truncated:
                np.testing.assert_array_equal(infos["final_obs"][i], single)
                single, _ = env.reset()
            assert (one_terminated, one_truncated) == (terminated[i], truncated[i])
            np.testing.assert_array_equal(obs[i], single)
    assert infos["task"].tolist() == [4] * 4  # 80 steps of each lifetime


class Telling(gym.Wrapper[Any, Any, Any, Any]):
    """Tells numbers of several kinds, arrays and words, some of them only now and then."""

    count = 0

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.count += 1
        obs, reward, terminated, _, info = super().step(action)
        info |= {
            "whole": self.count,
            "share": np.float32(self.count / 3),
            "odd": self.count % 2 > 0,
        }
        info |= {"place": np.arange(2), "word": "w", "mixed": 1 if self.count % 3 else 1.5}
        if self.count % 5 == 0:
            info["rare"] = {"deep": self.count}
        return obs, reward, terminated, self.count % 7 == 0, info


def same(one: Any, other: Any) -> None:
    """Compares what vectors told."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, tuple) or (isinstance(one, np.ndarray) and one.dtype == object):
        for a, b in zip(one, other, strict=True):
            same(a, b)
    else:
        np.testing.assert_array_equal(one, other)
        assert getattr(one, "dtype", None) == getattr(other, "dtype", None)


@pytest.mark.parametrize("id", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "Blackjack-v1"])
@pytest.mark.parametrize("copies", [1, 3])
def test_it_is_gymnasiums_vector(id: str, copies: int) -> None:
    makers: list[Any] = [lambda: Telling(gym.make(id))] * copies
    ours = SameStepVector(makers)
    theirs = SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
    seeds: list[int | None] = list(range(copies))
    same(ours.reset(seed=seeds), theirs.reset(seed=seeds))
    for i, env in enumerate((*ours.envs, *theirs.envs)):
        env.count = i % copies  # type: ignore[attr-defined]  # they end, and tell, in turns
    ours.action_space.seed(0)
    kept = None
    for _ in range(30):
        actions = ours.action_space.sample()
        found, expected = ours.step(actions), theirs.step(actions)
        for a, b in zip(found, expected, strict=True):
            same(a, b)
        if kept is not None:  # what was given is not written over
            same(*kept)
        kept = found[0], expected[0]


@pytest.mark.parametrize("id", ["cartpole-gravity", "minatar-3", "hopper-mass-drift"])
def test_sync_and_async_give_the_same(id: str) -> None:
    modes: tuple[VectorMode, ...] = ("sync", "async")
    vectors: list[Any] = [
        envs.make_vec(id, 2, seeds=[0, 3], steps_per_task=30, vectorization_mode=mode)
        for mode in modes
    ]
    seeds = envs.reset_seeds([0, 3], 2)
    for a, b in zip(*(vector.reset(seed=seeds)[:1] for vector in vectors), strict=True):
        np.testing.assert_array_equal(a, b)
    vectors[0].action_space.seed(1)
    switched = False
    for _ in range(50):
        actions = vectors[0].action_space.sample()
        (*first, infos), (*second, others) = (vector.step(actions) for vector in vectors)
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(infos["task"], others["task"])
        switched |= bool(infos["task"].any()) or "position" in infos
    assert switched
    for vector in vectors:
        vector.close()


@pytest.mark.parametrize("mode", ["sync", "async", "native"])
def test_all_begin_again_with_the_first_task(mode: VectorMode) -> None:
    vector: Any = envs.make_vec(
        "minatar-3", 2, seeds=[0, 3], steps_per_task=2, cyclic=True, vectorization_mode=mode
    )
    vector.reset(seed=0)
    told = [vector.step(np.zeros(4, int))[4] for _ in range(8)]
    vector.close()
    assert [infos["task"].tolist() for infos in told] == [[t] * 4 for t in (1, 2, 0, 1, 2, 0, 1, 2)]
    assert [infos["visit"][0] for infos in told] == [0, 0, 1, 1, 1, 2, 2, 2]


def test_one_seed_of_the_tasks_for_all_seeds() -> None:
    vector: Any = envs.make_vec("slippery-ant", seeds=[0, 1], task=2)
    own = [env.unwrapped.model.geom_friction[0, 0] for env in vector.envs]
    vector = envs.make_vec("slippery-ant", seeds=[0, 1], task=2, task_seed=1)
    fixed = [env.unwrapped.model.geom_friction[0, 0] for env in vector.envs]
    assert own[0] != own[1]
    assert fixed == [own[1]] * 2


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_all_can_be_shown_a_task(mode: VectorMode) -> None:
    vector = envs.make_vec("cartpole-gravity", 2, vectorization_mode=mode)
    envs.show_task(vector, 3)
    _, infos = vector.reset(seed=0)
    assert infos["task"].tolist() == [3, 3]
    vector.close()


def test_games_come_as_the_native_vector_unless_their_settings_change() -> None:
    native: Any = envs.make_vec("ALE/Pong-v5", 2, seeds=[0, 1])
    obs, _ = native.reset(seed=envs.reset_seeds([0, 1], 2))
    assert (obs.shape, obs.dtype) == ((4, 4, 84, 84), np.uint8)
    assert native.single_action_space == gym.spaces.Discrete(6)
    assert native.phase.task == 0
    assert type(envs.make_vec("ale-switch5")) is type(native)
    assert isinstance(envs.make_vec("ale-freeway-modes"), gym.vector.SyncVectorEnv)
    assert isinstance(
        envs.make_vec("ALE/Pong-v5", vectorization_mode="sync"), gym.vector.SyncVectorEnv
    )


@pytest.mark.parametrize("mode", ["native", "sync"])
def test_observations_of_games_move_on_by_one_frame(mode: Any) -> None:
    vector: Any = envs.make_vec("ALE/Pong-v5", vectorization_mode=mode)
    obs = vector.reset(seed=[0])[0].copy()
    assert obs.shape[1] == envs.frame_stack("ALE/Pong-v5") == 4
    for t in range(20):
        following = vector.step(np.array([t % 6]))[0].copy()
        assert np.array_equal(following[:, :-1], obs[:, 1:])
        obs = following
    vector.close()


def test_only_games_of_ale_stack_frames() -> None:
    assert envs.frame_stack("ale-cora6") == envs.frame_stack("ale-freeway-modes-small") == 4
    for id in ("CartPole-v1", "minatar-3", "obs-shift-Pendulum-v1"):
        assert envs.frame_stack(id) == 1
    assert envs.frame_stack("ale-freeway-modes", show_task=True) == 1


@pytest.mark.parametrize("id", ["CartPole-v1", "minatar-3", "ALE/Pong-v5"])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_envs": 0}, "`num_envs` should be at least 1. Received 0"),
        ({"num_envs": 1.5}, "`num_envs` should be an integer. Received 1.5"),
        ({"seeds": ()}, r"`seeds` should be a list of at least one seed. Received \(\)"),
        ({"seeds": 3}, "`seeds` should be a list of at least one seed. Received 3"),
        ({"seeds": [-1]}, "`seeds` should be at least 0. Received -1"),
        ({"start_step": -1}, "`start_step` should be at least 0. Received -1"),
        ({"vectorization_mode": "asink"}, "`vectorization_mode` should be one of .*'asink'"),
    ],
)
def test_wrong_settings_are_named(id: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        envs.make_vec(id, **{"num_envs": 16, **settings})


def test_workers_leave_an_interrupt_to_the_main_program() -> None:
    before = signal.getsignal(signal.SIGINT)  # a shell's background jobs ignore it
    vector: Any = envs.make_vec("cartpole-gravity", 2, vectorization_mode="async")
    vector.reset(seed=0)
    for process in vector.processes:
        os.kill(process.pid, signal.SIGINT)
    vector.step(np.zeros(2, int))
    vector.close()
    assert signal.getsignal(signal.SIGINT) is before


def test_schedules_of_ids() -> None:
    assert envs.schedule_of("slippery-ant", 7) == EverySteps(7, 10)
    assert envs.schedule_of("slippery-ant", 7, task=3) == envs.Stationary(3)
    assert envs.schedule_of("CartPole-v1") == envs.Stationary()
