"""Kron against the library for each copy of a network alone."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_optimizer import Kron as Library
from torch import nn

from agents import Seams, Streams, saving
from agents.descent import Adam
from plasticity.mitigations.base import Subject
from plasticity.mitigations.kron import Kron, KronConfig
from plasticity.mitigations.seams import seams
from tests.plasticity.subjects import IMAGE, batch, dqn, sac


def parameters(*lead: int, seed: int = 0) -> list[nn.Parameter]:
    g = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(*lead, *s, generator=g)) for s in ((4, 4), (4, 1), (3,))]


def gradients(params: list[nn.Parameter], step: int) -> None:
    g = torch.Generator().manual_seed(100 + step)
    for p in params:
        p.grad = torch.randn(p.shape, generator=g)


def test_every_seed_and_twin_has_the_library_for_itself() -> None:
    params = parameters(2, 2)
    theirs = {
        (s, t): [nn.Parameter(p.detach()[s, t].clone()) for p in params]
        for s in range(2)
        for t in range(2)
    }
    library = {copy: Library(of, 0.1, weight_decay=0.2) for copy, of in theirs.items()}
    optimizer = Kron(params, 0.1, weight_decay=0.2, streams=Streams([3, 8], "k"), num_leading=2)
    draws = Streams([3, 8], "k")
    for step in range(5):
        gradients(params, step)
        for (s, t), of in theirs.items():
            for p, q in zip(params, of, strict=True):
                assert p.grad is not None
                q.grad = p.grad[s, t].clone()
        optimizer.step()
        seeds = draws.integers(1 << 32, 2)
        for (s, t), of in theirs.items():
            np.random.seed(int(seeds[s, t]))
            torch.manual_seed(int(seeds[s, t]))
            library[s, t].step()
            for p, q in zip(params, of, strict=True):
                torch.testing.assert_close(p[s, t], q, rtol=1e-6, atol=1e-7)
    state = optimizer.state[params[0]]
    assert state["momentum_buffer"].shape == (2, 2, 4, 4)
    assert [q.shape for q in state["preconditioner"].values()] == [(2, 2, 4, 4)] * 2
    factor = library[1, 0].state[theirs[1, 0][0]]["Q"][1]
    torch.testing.assert_close(state["preconditioner"][1][1, 0], factor)  # lives on in place


def test_global_generators_are_left_alone_and_do_not_matter() -> None:
    results = []
    for seed in (0, 1):
        np.random.seed(seed)
        torch.manual_seed(seed)
        before = np.random.get_state()[1].copy(), torch.get_rng_state()  # type: ignore[index]
        params = parameters(2)
        optimizer = Kron(params, 0.1, streams=Streams([0, 1], "kron"))
        for step in range(3):
            gradients(params, step)
            optimizer.step()
        assert np.array_equal(before[0], np.random.get_state()[1])  # type: ignore[index]
        assert torch.equal(before[1], torch.get_rng_state())
        results.append(params)
    assert all(torch.equal(p, q) for p, q in zip(*results, strict=True))


def test_a_seed_is_the_same_alone_and_among_others() -> None:
    three = parameters(3)
    alone = [nn.Parameter(p.detach()[1:2].clone()) for p in three]
    many = Kron(three, 0.1, streams=Streams([3, 4, 5], "kron"))
    one = Kron(alone, 0.1, streams=Streams([4], "kron"))
    for step in range(5):
        gradients(three, step)
        for p, q in zip(three, alone, strict=True):
            assert p.grad is not None
            q.grad = p.grad[1:2].clone()
        many.step()
        one.step()
    assert all(torch.equal(p[1:2], q) for p, q in zip(three, alone, strict=True))


def test_it_goes_on_exactly_from_a_checkpoint(tmp_path: Path) -> None:
    params = parameters(2)
    optimizer = Kron(params, 0.1, streams=Streams([0, 1], "kron"))
    saving.save(tmp_path / "new", optimizer.state_dict())
    optimizer.load_state_dict(saving.load(tmp_path / "new"))
    for step in range(3):
        gradients(params, step)
        params[1].grad = None  # learns later
        optimizer.step()
    saving.save(tmp_path / "state", optimizer.state_dict())
    again = [nn.Parameter(p.detach().clone()) for p in params]
    other = Kron(again, 5.0, streams=Streams([8, 9], "kron"))
    gradients(again, 0)
    other.step()  # has a state of its own
    with torch.no_grad():
        for p, q in zip(again, params, strict=True):
            p.copy_(q)
    other.load_state_dict(saving.load(tmp_path / "state"))
    for step in range(3, 6):
        for some, stepping in ((params, optimizer), (again, other)):
            gradients(some, step)
            stepping.step()
    assert all(torch.equal(p, q) for p, q in zip(params, again, strict=True))


def test_zeroed_moments_leave_the_preconditioner_alone() -> None:
    agent = dqn(hidden=(8, 8), seams=seams({"kron": KronConfig()}, (0,)))
    agent.update(batch(agent))
    none: Any = None
    subject = Subject("q", agent.learners()["q"], Streams([0], "s"), none, none, none)
    for p in agent.q.parameters():  # one is square, like its factors
        subject.zero_moments(p)
        state = agent.optimizer.state[p]
        assert state["momentum_buffer"].eq(0).all()
        assert all(q.ne(0).any() for q in state["preconditioner"].values())
    before = [p.detach().clone() for p in agent.q.parameters()]
    agent.update(batch(agent))
    assert not any(torch.equal(p, q) for p, q in zip(agent.q.parameters(), before, strict=True))


def test_the_learning_rate_of_a_group_counts_and_groups_can_join() -> None:
    params = parameters(2)
    optimizer = Kron(params[:2], 0.1, streams=Streams([0, 1], "kron"))
    optimizer.add_param_group({"params": params[2:], "lr": 0.0})
    before = [p.detach().clone() for p in params]
    gradients(params, 0)
    optimizer.step()
    assert not torch.equal(params[0], before[0])
    assert torch.equal(params[2], before[2])
    optimizer.param_groups[1]["lr"] = 0.1
    optimizer.step()
    assert not torch.equal(params[2], before[2])


def test_agents_train_with_it() -> None:
    config = KronConfig(weight_decay=0.1)
    agent = sac((0, 1), activation="adalin-relu", seams=_seams(config), learning_rate=1e-2)
    kinds = {name: type(of.optimizer) for name, of in agent.learners().items()}
    assert kinds == {"actor": Kron, "critic": Kron, "temperature": Adam}
    actor, critic = (agent.learners()[n].optimizer for n in ("actor", "critic"))
    assert isinstance(actor, Kron)
    assert isinstance(critic, Kron)
    assert (len(actor.copies), len(critic.copies)) == (2, 4)
    assert actor.param_groups[0]["weight_decay"] == 0.1
    one = batch(agent)
    one = one._replace(discount=torch.zeros_like(one.discount))
    losses = [agent.update(one)["loss/critic"].sum().item() for _ in range(40)]
    assert losses[-1] < 0.7 * losses[0]


def test_convolutions_train_with_it() -> None:
    agent = dqn((0, 1), space=IMAGE, seams=_seams(KronConfig()))
    for _ in range(2):
        agent.update(batch(agent, space=IMAGE))
    assert all(p.isfinite().all() for p in agent.q.parameters())


@pytest.mark.parametrize("library", ["pytorch_optimizer", "opt_einsum"])
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ValueError, match=r"opt-einsum: pip install 'adalin-rl\[kron\]'"):
        dqn(seams=_seams(KronConfig()))


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`momentum` should be in \[0, 1\). Received 1"):
        KronConfig(momentum=1.0)


def _seams(config: KronConfig) -> Seams:
    return seams({"kron": config}, (0, 1))
