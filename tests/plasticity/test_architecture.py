"""Remedies that are networks of another make: what is built, and that it trains."""

import re
from typing import Any

import pytest
import torch
from torch import nn

from agents import Seams
from agents.descent import Adam
from networks import AdaLin
from networks.norms import LayerNorm
from networks.simba import Block, RunningNorm, SimBa
from networks.torsos import Layer
from plasticity.mitigations.architecture import (
    LayerNormConfig,
    SimBaRemedyConfig,
)
from plasticity.mitigations.seams import seams
from tests.plasticity.subjects import IMAGE, attach, batch, dqn, sac

SMALL = SimBaRemedyConfig(actor_width=4, critic_width=8)


def normalised(config: LayerNormConfig) -> Seams:
    return seams({"layer-norm": config}, (0,))


def residual(config: SimBaRemedyConfig, num_seeds: int = 1) -> Seams:
    return seams({"simba": config}, range(num_seeds))


def of_kind(network: nn.Module, kind: type[nn.Module]) -> list[Any]:
    return [module for module in network.modules() if isinstance(module, kind)]


def train(agent: Any, **options: Any) -> None:
    """Three updates, after which every parameter has changed."""
    first = {n: [p.detach().clone() for p in of.network.parameters()] for n, of in networks(agent)}
    for _ in range(3):
        agent.update(batch(agent, **options))
    for name, of in networks(agent):
        for p, q in zip(of.network.parameters(), first[name], strict=True):
            assert not torch.equal(p, q)


def networks(agent: Any) -> list[Any]:
    return [(n, of) for n, of in agent.learners().items() if of.inputs is not None]


def test_layer_norm_comes_before_every_activation() -> None:
    agent = dqn((0, 1), space=IMAGE, activation="adalin-relu", seams=normalised(LayerNormConfig()))
    layers = of_kind(agent.q, Layer)
    assert len(layers) == 3  # one convolution, two dense
    for layer in layers:
        assert [type(part) for part in layer][1:] == [LayerNorm, AdaLin]
    train(agent, space=IMAGE)


def test_layer_norm_of_one_network_leaves_the_other_as_it_is() -> None:
    agent = sac(seams=normalised(LayerNormConfig(networks=("critic",))))
    assert not of_kind(agent.actor, LayerNorm)
    assert len(of_kind(agent.critic, LayerNorm)) == 2
    assert len(of_kind(agent.target, LayerNorm)) == 2


def test_simba_has_the_size_of_its_network() -> None:
    agent = sac((0, 1), seams=residual(SMALL, 2))
    sizes = {}
    for name, of in networks(agent):
        (torso,) = of_kind(of.network, SimBa)
        sizes[name] = len(of_kind(torso, Block)), torso.num_features
    assert sizes == {"actor": (1, 4), "critic": (2, 8)}
    kinds = {name: type(of.optimizer) for name, of in agent.learners().items()}
    adamw, usual = torch.optim.AdamW, Adam
    assert kinds == {"actor": adamw, "critic": adamw, "temperature": usual}
    train(agent)
    other = dqn(seams=residual(SMALL))
    (torso,) = of_kind(other.q, SimBa)
    assert (len(of_kind(torso, Block)), torso.num_features) == (2, 8)
    train(other)


def test_the_papers_sizes_are_the_defaults() -> None:
    usual = sac().actor.torso  # two layers, which SimBa replaces
    assert len(of_kind(usual, Layer)) == 2
    agent = sac(seams=residual(SimBaRemedyConfig(networks=("actor",))))
    assert agent.actor.torso.num_features == 128
    assert not of_kind(agent.critic, SimBa)
    assert type(agent.critic_optimizer) is Adam
    agent = sac(seams=residual(SimBaRemedyConfig(networks=("critic",))))
    assert agent.critic.torso.num_features == 512
    assert agent.critic_optimizer.param_groups[0]["weight_decay"] == 1e-2


def test_everything_decays_as_with_the_authors() -> None:
    config = SimBaRemedyConfig(critic_width=8, weight_decay=0.1)
    agent = dqn(activation="adalin-relu", seams=residual(config), learning_rate=0.5)
    with torch.no_grad():
        for p in agent.q.parameters():
            p.fill_(2.0)
            p.grad = torch.zeros_like(p)
    agent.optimizer.step()
    for p in agent.q.parameters():
        torch.testing.assert_close(p.detach(), torch.full_like(p, 2 * (1 - 0.5 * 0.1)))


def test_network_and_target_learn_the_statistics_of_observations() -> None:
    agent = sac((0, 1), seams=residual(SMALL, 2))
    remedies = attach(agent, {"simba": SMALL})
    obs = torch.randn(2, 5, 4) * torch.tensor([1.0, 3.0]).view(2, 1, 1) + 1
    remedies.observe(obs[:, :2].numpy())
    remedies.observe(obs[:, 2:].numpy())
    for network in (agent.actor, agent.critic, agent.target):
        (norm,) = of_kind(network, RunningNorm)
        for s in range(2):
            mean, var = obs[s].mean(0), obs[s].var(0, correction=0)
            torch.testing.assert_close(norm.mean[s], mean.expand_as(norm.mean[s]))
            torch.testing.assert_close(norm.var[s], var.expand_as(norm.var[s]))
    other = sac((0, 1), seams=residual(SMALL, 2))
    other.load_state_dict(agent.state_dict())
    (norm,) = of_kind(other.target, RunningNorm)
    assert norm.count.eq(5).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"actor_blocks": 0}, "`actor_blocks` should be at least 1. Received 0"),
        ({"critic_width": 0}, "`critic_width` should be at least 1. Received 0"),
        ({"weight_decay": -1.0}, "`weight_decay` should be at least 0. Received -1.0"),
    ],
)
def test_bad_settings_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        SimBaRemedyConfig(**settings)


def test_simba_takes_no_images_and_no_further_normalisation() -> None:
    with pytest.raises(ValueError, match="SimBa needs vector observations"):
        dqn(space=IMAGE, seams=residual(SMALL))
    both = {"simba": SMALL, "layer-norm": LayerNormConfig()}
    with pytest.raises(ValueError, match="`layer_norm` should be False with SimBa"):
        dqn(seams=seams(both, (0,)))
