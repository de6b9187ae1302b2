"""TRAC against a plain implementation in NumPy, and erfi against SciPy."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch
from torch import nn

from agents import Streams, saving
from agents.descent import Adam
from plasticity.mitigations.base import Subject
from plasticity.mitigations.seams import seams
from plasticity.mitigations.trac import TRAC, TRACConfig, erfi
from plasticity.mitigations.upgd import UPGD
from tests.plasticity.subjects import attach, batch, dqn, sac


def parameters(num_seeds: int = 2) -> list[nn.Parameter]:
    """Of the same values for every seed; some start at 0, as biases of other code do."""
    g = torch.Generator().manual_seed(0)
    shapes = ((1, 3, 2), (1, 3))
    first = [torch.randn(s, generator=g, dtype=torch.float64) for s in shapes]
    first[1].zero_()
    return [nn.Parameter(x.repeat(num_seeds, *(1,) * (x.dim() - 1))) for x in first]


def gradients(params: list[nn.Parameter], step: int, seeds: tuple[int, ...] = (0, 1)) -> None:
    """Mostly one direction, so that the scale grows; other seeds have other ones."""
    for p in params:
        rows = []
        for seed in seeds:
            steady = torch.Generator().manual_seed(seed)
            noisy = torch.Generator().manual_seed(1000 * (seed + 1) + step)
            rows.append(
                torch.randn(p.shape[1:], generator=steady, dtype=torch.float64)
                + 0.3 * torch.randn(p.shape[1:], generator=noisy, dtype=torch.float64)
            )
        p.grad = torch.stack(rows)


class Plain:
    """TRAC around Adam for one seed: lists of arrays, SciPy's erfi."""

    def __init__(self, theta: list[Any], lr: float) -> None:
        self.theta, self.ref, self.lr = theta, [x.copy() for x in theta], lr
        self.m, self.v = ([np.zeros_like(x) for x in theta] for _ in range(2))
        self.betas = np.array([0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999])
        self.sigma, self.variance, self.s = np.full(6, 1e-8), np.zeros(6), np.zeros(6)
        self.t = 0

    def step(self, gradients: list[Any]) -> None:
        self.t += 1
        delta = [(x - r) / (self.s.sum() + 1e-8) for x, r in zip(self.theta, self.ref, strict=True)]
        h = sum(float((g * d).sum()) for g, d in zip(gradients, delta, strict=True))
        for i, g in enumerate(gradients):
            self.m[i] = 0.9 * self.m[i] + 0.1 * g
            self.v[i] = 0.999 * self.v[i] + 0.001 * g**2
            corrected = np.sqrt(self.v[i] / (1 - 0.999**self.t)) + 1e-8
            delta[i] = delta[i] - self.lr * self.m[i] / (1 - 0.9**self.t) / corrected
        self.variance = self.betas**2 * self.variance + h**2
        self.sigma = self.betas * self.sigma - h
        argument = self.sigma / (np.sqrt(2) * np.sqrt(self.variance) + 1e-8)
        one = scipy.special.erfi(1 / np.sqrt(2))
        self.s = 1e-8 / one * scipy.special.erfi(argument)
        scale = max(self.s.sum(), 0.0)
        self.theta = [r + scale * d for r, d in zip(self.ref, delta, strict=True)]


def test_erfi_is_scipys() -> None:
    small = 10.0 ** torch.arange(-300, 0, 7, dtype=torch.float64)
    x = torch.cat((torch.linspace(-10, 10, 1001, dtype=torch.float64), small))
    np.testing.assert_allclose(erfi(x), scipy.special.erfi(x.numpy()), rtol=1e-12, atol=0)
    beyond = erfi(torch.tensor([50.0, -math.inf], dtype=torch.float64))
    assert beyond.tolist() == [erfi(x[1000]).item(), erfi(x[0]).item()]


