"""The registry of remedies, how they are attached, and what is refused."""

from dataclasses import fields
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch

from agents import Agent, saving
from configs import Config
from configs.schema import section
from plasticity.mitigations import MITIGATIONS, Mitigations, check_pairs, seams
from plasticity.mitigations.recycling import ReDoConfig
from plasticity.mitigations.registry import CONFLICTS
from plasticity.mitigations.regularizers import L2InitConfig
from plasticity.mitigations.replay import SampleWeightDecayConfig, age_weights
from tests.plasticity.subjects import attach, batch, dqn, sac

SHORT: dict[str, dict[str, Any]] = {  # settings with which something happens within ten updates
    "continual-backprop": {"maturity": 2, "rate": 0.2},
    "snr": {"reset_every": 2, "threshold_every": 3},
    "plasticity-injection": {"after": 4},
    "weight-clipping": {"kappa": 0.5},
    "simba": {"actor_width": 8, "critic_width": 8, "critic_blocks": 1},
}


def make(name: str, kind: Any) -> tuple[Agent, Mitigations]:
    """An agent with the remedy at short cadences."""
    entry = MITIGATIONS[name]
    settings = SHORT.get(name, {})
    if "every" in entry.config.__dataclass_fields__:
        settings = settings | {"every": 3}
    chosen = {name: entry.config(**settings)}
    agent = kind((0, 1), activation="relu", seams=seams(chosen, (0, 1)), learning_rate=1e-2)
    return agent, attach(agent, chosen)


@pytest.mark.parametrize("kind", [dqn, sac])
@pytest.mark.parametrize("name", MITIGATIONS)
def test_every_remedy_learns_and_keeps_its_promises(name: str, kind: Any) -> None:
    agent, remedies = make(name, kind)
    plain = kind((0, 1), activation="relu", learning_rate=1e-2)
    reported: set[str] = set()
    for step in range(10):
        metrics = agent.update(batch(agent, seed=step))
        plain.update(batch(agent, seed=step))
        remedies.observe(batch(agent, 3, seed=step).obs.numpy())
        remedies.after_update()
        assert all(value.isfinite().all() for value in metrics.values())
        reported |= remedies.report().keys()
    for learner in agent.learners().values():
        groups = learner.optimizer.param_groups
        stepped = [id(p) for group in groups for p in group["params"]]
        trained = [id(p) for p in learner.network.parameters() if p.requires_grad]
        assert sorted(stepped) == sorted(trained)
        if learner.target is not None:
            ours = {p.data_ptr() for p in learner.network.parameters()}
            assert not ours & {p.data_ptr() for p in learner.target.parameters()}
    if name != "sample-weight-decay":  # the trainer logs the ages that the replay draws
        networks = {key.partition("/")[2].partition("/")[0] for key in reported}
        assert networks >= agent.learners().keys() - {"temperature"}
    if name not in ("sample-weight-decay", "snr"):  # the replay's; few units are ever silent
        changed = [
            a.shape != b.shape or not torch.equal(a, b)
            for key in agent.learners()
            for a, b in zip(
                agent.learners()[key].network.parameters(),
                plain.learners()[key].network.parameters(),
                strict=False,
            )
        ]
        assert any(changed), "nothing happened"


@pytest.mark.parametrize("kind", [dqn, sac])
@pytest.mark.parametrize("name", MITIGATIONS)
def test_a_run_goes_on_from_a_checkpoint_bit_for_bit(name: str, kind: Any, tmp_path: Path) -> None:
    agent, remedies = make(name, kind)
    learn(agent, remedies, range(5))
    # First the remedies, which may change the make of a network, then the agent.
    state = {"remedies": remedies.state_dict(), "agent": agent.state_dict()}
    saving.save(tmp_path / "checkpoint", state)
    learn(agent, remedies, range(5, 10))
    again, resumed = make(name, kind)
    state = saving.load(tmp_path / "checkpoint")
    resumed.load_state_dict(state["remedies"])
    again.load_state_dict(state["agent"])
    learn(again, resumed, range(5, 10))
    for key, learner in agent.learners().items():
        other = again.learners()[key]
        for (path, a), b in zip(
            learner.network.state_dict().items(),
            other.network.state_dict().values(),
            strict=True,
        ):
            assert torch.equal(a, b), (key, path)
    ours, theirs = remedies.report(), resumed.report()
    assert ours.keys() == theirs.keys()


def learn(agent: Agent, remedies: Mitigations, steps: range) -> None:
    for step in steps:
        agent.update(batch(agent, seed=step))
        remedies.observe(batch(agent, 3, seed=step).obs.numpy())
        remedies.after_update()


def test_every_remedy_has_its_section_of_settings_and_a_whole_row() -> None:
    sections: dict[str, Any] = {f.name: f.default_factory for f in fields(Config)}
    for name, entry in MITIGATIONS.items():
        assert sections[section(name)] is entry.config
        assert entry.seam in ("architecture", "gradient", "surgery", "optimizer", "replay")
        assert entry.description
        assert entry.source
        assert entry.tested
        assert entry.config() == entry.config()


