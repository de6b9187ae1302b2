"""Whole networks that start anew: which tensors change, to what, and what optimizers remember."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import SAC as SB3SAC
from torch import Tensor, nn

from agents import Learner, Seams, Streams
from networks import AdaLinConfig
from plasticity.mitigations import Mitigation
from plasticity.mitigations.attach import born_again
from plasticity.mitigations.resets import (
    FIRE,
    FIREConfig,
    HareTortoise,
    HareTortoiseConfig,
    Reset,
    ResetConfig,
    ShrinkPerturb,
    ShrinkPerturbConfig,
    orthogonalized,
)
from plasticity.sb3 import MitigationCallback
from tests.plasticity.remedies import learn, state_of, subject_of
from tests.plasticity.subjects import IMAGE, attach, batch, dqn, sac

NORMALISED = Seams(lambda _, usual: replace(usual, layer_norm=True))
ONE_ALPHA = Seams(lambda _, usual: replace(usual, adalin=AdaLinConfig("zeros", "network")))


def fresh(network: nn.Module, seeds: Any = (0,)) -> dict[str, Tensor]:
    """What the first call of ``fresh`` gives a remedy of ``subject_of``."""
    return dict(born_again(network, Streams(seeds, "remedy")).named_parameters())


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """Names of what changed or is gone."""
    return {n for n, v in before.items() if n not in after or not torch.equal(v, after[n])}


def has(state: dict[str, Tensor], *parts: str) -> set[str]:
    return {name for name in state if any(part in name for part in parts)}


def test_shrink_perturb_mixes_weights_with_new_ones_and_nothing_else() -> None:
    agent = sac((0, 1), activation="adalin-relu")
    learn(agent, Streams((0, 1), "batches"), 3)
    subject = subject_of(agent, (0, 1), "critic")
    remedy = ShrinkPerturb(ShrinkPerturbConfig(shrink=0.25, perturb=0.125), subject)
    new, before = fresh(agent.critic, (0, 1)), state_of(agent)
    remedy.operate()
    after = state_of(agent)
    own = {n for n in has(before, "weights.", "head.") if n.startswith("critic/")}
    assert changed(before, after) == {n for n in own if "exp_" not in n and "step" not in n}
    for name, parameter in agent.critic.named_parameters():
        if "alpha" not in name:
            expected = 0.75 * before[f"critic/{name}"] + 0.125 * new[name]
            torch.testing.assert_close(parameter, expected, rtol=1e-6, atol=1e-8)
    assert remedy.report()["perturbations"].tolist() == [1.0, 1.0]
    assert not remedy.report()


def test_shrink_perturb_leaves_gains_of_layer_norms() -> None:
    agent = dqn(seams=NORMALISED)
    with torch.no_grad():
        for name, parameter in agent.q.named_parameters():
            if "norm" in name:
                parameter.fill_(3.0)
    before = state_of(agent)
    ShrinkPerturb(ShrinkPerturbConfig(), subject_of(agent)).operate()
    own = {n for n in before if n.startswith("q/") and n.count("/") == 1}
    assert changed(before, state_of(agent)) == {n for n in own if ".norm." not in n}


def test_a_reset_makes_actor_critics_target_temperature_and_their_optimizers_new() -> None:
    seeds = (0, 1)
    agent = sac(seeds, activation="adalin-relu", initial_temperature=0.5)
    learn(agent, Streams(seeds, "batches"), 3)
    remedies = attach(agent, {"reset": ResetConfig(every=2)})
    assert set(remedies.at_work) == {"reset/actor", "reset/critic", "reset/temperature"}
    remedies.after_update()
    assert not remedies.report()
    identities = [p.data_ptr() for p in agent.critic.parameters()]
    before = state_of(agent)
    remedies.after_update()
    after = state_of(agent)
    assert not any(after[name].any() for name in has(after, "exp_avg", "step"))
    assert changed(before, after) == set(before)
    for name in ("actor", "critic"):
        network = getattr(agent, name)
        expected = born_again(network, Streams(seeds, f"reset/{name}"))
        for p, q in zip(network.parameters(), expected.parameters(), strict=True):
            assert torch.equal(p, q)
    torch.testing.assert_close(agent.temperature(), torch.full((2,), 0.5))
    assert [p.data_ptr() for p in agent.critic.parameters()] == identities
    for p, q in zip(agent.critic.parameters(), agent.target.parameters(), strict=True):
        assert torch.equal(p, q)
        assert p.data_ptr() != q.data_ptr()
    assert remedies.report()["reset/temperature/resets"].tolist() == [1.0, 1.0]

    agent.update(batch(agent))
    first = next(agent.critic.parameters())
    assert agent.critic_optimizer.state[first]["step"] == 1
    moved = (first - agent.target.get_parameter("torso.dense.layer_1.weights.weight")).abs()
    assert 0 < moved.max() <= 1e-3 * 1.001  # Adam's first step, less what the target followed


@pytest.mark.parametrize(
    ("layers", "stay"),
    [
        (2, ("conv_1", "layer_1")),
        (1, ("conv_1", "layer_1", "layer_2")),
        (3, ("conv_1",)),
        (0, ()),
        (9, ()),
    ],
)
def test_of_a_q_network_the_last_layers_are_reset(layers: int, stay: tuple[str, ...]) -> None:
    agent = dqn((0, 1), space=IMAGE, activation="adalin-relu")
    learn(agent, Streams((0, 1), "batches"), 3, space=IMAGE)
    subject = subject_of(agent, (0, 1), space=IMAGE)
    before, new = state_of(agent), fresh(agent.q, (0, 1))
    Reset(ResetConfig(q_layers=layers), subject).operate()
    after = state_of(agent)
    assert changed(before, after) == set(before) - has(before, *(f".{name}." for name in stay))
    for name, parameter in agent.q.named_parameters():
        if not any(f".{layer}." in name for layer in stay):
            assert torch.equal(parameter, new[name])
            assert torch.equal(agent.target.get_parameter(name), new[name])


def test_a_reset_of_last_layers_leaves_an_alpha_that_earlier_layers_share() -> None:
    agent = dqn(activation="adalin-relu", seams=ONE_ALPHA)
    alpha = agent.q.get_parameter("torso.dense.layer_2.activation.alpha")
    with torch.no_grad():
        alpha.fill_(0.7)
    head = agent.q.head.weight.clone()
    Reset(ResetConfig(), subject_of(agent)).operate()
    assert alpha.tolist() == [[pytest.approx(0.7)]]
    assert not torch.equal(agent.q.head.weight, head)


@pytest.mark.parametrize("kind", [ShrinkPerturb, Reset, FIRE, HareTortoise])
def test_a_seed_is_the_same_alone_and_among_others(kind: type[Mitigation[Any]]) -> None:
    config = {
        ShrinkPerturb: ShrinkPerturbConfig(every=2),
        Reset: ResetConfig(every=2),
        FIRE: FIREConfig(every=2),
        HareTortoise: HareTortoiseConfig(every=2),
    }[kind]
    results = []
    for seeds in ((0,), (0, 1)):
        agent = sac(seeds)
        remedy = kind(config, subject_of(agent, seeds, "critic"))
        agent.critic_optimizer.register_step_post_hook(lambda *_, m=remedy: m.after_step())
        learn(agent, Streams(seeds, "batches"), 5, remedy)
        results.append(agent)
    alone, among = results
    for p, q in zip(alone.critic.parameters(), among.critic.parameters(), strict=True):
        torch.testing.assert_close(p[0], q[0], rtol=1e-4, atol=1e-6)
        assert not torch.equal(q[0], q[1])


def scalar(x: float, steps: int = 10) -> float:
    for _ in range(steps):
        x = 1.5 * x - 0.5 * x**3
    return x


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)])
def test_orthogonalized_moves_singular_values_by_the_scalar_rule(shape: tuple[int, int]) -> None:
    w = torch.randn(2, 3, *shape, dtype=torch.float64)
    u, s, v = torch.linalg.svd(w, full_matrices=False)
    moved = [[[scalar(float(x / row.norm())) for x in row] for row in rows] for rows in s]
    expected = u @ torch.diag_embed(torch.tensor(moved, dtype=torch.float64)) @ v
    torch.testing.assert_close(orthogonalized(w), expected, rtol=1e-11, atol=1e-12)


def test_orthogonalized_is_the_polar_factor_of_what_is_well_conditioned() -> None:
    w = torch.randn(64, 8, dtype=torch.float64)
    u, _, v = torch.linalg.svd(w, full_matrices=False)
    torch.testing.assert_close(orthogonalized(w), u @ v, rtol=1e-9, atol=1e-9)
    zeros = torch.zeros(2, 3)
    assert torch.equal(orthogonalized(zeros), zeros)


def test_fire_projects_each_copy_and_each_position_of_a_kernel() -> None:
    agent = dqn((0, 1), space=IMAGE, activation="adalin-relu")
    learn(agent, Streams((0, 1), "batches"), 3, space=IMAGE)
    before = state_of(agent)
    remedy = FIRE(FIREConfig(), subject_of(agent, (0, 1), space=IMAGE))
    remedy.operate()
    after = state_of(agent)
    weights = {n for n in before if n.startswith("q/") and n.endswith("weight")}
    moments = has(before, "exp_avg", "step")
    assert changed(before, after) == weights | moments | has(before, "q target/")
    assert not any(after[name].any() for name in has(after, "exp_avg", "step"))
    dense = after["q/torso.dense.layer_1.weights.weight"][1]
    old = before["q/torso.dense.layer_1.weights.weight"][1]
    expected = orthogonalized(old) * math.sqrt(dense.shape[0] / dense.shape[1])
    torch.testing.assert_close(dense, expected)
    conv = after["q/torso.convolutions.conv_1.weights.weight"][1]  # (16, 2, 3, 3)
    old = before["q/torso.convolutions.conv_1.weights.weight"][1]
    for i in range(3):
        for j in range(3):
            expected = orthogonalized(old[:, :, i, j]) * math.sqrt(16 / 2) / 9
            torch.testing.assert_close(conv[:, :, i, j], expected)
    for p, q in zip(agent.q.parameters(), agent.target.parameters(), strict=True):
        assert torch.equal(p, q)
        assert p.data_ptr() != q.data_ptr()
    assert remedy.report()["projections"].tolist() == [1.0, 1.0]


def test_fire_projects_the_two_critics_of_a_seed_apart() -> None:
    agent = sac((0, 1))
    after = agent.critic.get_parameter("torso.dense.layer_2.weights.weight")
    before = after.clone()  # (2, 2, 6, 8)
    FIRE(FIREConfig(), subject_of(agent, (0, 1), "critic")).operate()
    for s in range(2):
        for twin in range(2):
            expected = orthogonalized(before[s, twin]) * math.sqrt(6 / 8)
            torch.testing.assert_close(after[s, twin], expected)


def test_the_tortoise_is_an_average_and_the_hare_returns_to_it() -> None:
    agent = dqn((0, 1), activation="adalin-relu")
    remedy = HareTortoise(HareTortoiseConfig(every=3, decay=0.9), subject_of(agent, (0, 1)))
    steps = Streams((0, 1), "batches")
    slow = [p.detach().double().numpy().copy() for p in agent.q.parameters()]
    agent.optimizer.register_step_post_hook(lambda *_: remedy.after_step())
    for update in range(1, 8):
        learn(agent, steps, 1)
        fast = [p.detach().double().numpy() for p in agent.q.parameters()]
        slow = [0.9 * s + 0.1 * f for s, f in zip(slow, fast, strict=True)]
        for s, expected in zip(remedy.slow, slow, strict=True):
            np.testing.assert_allclose(s, expected, rtol=1e-5, atol=1e-7)
        gaps = [(f - s).reshape(2, -1) for f, s in zip(fast, slow, strict=True)]
        distance = np.sqrt(np.square(np.concatenate(gaps, 1)).sum(1))
        np.testing.assert_allclose(remedy.report()["distance"], distance, rtol=1e-4)
        if update % 3 == 0:
            before = state_of(agent)
            remedy.operate()
            after = state_of(agent)
            assert changed(before, after) == {  # not the moments, not the target
                f"q/{name}" for name, _ in agent.q.named_parameters()
            }
            report = remedy.report()
            assert report["returns"].tolist() == [1.0, 1.0]
            assert report["distance"].tolist() == [0.0, 0.0]


def test_hare_and_tortoise_never_share_memory() -> None:
    agent = dqn()
    remedy = HareTortoise(HareTortoiseConfig(), subject_of(agent))
    remedy.operate()
    pairs = list(zip(agent.q.parameters(), remedy.slow, strict=True))
    assert {p.data_ptr() for p, _ in pairs}.isdisjoint(s.data_ptr() for _, s in pairs)
    before = [s.clone() for s in remedy.slow]
    with torch.no_grad():
        for p, _ in pairs:
            p.add_(1.0)
    assert all(torch.equal(s, b) for s, b in zip(remedy.slow, before, strict=True))


def test_a_tortoise_goes_on_from_its_state() -> None:
    agent, other = dqn((0, 1)), dqn((2, 3))
    remedy = HareTortoise(HareTortoiseConfig(decay=0.5), subject_of(agent, (0, 1)))
    with torch.no_grad():
        for p in agent.q.parameters():
            p.add_(1.0)
    remedy.after_step()
    resumed = HareTortoise(HareTortoiseConfig(decay=0.5), subject_of(other, (2, 3)))
    resumed.load_state_dict(remedy.state_dict())
    for slow, taken in zip(remedy.slow, resumed.slow, strict=True):
        assert torch.equal(slow, taken)
        assert slow.data_ptr() != taken.data_ptr()


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        (ShrinkPerturbConfig, {"shrink": 1.5}, "`shrink` should be in [0, 1]. Received 1.5"),
        (ShrinkPerturbConfig, {"perturb": -1.0}, "`perturb` should be at least 0. Received -1.0"),
        (ResetConfig, {"every": 0}, "`every` should be at least 1. Received 0"),
        (ResetConfig, {"q_layers": -1}, "`q_layers` should be at least 0. Received -1"),
        (HareTortoiseConfig, {"decay": 1.0}, "`decay` should be in [0, 1). Received 1.0"),
    ],
)
def test_settings_that_break_a_rule_are_named(
    config: type[Any], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        config(**settings)


@pytest.mark.parametrize("name", ["reset", "fire"])
def test_networks_of_stable_baselines3_are_reset(name: str) -> None:
    model = SB3SAC("MlpPolicy", "Pendulum-v1", learning_starts=4, seed=0, device="cpu")
    callback = MitigationCallback({name: {"every": 4}})
    stepped: list[int] = []

    def look(*_: Any) -> None:
        state = model.critic.optimizer.state
        stepped.append(max([int(s["step"]) for s in state.values() if s], default=0))

    model.critic.optimizer.register_step_post_hook(look)
    model.learn(15, callback=callback)
    assert stepped == [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3]
    assert isinstance(model.log_ent_coef, Tensor)


def test_fire_works_on_layers_of_pytorch() -> None:
    conv, dense = nn.Conv2d(2, 4, (2, 3)), nn.Linear(16, 3)
    network = nn.Sequential(conv, nn.Flatten(), dense)
    old, old_dense = conv.weight.clone(), dense.weight.clone()
    subject = subject_of(dqn())
    subject.learner = Learner(network, torch.optim.Adam(network.parameters()))
    FIRE(FIREConfig(), subject).operate()
    torch.testing.assert_close(dense.weight, orthogonalized(old_dense) * math.sqrt(3 / 16))
    for i in range(2):
        for j in range(3):
            expected = orthogonalized(old[:, :, i, j]) * math.sqrt(4 / 2) / 6
            torch.testing.assert_close(conv.weight[:, :, i, j], expected)
