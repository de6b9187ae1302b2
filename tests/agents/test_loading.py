"""A loaded agent acts as the one that was saved, and what is no agent is refused."""

import copy
from collections.abc import Iterator
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
        # Vector loops may round the last elements of a row another way.
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


class Bounded(gym.Env[Any, Any]):
    """Six steps that each pay the largest entry of the action, which should be in the space."""

    def __init__(self, kind: str) -> None:
        self.observation_space, self.action_space = SPACES[kind]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        self.steps += 1
        return self.observation_space.sample(), float(np.max(action)), self.steps == 6, False, {}


@pytest.mark.parametrize("kind", SPACES)
def test_stable_baselines_evaluates_it(kind: str, tmp_path: Path) -> None:
    save(kind, trained(kind), tmp_path)
    one: Any = agents.load(tmp_path)
    env = Bounded(kind)
    returns, lengths = evaluate_policy(
        one, env, n_eval_episodes=3, warn=False, return_episode_rewards=True
    )
    assert lengths == [6, 6, 6]
    assert isinstance(returns, list)
    assert all(abs(value) <= 12 for value in returns)


def test_the_last_sound_state_is_taken(tmp_path: Path) -> None:
    agent = trained("dqn")
    save("dqn", agent, tmp_path)
    (tmp_path / "checkpoint/200").mkdir()
    with pytest.warns(UserWarning, match="200 cannot be read"):
        agents.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"agent": "ppo"}, "`agent` should be one of dqn, sac. Received 'ppo'"),
        ({"colour": "red"}, "`recipe` has nothing called 'colour'"),
        ({"seeds": []}, "is not the state of an agent: IndexError"),
        ({"seeds": [4, 7, 9]}, r"should be torch.float32 of shape \(3,"),
        ({"settings": {"gamma": 2.0}}, "`gamma` should"),
        ({"settings": {"lr": 1}}, "`settings` has nothing called 'lr'"),
        ({"settings": {"dueling": 3}}, "`dueling` should be bool. Received 3"),
        ({"architectures": {}}, "KeyError: 'q'"),
        ({"architectures": {"q": {"hidden": [8, 6], "activation": "x"}}}, "no activation 'x'"),
        ({"architectures": {"q": {"hidden": [10**12]}}}, "larger than the weights"),
        ({"architectures": {"q": {"hidden": [999, 999]}}}, "larger than the weights"),
        ({"architectures": {"q": {"hidden": [1] * 99}}}, "larger than the weights"),
        ({"architectures": {"q": {"hidden": [6, 8], "activation": "relu"}}}, "of shape"),
        ({"architectures": {"q": {"hidden": [8], "activation": "relu"}}}, "do not agree on"),
        ({"injected": {"actor": 1}}, "no network called 'actor'"),
        ({"action_space": {"n": 10**12, "start": 0}}, "larger than the weights"),
        ({"action_space": {"n": 4, "start": 0}}, "is not the state of an agent"),
        ({"action_space": {"n": 3, "high": 0}}, "`action_space` should be BoxSpace or Discrete"),
        ({"observation_space": {}}, "missing 3 required"),
    ],
)
def test_what_is_no_agent_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    agent = trained("dqn")
    save("dqn", agent, tmp_path, changes)
    with pytest.raises(ValueError, match=message) as error:
        agents.load(tmp_path)
    assert "\n" not in str(error.value)


ODD: list[Any] = [None, True, -1, 0, 10**30, 1.5, float("nan"), "", "object", [], {}, [[1]]]
ODD += [torch.zeros(2, 3), torch.full((4,), float("nan"))]


def nodes(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if path:
        yield path
    if isinstance(node, dict):
        for key, value in node.items():
            yield from nodes(value, (*path, key))


@pytest.mark.parametrize(("kind", "remedy"), [("dqn", "plasticity-injection"), ("sac", "simba")])
def test_an_odd_value_is_refused_in_one_line_or_harmless(
    kind: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = trained(kind, "adalin-relu", remedy)
    recipe = agents.recipe(kind, agent, SPACES[kind], SEEDS)
    refused = []
    for path in nodes(recipe):
        for value in ODD:
            changed = copy.deepcopy(recipe)
            node = changed
            for key in path[:-1]:
                node = node[key]
            node[path[-1]] = value
            found: Any = Path("here"), {"agent": agent.state_dict(), "recipe": changed}, []
            monkeypatch.setattr("agents.loading.newest", lambda _, found=found: found)
            try:
                one = agents.load("run")
            except ValueError as error:
                refused.append(str(error))
            else:
                one.predict(np.zeros(4))
    assert len(refused) > 400
    for line in refused:
        assert line.startswith("here is not the state of an agent: ")
        assert "\n" not in line


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="checkpoint holds no saved state"):
        agents.load(tmp_path)
    save("sac", trained("sac"), tmp_path)
    with pytest.raises(ValueError, match=r"`seed` should be one of \[4, 7\]. Received 5"):
        agents.load(tmp_path, seed=5)
    with pytest.raises(ValueError, match="`device` should be one of this machine. Received tpu"):
        agents.load(tmp_path, device="tpu")
    with pytest.raises(
        ValueError, match=r"`observation` .* shape \(4,\) or \(N, 4\). Received \(3,\)"
    ):
        agents.load(tmp_path).predict(np.zeros(3))


def test_weights_are_those_of_the_seed(tmp_path: Path) -> None:
    agent = trained("dqn")
    save("dqn", agent, tmp_path)
    loaded: Any = agents.load(tmp_path, seed=7).agent
    for own, saved in zip(loaded.q.parameters(), agent.q.parameters(), strict=True):
        assert torch.equal(own[0], saved[1])
