"""DQN: targets by hand, equality with stable-baselines3, independence of the seeds."""

import copy
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import DQN as SB3DQN
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from agents import DQN, Batch, DQNConfig, Replay

BOX, TWO = gym.spaces.Box(-1, 1, (4,)), gym.spaces.Discrete(2)


def random_batch(num_seeds: int, size: int, seed: int = 0) -> Batch:
    g = torch.Generator().manual_seed(seed)
    return Batch(
        torch.randn(num_seeds, size, 4, generator=g),
        torch.randint(2, (num_seeds, size), generator=g),
        torch.randn(num_seeds, size, generator=g),
        0.99 * (torch.rand(num_seeds, size, generator=g) > 0.2),
        torch.randn(num_seeds, size, 4, generator=g),
    )


def constant_q(network: Any, values: list[float]) -> None:
    """Makes a Q-network answer the same values everywhere."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.head.bias.copy_(torch.tensor(values))


@pytest.mark.parametrize(("double", "value"), [(True, 3.0), (False, 5.0)])
def test_loss_of_three_transitions_by_hand(double: bool, value: float) -> None:
    """Terminal, truncated and a window of three steps, stored and sampled as in a run."""
    config = DQNConfig(hidden=(), double=double, loss="mse", gamma=0.5)
    agent = DQN(BOX, TWO, [0], config)
    constant_q(agent.q, [1.0, 0.0])  # greedy action 0
    constant_q(agent.target, [3.0, 5.0])  # whose target value is 3; the largest is 5
    rewards, discounts = [10.0, 20.0, 1 + 0.5 * 2 + 0.25 * 4], [0.0, 0.5, 0.125]
    zeros = torch.zeros(1, 3, 4)
    batch = Batch(
        zeros,
        torch.tensor([[0, 0, 1]]),
        torch.tensor([rewards]),
        torch.tensor([discounts]),
        zeros,
    )
    targets = np.array(rewards) + np.array(discounts) * value
    expected = np.mean((np.array([1.0, 1.0, 0.0]) - targets) ** 2)
    loss, td_error = agent.loss(batch)
    assert loss.item() == pytest.approx(expected)
    assert td_error.item() == pytest.approx(np.mean(np.abs(np.array([1.0, 1.0, 0.0]) - targets)))


def test_huber_has_its_corner_at_one() -> None:
    agent = DQN(BOX, TWO, [0], DQNConfig(hidden=(), loss="huber"))
    constant_q(agent.q, [0.0, 0.0])
    batch = random_batch(1, 2)._replace(
        reward=torch.tensor([[0.5, 3.0]]), discount=torch.zeros(1, 2)
    )
    assert agent.loss(batch)[0].item() == pytest.approx((0.5 * 0.25 + 2.5) / 2)


def test_update_equals_stable_baselines3() -> None:
    sb3 = SB3DQN("MlpPolicy", "CartPole-v1", learning_rate=1e-3, policy_kwargs={"net_arch": [8, 8]})
    sb3.set_logger(Logger(None, []))
    config = DQNConfig(
        hidden=(8, 8),
        learning_rate=1e-3,
        double=False,
        loss="huber",
        max_grad_norm=10.0,
        target_every=1000,  # stable-baselines3 moves its target outside `train`
    )
    agent = DQN(BOX, TWO, [0], config, activation="relu")
    for mine, theirs in ((agent.q, sb3.q_net), (agent.target, sb3.q_net_target)):
        with torch.no_grad():
            for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
                b.add_(torch.randn_like(b) * 0.1)
                a.copy_(b.unsqueeze(0))
    for step in range(3):
        batch = random_batch(1, 16, seed=step)
        samples = ReplayBufferSamples(
            batch.obs[0],
            batch.action[0].unsqueeze(-1),
            batch.next_obs[0],
            (batch.discount[0] == 0).float().unsqueeze(-1),
            batch.reward[0].unsqueeze(-1),
        )
        sb3.replay_buffer.sample = lambda *_, s=samples, **__: s  # type: ignore[union-attr, method-assign]  # feed the same batch
        sb3.train(1, 16)
        loss = agent.update(batch)["loss/q"].item()
        assert loss == pytest.approx(sb3.logger.name_to_value["train/loss"], abs=1e-5)
        sb3.logger.name_to_value.clear()
    for a, b in zip(agent.q.parameters(), sb3.q_net.parameters(), strict=True):
        torch.testing.assert_close(a[0], b, rtol=0, atol=1e-5)


def test_seed_three_alone_learns_as_among_five() -> None:
    many = DQN(BOX, TWO, range(5), DQNConfig(hidden=(16, 16)))
    one = DQN(BOX, TWO, [3], DQNConfig(hidden=(16, 16)))
    obs = np.random.default_rng(0).normal(size=(5, 2, 4)).astype(np.float32)
    for step in range(100):
        batch = random_batch(5, 32, seed=step)
        metrics = many.update(batch)
        alone = one.update(Batch(*(x[3:4] for x in batch)))
        assert np.array_equal(many.act(obs, 10 * step)[3:4], one.act(obs[3:4], 10 * step))
        torch.testing.assert_close(metrics["loss/q"][3:4], alone["loss/q"], rtol=1e-4, atol=1e-5)
    for a, b in zip(many.q.parameters(), one.q.parameters(), strict=True):
        torch.testing.assert_close(a[3:4], b, rtol=1e-4, atol=1e-5)


def test_gradients_are_clipped_for_each_seed_alone() -> None:
    agent = DQN(BOX, TWO, [0, 1], DQNConfig(hidden=(8,), max_grad_norm=1e-3))
    batch = random_batch(2, 8)
    batch = batch._replace(reward=batch.reward * torch.tensor([[100.0], [1e-6]]))
    batch = batch._replace(discount=torch.zeros(2, 8))
    constant_q(agent.q, [0.0, 0.0])
    norm = agent.update(batch)["grad_norm/q"]
    clipped = torch.stack(
        [p.grad.flatten(1).square().sum(1) for p in agent.q.parameters() if p.grad is not None]
    )
    after = clipped.sum(0).sqrt()
    assert norm[0] > 1e-3 > norm[1]
    assert after[0].item() == pytest.approx(1e-3, rel=1e-2)
    assert after[1].item() == pytest.approx(norm[1].item())


def test_target_moves_when_and_as_far_as_told() -> None:
    agent = DQN(BOX, TWO, [0], DQNConfig(hidden=(), target_every=2, tau=0.25))
    first = agent.target.head.weight.clone()
    agent.update(random_batch(1, 8))
    assert torch.equal(agent.target.head.weight, first)
    agent.update(random_batch(1, 8))
    expected = first + 0.25 * (agent.q.head.weight - first)
    torch.testing.assert_close(agent.target.head.weight, expected)


def test_epsilon_falls_linearly_and_exploration_follows_it() -> None:
    config = DQNConfig(epsilon_steps=100, epsilon_end=0.2, learning_starts=0)
    agent = DQN(BOX, TWO, [0], config)
    assert [agent.epsilon(s) for s in (0, 50, 100, 999)] == pytest.approx([1.0, 0.6, 0.2, 0.2])
    constant_q(agent.q, [0.0, 1.0])
    actions = agent.act(np.zeros((1, 4000, 4), np.float32), step=100)
    assert np.mean(actions == 0) == pytest.approx(0.1, abs=0.02)  # half of the random ones


def test_state_survives_a_round_trip() -> None:
    a, b = (DQN(BOX, TWO, [s], DQNConfig(hidden=(8,))) for s in (0, 1))
    a.update(random_batch(1, 8))
    b.load_state_dict(copy.deepcopy(a.state_dict()))
    for agent in (a, b):
        agent.update(random_batch(1, 8, seed=5))
    for x, y in zip(a.q.parameters(), b.q.parameters(), strict=True):
        assert torch.equal(x, y)
    obs = np.zeros((1, 9, 4), np.float32)
    assert np.array_equal(a.act(obs, 0), b.act(obs, 0))


def assert_compiled_equals_eager(target_every: int, rates: Sequence[float]) -> None:
    config = DQNConfig(hidden=(8,), n_step=2, target_every=target_every, max_grad_norm=0.1)
    agents = [DQN(BOX, TWO, [0, 1], config) for _ in range(2)]
    replay = Replay(99, [0, 1], 1, (4,), torch.float32, (), torch.int64, gamma=0.9, n_step=2)
    for step in range(20):
        b = random_batch(1, 2, seed=step)
        ended = torch.tensor([step % 7 == 6] * 2)
        replay.add(b.obs[0], b.action[0], b.reward[0], b.next_obs[0], ended, ended)
    agents[0].compile()
    for rate in rates:
        for agent in agents:
            agent.optimizer.param_groups[0]["lr"] = rate
        places = replay.draw(8)
        metrics = [agent.update(places, gather=replay.gather) for agent in agents]
        for name in metrics[0]:
            torch.testing.assert_close(metrics[0][name], metrics[1][name], rtol=1e-4, atol=1e-5)
    for attribute in ("q", "target"):
        for a, b in zip(*(getattr(x, attribute).parameters() for x in agents), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    state = agents[0].optimizer.state_dict()["state"]
    assert all(s["step"] == len(rates) for s in state.values())
    obs = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    for step in (0, 9_000):
        one, other = (agent.act(obs, step) for agent in agents)
        assert np.array_equal(one, other)


def test_compiled_update_equals_eager() -> None:
    assert_compiled_equals_eager(1, [1e-3] * 3)


@pytest.mark.usefixtures("traced")
def test_settings_may_change_between_compiled_updates() -> None:
    assert_compiled_equals_eager(2, [1e-3] * 3 + [0.1] * 2)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("compiled", [False, True])
def test_acting_in_the_call_of_an_update_is_acting_after_it(compiled: bool) -> None:
    agents = [DQN(BOX, TWO, [0, 1], DQNConfig(hidden=(8,), learning_starts=9)) for _ in range(2)]
    if compiled:
        agents[0].compile()
    obs = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    for seed in range(3):
        batch = random_batch(2, 8, seed=seed)
        together, action = agents[0].update_and_act(obs, 4_000, batch)
        assert together.keys() == agents[1].update(batch).keys()
        np.testing.assert_allclose(action, agents[1].act(obs, 4_000), rtol=0)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("compiled", [False, True])
def test_several_updates_in_one_call_are_those_one_by_one(compiled: bool) -> None:
    config = DQNConfig(hidden=(8,), target_every=4, max_grad_norm=0.1)  # first of the second call
    agents = [DQN(BOX, TWO, [0, 1], config) for _ in range(2)]
    batches = [random_batch(2, 8, seed=step) for step in range(6)]
    if compiled:
        agents[0].compile()
    metrics = [agents[0].update(*batches[i : i + 3]) for i in (0, 3)][1]
    alone = [agents[1].update(batch) for batch in batches][-1]
    close = dict(rtol=1e-4, atol=1e-5) if compiled else dict(rtol=0, atol=0)
    for name, value in alone.items():
        torch.testing.assert_close(metrics[name], value, **close)
    states = [agent.state_dict() for agent in agents]
    assert states[0]["updates"] == states[1]["updates"] == 6
    for network in ("q", "target"):
        for name, value in states[1][network].items():
            torch.testing.assert_close(states[0][network][name], value, **close)


def test_wrong_spaces_are_refused() -> None:
    with pytest.raises(ValueError, match="needs a Discrete action space.*agent sac takes it"):
        DQN(BOX, gym.spaces.Box(-1, 1, (2,)), [0], DQNConfig())
    with pytest.raises(ValueError, match="needs a Box as observation space"):
        DQN(gym.spaces.Dict({"a": BOX}), TWO, [0], DQNConfig())


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("learning_rate", 0.0, "`learning_rate` should be positive. Received 0.0"),
        ("gamma", 1.5, r"`gamma` should be in \[0, 1\]. Received 1.5"),
        ("batch_size", 60_000, "`batch_size` should be at most the buffer_size 50000"),
        ("hidden", (64, 0), "`hidden` should hold positive widths"),
    ],
)
def test_bad_settings_are_named(setting: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DQNConfig(**{setting: value})  # type: ignore[arg-type]  # wrong on purpose


def test_three_step_window_through_the_replay_by_hand() -> None:
    """Rewards 1, 2, 4 of one episode, then a terminal step: the sampled targets are exact."""
    replay = Replay(8, [0], 1, (1,), torch.float32, (), torch.int64, gamma=0.5, n_step=3)
    ends = [(False, False), (False, False), (False, False), (True, True), (False, True)]
    for t, (terminated, ended) in enumerate(ends):
        replay.add(
            torch.full((1, 1), float(t)),
            torch.tensor([t % 2]),
            torch.tensor([float(2**t)]),
            torch.full((1, 1), float(t + 1)),
            torch.tensor([terminated]),
            torch.tensor([ended]),
        )
    batch = replay.sample(64)
    seen = {
        (o.item(), r.item(), d.item(), n.item())
        for o, r, d, n in zip(
            batch.obs[0], batch.reward[0], batch.discount[0], batch.next_obs[0], strict=True
        )
    }
    assert seen == {
        (0.0, 1 + 0.5 * 2 + 0.25 * 4, 0.125, 3.0),  # three steps, then bootstrap
        (1.0, 2 + 0.5 * 4 + 0.25 * 8, 0.0, 4.0),  # the third step is terminal
        (2.0, 4 + 0.5 * 8, 0.0, 4.0),  # the window ends with the episode
    }


def test_agents_that_are_made_anew_are_compiled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    compiles: list[int] = []

    def count(graph: torch.fx.GraphModule, _: object) -> torch.fx.GraphModule:
        compiles.append(1)
        return graph

    made = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **_: made(f, dynamic=False, backend=count))
    torch._dynamo.reset()
    for _ in range(10):  # the limit is 8 by default
        agent = DQN(BOX, TWO, [0], DQNConfig(hidden=(4,)))
        agent.compile()
        compiles.clear()
        agent.update(random_batch(1, 4))
        assert compiles
