"""Continual backprop against a loop over units in NumPy."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from agents import Batch, Streams
from plasticity.mitigations.continual_backprop import (
    Ages,
    ContinualBackprop,
    ContinualBackpropConfig,
    Units,
)
from tests.plasticity.remedies import learn, state_of, subject_of
from tests.plasticity.subjects import IMAGE, VECTOR, dqn, sac

FIRST, SECOND, HEAD = "torso.dense.layer_1.weights", "torso.dense.layer_2.weights", "head"


def unit_loop(
    params: dict[str, Any],
    fresh: dict[str, Any] | None,
    obs: Any,
    memory: list[dict[str, Any]],
    config: ContinualBackpropConfig,
) -> list[list[int]]:
    """One update of one seed, unit by unit, after the paper; changes ``params`` and ``memory``."""
    h, outputs = obs, []
    for name in (FIRST, SECOND):
        h = np.maximum(h @ params[f"{name}.weight"].T + params[f"{name}.bias"], 0)
        outputs.append(h)
    replaced: list[list[int]] = []
    for h, m, reader in zip(outputs, memory, (SECOND, HEAD), strict=True):
        eligible = []
        for i in range(h.shape[1]):
            m["age"][i] += 1
            contribution = np.abs(params[f"{reader}.weight"][:, i]).mean() * np.abs(h[:, i]).mean()
            m["utility"][i] = config.decay * m["utility"][i] + (1 - config.decay) * contribution
            m["mean"][i] = config.decay * m["mean"][i] + (1 - config.decay) * h[:, i].mean()
            if m["age"][i] > config.maturity:
                eligible.append((m["utility"][i] / (1 - config.decay ** m["age"][i]), i))
        m["owed"] += config.rate * len(eligible)
        count = int(m["owed"])
        m["owed"] -= count
        replaced.append([i for _, i in sorted(eligible)[:count]])
    for units, m, reader in zip(replaced, memory, (SECOND, HEAD), strict=True):
        for i in units:
            average = m["mean"][i] / (1 - config.decay ** m["age"][i])
            if config.correct_bias:
                params[f"{reader}.bias"] += params[f"{reader}.weight"][:, i] * average
            m["age"][i] = m["utility"][i] = m["mean"][i] = 0
    for units, name in zip(replaced, (FIRST, SECOND), strict=True):
        for i in units:
            assert fresh is not None
            params[f"{name}.weight"][i] = fresh[f"{name}.weight"][i]
            params[f"{name}.bias"][i] = 0
    for units, reader in zip(replaced, (SECOND, HEAD), strict=True):
        params[f"{reader}.weight"][:, units] = 0
    return replaced


@pytest.mark.parametrize("correct_bias", [True, False])
def test_utilities_ages_and_replaced_units_are_those_of_a_loop(correct_bias: bool) -> None:
    seeds = (0, 1)
    agent = dqn(seeds)
    config = ContinualBackpropConfig(
        rate=0.05, maturity=3, decay=0.9, batch_size=7, correct_bias=correct_bias
    )
    batches: list[Batch] = []
    births: list[dict[str, Tensor]] = []
    subject = subject_of(agent, seeds, batches=batches)
    born = subject.born

    def witnessed(*args: Any) -> Any:
        network = born(*args)
        births.append({name: p.detach() for name, p in network.named_parameters()})
        return network

    subject.born = witnessed
    remedy = ContinualBackprop(config, subject)
    streams = Streams(seeds, "batches")
    memory: list[list[dict[str, Any]]] = [
        [{"age": [0] * n, "utility": [0.0] * n, "mean": [0.0] * n, "owed": 0.0} for n in (8, 6)]
        for _ in seeds
    ]
    total = [0, 0]
    which: list[list[set[int]]] = [[set(), set()] for _ in seeds]
    for _ in range(30):
        learn(agent, streams, 1)
        before = {
            name: p.detach().double().numpy().copy() for name, p in agent.q.named_parameters()
        }
        births.clear()
        remedy.operate()
        for s in range(2):
            params = {name: p[s] for name, p in before.items()}
            fresh = {n: p[s].numpy() for n, p in births[0].items()} if births else None
            obs = batches[-1].obs[s].double().numpy()
            for layer, units in enumerate(unit_loop(params, fresh, obs, memory[s], config)):
                total[s] += len(units)
                which[s][layer] |= {*units}
            for name, p in agent.q.named_parameters():
                np.testing.assert_allclose(p[s].detach(), params[name], rtol=1e-5, atol=1e-6)
            for m, units_now in zip(memory[s], remedy.units, strict=True):
                assert units_now.age[s].tolist() == m["age"]
                np.testing.assert_allclose(units_now.utility[s], m["utility"], rtol=1e-4, atol=1e-7)
    assert remedy.report()["units_reset"].tolist() == total
    assert min(total) > 10
    assert which[0] != which[1]  # as many, but others


@given(
    rate=st.floats(0, 1),
    maturity=st.integers(0, 9),
    units=st.integers(1, 9),
    half=st.integers(0, 9),
)
def test_ages_are_those_of_units_counted_one_by_one(
    rate: float, maturity: int, units: int, half: int
) -> None:
    ages, each, owed = Ages(units), [0] * units, 0.0
    for update in range(20):
        if update == half:  # through a checkpoint
            state, ages = ages.state_dict(), Ages(1)
            ages.load_state_dict(state)
        each = [age + 1 for age in each]
        mature = [i for i, age in enumerate(each) if age > maturity]
        owed += rate * len(mature)
        count = int(owed)
        owed -= count
        assert ages.advance(rate, maturity) == count
        for i in mature[:count]:
            each[i] = 0


@pytest.mark.parametrize(
    ("space", "hidden", "activation"),
    [
        (VECTOR, (8,), "relu"),
        (VECTOR, (8,), "crelu"),
        (VECTOR, (8,), "adalin-tanh"),
        (IMAGE, (), "relu"),
        (IMAGE, (), "crelu"),
    ],
)
def test_corrected_biases_keep_the_mean_of_what_follows(
    space: gym.spaces.Box, hidden: tuple[int, ...], activation: str
) -> None:
    agent = dqn((0, 1), space=space, hidden=hidden, activation=activation)
    # With a decay of 0 the averages are those of the last batch alone.
    config = ContinualBackpropConfig(rate=0.25, maturity=0, decay=0.0, batch_size=9)
    batches: list[Batch] = []
    remedy = ContinualBackprop(config, subject_of(agent, (0, 1), space=space, batches=batches))
    head = agent.q.head.weight.detach().clone()
    old = copy.deepcopy(agent.q)
    remedy.operate()
    assert (agent.q.head.weight != head).any()
    obs = batches[0].obs
    torch.testing.assert_close(agent.q(obs).mean(1), old(obs).mean(1), rtol=1e-5, atol=1e-5)
    assert (agent.q(obs) - old(obs)).abs().max() > 1e-3


def test_outgoing_weights_of_a_channel_are_those_of_all_its_positions() -> None:
    agent = dqn((0, 1), space=IMAGE, hidden=(5,))
    units = Units(subject_of(agent, (0, 1), space=IMAGE).hidden[0], ContinualBackpropConfig())
    weight: Any = agent.q.get_submodule("torso.dense.layer_1.weights").weight
    of_channel = weight.detach().view(2, 5, 16, 64).abs().mean((1, 3))
    torch.testing.assert_close(units.outgoing(), of_channel)


def test_outgoing_weights_of_a_doubled_unit_are_those_of_both_outputs() -> None:
    agent = sac(activation="crelu")
    units = Units(subject_of(agent, network="critic").hidden[0], ContinualBackpropConfig())
    weight: Any = agent.critic.get_submodule("torso.dense.layer_2.weights").weight
    both = weight.detach().view(1, 2, 6, 2, 8).abs().mean((2, 3))
    torch.testing.assert_close(units.outgoing(), both)


def test_the_defaults_replace_nobody_before_maturity_and_touch_nothing() -> None:
    agent = sac()
    remedy = ContinualBackprop(ContinualBackpropConfig(), subject_of(agent, network="critic"))
    before = state_of(agent)
    for _ in range(3):
        remedy.operate()
    for name, value in state_of(agent).items():
        assert torch.equal(value, before[name])
    assert remedy.report()["units_reset"].tolist() == [0]


@pytest.mark.parametrize("make", [dqn, sac])
def test_a_seed_alone_is_that_seed_among_others(make: Any) -> None:
    config = ContinualBackpropConfig(rate=0.1, maturity=2, batch_size=8)
    agents = []
    for seeds in ((3,), (1, 3)):
        agents.append(agent := make(seeds))
        remedy = ContinualBackprop(config, subject_of(agent, seeds))
        learn(agent, Streams(seeds, "batches"), 8, remedy)
        assert (remedy.report()["units_reset"] > 4).all()
    for name, learner in agents[0].learners().items():
        others = agents[1].learners()[name].network.parameters()
        for p, other in zip(learner.network.parameters(), others, strict=True):
            torch.testing.assert_close(p[0], other[1], rtol=1e-4, atol=1e-6)


def test_it_goes_on_from_its_state() -> None:
    config = ContinualBackpropConfig(rate=0.1, maturity=2, batch_size=8)
    agent, streams = dqn((0, 1)), Streams((0, 1), "batches")
    subject = subject_of(agent, (0, 1))
    remedy = ContinualBackprop(config, subject)
    learn(agent, streams, 5, remedy)
    other, again = dqn((0, 1)), Streams((0, 1), "batches")
    other.load_state_dict(copy.deepcopy(agent.state_dict()))
    again.load_state_dict(streams.state_dict())
    resumed = ContinualBackprop(config, subject_of(other, (0, 1)))
    resumed.load_state_dict(copy.deepcopy(remedy.state_dict()))
    resumed.subject.streams.load_state_dict(subject.streams.state_dict())
    remedy.report()
    learn(agent, streams, 5, remedy)
    learn(other, again, 5, resumed)
    for name, value in state_of(agent).items():
        assert torch.equal(value, state_of(other)[name])
    assert remedy.report()["units_reset"].tolist() == resumed.report()["units_reset"].tolist()


def test_a_network_without_hidden_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="it has no hidden layers, so there are no units to reset"):
        ContinualBackprop(ContinualBackpropConfig(), subject_of(dqn(hidden=())))


@pytest.mark.parametrize(
    ("setting", "value", "rule"),
    [
        ("rate", 1.5, r"be in \[0, 1\]"),
        ("maturity", -1, "be at least 0"),
        ("decay", 1.0, r"be in \[0, 1\)"),
        ("batch_size", 0, "be at least 1"),
    ],
)
def test_bad_settings_are_named(setting: str, value: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=f"`{setting}` should {rule}. Received {value}"):
        ContinualBackpropConfig(**{setting: value})