def test_pairs_that_cannot_be_combined_say_why_in_any_order() -> None:
    for pair, reason in CONFLICTS.items():
        assert pair <= MITIGATIONS.keys()
        for names in (sorted(pair), sorted(pair, reverse=True)):
            with pytest.raises(ValueError, match=f"mitigations {names[0]} and {names[1]} can't be"):
                check_pairs(names)
        assert len(reason) > 20
    check_pairs(["redo", "l2-init", "layer-norm"])
    check_pairs(["trac", "upgd"])


COMPATIBLE = [pair for pair in combinations(MITIGATIONS, 2) if frozenset(pair) not in CONFLICTS]


@pytest.mark.parametrize("first", MITIGATIONS)
def test_all_other_pairs_work_together(first: str) -> None:
    for pair in COMPATIBLE:
        if pair[0] != first:
            continue
        chosen = {}
        for name in pair:
            config = MITIGATIONS[name].config
            settings = SHORT.get(name, {})
            if "every" in config.__dataclass_fields__:
                settings = settings | {"every": 2}
            chosen[name] = config(**settings)
        agent = dqn(activation="relu", seams=seams(chosen, (0,)))
        remedies = attach(agent, chosen)
        learn(agent, remedies, range(5))
        for parameter in agent.q.parameters():
            assert parameter.isfinite().all(), pair


def test_a_network_that_the_agent_lacks_is_named_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="redo: the agent has no network 'critics', it has "):
        attach(sac(), {"redo": ReDoConfig(networks=("critics",))})
    with pytest.raises(ValueError, match="Did you mean 'critic'?"):
        attach(sac(), {"redo": ReDoConfig(networks=("critics",))})
    with pytest.raises(ValueError, match="redo, network temperature: it has no hidden layers"):
        attach(sac(), {"redo": ReDoConfig(networks=("temperature",))})


def test_chosen_networks_alone_are_worked_on() -> None:
    for networks, expected in (((), {"actor", "critic"}), (("critic",), {"critic"})):
        remedies = attach(sac(), {"l2-init": L2InitConfig(networks=networks)})
        assert {key.partition("/")[2] for key in remedies.at_work} == expected


def test_cadences_count_updates_of_the_agent() -> None:
    agent = dqn()
    remedies = attach(agent, {"redo": ReDoConfig(every=4, tau=1e9)})  # resets every unit
    reset = []
    for step in range(9):
        agent.update(batch(agent, seed=step))
        remedies.after_update()
        reset.append(int(remedies.report()["redo/q/units_reset"]))
    assert reset == [0, 0, 0, 14, 0, 0, 0, 14, 0]


def test_trac_wraps_the_other_optimizer_whatever_the_order() -> None:
    for names in (("trac", "upgd"), ("upgd", "trac")):
        chosen = {name: MITIGATIONS[name].config() for name in names}
        agent = dqn(seams=seams(chosen, (0,)))
        assert type(agent.optimizer).__name__ == "TRAC"
        attach(agent, chosen)


def test_gradients_are_scored_before_regularisers_add_to_them() -> None:
    chosen = {name: MITIGATIONS[name].config() for name in ("l2-init", "regrama")}
    assert list(attach(dqn(), chosen).at_work) == ["regrama/q", "l2-init/q"]


def test_hooks_can_be_taken_off_and_put_on_again() -> None:
    agent = dqn()
    remedies = attach(agent, {"l2-init": L2InitConfig(strength=0.5)})
    with torch.no_grad():
        agent.q.head.weight.add_(1.0)

    def pull() -> float:
        agent.q.head.weight.grad = torch.zeros_like(agent.q.head.weight)
        agent.optimizer.step()
        return float(agent.q.head.weight.grad.mean())

    assert pull() > 0.4
    remedies.detach()
    assert pull() == 0
    remedies.attach()
    assert pull() > 0.4


@pytest.mark.usefixtures("traced")
def test_surgery_leaves_compiled_code_valid() -> None:
    agents = []
    for compiled in (True, False):
        agent = dqn((0, 1), activation="adalin-relu")
        remedies = attach(agent, {"redo": ReDoConfig(every=2, tau=0.5, batch_size=32)})
        if compiled:
            agent.compile()
        learn(agent, remedies, range(6))
        agents.append(agent)
    for a, b in zip(*(agent.q.parameters() for agent in agents), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [dqn, sac])
@pytest.mark.parametrize("name", ["layer-norm", "c-chain", "redo", "plasticity-injection", "upgd"])
@pytest.mark.usefixtures("traced")
def test_compiled_a_remedy_does_the_same(name: str, kind: Any) -> None:
    found = []
    for compiled in (True, False):
        agent, remedies = make(name, kind)
        if compiled:
            agent.compile()
        learn(agent, remedies, range(6))
        found.append(agent.learners())
    for network in found[0]:
        for a, b in zip(*(f[network].network.parameters() for f in found), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_the_replay_is_told_of_sample_weight_decay() -> None:
    assert age_weights({"l2-init": L2InitConfig()}) is None
    config = SampleWeightDecayConfig(decay_steps=7)
    assert age_weights({"sample-weight-decay": config}) == config.weights()
