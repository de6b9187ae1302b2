"""Penalties on weights against autograd of the penalty as it is written, in float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from agents import saving
from plasticity.mitigations import Subject
from plasticity.mitigations.regularizers import (
    L2,
    L2Config,
    L2Init,
    L2InitConfig,
    Regularizer,
    Wasserstein,
    WassersteinConfig,
)
from tests.plasticity.penalties import KINDS, added, each, shift, subject, trained, weights
from tests.plasticity.remedies import subject_of
from tests.plasticity.subjects import attach, dqn, sac

Make = Callable[[Subject], Regularizer[Any]]

MAKE: dict[str, Make] = {
    "l2": lambda of: L2(L2Config(strength=0.1), of),
    "l2-init": lambda of: L2Init(L2InitConfig(strength=0.1), of),
    "wasserstein": lambda of: Wasserstein(WassersteinConfig(strength=0.1), of),
}
PENALTY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l2": lambda theta, _: 0.1 / 2 * (theta**2).sum(),
    "l2-init": lambda theta, first: 0.1 / 2 * ((theta - first) ** 2).sum(),
    "wasserstein": lambda theta, first: (
        0.1
        * ((theta.flatten().sort().values - first.flatten().sort().values) ** 2).sum()
        / theta.numel()
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MAKE)
def test_the_gradient_is_that_of_the_penalty(name: str, kind: str) -> None:
    of = subject(kind)
    first = {n: p.detach().clone() for n, p, _ in weights(of.network)}
    remedy = MAKE[name](of)
    shift(of)
    penalty = torch.zeros(of.num_seeds, dtype=torch.float64)
    expected = {n: torch.zeros_like(p) for n, p in of.network.named_parameters()}
    for path, parameter, lead in weights(of.network):
        pairs = list(zip(each(parameter, lead), each(first[path], lead), strict=True))
        values = torch.stack([PENALTY[name](theta, old) for theta, old in pairs])
        penalty += values.detach().view(of.num_seeds, -1).sum(1)
        (expected[path],) = torch.autograd.grad(values.sum(), parameter)
    assert len(expected) > len(first)  # alphas and normalisations, whose gradients stay 0
    found = added(of, remedy)
    for path, gradient in expected.items():
        torch.testing.assert_close(found[path], gradient, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(remedy.report()["penalty"], penalty)


def test_l2_init_adds_strength_times_the_distance_from_the_start() -> None:
    agent = dqn(hidden=(8,), activation="adalin-relu")
    remedies = attach(agent, {"l2-init": L2InitConfig(strength=0.1)})
    with torch.no_grad():
        for parameter in agent.q.parameters():
            parameter.add_(2.0)
            parameter.grad = torch.full_like(parameter, 1.0)
    count = sum(p.numel() for name, p in agent.q.named_parameters() if "alpha" not in name)
    assert remedies.report()["l2-init/q/penalty"].item() == pytest.approx(0.05 * 4 * count)
    agent.optimizer.step()
    for name, parameter in agent.q.named_parameters():
        expected = 1.0 if name.endswith("alpha") else 1.2  # alpha is left alone
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, torch.full_like(parameter, expected))


@pytest.mark.parametrize("kind", ["critic", "image"])
def test_wasserstein_leaves_weights_in_another_order_alone(kind: str) -> None:
    of = subject(kind)
    remedy = MAKE["wasserstein"](of)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _, parameter, lead in weights(of.network):
            for theta in each(parameter, lead):
                order = torch.randperm(theta.numel(), generator=generator)
                theta.copy_(theta.flatten()[order].view_as(theta))
    assert not any(gradient.any() for gradient in added(of, remedy).values())
    assert not remedy.report()["penalty"].any()


def test_wasserstein_does_not_mix_twins() -> None:
    of = subject("critic")
    remedy = MAKE["wasserstein"](of)
    with torch.no_grad():
        for _, parameter, _ in weights(of.network):
            parameter.copy_(parameter.flip(1))
    assert any(gradient.any() for gradient in added(of, remedy).values())


@pytest.mark.parametrize("kind", ["q", "critic", "image"])
@pytest.mark.parametrize("name", MAKE)
def test_a_seed_does_not_feel_the_others(name: str, kind: str) -> None:
    of = subject(kind)
    remedy = MAKE[name](of)
    shift(of)
    before = added(of, remedy)
    penalty = remedy.report()["penalty"]
    with torch.no_grad():
        for parameter in of.network.parameters():
            parameter[1].mul_(-3).add_(1)
    for path, gradient in added(of, remedy).items():
        assert torch.equal(gradient[0], before[path][0])
    after = remedy.report()["penalty"]
    assert after[0] == penalty[0]
    assert after[1] != penalty[1]


@pytest.mark.parametrize("name", MAKE)
def test_the_first_weights_are_in_the_state(name: str, tmp_path: Path) -> None:
    of, other = subject("critic"), subject("critic", (8, 9))
    remedy = MAKE[name](of)
    saving.save(tmp_path / "state", {"remedy": remedy.state_dict()})
    again = MAKE[name](other)
    other.network.load_state_dict(of.network.state_dict())
    again.load_state_dict(saving.load(tmp_path / "state")["remedy"])
    shift(of)
    shift(other)
    expected = added(of, remedy)
    assert any(gradient.any() for gradient in expected.values())
    for path, gradient in added(other, again).items():
        assert torch.equal(gradient, expected[path])


def test_what_has_no_gradient_gets_none() -> None:
    of = subject("q")
    for make in MAKE.values():
        make(of).before_step()
    assert all(parameter.grad is None for parameter in of.network.parameters())


@pytest.mark.parametrize("name", MAKE)
def test_a_network_without_layers_is_refused(name: str) -> None:
    of = subject_of(sac(), network="temperature")
    with pytest.raises(ValueError, match="it has no layers to regularise"):
        MAKE[name](of)


@pytest.mark.parametrize("config", [L2Config, L2InitConfig, WassersteinConfig])
def test_a_negative_strength_is_refused(config: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="`strength` should be at least 0. Received -1"):
        config(strength=-1)


@pytest.mark.parametrize("kind", ["q", "actor", "critic"])
@pytest.mark.parametrize(
    "make",
    [
        lambda of: L2(L2Config(strength=0), of),
        lambda of: L2Init(L2InitConfig(strength=0), of),
        lambda of: Wasserstein(WassersteinConfig(strength=0), of),
    ],
)
def test_strength_0_changes_nothing(make: Make, kind: str) -> None:
    plain, found = trained(None, kind), trained(make, kind)
    assert all(torch.equal(value, found[name]) for name, value in plain.items())
