"""ReDo and ReGraMa: which units are reset, and what changes where, entry by entry."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agents import DQN, SAC, Agent, Batch, Seams, Streams
from networks import AdaLinConfig, Architecture
from plasticity.layers import lead_of
from plasticity.mitigations import Mitigation, Subject
from plasticity.mitigations.recycling import (
    ReDo,
    ReDoConfig,
    ReGraMa,
    ReGraMaConfig,
    recycle,
)
from tests.plasticity.remedies import draw, learn, state_of, subject_of
from tests.plasticity.subjects import IMAGE, dqn, sac

NORMALISED = Seams(architecture=lambda _, usual: replace(usual, layer_norm=True))


def one_alpha(_: str, usual: Architecture) -> Architecture:
    return replace(usual, adalin=AdaLinConfig("uniform", "layer"))


def masks_of(subject: Subject, units: Iterable[Iterable[tuple[int, ...]]]) -> list[Tensor]:
    """Masks with these units ``(seed, ..., unit)`` of each hidden layer."""
    masks = []
    for layer, chosen in zip(subject.hidden, units, strict=True):
        mask = torch.zeros(*lead_of(layer.weights), layer.num_units, dtype=torch.bool)
        for index in chosen:
            mask[index] = True
        masks.append(mask)
    return masks


def fresh_of(subject: Subject) -> dict[str, Tensor]:
    """What ``subject.fresh`` will return next, drawn from copies of its generators."""
    twin = copy.copy(subject)
    twin.streams = copy.copy(subject.streams)
    twin.streams.generators = [g.clone_state() for g in subject.streams.generators]
    return twin.fresh()


def check_surgery(
    agent: Agent,
    subject: Subject,
    units: list[list[tuple[int, ...]]],
    own: list[list[str]],
    columns: list[list[tuple[str, list[list[int]]]]],
) -> None:
    """Resets units, and compares every entry of every tensor with what is expected of it.

    Args:
        agent: The agent, with moments.
        subject: One of its networks.
        units: Units ``(seed, ..., unit)`` of each hidden layer.
        own: Names of the parameters of each hidden layer that belong to single units.
        columns: For each hidden layer the weights that read it, and the columns of each unit.
    """
    expected, fresh = state_of(agent), fresh_of(subject)

    def put(name: str, index: tuple[Any, ...], value: Tensor | float) -> None:
        expected[f"{subject.name}/{name}"][index] = value
        for moment in ("exp_avg", "exp_avg_sq"):
            expected[f"{subject.name}/{name}/{moment}"][index] = 0

    for chosen, names in zip(units, own, strict=True):
        for index in chosen:
            for name in names:
                put(name, index, 0.0 if name.endswith("weights.bias") else fresh[name][index])
    for chosen, readers in zip(units, columns, strict=True):
        for *lead, unit in chosen:
            for name, of_unit in readers:
                for column in of_unit[unit]:
                    put(name, (*lead, slice(None), column), 0)
    recycle(subject, masks_of(subject, units))
    state = state_of(agent)
    assert state.keys() == expected.keys()
    for name, value in state.items():
        assert torch.equal(value, expected[name]), name


DENSE = ["torso.dense.layer_1.", "torso.dense.layer_2."]


@pytest.mark.parametrize(
    ("activation", "seams", "own", "expansion"),
    [
        ("relu", Seams(), [], 1),
        ("adalin-tanh", Seams(), ["activation.alpha"], 1),
        ("adalin-relu", Seams(architecture=one_alpha), [], 1),  # a shared alpha stays
        ("relu", NORMALISED, ["norm.gain", "norm.bias"], 1),
        ("crelu", Seams(), [], 2),
    ],
)
def test_exactly_the_slices_of_the_units_change(
    activation: str, seams: Seams, own: list[str], expansion: int
) -> None:
    agent = dqn((0, 1), activation=activation, seams=seams)
    learn(agent, Streams((0, 1), "batches"), 3)
    subject = subject_of(agent, (0, 1))
    names = ["weights.weight", "weights.bias", *own]
    check_surgery(
        agent,
        subject,
        # In seed 0 a weight leads from a reset unit to a reset unit.
        [[(0, 2), (1, 0), (1, 7)], [(0, 5)]],
        [[layer + name for name in names] for layer in DENSE],
        [
            [
                (
                    f"{DENSE[1]}weights.weight",
                    [[i + 8 * j for j in range(expansion)] for i in range(8)],
                )
            ],
            [("head.weight", [[i + 6 * j for j in range(expansion)] for i in range(6)])],
        ],
    )
    weight: Any = agent.q.get_submodule("torso.dense.layer_2.weights").weight
    assert not weight[0, 5, 2].any()  # outgoing comes last


def test_all_positions_of_a_channel_are_cut_behind_a_convolution() -> None:
    agent = dqn((0, 1), space=IMAGE, hidden=(5,), dueling=True)
    learn(agent, Streams((0, 1), "batches"), 2, space=IMAGE)
    subject = subject_of(agent, (0, 1), space=IMAGE)
    conv, dense = "torso.convolutions.conv_1.weights.", "torso.dense.layer_1.weights."
    positions = np.arange(16 * 64).reshape(16, 64).tolist()  # of 8 x 8 outputs, channels first
    check_surgery(
        agent,
        subject,
        [[(0, 3), (0, 15), (1, 0)], [(1, 4)]],
        [[f"{conv}weight", f"{conv}bias"], [f"{dense}weight", f"{dense}bias"]],
        [[(f"{dense}weight", positions)], [("head.weight", [[i] for i in range(5)])]],
    )


@pytest.mark.parametrize("network", ["critic", "actor"])
def test_twin_critics_and_actor(network: str) -> None:
    agent = sac((0, 1))
    learn(agent, Streams((0, 1), "batches"), 3)
    subject = subject_of(agent, (0, 1), network)
    twin: list[list[tuple[int, ...]]] = [[(0, 0, 2), (0, 1, 3), (1, 1, 0)], [(1, 0, 5)]]
    single: list[list[tuple[int, ...]]] = [[(0, 1), (1, 7)], [(1, 0), (1, 1)]]
    check_surgery(
        agent,
        subject,
        twin if network == "critic" else single,
        [[f"{layer}weights.{name}" for name in ("weight", "bias")] for layer in DENSE],
        [
            [(f"{DENSE[1]}weights.weight", [[i] for i in range(8)])],
            [("head.weight", [[i] for i in range(6)])],
        ],
    )


def kill(agent: DQN, units: list[tuple[str, int, int]]) -> None:
    """Makes units ``(layer, seed, unit)`` silent on every input."""
    with torch.no_grad():
        for layer, seed, unit in units:
            weights: Any = agent.q.get_submodule(f"torso.dense.{layer}.weights")
            weights.weight[seed, unit] = 0
            weights.bias[seed, unit] = -1


def alive(agent: DQN) -> None:
    """Makes each unit active on some input of a large batch."""
    with torch.no_grad():
        for layer in DENSE:
            weights: Any = agent.q.get_submodule(f"{layer}weights")
            weights.bias.fill_(0.5)


def test_redo_on_dead_units_keeps_the_outputs() -> None:
    agent = dqn((0, 1))
    learn(agent, Streams((0, 1), "batches"), 3)
    alive(agent)
    dead = [("layer_1", 0, 2), ("layer_1", 1, 0), ("layer_1", 1, 7), ("layer_2", 0, 5)]
    kill(agent, dead)
    subject = subject_of(agent, (0, 1))
    redo = ReDo(ReDoConfig(tau=0.0), subject)
    obs = torch.randn(2, 500, 4)
    before, target = agent.q(obs), [p.clone() for p in agent.target.parameters()]
    redo.operate()
    assert torch.equal(agent.q(obs), before)
    assert redo.report()["units_reset"].tolist() == [2, 2]
    assert redo.report()["units_reset"].tolist() == [0, 0]  # counts since the last report
    for layer, seed, unit in dead:
        weights: Any = agent.q.get_submodule(f"torso.dense.{layer}.weights")
        assert weights.weight[seed, unit].any()
        assert weights.bias[seed, unit] == 0
    for p, old in zip(agent.target.parameters(), target, strict=True):
        assert torch.equal(p, old)
    # And they learn again.
    learn(agent, Streams((0, 1), "more"), 2)
    head: Any = agent.q.head.weight
    assert head[0, :, 5].any()


def test_each_update_counts_until_the_report() -> None:
    agent = dqn()
    redo = ReDo(ReDoConfig(tau=1e9), subject_of(agent))
    redo.operate()
    redo.operate()
    assert redo.report()["units_reset"].tolist() == [28]


@pytest.mark.parametrize(("tau", "reset"), [(0.25, [0]), (0.2499, []), (0.75, [0, 1])])
def test_scores_at_the_threshold_are_dormant(tau: float, reset: list[int]) -> None:
    agent = dqn(hidden=(4,))
    weights: Any = agent.q.get_submodule("torso.dense.layer_1.weights")
    with torch.no_grad():
        weights.weight.zero_()
        weights.bias.copy_(torch.tensor([[1.0, 3.0, 4.0, 8.0]]))  # scores 1/4, 3/4, 1, 2
    ReDo(ReDoConfig(tau=tau), subject_of(agent)).operate()
    assert (weights.bias[0] == 0).nonzero().flatten().tolist() == reset
    assert (agent.q.head.weight[0] == 0).all(0).nonzero().flatten().tolist() == reset


def test_a_silent_layer_starts_anew_as_a_whole() -> None:
    agent = dqn((0, 1))
    kill(agent, [("layer_1", 1, unit) for unit in range(8)])
    redo = ReDo(ReDoConfig(tau=0.0), subject_of(agent, (0, 1)))
    obs = torch.randn(2, 50, 4)
    before = agent.q(obs)
    redo.operate()
    weight: Any = agent.q.get_submodule("torso.dense.layer_1.weights").weight
    assert (weight[1] != 0).all()
    assert torch.equal(agent.q(obs)[1], before[1])
    assert redo.report()["units_reset"][1] >= 8


def forward(agent: DQN, obs: Tensor) -> list[np.ndarray[Any, Any]]:
    """Outputs of the hidden layers by NumPy, each ``(S, B, F)``."""
    h, outputs = obs.double().numpy(), []
    for layer in DENSE:
        weights: Any = agent.q.get_submodule(f"{layer}weights")
        w, b = (p.detach().double().numpy() for p in (weights.weight, weights.bias))
        h = np.maximum(np.einsum("soi,sbi->sbo", w, h) + b[:, None], 0)
        outputs.append(h)
    return outputs


def changed(before: nn.Module, after: nn.Module, name: str) -> np.ndarray[Any, Any]:
    """Where a parameter is another one."""
    return (before.get_parameter(name) != after.get_parameter(name)).numpy()


def test_redo_resets_the_units_that_the_definition_names() -> None:
    seeds = (0, 1, 2)
    agent = dqn(seeds, hidden=(20, 10))
    learn(agent, Streams(seeds, "batches"), 2)
    batches: list[Batch] = []
    redo = ReDo(ReDoConfig(tau=0.4, batch_size=40), subject_of(agent, seeds, batches=batches))
    before = copy.deepcopy(agent)
    redo.operate()
    (batch,) = batches
    assert batch.obs.shape == (3, 40, 4)
    count = np.zeros(3)
    for layer, h in zip(DENSE, forward(before, batch.obs), strict=True):
        size = np.abs(h).mean(1)  # (S, F)
        dormant = size / size.mean(-1, keepdims=True) <= 0.4
        count += dormant.sum(-1)
        assert np.array_equal(changed(before.q, agent.q, f"{layer}weights.bias"), dormant)
        assert dormant.any()
        assert not dormant.all()
    assert redo.report()["units_reset"].tolist() == count.tolist()


@pytest.mark.parametrize("config", [ReDoConfig(every=2, tau=0.6), ReGraMaConfig(every=2, tau=0.8)])
@pytest.mark.parametrize("make", [dqn, sac])
def test_a_seed_alone_is_that_seed_among_others(make: Any, config: Any) -> None:
    agents: list[DQN | SAC] = []
    reset = []
    for seeds in ((3,), (1, 3)):
        agents.append(agent := make(seeds, activation="adalin-relu"))
        remedy = remedy_of(config, subject_of(agent, seeds))
        learn(agent, Streams(seeds, "batches"), 6, remedy)
        reset.append(remedy.report()["units_reset"][-1].item())
    assert reset[0] == reset[1] > 3
    for name, learner in agents[0].learners().items():
        others = agents[1].learners()[name].network.parameters()
        for p, other in zip(learner.network.parameters(), others, strict=True):
            torch.testing.assert_close(p[0], other[1], rtol=1e-4, atol=1e-6)


def remedy_of(config: ReDoConfig | ReGraMaConfig, subject: Subject) -> Mitigation[Any]:
    """A remedy at work, with the hook that the trainer gives it."""
    if isinstance(config, ReDoConfig):
        return ReDo(config, subject)
    remedy = ReGraMa(config, subject)
    subject.learner.optimizer.register_step_pre_hook(lambda *_: remedy.before_step())
    return remedy


@pytest.mark.usefixtures("traced")
def test_compiled_code_is_valid_after_surgery() -> None:
    agents = [dqn((0, 1), hidden=(8,)) for _ in range(2)]
    agents[0].compile()
    for agent in agents:
        redo = ReDo(ReDoConfig(every=2, tau=0.7), subject_of(agent, (0, 1)))
        learn(agent, Streams((0, 1), "batches"), 5, redo)
        assert (redo.report()["units_reset"] > 0).all()
    for a, b in zip(*(agent.q.parameters() for agent in agents), strict=True):
        torch.testing.assert_close(a, b)


def test_regrama_resets_after_the_update_what_had_hardly_a_gradient() -> None:
    agent = dqn((0, 1), hidden=(20, 10))
    remedy = ReGraMa(ReGraMaConfig(every=3, tau=0.5), subject_of(agent, (0, 1)))
    scored: list[dict[str, Tensor]] = []

    def before(*_: Any) -> None:
        remedy.before_step()
        named = agent.q.named_parameters()
        scored.append({name: p.grad.clone() for name, p in named if p.grad is not None})

    agent.optimizer.register_step_pre_hook(before)
    streams = Streams((0, 1), "batches")
    learn(agent, streams, 2)
    assert not any(mask.any() for mask in remedy.inactive)  # no other step is scored
    learn(agent, streams, 1)
    old = copy.deepcopy(agent.q)
    remedy.operate()
    count = np.zeros(2)
    for layer in DENSE:
        grad = scored[-1][f"{layer}weights.weight"].double().abs().mean(-1).numpy()
        inactive = grad / grad.mean(-1, keepdims=True) <= 0.5
        assert inactive.any()
        count += inactive.sum(-1)
        assert np.array_equal(changed(old, agent.q, f"{layer}weights.bias"), inactive)
    assert remedy.report()["units_reset"].tolist() == count.tolist()
    remedy.operate()  # nothing is left
    assert remedy.report()["units_reset"].tolist() == [0, 0]


def test_only_numbers_are_scored() -> None:
    agent = dqn((0, 1))
    remedy = ReGraMa(ReGraMaConfig(every=1, tau=0.5), subject_of(agent, (0, 1)))
    weight: Any = agent.q.get_submodule("torso.dense.layer_1.weights").weight
    weight.grad = torch.ones_like(weight)
    weight.grad[0] = torch.nan  # a seed that has diverged
    weight.grad[1, 3] = 0
    remedy.before_step()
    first, second = remedy.inactive
    assert first.nonzero().tolist() == [[1, 3]]
    assert not second.any()  # frozen weights have no gradient


def test_a_reset_unit_has_a_gradient_after_one_step() -> None:
    agent = dqn(hidden=(8,))
    subject = subject_of(agent)
    recycle(subject, masks_of(subject, [[(0, 3)]]))
    streams = Streams((0,), "batches")
    weight: Any = agent.q.get_submodule("torso.dense.layer_1.weights").weight
    learn(agent, streams, 1)
    assert not weight.grad[0, 3].any()
    learn(agent, streams, 1)
    assert weight.grad[0, 3].any()


def test_a_delayed_actor_is_scored_in_its_own_steps() -> None:
    agent = sac(policy_delay=2)
    remedy = remedy_of(ReGraMaConfig(every=3, tau=1e9), subject_of(agent, network="actor"))
    reset = []
    for _ in range(4):  # steps in updates 1, 3, 5, 7, 9, 11
        learn(agent, Streams((0,), "batches"), 3, remedy)
        reset.append(remedy.report()["units_reset"].item())
    assert reset == [0, 14, 0, 14]


def test_regrama_goes_on_from_its_state() -> None:
    def run(updates: list[int]) -> SAC:
        agent, streams = sac((0, 1), policy_delay=2), Streams((0, 1), "batches")
        subject = subject_of(agent, (0, 1), "actor")
        remedy = remedy_of(ReGraMaConfig(every=3, tau=0.9), subject)
        at = 0
        for stop in updates:
            while at < stop:
                at += 1
                agent.update(draw(agent, 16, streams))
                if at % 3 == 0:
                    remedy.operate()
            state, drawn = copy.deepcopy(remedy.state_dict()), subject.streams.state_dict()
            other, old = sac((0, 1), policy_delay=2), agent
            other.load_state_dict(copy.deepcopy(old.state_dict()))
            agent, subject = other, subject_of(other, (0, 1), "actor")
            remedy = remedy_of(ReGraMaConfig(every=3, tau=0.9), subject)
            remedy.load_state_dict(state)
            subject.streams.load_state_dict(drawn)
        return agent

    # At update 5 the third step has been scored, and update 6 resets; at 8 there were 4 steps.
    whole, parts = run([12]), run([5, 8, 12])
    for p, other in zip(whole.actor.parameters(), parts.actor.parameters(), strict=True):
        assert torch.equal(p, other)


@pytest.mark.parametrize(("make", "config"), [(ReDo, ReDoConfig()), (ReGraMa, ReGraMaConfig())])
@pytest.mark.parametrize("network", ["actor", "temperature"])
def test_a_network_without_hidden_layers_is_refused(make: Any, config: Any, network: str) -> None:
    agent = sac(hidden=())
    with pytest.raises(ValueError, match="it has no hidden layers, so there are no units to reset"):
        make(config, subject_of(agent, network=network))
    learner = agent.learners()["temperature"]
    assert not make.suits(learner)  # unless it is told so


@pytest.mark.parametrize(
    ("config", "setting", "value", "rule"),
    [
        (ReDoConfig, "every", 0, "at least 1"),
        (ReDoConfig, "tau", -1, "at least 0"),
        (ReDoConfig, "batch_size", 0, "at least 1"),
        (ReGraMaConfig, "every", 0, "at least 1"),
        (ReGraMaConfig, "tau", -0.1, "at least 0"),
    ],
)
def test_bad_settings_are_named(config: Any, setting: str, value: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=f"`{setting}` should be {rule}. Received {value}"):
        config(**{setting: value})
