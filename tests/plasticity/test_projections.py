"""Weight clipping and Normalize-and-Project: bounds and norms by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agents import Agent, Learner, Streams
from networks import Architecture, SimBaConfig
from plasticity.mitigations import Mitigation
from plasticity.mitigations.projections import (
    NaP,
    NaPConfig,
    WeightClipping,
    WeightClippingConfig,
)
from plasticity.mitigations.seams import seams
from tests.plasticity.remedies import learn, state_of, subject_of
from tests.plasticity.subjects import IMAGE, dqn, sac

NORMALISED = seams({"nap": NaPConfig()}, (0,))


def work(agent: Agent, network: str, remedy: Mitigation[Any]) -> None:
    """Lets a remedy act after each step of the optimizer of a network."""
    optimizer = agent.learners()[network].optimizer
    optimizer.register_step_post_hook(lambda *_: remedy.after_step())


def spread(network: nn.Module, by: float = 5.0) -> None:
    """Draws every parameter from a wide distribution."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, by)


def test_weights_and_biases_are_clipped_by_the_inputs_of_their_layer() -> None:
    agent = dqn((0, 1), space=IMAGE, activation="adalin-relu", seams=NORMALISED)
    spread(agent.q)
    remedy = WeightClipping(WeightClippingConfig(kappa=2.0), subject_of(agent, (0, 1), space=IMAGE))
    before = state_of(agent)
    remedy.after_step()
    after = state_of(agent)
    bounds = {  # two channels of 3 x 3, 16 channels of 8 x 8, 8 units, 6 units
        "torso.convolutions.conv_1.weights": 2 / math.sqrt(18),
        "torso.dense.layer_1.weights": 2 / math.sqrt(1024),
        "torso.dense.layer_2.weights": 2 / math.sqrt(8),
        "head": 2 / math.sqrt(6),
    }
    for name, value in before.items():
        layer = name.removeprefix("q/").rpartition(".")[0]
        if name.startswith("q/") and layer in bounds and name.count("/") == 1:
            bound = bounds[layer]
            torch.testing.assert_close(after[name], value.clamp(-bound, bound))
            assert not torch.equal(after[name], value)
        else:
            assert torch.equal(after[name], value)  # norms, alphas, target


def test_the_clipped_share_counts_what_is_at_its_bound() -> None:
    agent = sac((0, 1))
    remedy = WeightClipping(WeightClippingConfig(), subject_of(agent, (0, 1), "critic"))
    assert remedy.report()["clipped_share"].tolist() == [0.0, 0.0]
    weight = agent.critic.get_parameter("torso.dense.layer_2.weights.weight")  # (2, 2, 6, 8)
    bias = agent.critic.head.bias  # (2, 2, 1)
    with torch.no_grad():
        weight[1, 0, 0, :3] = torch.tensor([9.0, -9.0, 3.0])
        bias[1, 1] = -9.0
    remedy.after_step()
    count = sum(p.numel() for p in agent.critic.parameters()) / 2
    assert remedy.report()["clipped_share"].tolist() == [0.0, pytest.approx(4 / count)]
    edge = 3 / math.sqrt(8)
    assert weight[1, 0, 0, :3].tolist() == pytest.approx([edge, -edge, edge])
    assert bias[1, 1].item() == pytest.approx(-3 / math.sqrt(6))


def test_clipping_holds_through_updates() -> None:
    agent = dqn(learning_rate=0.1)
    work(agent, "q", WeightClipping(WeightClippingConfig(kappa=1.0), subject_of(agent)))
    learn(agent, Streams((0,), "batches"), 10)
    head = agent.q.head.weight.abs().max()
    assert head.item() == pytest.approx(1 / math.sqrt(6))


def test_layers_of_pytorch_are_clipped() -> None:
    conv, dense = nn.Conv2d(2, 4, 3), nn.Linear(9, 2)
    network = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), dense)
    spread(network)
    subject = subject_of(dqn())
    subject.learner = Learner(network, torch.optim.SGD(network.parameters(), 0.0))
    remedy = WeightClipping(WeightClippingConfig(kappa=1.0), subject)
    remedy.after_step()
    for p, inputs in ((conv.weight, 18), (conv.bias, 18), (dense.weight, 9), (dense.bias, 9)):
        assert p is not None
        assert p.abs().max().item() == pytest.approx(1 / math.sqrt(inputs))
    assert 0 < remedy.report()["clipped_share"].item() <= 1


def test_a_network_without_layers_has_nothing_to_clip() -> None:
    with pytest.raises(ValueError, match="no dense or convolutional layers"):
        WeightClipping(WeightClippingConfig(), subject_of(sac(), network="temperature"))


def test_kappa_is_positive() -> None:
    with pytest.raises(ValueError, match="`kappa` should be positive. Received 0"):
        WeightClippingConfig(kappa=0)


def test_nap_has_layer_norms_in_its_networks() -> None:
    usual = Architecture((8, 6))
    of = seams({"nap": NaPConfig(networks=("critic",))}, (0,)).architecture
    assert of("critic", usual) == replace(usual, layer_norm=True)
    assert of("actor", usual) == usual
    with pytest.raises(ValueError, match="SimBa"):
        of("critic", replace(usual, simba=SimBaConfig()))


def test_nap_refuses_a_network_without_layer_norms() -> None:
    with pytest.raises(ValueError, match="layer layer_1 has no LayerNorm before its activation"):
        NaP(NaPConfig(), subject_of(dqn()))
    with pytest.raises(ValueError, match="no hidden layers"):
        NaP(NaPConfig(), subject_of(sac(), network="temperature"))


