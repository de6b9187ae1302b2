"""UPGD against its rule by hand and as a loop in NumPy."""

import re
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import DQN

from agents import Streams, saving
from agents.descent import Adam
from plasticity.mitigations.seams import seams
from plasticity.mitigations.upgd import UPGD, UPGDConfig
from tests.plasticity.subjects import batch, dqn, sac


def parameters(*shapes: tuple[int, ...], seed: int = 0) -> list[torch.nn.Parameter]:
    g = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(s, generator=g, dtype=torch.float64)) for s in shapes]


def gradients(params: list[torch.nn.Parameter], step: int) -> None:
    g = torch.Generator().manual_seed(100 + step)
    for p in params:
        p.grad = torch.randn(p.shape[1:], generator=g, dtype=torch.float64).expand_as(p).clone()


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def test_two_steps_by_hand() -> None:
    p = torch.nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
    optimizer = UPGD([p], lr=0.1, decay=0.5, weight_decay=0.2, sigma=0.0)
    p.grad = torch.tensor([-3.0, 1.0], dtype=torch.float64)
    optimizer.step()
    # U = (1.5, -1), M = 1.5; corrected by 1 - 0.5: (3, -2)
    first = 0.98 + 0.1 * 3 * (1 - sigmoid(3 / 1.5))
    second = 0.98 * 2 - 0.1 * 1 * (1 - sigmoid(-2 / 1.5))
    assert p.tolist() == pytest.approx([first, second], rel=1e-14)

    p.grad = torch.tensor([2.0, 4.0], dtype=torch.float64)
    optimizer.step()
    utility = [0.5 * 1.5 - 0.5 * 2 * first, 0.5 * -1 - 0.5 * 4 * second]  # both below 0
    largest = max(utility)
    first = 0.98 * first - 0.1 * 2 * (1 - sigmoid(utility[0] / 0.75 / largest))
    second = 0.98 * second - 0.1 * 4 * (1 - sigmoid(utility[1] / 0.75 / largest))
    assert largest < 0
    assert p.tolist() == pytest.approx([first, second], rel=1e-14)
    assert optimizer.state[p]["utility"].tolist() == pytest.approx(utility, rel=1e-14)


def test_ten_steps_of_two_seeds_with_noise_are_those_of_a_loop() -> None:
    params = parameters((2, 3, 4), (2, 3))
    noise = Streams([5, 9], "noise")
    optimizer = UPGD(params, 0.1, decay=0.9, sigma=0.5, streams=Streams([5, 9], "noise"))
    theta = [p.detach().numpy().copy() for p in params]
    utility = [np.zeros_like(x) for x in theta]
    for t in range(1, 11):
        gradients(params, t)
        optimizer.step()
        normal = noise.normal(15).double().numpy()  # 12 for the first, 3 for the second
        xi = [normal[:, :12].reshape(2, 3, 4), normal[:, 12:]]
        g = [p.grad.numpy() for p in params if p.grad is not None]
        for i in range(2):
            utility[i] = 0.9 * utility[i] - 0.1 * g[i] * theta[i]
        for s in range(2):
            largest = max(u[s].max() for u in utility)
            for i in range(2):
                q = 1 / (1 + np.exp(-utility[i][s] / (1 - 0.9**t) / largest))
                move = (g[i][s] + 0.5 * xi[i][s]) * (1 - q)
                theta[i][s] = (1 - 0.1 * 1e-3) * theta[i][s] - 0.1 * move
    for p, expected in zip(params, theta, strict=True):
        np.testing.assert_allclose(p.detach(), expected, rtol=1e-12, atol=1e-14)


def test_a_seed_is_the_same_alone_and_among_others() -> None:
    three = parameters((3, 4, 5), (3, 4))
    alone = [torch.nn.Parameter(p.detach()[1:2].clone()) for p in three]
    many = UPGD(three, 0.1, streams=Streams([3, 4, 5], "upgd"))
    one = UPGD(alone, 0.1, streams=Streams([4], "upgd"))
    for t in range(5):
        gradients(three, t)
        gradients(alone, t)
        many.step()
        one.step()
    assert all(torch.equal(p[1:2], q) for p, q in zip(three, alone, strict=True))
    assert not torch.equal(three[0][0], three[0][2])


def test_without_any_utility_the_gate_is_half() -> None:
    p = torch.nn.Parameter(torch.zeros(3))  # weights of 0 have no utility
    q = torch.nn.Parameter(torch.ones(2))  # has no gradient
    optimizer = UPGD([p, q], lr=0.1, weight_decay=0.0, sigma=0.0)
    optimizer.step()
    assert not optimizer.state
    p.grad = torch.tensor([1.0, -2.0, 4.0])
    optimizer.step()
    torch.testing.assert_close(p.detach(), torch.tensor([-0.05, 0.1, -0.2]))
    assert q.eq(1).all()


