"""MinAtar in arrays: exactly the games of the package."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import envs
from envs.minatar import GAMES
from envs.minatar.vector import MinAtarVector
from envs.schedules import Cyclic, EverySteps, Stationary
from envs.vector import VectorMode
from tests.envs.minatar_package import PLAYERS, Single, deepen


@pytest.mark.parametrize("ramping", [True, False])
@pytest.mark.parametrize("game", GAMES)
def test_it_is_the_package(game: str, ramping: bool) -> None:
    num, rng = 8, np.random.default_rng(1)
    vector: Any = MinAtarVector([game], num, Stationary(), ramping=ramping)
    singles = [Single(game, ramping) for _ in range(num)]
    obs, _ = vector.reset(seed=3)
    rows = list(zip(singles, vector.uniforms, strict=True))
    np.testing.assert_array_equal(obs, [single.reset(row) for single, row in rows])
    skill = np.linspace(0.5, 1, num)  # of clumsy players episodes end soon
    for t in range(3000):
        if t % 100 == 0:
            i = t // 100 % num
            deepen(game, singles[i].game, vector.game, i, rng)
        played = [PLAYERS[game](single.game, rng) for single in singles]
        actions = np.where(rng.random(num) < skill, played, rng.integers(6, size=num))
        obs, reward, terminated, truncated, infos = vector.step(actions)
        for i, (single, row) in enumerate(zip(singles, vector.uniforms, strict=True)):
            one, paid, ended = single.step(actions[i], row)
            assert (reward[i], terminated[i], truncated[i]) == (paid, ended, False)
            if ended:
                np.testing.assert_array_equal(infos["final_obs"][i], one)
                one = single.reset(row)
            np.testing.assert_array_equal(obs[i], one)


def test_copies_do_not_depend_on_each_other() -> None:
    ids = ["MinAtar/Freeway-v0", "MinAtar/Seaquest-v0"]
    many, one = (MinAtarVector(ids, num, EverySteps(600, 2)) for num in (20, 1))
    first, second = many.reset(seed=list(range(20)))[0], one.reset(seed=[7])[0]
    for actions in np.random.default_rng(0).integers(6, size=(1200, 20)):
        np.testing.assert_array_equal(first[7:8], second)
        (first, *rest, _), (second, *others, _) = many.step(actions), one.step(actions[7:8])
        for a, b in zip(rest, others, strict=True):
            np.testing.assert_array_equal(a[7:8], b)


def test_a_run_that_begins_at_a_phase_is_the_rest() -> None:
    ids = ["MinAtar/Breakout-v0", "MinAtar/Asterix-v0"]
    whole = MinAtarVector(ids, 4, Cyclic(100, 2), stride=2)
    rest = MinAtarVector(ids, 4, Cyclic(100, 2), stride=2, start_step=300)
    whole.reset(seed=5)
    actions = np.random.default_rng(0).integers(6, size=(250, 4))
    for t in range(150):
        obs, *_, infos = whole.step(actions[t])
    again, others = rest.reset(seed=5)
    for t in range(150, 250):
        np.testing.assert_array_equal(obs, again)
        assert infos["visit"].tolist() == others["visit"].tolist()
        (obs, *_, infos), (again, *_, others) = whole.step(actions[t]), rest.step(actions[t])


def same_form(a: Any, b: Any, values: bool) -> None:
    """The same keys, kinds and masks; also the same values, but for observations."""
    assert a.keys() == b.keys()
    for key, value in a.items():
        if isinstance(value, dict):
            same_form(value, b[key], values)
            continue
        assert (value.dtype, value.shape) == (b[key].dtype, b[key].shape)
        for one, other in zip(value, b[key], strict=True) if key == "final_obs" and values else ():
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
        if values and key != "final_obs":
            np.testing.assert_array_equal(value, b[key])


def test_it_tells_what_single_environments_tell() -> None:
    modes: tuple[VectorMode, ...] = ("sync", "native")
    vectors: list[Any] = [
        envs.make_vec("minatar-3", 8, seeds=[0, 1], steps_per_task=400, vectorization_mode=mode)
        for mode in modes
    ]
    assert isinstance(vectors[1], MinAtarVector)
    for name in ("single_observation_space", "action_space", "observation_space"):
        assert getattr(vectors[0], name) == getattr(vectors[1], name)
    same_form(vectors[0].reset(seed=0)[1], vectors[1].reset(seed=0)[1], values=True)
    ended: list[Any] = [None, None]
    for t in range(100):
        stepped = [vector.step(np.full(16, 0 if t < 50 else t % 6)) for vector in vectors]
        for a, b in zip(*(s[:4] for s in stepped), strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if t in (0, 49, 50):  # nobody has moved: all are cut, and the next game begins
            same_form(stepped[0][4], stepped[1][4], values=True)
            assert stepped[0][3].all() == stepped[1][3].all() == (t == 49)
            assert stepped[1][4]["task"].tolist() == [t // 49] * 16
        for i, (*_, infos) in enumerate(stepped):
            if "final_info" in infos and "cut" not in infos["final_info"]:
                ended[i] = infos
    same_form(ended[0], ended[1], values=False)


def test_truncation_show_and_choice() -> None:
    vector: Any = envs.make_vec("minatar-7", 16)
    assert not vector.ramping
    vector.reset(seed=1)
    vector.length[3] = 9_999
    _, _, terminated, truncated, infos = vector.step(np.zeros(16, int))
    assert truncated.tolist() == infos["_final_info"].tolist() == [i == 3 for i in range(16)]
    assert not terminated.any()
    assert "cut" not in infos["final_info"]
    assert vector.length[3] == 0
    envs.show_task(vector, 2)
    obs, infos = vector.reset()
    assert infos["task"].tolist() == [2] * 16
    assert (obs.reshape(16, 7, -1)[:, 1] > 0).sum() == 16 * 8  # the cars of Freeway
    for kwargs in ({"num_envs": 15}, {"show_task": True}, {"switch": "episode"}):
        made = envs.make_vec("minatar-7", **{"num_envs": 16, **kwargs})  # type: ignore[arg-type]
        assert isinstance(made, gym.vector.SyncVectorEnv)
    assert isinstance(envs.make_vec("MinAtar/Asterix-v0", 16, ramping=False), MinAtarVector)
    # What a seed does may not depend on the number of seeds.
    assert isinstance(envs.make_vec("minatar-7", 15, seeds=[0, 1]), gym.vector.SyncVectorEnv)
    native: dict[str, Any] = dict(vectorization_mode="native")
    assert isinstance(envs.make_vec("minatar-7", 2, **native), MinAtarVector)
    for id, kwargs in (("CartPole-v1", {}), ("minatar-7", {"show_task": True})):
        with pytest.raises(ValueError, match=f"native is for games of ALE or MinAtar .* {id}"):
            envs.make_vec(id, 2, **native, **kwargs)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`sticky` should be between 0 and 1. Received 2"):
        envs.make_vec("minatar-7", 16, sticky=2.0)
    for actions in (np.full(16, 6), np.full(16, -1), np.zeros(1, int)):
        with pytest.raises(ValueError, match="16 actions from 0 to 5. Received"):
            vector.step(actions)
    with pytest.raises(ValueError, match="16 seeds. Received 2"):
        vector.reset(seed=[1, 2])