def test_twenty_steps_around_adam_are_those_of_the_plain_implementation() -> None:
    params = parameters()
    plain = [Plain([p.detach()[s].numpy().copy() for p in params], 10.0) for s in range(2)]
    optimizer = TRAC(torch.optim.Adam(params, 10.0), 2)
    for step in range(20):
        gradients(params, step)
        optimizer.step()
        for s in range(2):
            plain[s].step([p.grad[s].numpy() for p in params if p.grad is not None])
            for p, expected in zip(params, plain[s].theta, strict=True):
                np.testing.assert_allclose(p.detach()[s], expected, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(optimizer.tuner["s"][s], plain[s].s, rtol=1e-5)
    assert optimizer.scale.min() > 5e-6  # it has grown from 1e-7
    assert not torch.allclose(optimizer.scale[0], optimizer.scale[1], rtol=1e-3)


def test_the_first_step_is_tiny_and_a_scale_below_0_returns_to_the_reference() -> None:
    p = nn.Parameter(torch.tensor([3.0, 0.0], dtype=torch.float64))
    first = p.detach().clone()
    optimizer = TRAC(torch.optim.SGD([p], 1.0))
    p.grad = torch.tensor([-5.0, 2.0], dtype=torch.float64)
    optimizer.step()
    betas = np.array([0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999])
    scale = 1e-8 * scipy.special.erfi(betas).sum() / scipy.special.erfi(1 / np.sqrt(2))
    assert optimizer.scale.tolist() == pytest.approx([scale], rel=1e-12)
    assert (p.detach() - first).tolist() == pytest.approx([5 * scale, -2 * scale], rel=1e-8)
    p.grad.neg_()  # the step before was wrong
    optimizer.step()
    assert optimizer.tuner["s"].sum() < 0
    assert optimizer.scale.tolist() == [0.0]
    assert torch.equal(p.detach(), first)
    optimizer.tuner["s"].fill_(0)
    optimizer.tuner["s"][0, 0] = -1e-8  # S + eps is 0, and so is the displacement
    optimizer.step()
    assert p.isfinite().all()
    assert optimizer.scale.isfinite().all()


def test_a_seed_is_the_same_alone_and_among_others() -> None:
    three, alone = parameters(3), parameters(1)
    many, one = TRAC(torch.optim.Adam(three, 1.0), 3), TRAC(torch.optim.Adam(alone, 1.0), 1)
    for step in range(10):
        gradients(three, step, (4, 5, 6))
        gradients(alone, step, (5,))
        many.step()
        one.step()
    torch.testing.assert_close(many.scale[1:2], one.scale, rtol=1e-9, atol=0)
    for p, q in zip(three, alone, strict=True):
        torch.testing.assert_close(p[1:2], q, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("base", ["adam", "upgd"])
def test_it_goes_on_exactly_from_a_checkpoint(tmp_path: Path, base: str) -> None:
    def made(params: list[nn.Parameter], lr: float) -> TRAC:
        if base == "upgd":
            return TRAC(UPGD(params, lr, streams=Streams([0, 1], "upgd")), 2)
        return TRAC(torch.optim.Adam(params, lr), 2)

    params = parameters()
    optimizer = made(params, 1.0)
    saving.save(tmp_path / "new", optimizer.state_dict())
    optimizer.load_state_dict(saving.load(tmp_path / "new"))
    for step in range(3):
        gradients(params, step)
        optimizer.step()
    saving.save(tmp_path / "state", optimizer.state_dict())
    again = [nn.Parameter(p.detach().clone()) for p in params]
    other = made(again, 5.0)
    other.load_state_dict(saving.load(tmp_path / "state"))
    for step in range(3, 6):
        for some, stepping in ((params, optimizer), (again, other)):
            gradients(some, step)
            stepping.step()
    assert all(torch.equal(p, q) for p, q in zip(params, again, strict=True))
    assert torch.equal(optimizer.scale, other.scale)


def test_it_is_one_optimizer_with_its_base() -> None:
    params = parameters()
    base = torch.optim.Adam(params[:1], 1.0)
    optimizer = TRAC(base, 2)
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.add_param_group({"params": params[1:], "lr": 3.0})
    assert [group["lr"] for group in base.param_groups] == [1.0, 3.0]
    for group in optimizer.param_groups:
        group["lr"] *= 2
    assert [group["lr"] for group in base.param_groups] == [2.0, 6.0]
    gradients(params, 0)
    optimizer.step()
    assert optimizer.state[params[1]]["exp_avg"] is base.state[params[1]]["exp_avg"]
    assert set(optimizer.ref) == set(params)
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)
    before = [p.detach().clone() for p in params]
    optimizer.step()  # nothing to learn
    assert all(torch.equal(p, q) for p, q in zip(params, before, strict=True))


def test_hooks_run_before_the_gradient_is_read_and_after_the_weights_are_final() -> None:
    params, others = parameters(), parameters()
    optimizer, other = (TRAC(torch.optim.Adam(p, 1.0), 2) for p in (params, others))
    seen: list[torch.Tensor] = []

    def double(*_: Any) -> None:
        for p in params:
            assert p.grad is not None
            p.grad.mul_(2)

    optimizer.register_step_pre_hook(double)
    optimizer.register_step_post_hook(lambda *_: seen.append(params[0].detach().clone()))
    for step in range(4):
        gradients(params, step)
        optimizer.step()
        assert torch.equal(seen[-1], params[0])
        gradients(others, step)
        for p in others:
            assert p.grad is not None
            p.grad.mul_(2)
        other.step()
    assert len(seen) == 4
    assert torch.equal(params[0], others[0])
    assert torch.equal(optimizer.scale, other.scale)


def test_zeroed_moments_leave_the_references_alone() -> None:
    agent = dqn((0, 1), seams=seams({"trac": TRACConfig()}, (0, 1)))
    agent.update(batch(agent))
    p = next(agent.q.parameters())
    optimizer = agent.optimizer
    assert isinstance(optimizer, TRAC)
    ref = optimizer.ref[p].clone()
    none: Any = None
    subject = Subject("q", agent.learners()["q"], Streams([0, 1], "s"), none, none, none)
    subject.zero_moments(p)
    assert optimizer.state[p]["exp_avg"].eq(0).all()
    assert optimizer.state[p]["exp_avg_sq"].eq(0).all()
    assert torch.equal(optimizer.ref[p], ref)
    assert ref.ne(0).any()


def test_it_learns_once_the_scale_has_grown() -> None:
    agent = dqn((0, 1), hidden=(64, 64), seams=seams({"trac": TRACConfig()}, (0, 1)))
    remedies = attach(agent, {"trac": TRACConfig()})
    one = batch(agent)
    one = one._replace(discount=torch.zeros_like(one.discount))
    losses = [agent.update(one)["loss/q"].sum().item() for _ in range(120)]
    assert losses[-1] < 0.5 * losses[0]
    (scale,) = remedies.report().values()
    assert scale.shape == (2,)
    assert scale.min() > 0.1


def test_agents_have_it_for_all_networks_but_the_temperature() -> None:
    agent = sac((0, 1), seams=seams({"trac": TRACConfig()}, (0, 1)))
    kinds = {name: type(of.optimizer) for name, of in agent.learners().items()}
    assert kinds == {"actor": TRAC, "critic": TRAC, "temperature": Adam}
    remedies = attach(agent, {"trac": TRACConfig()})
    agent.update(batch(agent))
    assert set(remedies.report()) == {"trac/actor/scale", "trac/critic/scale"}


def test_other_optimizers_have_no_scale() -> None:
    with pytest.raises(ValueError, match="mitigation trac, network q: .*TRAC.* Received Adam"):
        attach(dqn(), {"trac": TRACConfig()})


def test_the_first_axis_must_be_that_of_the_seeds() -> None:
    with pytest.raises(ValueError, match="that of the 3 seeds. Received .* shape \\(2, 3, 2\\)"):
        TRAC(torch.optim.Adam(parameters(2)), 3)