def test_it_goes_on_exactly_from_a_checkpoint(tmp_path: Path) -> None:
    params = parameters((2, 3, 4), (2, 3))
    optimizer = UPGD(params, 0.1, streams=Streams([0, 1], "upgd"))
    for t in range(3):
        gradients(params, t)
        optimizer.step()
    saving.save(tmp_path / "state", optimizer.state_dict())
    again = [torch.nn.Parameter(p.detach().clone()) for p in params]
    other = UPGD(again, 7.0, sigma=3.0, streams=Streams([8, 9], "upgd"))
    other.load_state_dict(saving.load(tmp_path / "state"))
    for t in range(3, 6):
        for some, stepping in ((params, optimizer), (again, other)):
            gradients(some, t)
            stepping.step()
    assert all(torch.equal(p, q) for p, q in zip(params, again, strict=True))


def test_agents_have_it_for_all_networks_but_the_temperature() -> None:
    agent = sac((0, 1), seams=seams({"upgd": UPGDConfig()}, (0, 1)))
    kinds = {name: type(of.optimizer) for name, of in agent.learners().items()}
    assert kinds == {"actor": UPGD, "critic": UPGD, "temperature": Adam}
    actor, critic = (agent.learners()[n].optimizer for n in ("actor", "critic"))
    assert isinstance(actor, UPGD)
    assert isinstance(critic, UPGD)
    assert not torch.equal(actor.streams.uniform(3), critic.streams.uniform(3))
    agent.update(batch(agent))
    only = UPGDConfig(networks=("critic",))
    agent = sac((0, 1), seams=seams({"upgd": only}, (0, 1)))
    assert type(agent.learners()["actor"].optimizer) is Adam


def test_settings_reach_the_optimizer_and_it_lowers_the_loss() -> None:
    config = UPGDConfig(decay=0.9, weight_decay=0.0, sigma=0.01)
    agent = dqn(seams=seams({"upgd": config}, (0,)), learning_rate=0.1)
    group = agent.optimizer.param_groups[0]
    assert {k: group[k] for k in ("lr", "decay", "weight_decay", "sigma")} == {
        "lr": 0.1, "decay": 0.9, "weight_decay": 0.0, "sigma": 0.01,
    }  # fmt: skip
    losses = [agent.update(batch(agent))["loss/q"].item() for _ in range(40)]
    assert losses[-1] < 0.9 * losses[0]


def test_it_is_an_optimizer_of_stable_baselines3(tmp_path: Path) -> None:
    def learned(**policy: Any) -> DQN:
        model = DQN(
            "MlpPolicy",
            "CartPole-v1",
            seed=3,
            learning_starts=20,
            batch_size=8,
            buffer_size=100,
            policy_kwargs={"net_arch": [8], "optimizer_class": UPGD, **policy},
            device="cpu",
        )
        return model.learn(60)

    model, again = learned(), learned()  # the global generator, which SB3 seeds, seeds the noise
    pairs = zip(model.policy.parameters(), again.policy.parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)
    other = learned(optimizer_kwargs={"seed": 1})
    pairs = zip(model.q_net.parameters(), other.q_net.parameters(), strict=True)
    assert not all(torch.equal(p, q) for p, q in pairs)
    model.save(tmp_path / "model")
    loaded = DQN.load(tmp_path / "model", device="cpu")
    mine, theirs = (m.policy.optimizer.state_dict() for m in (model, loaded))
    assert torch.equal(mine["state"][0]["utility"], theirs["state"][0]["utility"])
    assert torch.equal(mine["streams"][0], theirs["streams"][0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sigma": -1.0}, "`sigma` should be at least 0. Received -1.0"),
        ({"decay": 1.0}, "`decay` should be in [0, 1). Received 1.0"),
        ({"weight_decay": -0.1}, "`weight_decay` should be at least 0. Received -0.1"),
    ],
)
def test_bad_settings_are_refused(settings: Any, message: str) -> None:
    for make in (UPGDConfig, lambda **kw: UPGD(parameters((2,)), **kw)):
        with pytest.raises(ValueError, match=re.escape(message)):
            make(**settings)


def test_the_first_axis_must_be_that_of_the_seeds() -> None:
    with pytest.raises(ValueError, match="that of the 3 seeds. Received .* shape \\(2, 5\\)"):
        UPGD(parameters((3, 2), (2, 5)), streams=Streams([0, 1, 2], "upgd"))
    with pytest.raises(ValueError, match="`lr` should be positive. Received 0"):
        UPGD(parameters((2,)), lr=0)
