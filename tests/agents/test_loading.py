"""A loaded agent acts as the one that was saved, and what is no agent is refused."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.evaluation import evaluate_policy

import agents
from agents import saving
from plasticity.mitigations import MITIGATIONS, seams
from tests.plasticity.subjects import VECTOR, attach, batch, dqn, sac

SEEDS = (4, 7)
SPACES: dict[str, Any] = {
    "dqn": (VECTOR, gym.spaces.Discrete(3)),
    "sac": (VECTOR, gym.spaces.Box(-1, 1, (2,))),
}
REMEDIES: dict[str, dict[str, Any]] = {
    "layer-norm": {},
    "simba": {"critic_width": 8, "actor_width": 8},
    "nap": {},
    "plasticity-injection": {"after": 2},
}
ACTIVATIONS = ("adalin-relu", "aid", "crelu", "rational", "prelu-layer", "fourier")


def trained(kind: str, activation: str = "relu", remedy: str | None = None) -> Any:
    chosen = {remedy: MITIGATIONS[remedy].config(**REMEDIES[remedy])} if remedy else {}
    make: Any = dqn if kind == "dqn" else sac
    agent = make(SEEDS, activation=activation, seams=seams(chosen, SEEDS))
    at_work = attach(agent, chosen)
    for seed in range(3):
        agent.update(batch(agent, 8, seed=seed))
        at_work.after_update()
    return agent


def save(kind: str, agent: Any, run_dir: Path, changes: dict[str, Any] | None = None) -> None:
    recipe = agents.recipe(kind, agent, SPACES[kind], SEEDS) | (changes or {})
    saving.save(run_dir / "checkpoint/100", {"agent": agent.state_dict(), "recipe": recipe})


@pytest.mark.parametrize("kind", SPACES)
@pytest.mark.parametrize(
    ("activation", "remedy"),
    [*((name, None) for name in ACTIVATIONS), *(("relu", name) for name in REMEDIES)],
)
def test_it_acts_as_the_one_that_was_saved(
    kind: str, activation: str, remedy: str | None, tmp_path: Path
) -> None:
    agent = trained(kind, activation, remedy)
    save(kind, agent, tmp_path)
    obs = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)
    expected = agent.act(obs, 0, explore=False)
    for row, seed in enumerate(SEEDS):
        one = agents.load(tmp_path, seed=seed)
        actions, memory = one.predict(obs[row], "memory", deterministic=True)
        np.testing.assert_allclose(actions, expected[row], rtol=1e-6, atol=1e-7)
        assert (memory, one.seed) == ("memory", seed)
        single, _ = one.predict(obs[row, 0], deterministic=True)
        np.testing.assert_allclose(single, actions[0], rtol=1e-6, atol=1e-7)
        explored, _ = one.predict(np.repeat(obs[row], 200, 0))
        assert explored.shape == (1200, *actions.shape[1:])
        assert not np.array_equal(explored, np.repeat(actions, 200, 0))
        assert one.action_space.contains(explored[0])
    assert agents.load(tmp_path).seed == 4
    assert (one.observation_space, one.action_space) == SPACES[kind]


def test_stable_baselines_evaluates_it(tmp_path: Path) -> None:
    save("dqn", trained("dqn"), tmp_path)
    env = gym.make("CartPole-v1", max_episode_steps=30)
    one: Any = agents.load(tmp_path)
    mean, _ = evaluate_policy(one, env, n_eval_episodes=3, warn=False)
    assert isinstance(mean, float)
    assert 1 <= mean <= 30


def test_the_last_sound_state_is_taken(tmp_path: Path) -> None:
    agent = trained("dqn")
    save("dqn", agent, tmp_path)
    (tmp_path / "checkpoint/200").mkdir()
    with pytest.warns(UserWarning, match="200 cannot be read"):
        agents.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"agent": "ppo"}, "is not the state of an agent: KeyError: 'ppo'"),
        ({"seeds": []}, "is not the state of an agent: IndexError"),
        ({"settings": {"gamma": 2.0}}, "`gamma` should"),
        ({"settings": {"lr": 1}}, "unexpected keyword argument 'lr'"),
        ({"architectures": {}}, "KeyError: 'q'"),
        ({"architectures": {"q": {"hidden": [10**12]}}}, "10{12} units does not fit"),
        ({"action_space": {"n": 10**12, "start": 0}}, "10{12} units does not fit"),
        ({"action_space": {"n": 4, "start": 0}}, "is not the state of an agent"),
        ({"observation_space": {}}, "KeyError"),
    ],
)
def test_what_is_no_agent_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    agent = trained("dqn")
    save("dqn", agent, tmp_path, changes)
    with pytest.raises(ValueError, match=message) as error:
        agents.load(tmp_path)
    assert "\n" not in str(error.value)


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="checkpoint holds no saved state"):
        agents.load(tmp_path)
    save("sac", trained("sac"), tmp_path)
    with pytest.raises(ValueError, match=r"`seed` should be one of \[4, 7\]. Received 5"):
        agents.load(tmp_path, seed=5)
    with pytest.raises(ValueError, match=r"`observation` should have shape .* Received \(3,\)"):
        agents.load(tmp_path).predict(np.zeros(3))


def test_weights_are_those_of_the_seed(tmp_path: Path) -> None:
    agent = trained("dqn")
    save("dqn", agent, tmp_path)
    loaded: Any = agents.load(tmp_path, seed=7).agent
    for own, saved in zip(loaded.q.parameters(), agent.q.parameters(), strict=True):
        assert torch.equal(own[0], saved[1])
