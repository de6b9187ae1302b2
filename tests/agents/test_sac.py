"""SAC: equality with stable-baselines3, temperature, action bounds, independence of the seeds."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import SAC as SB3SAC
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from agents import SAC, Batch, SACConfig

BOX = gym.spaces.Box(-1, 1, (3,))
TORQUE = gym.spaces.Box(-2, 2, (1,))  # Pendulum's


def random_batch(num_seeds: int, size: int, seed: int = 0) -> Batch:
    g = torch.Generator().manual_seed(seed)
    return Batch(
        torch.randn(num_seeds, size, 3, generator=g),
        4 * torch.rand(num_seeds, size, 1, generator=g) - 2,
        torch.randn(num_seeds, size, generator=g),
        0.99 * (torch.rand(num_seeds, size, generator=g) > 0.2),
        torch.randn(num_seeds, size, 3, generator=g),
    )


def copy_from_sb3(agent: SAC, sb3: SB3SAC) -> None:
    """Copies stable-baselines3's weights; its twin critics and its two actor heads are apart."""

    def put(mine: Any, *theirs: torch.nn.Linear) -> None:
        mine.weight.copy_(torch.cat([layer.weight for layer in theirs]).reshape(mine.weight.shape))
        mine.bias.copy_(torch.cat([layer.bias for layer in theirs]).reshape(mine.bias.shape))

    with torch.no_grad():
        actor: Any = sb3.actor
        layers: Any = agent.actor.torso.dense
        for i in (1, 2):
            put(layers[i - 1].weights, actor.latent_pi[2 * i - 2])
        put(agent.actor.head, actor.mu, actor.log_std)
        for mine, theirs in ((agent.critic, sb3.critic), (agent.target, sb3.critic_target)):
            nets: Any = theirs.q_networks
            for i in (1, 2):
                torso: Any = mine.torso
                layer: Any = torso.dense[i - 1]
                put(layer.weights, nets[0][2 * i - 2], nets[1][2 * i - 2])
            put(mine.head, nets[0][4], nets[1][4])


class SameNoise:
    """Draws what stable-baselines3 draws: first for the states, then for the next states."""

    def normal(self, *shape: int) -> torch.Tensor:
        two, *rest = shape
        return torch.stack([torch.normal(torch.zeros(rest), torch.ones(rest)) for _ in range(two)])[
            None
        ]


def test_update_equals_stable_baselines3() -> None:
    sb3 = SB3SAC("MlpPolicy", "Pendulum-v1", learning_rate=1e-3, policy_kwargs={"net_arch": [8, 8]})
    sb3.set_logger(Logger(None, []))
    config = SACConfig(hidden=(8, 8), learning_rate=1e-3)
    agent = SAC(BOX, TORQUE, [0], config, activation="relu")
    sb3_actor: Any = sb3.actor
    with torch.no_grad():  # small deviations keep SB3's own approximation of log(1 - tanh^2) exact
        sb3_actor.log_std.bias.fill_(-2.0)
    copy_from_sb3(agent, sb3)
    agent.noise = SameNoise()  # type: ignore[assignment]  # has the one method that is used
    for step in range(3):
        batch = random_batch(1, 32, seed=step)
        samples = ReplayBufferSamples(
            batch.obs[0],
            batch.action[0] / 2,
            batch.next_obs[0],
            (batch.discount[0] == 0).float().unsqueeze(-1),
            batch.reward[0].unsqueeze(-1),
        )
        sb3.replay_buffer.sample = lambda *_, s=samples, **__: s  # type: ignore[union-attr, method-assign]  # feed the same batch
        torch.manual_seed(step)
        sb3.train(1, 32)
        torch.manual_seed(step)
        metrics = agent.update(batch)
        logged = sb3.logger.name_to_value
        assert metrics["loss/critic"].item() == pytest.approx(logged["train/critic_loss"], abs=1e-5)
        assert metrics["loss/actor"].item() == pytest.approx(logged["train/actor_loss"], abs=1e-5)
        assert metrics["temperature"].item() == pytest.approx(logged["train/ent_coef"], abs=1e-6)
        logged.clear()
    theirs = SAC(BOX, TORQUE, [0], config, activation="relu")
    copy_from_sb3(theirs, sb3)
    for network in ("actor", "critic", "target"):
        pairs = zip(
            getattr(agent, network).parameters(), getattr(theirs, network).parameters(), strict=True
        )
        for a, b in pairs:
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_seed_three_alone_learns_as_among_five() -> None:
    many = SAC(BOX, TORQUE, range(5), SACConfig(hidden=(16, 16)))
    one = SAC(BOX, TORQUE, [3], SACConfig(hidden=(16, 16)))
    for step in range(100):
        batch = random_batch(5, 16, seed=step)
        metrics, alone = many.update(batch), one.update(Batch(*(x[3:4] for x in batch)))
        for name, value in alone.items():
            torch.testing.assert_close(metrics[name][3:4], value, rtol=1e-3, atol=1e-4)
    obs = np.zeros((5, 2, 3), np.float32)
    np.testing.assert_allclose(
        many.act(obs, 5000)[3:4], one.act(obs[3:4], 5000), rtol=1e-3, atol=1e-4
    )


