"""The probe in stable-baselines3: our numbers, its logger, and no trace in its learning."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from sb3_contrib import QRDQN, TQC, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from networks.sb3 import policy
from plasticity import dormant_fraction
from plasticity.sb3 import PlasticityCallback

OFF_POLICY: dict[str, Any] = {"learning_starts": 20, "buffer_size": 200, "batch_size": 16}
ALGORITHMS: dict[str, tuple[Any, str, dict[str, Any], set[str]]] = {
    "dqn": (DQN, "CartPole-v1", OFF_POLICY, {"q_net"}),
    "qrdqn": (QRDQN, "CartPole-v1", OFF_POLICY, {"q_net"}),
    "sac": (SAC, "Pendulum-v1", OFF_POLICY, {"actor", "critic_0", "critic_1"}),
    "tqc": (TQC, "Pendulum-v1", OFF_POLICY, {"actor", "critic_0", "critic_1"}),
    "td3": (TD3, "Pendulum-v1", OFF_POLICY, {"actor", "critic_0", "critic_1"}),
    "ddpg": (DDPG, "Pendulum-v1", OFF_POLICY, {"actor", "critic_0"}),
    "ppo": (PPO, "CartPole-v1", {"n_steps": 32, "batch_size": 16}, {"actor", "critic"}),
    "a2c": (A2C, "Pendulum-v1", {"n_steps": 16}, {"actor", "critic"}),
}


def make(name: str, adalin: bool = True, **options: Any) -> Any:
    algorithm, env, settings, _ = ALGORITHMS[name]
    net = {"net_arch": [12, 8]}
    kind = policy(name) if adalin else "MlpPolicy"
    return algorithm(kind, env, seed=3, policy_kwargs=net, device="cpu", **settings, **options)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_is_probed_at_its_steps_and_learns_as_without(
    name: str, tmp_path: Path
) -> None:
    watched = make(name)  # which seeds the global generators
    watched.set_logger(configure(str(tmp_path), ["tensorboard", "csv"]))
    watched.learn(96, callback=PlasticityCallback(every=32, probe_size=20))
    state = np.random.get_state()[1].copy()  # type: ignore[index]
    draws = torch.rand(3)
    alone = make(name)
    alone.learn(96)
    assert torch.equal(torch.rand(3), draws)
    assert np.array_equal(state, np.random.get_state()[1])  # type: ignore[index]
    for mine, other in zip(watched.policy.parameters(), alone.policy.parameters(), strict=True):
        assert torch.equal(mine, other)

    board = EventAccumulator(str(tmp_path)).Reload()
    networks = ALGORITHMS[name][3]
    tags = [tag for tag in board.Tags()["scalars"] if tag.startswith(("plasticity/", "adalin/"))]
    assert {tag.split("/")[1] for tag in tags} == networks
    for network in networks:
        for metric in ("dormant_fraction@0.1", "effective_rank", "weight_rms/layer_1"):
            events = board.Scalars(f"plasticity/{network}/{metric}")
            assert [event.step for event in events] == [32, 64, 96]
        assert f"adalin/{network}/layer_2/alpha_mean" in tags
        assert (f"plasticity/{network}/q_mean" in tags) == (network != "actor")


@pytest.mark.parametrize("adalin", [True, False])
def test_the_numbers_are_those_of_the_metrics_on_the_activations(adalin: bool) -> None:
    model = make("dqn", adalin)
    model.learn(50)
    callback = PlasticityCallback(probe_size=64)
    callback.init_callback(model)
    rows: dict[str, float] = {}
    callback._write = rows.update  # type: ignore[assignment, method-assign]  # look at the rows
    callback._measure(model.replay_buffer)
    generator = np.random.default_rng(0)
    drawn = generator.integers(model.replay_buffer.size(), size=64)
    x = torch.as_tensor(model.replay_buffer.observations[drawn, 0])
    net = model.policy.q_net.q_net
    with torch.no_grad():
        first = net[1](net[0](x))
        second = net[3](net[2](first))
        values = net(x).amax(1)
    pooled = (dormant_fraction(first, 0.1) * 12 + dormant_fraction(second, 0.1) * 8) / 20
    assert rows["plasticity/q_net/dormant_fraction@0.1"] == pytest.approx(float(pooled))
    assert rows["plasticity/q_net/dormant_fraction@0.1/layer_2"] == pytest.approx(
        float(dormant_fraction(second, 0.1))
    )
    assert rows["plasticity/q_net/q_mean"] == pytest.approx(float(values.mean()), rel=1e-5)
    assert rows["plasticity/q_net/weight_rms/head"] == pytest.approx(
        float(net[4].weight.detach().square().mean().sqrt()), rel=1e-5
    )
    assert ("adalin/q_net/layer_1/alpha_abs" in rows) == adalin


class Images(gym.Env[Any, Any]):
    """Noise to look at."""

    observation_space = gym.spaces.Dict(
        {
            "image": gym.spaces.Box(0, 255, (3, 36, 36), np.uint8),
            "vector": gym.spaces.Box(-1, 1, (2,)),
        }
    )
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, False, {}


@pytest.mark.parametrize("algorithm", [DQN, PPO])
def test_a_features_extractor_is_a_network_of_its_own(algorithm: Any, tmp_path: Path) -> None:
    settings = OFF_POLICY if algorithm is DQN else {"n_steps": 16, "batch_size": 8}
    name = algorithm.__name__.lower()
    model = algorithm(policy(name, "MultiInputPolicy"), Images(), device="cpu", **settings)
    model.set_logger(configure(str(tmp_path), ["stdout", "tensorboard"]))
    model.learn(16, callback=PlasticityCallback(every=16, probe_size=8))
    tags = EventAccumulator(str(tmp_path)).Reload().Tags()["scalars"]
    network = "q_net_features" if algorithm is DQN else "actor_features"
    layer = "extractors.image.cnn.1"
    assert f"plasticity/{network}/dormant_fraction@0.025/{layer}" in tags
    assert f"adalin/{network}/{layer}/alpha_max" in tags


def test_chosen_metrics_alone_are_written_and_the_console_shows_the_pooled_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env = VecNormalize(DummyVecEnv([lambda: gym.make("Pendulum-v1") for _ in range(2)]))
    model = SAC(policy("sac"), env, **OFF_POLICY, device="cpu")
    model.set_logger(configure(str(tmp_path), ["stdout", "csv", "log"]))
    chosen = ("dormant_fraction@0.025", "alpha_abs")
    model.learn(60, callback=PlasticityCallback(every=30, probe_size=8, metrics=chosen))
    model.logger.dump(60)
    header = (tmp_path / "progress.csv").read_text().splitlines()[0].split(",")
    ours = [name for name in header if name.startswith(("plasticity", "adalin"))]
    assert {name.split("/")[3] if "adalin" in name else name.split("/")[2] for name in ours} == set(
        chosen
    )
    assert "actor/dormant_fraction@0.025" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"every": 0}, "`every` should be at least 1. Received 0"),
        ({"probe_size": -1}, "`probe_size` should be at least 1. Received -1"),
        ({"metrics": ["dormant_fraction@0.2"]}, "Did you mean 'dormant_fraction@0"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PlasticityCallback(**arguments)


def test_every_row_tells_its_step_and_a_second_training_goes_on(tmp_path: Path) -> None:
    model, callback = make("dqn"), PlasticityCallback(every=30, probe_size=8, metrics=["q_mean"])
    model.set_logger(configure(str(tmp_path), ["csv"]))
    model.learn(60, callback=callback)
    model.learn(60, callback=callback)  # whose steps begin at 0 again
    header, *lines = (tmp_path / "progress.csv").read_text().splitlines()
    rows = [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]
    steps = [row["time/total_timesteps"] for row in rows if row["plasticity/q_net/q_mean"]]
    assert steps == ["30", "60", "30", "60"]
    other = make("dqn")
    other.policy.q_net.q_net[0].weight.data.zero_()
    other.set_logger(configure(str(tmp_path), ["csv"]))
    other.learn(30, callback=PlasticityCallback(every=30, metrics=["weight_change"]))
    assert "weight_change" not in (tmp_path / "progress.csv").read_text()  # it is the first probe


def test_recurrent_policies_are_refused_at_the_start() -> None:
    model = RecurrentPPO("MlpLstmPolicy", "CartPole-v1", n_steps=8, device="cpu")
    with pytest.raises(ValueError, match="not know the networks of RecurrentActorCriticPolicy"):
        model.learn(8, callback=PlasticityCallback())
