"""Plasticity injection: nothing that is predicted changes, and only the new head learns."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agents import DQN, Agent, Seams, Streams, saving
from networks import AdaLinConfig, SimBaConfig
from networks.injected import InjectedHead
from plasticity.mitigations import MitigationConfig
from plasticity.mitigations.injection import (
    PlasticityInjection,
    PlasticityInjectionConfig,
)
from plasticity.probe import Probe
from tests.plasticity.remedies import learn, state_of, subject_of
from tests.plasticity.subjects import IMAGE, VECTOR, attach, batch, dqn, sac

NAME = "plasticity-injection"
SEEDS = (0, 1)


def injected(
    agent: Agent, network: str = "", seeds: Any = SEEDS, space: Any = VECTOR, layers: int = 2
) -> PlasticityInjection:
    """Injects a network of an agent."""
    config = PlasticityInjectionConfig(after=1, layers=layers)
    remedy = PlasticityInjection(config, subject_of(agent, seeds, network, space))
    remedy.operate()
    return remedy


def learned(kind: str) -> tuple[Agent, str, Any]:
    """An agent after three updates, the network to inject and the space of its observations."""
    agent: Agent
    network: str = "q"
    space: Any = VECTOR
    if kind == "q":
        agent = dqn(SEEDS, activation="adalin-relu", tau=0.3)
    elif kind == "dueling":
        agent = dqn(SEEDS, dueling=True, activation="tanh")
    elif kind == "images":
        agent, space = dqn(SEEDS, space=IMAGE, seams=NORMALISED), IMAGE
    elif kind == "doubled":
        agent = dqn(SEEDS, activation="crelu")
    else:
        agent, network = sac(SEEDS, activation="adalin-tanh", tau=0.3), kind
    learn(agent, Streams(SEEDS, "batches"), 3, space=space)
    return agent, network, space


NORMALISED = Seams(lambda _, usual: replace(usual, layer_norm=True))
ONE_ALPHA = Seams(lambda _, usual: replace(usual, adalin=AdaLinConfig("uniform", "network")))
RESIDUAL = Seams(lambda _, usual: replace(usual, simba=SimBaConfig(width=4)))
KINDS = ["q", "dueling", "images", "doubled", "actor", "critic"]


def outputs(agent: Agent, network: str, space: Any) -> list[Tensor]:
    """All that network and target say on a batch."""
    learner = agent.learners()[network]
    assert learner.inputs is not None
    inputs = learner.inputs(batch(agent, space=space, seed=7))
    with torch.no_grad():
        result = [
            of(*inputs) for of in (learner.network, learner.target) if isinstance(of, nn.Module)
        ]
    return [x for part in result for x in (part if isinstance(part, tuple) else (part,))]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_stay_and_new_parameters_learn(kind: str, layers: int) -> None:
    agent, network, space = learned(kind)
    learner = agent.learners()[network]
    tensors = {id(p) for p in learner.network.parameters()}
    before, old = outputs(agent, network, space), state_of(agent)
    report = injected(agent, network, space=space, layers=layers).report()
    assert report["injected"].tolist() == [1.0, 1.0]
    for said, says in zip(before, outputs(agent, network, space), strict=True):
        torch.testing.assert_close(says, said, rtol=1e-6, atol=1e-6)
    check_optimizer(agent, network, tensors, old)
    check_target(agent, network)

    frozen = {n: b.clone() for n, b in learner.network.named_buffers()}
    assert frozen
    now = state_of(agent)
    new = [n for n in now if "trained" in n and "exp_avg" in n and n.startswith(network)]
    assert new
    assert not any(now[n].any() for n in new)
    learn(agent, Streams(SEEDS, "later"), 3, space=space)
    for name, buffer in learner.network.named_buffers():
        assert torch.equal(buffer, frozen[name])
        assert buffer.grad is None
        assert not buffer.requires_grad
    for name, p in learner.network.named_parameters():
        assert not torch.equal(p, now[f"{network}/{name}"])
        assert learner.optimizer.state[p]["step"] == (3 if "head.trained" in name else 6)
    check_optimizer(agent, network, tensors, old)


def check_optimizer(agent: Agent, network: str, tensors: set[int], old: dict[str, Tensor]) -> None:
    """The optimizer has all parameters that learn, the same tensors as ever, and no others."""
    learner = agent.learners()[network]
    held = {id(p) for group in learner.optimizer.param_groups for p in group["params"]}
    assert {id(p) for p in learner.network.parameters() if p.requires_grad} == held == tensors
    assert all(p.requires_grad for p in learner.network.parameters())
    assert len(learner.optimizer.param_groups) == 1
    assert held >= {id(p) for p in learner.optimizer.state}
    assert sum(f"{network}/" in n and "exp" not in n and "step" not in n for n in old) == len(held)


def check_target(agent: Agent, network: str) -> None:
    """The target has its own frozen head, the new heads of the network, and no gradient."""
    learner = agent.learners()[network]
    if learner.target is None:
        return
    assert [n for n, _ in learner.target.named_parameters()] == [
        n for n, _ in learner.network.named_parameters()
    ]
    own, others = (of.state_dict() for of in (learner.target, learner.network))
    for name in others:
        assert own[name].data_ptr() != others[name].data_ptr()
        if "trained" in name or "subtracted" in name:
            assert torch.equal(own[name], others[name])
        elif name.endswith("weight"):
            assert not torch.equal(own[name], others[name])
    assert not any(p.requires_grad for p in learner.target.parameters())


def test_the_new_head_is_a_new_initialisation_and_the_old_one_is_kept() -> None:
    agent, _, _ = learned("q")
    assert isinstance(agent, DQN)
    old = {n: p.clone() for n, p in agent.q.state_dict().items()}
    old_target = {n: p.clone() for n, p in agent.target.state_dict().items()}
    fresh = subject_of(agent, SEEDS).fresh()
    injected(agent)
    for network, of in ((agent.q, old), (agent.target, old_target)):
        state = network.state_dict()
        for part in ("weights.weight", "weights.bias", "activation.alpha"):
            was, new = of[f"torso.dense.layer_2.{part}"], fresh[f"torso.dense.layer_2.{part}"]
            assert torch.equal(state[f"head.frozen.layer_2_frozen.{part}"], was)
            assert torch.equal(state[f"head.trained.layer_2.{part}"], new)
            assert torch.equal(state[f"head.subtracted.layer_2_subtracted.{part}"], new)
        for part in ("weight", "bias"):
            assert torch.equal(state[f"head.frozen.head_frozen.weights.{part}"], of[f"head.{part}"])
            assert torch.equal(state[f"head.trained.head.weights.{part}"], fresh[f"head.{part}"])
    assert torch.equal(
        agent.q.get_parameter("torso.dense.layer_1.weights.weight"),
        old["torso.dense.layer_1.weights.weight"],
    )


def test_gradients_reach_the_features_through_all_three_heads() -> None:
    agent, _, _ = learned("q")
    assert isinstance(agent, DQN)
    obs = batch(agent).obs

    def gradient() -> Tensor:
        weight = agent.q.get_parameter("torso.dense.layer_1.weights.weight")
        return torch.autograd.grad(agent.q(obs).square().sum(), weight)[0]

    before = gradient()
    injected(agent)
    torch.testing.assert_close(gradient(), before, rtol=1e-4, atol=1e-6)


def test_the_target_follows_the_new_head_by_its_own_rule() -> None:
    agent, _, _ = learned("q")
    assert isinstance(agent, DQN)
    injected(agent)
    name = "head.trained.head.weights.weight"
    before = agent.target.get_parameter(name).clone()
    learn(agent, Streams(SEEDS, "later"), 1)
    expected = before.lerp(agent.q.get_parameter(name), 0.3)
    torch.testing.assert_close(agent.target.get_parameter(name), expected)


def test_an_alpha_that_earlier_layers_share_stays() -> None:
    agent = dqn(SEEDS, activation="adalin-relu", seams=ONE_ALPHA, tau=0.3)
    learn(agent, Streams(SEEDS, "batches"), 3)
    name = "torso.dense.layer_1.activation.alpha"
    alpha, before = agent.q.get_parameter(name).clone(), outputs(agent, "q", VECTOR)
    injected(agent)
    assert torch.equal(agent.q.get_parameter(name), alpha)
    for said, says in zip(before, outputs(agent, "q", VECTOR), strict=True):
        torch.testing.assert_close(says, said, rtol=1e-6, atol=1e-6)
    for network in (agent.q, agent.target):
        own = network.get_buffer("head.subtracted.layer_2_subtracted.activation.alpha")
        assert torch.equal(own, network.get_parameter(name))
    learn(agent, Streams(SEEDS, "later"), 1)
    assert not torch.equal(agent.q.get_parameter(name), alpha)


def test_a_seed_is_the_same_alone_and_among_others() -> None:
    results = []
    for seeds in ((0,), SEEDS):
        agent = sac(seeds)
        learn(agent, Streams(seeds, "batches"), 2)
        injected(agent, "critic", seeds)
        learn(agent, Streams(seeds, "later"), 3)
        results.append(agent.critic.state_dict())
    alone, among = results
    for name, value in alone.items():
        torch.testing.assert_close(value[0], among[name][0], rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("traced")
def test_compiled_agents_learn_on_as_others_do() -> None:
    plain, compiled = (dqn(SEEDS, activation="adalin-relu") for _ in range(2))
    compiled.compile()
    for agent in (plain, compiled):
        learn(agent, Streams(SEEDS, "batches"), 2)
        injected(agent)
        learn(agent, Streams(SEEDS, "later"), 3)
    states = plain.q.state_dict(), compiled.q.state_dict()
    for name in states[0]:
        torch.testing.assert_close(states[1][name], states[0][name], rtol=1e-4, atol=1e-5)


def test_it_happens_once_after_so_many_updates() -> None:
    agent = sac(SEEDS)
    chosen: dict[str, MitigationConfig] = {NAME: PlasticityInjectionConfig(after=3)}
    remedies = attach(agent, chosen)
    assert list(remedies.at_work) == [f"{NAME}/actor", f"{NAME}/critic"]
    seen = []
    for _ in range(7):
        remedies.after_update()
        seen.append(remedies.report()[f"{NAME}/critic/injected"].tolist())
    assert seen == [[0.0, 0.0]] * 2 + [[1.0, 1.0]] * 5
    for network in (agent.actor, agent.critic, agent.target):
        assert sum(isinstance(module, InjectedHead) for module in network.modules()) == 1


def test_a_new_agent_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    chosen: dict[str, MitigationConfig] = {NAME: PlasticityInjectionConfig(after=2)}
    agent, other = (sac(seeds, activation="adalin-relu") for seeds in (SEEDS, (5, 6)))
    remedies = attach(agent, chosen)
    for _ in range(3):
        agent.update(batch(agent))
        remedies.after_update()
    state = {"agent": agent.state_dict(), "mitigations": remedies.state_dict()}
    saving.save(tmp_path / "checkpoint", state)
    loaded = saving.load(tmp_path / "checkpoint")
    resumed = attach(other, chosen)
    resumed.load_state_dict(loaded["mitigations"])  # first, it injects
    other.load_state_dict(loaded["agent"])
    for runs, of in ((agent, remedies), (other, resumed)):
        for seed in range(3):
            runs.update(batch(runs, seed=seed))
            of.after_update()
    states = state_of(agent), state_of(other)
    assert states[0].keys() == states[1].keys()
    for name in states[0]:
        assert torch.equal(states[0][name], states[1][name])
    for a, b in zip(agent.critic.buffers(), other.critic.buffers(), strict=True):
        assert torch.equal(a, b)
    fresh = PlasticityInjection(PlasticityInjectionConfig(), subject_of(dqn())).state_dict()
    with pytest.raises(ValueError, match="make a new agent"):
        resumed.at_work[f"{NAME}/critic"].load_state_dict(fresh)


def test_the_probe_goes_on_and_keeps_its_names() -> None:
    agent = dqn(SEEDS, activation="adalin-relu")
    probe = Probe(Streams(SEEDS, "probe"), refit_steps=2)
    learners = agent.learners()
    before = probe.measure(learners, batch(agent), refit=True)
    injected(agent)
    agent.update(batch(agent))
    after = probe.measure(learners, batch(agent), refit=True)
    assert before.keys() - after.keys() == set()
    assert "plasticity/q/dormant_fraction@0.1/layer_2_frozen" in after
    assert "plasticity/q/weight_rms/head_frozen" in after
    features = agent.q.head.trained.layer_2(agent.q.torso(batch(agent).obs))  # type: ignore[union-attr,operator]  # injected
    expected = features.norm(dim=-1).mean(-1).double()
    torch.testing.assert_close(after["plasticity/q/feature_norm"], expected, rtol=1e-5, atol=0)


def test_an_injected_network_can_be_copied() -> None:
    agent = dqn(SEEDS)
    injected(agent)
    other = copy.deepcopy(agent.q)
    obs = batch(agent).obs
    assert torch.equal(other(obs), agent.q(obs))
    own = {t.data_ptr() for t in agent.q.state_dict().values()}
    assert own.isdisjoint(t.data_ptr() for t in other.state_dict().values())


def test_networks_that_have_no_such_head_are_refused() -> None:
    with pytest.raises(ValueError, match="SimBa is residual"):
        PlasticityInjection(PlasticityInjectionConfig(), subject_of(dqn(seams=RESIDUAL)))
    with pytest.raises(ValueError, match="needs a head behind dense layers"):
        PlasticityInjection(PlasticityInjectionConfig(), subject_of(sac(), network="temperature"))
    with pytest.raises(ValueError, match="`layers` should be at most 3, .* Received 4"):
        PlasticityInjection(PlasticityInjectionConfig(layers=4), subject_of(dqn()))
    agent = dqn()
    injected(agent, seeds=(0,))
    with pytest.raises(ValueError, match="works once"):
        PlasticityInjection(PlasticityInjectionConfig(), subject_of(agent))


@pytest.mark.parametrize("name", ["after", "layers"])
def test_settings_that_break_a_rule_are_named(name: str) -> None:
    settings: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=f"`{name}` should be at least 1. Received 0"):
        PlasticityInjectionConfig(**settings)
