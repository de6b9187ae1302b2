"""The registered benchmarks, on the real simulators."""

import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs


def trajectory(env: Any, actions: list[Any], seed: int | None = None) -> np.ndarray[Any, Any]:
    env.reset(seed=seed)
    return np.array([env.step(action)[0] for action in actions])


@pytest.mark.parametrize("id", envs.BENCHMARKS)
def test_switch_comes_on_time_and_is_felt(id: str) -> None:
    """The same actions after the same reset: equal within a task, different in the next one."""
    tasks = []
    env = envs.make(id, seed=1, steps_per_task=40)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(8)]
    first = trajectory(env, actions, seed=5)
    again = trajectory(env, actions, seed=5)
    assert np.array_equal(first, again)
    env.reset(seed=5)
    for t in range(16, 41):
        if t == 40:
            break
        _, _, terminated, truncated, info = env.step(actions[t % 8])
        if terminated or truncated:
            env.reset(seed=5)
        tasks.append((t + 1, info["task"], bool(info.get("cut"))))
    assert tasks[-1][:2] == (40, 0)
    env.reset(seed=5)
    assert env.phase.task == 1
    assert not np.array_equal(first, trajectory(env, actions, seed=5))


def test_low_friction_makes_the_ant_slide() -> None:
    env: Any = envs.make("slippery-ant", seed=0, steps_per_task=10)
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


def test_friction_of_every_geom_is_drawn_for_each_task() -> None:
    frictions = set()
    for start in range(0, 50, 10):
        env: Any = envs.make("slippery-ant", seed=0, steps_per_task=10, start_step=start)
        column = env.unwrapped.model.geom_friction[:, 0]
        assert (column == column[0]).all()
        assert 0.02 <= column[0] <= 2
        frictions.add(float(column[0]))
    assert len(frictions) == 5


def test_cheetah_gravity_is_scaled() -> None:
    gravities = [
        envs.make("cheetah-gravity", steps_per_task=10, start_step=s).unwrapped.model.opt.gravity[2]  # type: ignore[attr-defined]
        for s in (0, 10, 20)
    ]
    assert gravities == pytest.approx([-9.81, -4.905, -14.715])


def test_mujoco_leaves_no_log_and_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    envs.make("slippery-ant").reset(seed=0)
    assert list(tmp_path.iterdir()) == []
    assert "WARNING" not in "".join(capfd.readouterr())


def test_missing_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("gymnasium.envs.mujoco")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(ValueError, match=r"needs the extra 'mujoco'.*pip install .*'\.\[mujoco\]'"):
        envs.make("slippery-ant")


def test_any_gymnasium_id_is_a_benchmark_of_one_task() -> None:
    env = envs.make("CartPole-v1")
    assert env.reset(seed=0)[1] == {"task": 0, "visit": 0}
    with pytest.raises(ValueError, match="`steps_per_task` is for environments that change"):
        envs.make("CartPole-v1", steps_per_task=5)


@pytest.mark.parametrize("name", ["Ant-v3", "GymV21Environment-v0"])
def test_ids_that_cannot_be_made_say_why(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} cannot be made here: "):
        envs.make(name)


@pytest.mark.parametrize("name", ["obs-shift-cartpol", "CartPole-v7", "CartPol-v1"])
def test_unknown_ids_get_the_nearest_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"there is no environment .* Did you mean"):
        envs.make(name)


@pytest.mark.parametrize("id", envs.BENCHMARKS)
@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
@pytest.mark.filterwarnings("ignore:.*Box observation space m.*")
def test_gymnasiums_checker_passes(id: str) -> None:
    check_env(envs.make(id), skip_render_check=True)


def test_ids_of_gymnasium() -> None:
    env = gym.make("continual/CartpoleGravitySmall-v0", seed=2)
    assert env.reset(seed=0)[1]["task"] == 0


def test_vector_is_the_single_environments_side_by_side() -> None:
    vector: Any = envs.make_vec("obs-shift-cartpole", 2, seeds=[0, 7], steps_per_task=20)
    seeds = envs.reset_seeds([0, 7], 2)
    singles = [
        envs.make("obs-shift-cartpole", seed=s, steps_per_task=20, stride=2) for s in (0, 0, 7, 7)
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


def test_atari_comes_as_the_native_vector() -> None:
    vector: Any = envs.make_vec("ALE/Pong-v5", 2, seeds=[0, 1])
    obs, _ = vector.reset(seed=envs.reset_seeds([0, 1], 2))
    assert (obs.shape, obs.dtype) == ((4, 4, 84, 84), np.uint8)
    assert vector.single_action_space == gym.spaces.Discrete(6)