def norm(value: Tensor, lead: int) -> Any:
    """Frobenius norm of each copy by NumPy."""
    array = value.detach().double().numpy()
    return np.sqrt(np.square(array).sum(tuple(range(lead, array.ndim))))


@pytest.mark.parametrize("project_output", [False, True])
def test_weights_keep_their_first_norms_through_updates(project_output: bool) -> None:
    agent = dqn((0, 1), space=IMAGE, activation="adalin-relu", seams=NORMALISED, learning_rate=0.1)
    subject = subject_of(agent, (0, 1), space=IMAGE)
    work(agent, "q", NaP(NaPConfig(project_output=project_output), subject))
    first = {n: norm(p, 1) for n, p in agent.q.named_parameters() if n.endswith("weight")}
    assert first["head.weight"].shape == (2,)
    learn(agent, Streams((0, 1), "batches"), 4, space=IMAGE)
    for name, parameter in agent.q.named_parameters():
        if name in first:
            same = np.allclose(norm(parameter, 1), first[name], rtol=1e-5)
            assert same == (name != "head.weight" or project_output)
    for layer in ("convolutions.conv_1", "dense.layer_1", "dense.layer_2"):
        gain, bias = (agent.q.get_parameter(f"torso.{layer}.norm.{n}") for n in ("gain", "bias"))
        assert not torch.equal(bias, torch.zeros_like(bias))
        joint = norm(gain, 1) ** 2 + norm(bias, 1) ** 2
        np.testing.assert_allclose(joint, gain.shape[-1], rtol=1e-5)


def test_nap_projects_the_two_critics_of_a_seed_apart_and_nothing_else() -> None:
    agent = sac((0, 1), seams=NORMALISED, activation="adalin-relu")
    subject = subject_of(agent, (0, 1), "critic")
    remedy = NaP(NaPConfig(), subject)
    first = {n: norm(p, 2) for n, p in agent.critic.named_parameters() if n.endswith("weight")}
    weight = agent.critic.get_parameter("torso.dense.layer_1.weights.weight")  # (2, 2, 8, 6)
    gain = agent.critic.get_parameter("torso.dense.layer_1.norm.gain")
    offset = agent.critic.get_parameter("torso.dense.layer_1.norm.bias")
    with torch.no_grad():
        weight[1, 0] *= 3.0
        gain[0, 1] = 2.0
        offset[0, 1] = 1.0
    before, old = state_of(agent), weight.detach().clone()
    remedy.after_step()
    after = state_of(agent)
    # one of four copies of one of two layers was three times as large
    assert remedy.report()["norm_ratio"].tolist() == pytest.approx([1.0, (1 + (3 + 1) / 2) / 2])
    torch.testing.assert_close(weight[1, 0], old[1, 0] / 3)
    np.testing.assert_allclose(norm(weight, 2), first["torso.dense.layer_1.weights.weight"], 1e-6)
    torch.testing.assert_close(gain[0, 1], torch.full((8,), 2 / math.sqrt(5)))
    torch.testing.assert_close(offset[0, 1], torch.full((8,), 1 / math.sqrt(5)))
    for name in before:
        if name.startswith("critic/") and any(n in name for n in ("weights.weight", "norm")):
            continue
        assert torch.equal(before[name], after[name])


def test_weights_of_zeros_are_left_alone() -> None:
    agent = dqn(seams=NORMALISED)
    weight = agent.q.get_parameter("torso.dense.layer_1.weights.weight")
    gain = agent.q.get_parameter("torso.dense.layer_2.norm.gain")
    with torch.no_grad():
        weight.zero_()
    remedy = NaP(NaPConfig(), subject_of(agent))
    with torch.no_grad():
        weight.fill_(0.5)  # its first norm is 0
        gain.zero_()
    remedy.after_step()
    assert torch.equal(weight, torch.full_like(weight, 0.5))
    assert torch.equal(gain, torch.zeros_like(gain))
    assert bool(remedy.report()["norm_ratio"].isfinite().all())


def test_nap_goes_on_from_its_state() -> None:
    agent, other = dqn((0, 1), seams=NORMALISED), dqn((2, 3), seams=NORMALISED)
    remedy = NaP(NaPConfig(), subject_of(agent, (0, 1)))
    work(agent, "q", remedy)
    learn(agent, Streams((0, 1), "batches"), 2)
    resumed = NaP(NaPConfig(), subject_of(other, (2, 3)))
    resumed.load_state_dict(remedy.state_dict())
    assert torch.equal(resumed.report()["norm_ratio"], remedy.report()["norm_ratio"])
    other.q.load_state_dict(agent.q.state_dict())
    resumed.after_step()
    for p, q in zip(agent.q.parameters(), other.q.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-6, atol=0)


@pytest.mark.parametrize("kind", [NaP, WeightClipping])
def test_a_seed_is_the_same_alone_and_among_others(kind: Any) -> None:
    results = []
    for seeds in ((0,), (0, 1)):
        agent = sac(seeds, seams=NORMALISED, learning_rate=0.03)
        config = NaPConfig() if kind is NaP else WeightClippingConfig(kappa=0.5)
        work(agent, "critic", kind(config, subject_of(agent, seeds, "critic")))
        learn(agent, Streams(seeds, "batches"), 3)
        results.append(agent.critic)
    for p, q in zip(*(network.parameters() for network in results), strict=True):
        torch.testing.assert_close(p[0], q[0], rtol=1e-4, atol=1e-5)