def test_actions_fill_the_bounds_of_the_space() -> None:
    space = gym.spaces.Box(np.array([-1.0, 10.0]), np.array([3.0, 30.0]), dtype=np.float64)
    agent = SAC(BOX, space, [0], SACConfig(hidden=(8,), learning_starts=1))
    obs = np.zeros((1, 2000, 3), np.float32)
    for step in (0, 1):  # random actions, then the policy
        actions = agent.act(obs, step)[0]
        assert (actions >= space.low).all()
        assert (actions <= space.high).all()
        assert (np.ptp(actions, axis=0) > 0.8 * (space.high - space.low)).all()


def test_without_exploration_it_is_the_squashed_mean_and_draws_nothing() -> None:
    agent = SAC(BOX, TORQUE, range(2), SACConfig(hidden=(8,), learning_starts=100))
    obs = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    before = agent.exploration.state_dict()
    with torch.no_grad():
        mean, _ = agent.actor(torch.from_numpy(obs))
    np.testing.assert_allclose(agent.act(obs, 0, explore=False), 2 * mean.tanh(), rtol=1e-6)
    after = agent.exploration.state_dict()
    assert all(torch.equal(before[i], after[i]) for i in before)


@pytest.mark.parametrize(("given", "used"), [(None, -1.0), (0.0, 0.0), (-3.0, -3.0)])
def test_target_entropy_zero_is_a_value(given: float | None, used: float) -> None:
    assert SAC(BOX, TORQUE, [0], SACConfig(target_entropy=given)).target_entropy == used


@pytest.mark.parametrize(("target", "rises"), [(50.0, True), (-50.0, False)])
def test_temperature_moves_toward_the_target_entropy(target: float, rises: bool) -> None:
    agent = SAC(BOX, TORQUE, [0], SACConfig(hidden=(8,), target_entropy=target))
    for step in range(3):
        agent.update(random_batch(1, 16, seed=step))
    assert (agent.temperature.log_value.item() > 0) is rises


def test_fixed_temperature_stays() -> None:
    config = SACConfig(hidden=(8,), learn_temperature=False, initial_temperature=0.2)
    agent = SAC(BOX, TORQUE, [0], config)
    agent.update(random_batch(1, 16))
    assert agent.temperature().item() == pytest.approx(0.2)


def test_policy_delay_moves_the_actor_at_every_second_update() -> None:
    agent = SAC(BOX, TORQUE, [0], SACConfig(hidden=(8,), policy_delay=2))
    moved = []
    for step in range(4):
        before = agent.actor.head.weight.clone()
        agent.update(random_batch(1, 16, seed=step))
        moved.append(not torch.equal(before, agent.actor.head.weight))
    assert moved == [True, False, True, False]


def test_actor_and_critic_may_have_their_own_activation() -> None:
    config = SACConfig(hidden=(8,), actor_activation="relu", critic_activation="adalin-tanh")
    agent = SAC(BOX, TORQUE, [0], config)
    assert not any("alpha" in name for name, _ in agent.actor.named_parameters())
    assert any("alpha" in name for name, _ in agent.critic.named_parameters())


def test_compiled_update_equals_eager() -> None:
    agents = [SAC(BOX, TORQUE, [0, 1], SACConfig(hidden=(8,))) for _ in range(2)]
    agents[0].compile()
    for step in range(3):
        for agent in agents:
            agent.update(random_batch(2, 8, seed=step))
    for a, b in zip(*(agent.critic.parameters() for agent in agents), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("compiled", [False, True])
def test_acting_in_the_call_of_an_update_is_acting_after_it(compiled: bool) -> None:
    agents = [SAC(BOX, TORQUE, [0, 1], SACConfig(hidden=(8,), learning_starts=9)) for _ in range(2)]
    if compiled:
        agents[0].compile()
    obs = np.random.default_rng(0).normal(size=(2, 3, 3)).astype(np.float32)
    for seed in range(3):
        batch = random_batch(2, 8, seed=seed)
        together, action = agents[0].update_and_act(obs, 4_000, batch)
        assert together.keys() == agents[1].update(batch).keys()
        np.testing.assert_allclose(action, agents[1].act(obs, 4_000), rtol=1e-4 if compiled else 0)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("compiled", [False, True])
def test_several_updates_in_one_call_are_those_one_by_one(compiled: bool) -> None:
    agents = [SAC(BOX, TORQUE, [0, 1], SACConfig(hidden=(8,), policy_delay=2)) for _ in range(2)]
    batches = [random_batch(2, 8, seed=step) for step in range(4)]
    if compiled:
        agents[0].compile()
    metrics = agents[0].update(*batches)
    alone: dict[str, torch.Tensor] = {}
    for batch in batches:
        alone |= agents[1].update(batch)
    close = dict(rtol=1e-4, atol=1e-5) if compiled else dict(rtol=0, atol=0)
    assert metrics.keys() == alone.keys()
    for name, value in alone.items():
        torch.testing.assert_close(metrics[name], value, **close)
    for network in ("actor", "critic", "target", "temperature"):
        states = [agent.state_dict()[network] for agent in agents]
        for name, value in states[1].items():
            torch.testing.assert_close(states[0][name], value, **close)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (gym.spaces.Discrete(2), "needs a Box of one axis.*agent dqn takes it"),
        (gym.spaces.Box(-np.inf, np.inf, (2,)), "needs finite action bounds"),
        (gym.spaces.Box(-1, 1, (2, 2)), "needs a Box of one axis"),
    ],
)
def test_wrong_action_spaces_are_refused(space: gym.Space[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SAC(BOX, space, [0], SACConfig())
