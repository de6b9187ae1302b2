"""Remedies in stable-baselines3: the same definitions on its networks, and clear refusals."""

from pathlib import Path
from typing import Any

import pytest
import torch
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.envs import FakeImageEnv
from stable_baselines3.common.logger import configure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from networks.sb3 import policy
from plasticity.mitigations import MITIGATIONS
from plasticity.mitigations.recycling import ReDoConfig
from plasticity.sb3 import MitigationCallback
from plasticity.sb3.learners import born_again, learners_of

OFF: dict[str, Any] = {"learning_starts": 20, "buffer_size": 200, "batch_size": 16}
ON: dict[str, Any] = {"n_steps": 16}
ALGORITHMS: dict[str, tuple[Any, str, dict[str, Any], list[str]]] = {
    "dqn": (DQN, "CartPole-v1", OFF, ["q_net"]),
    "sac": (SAC, "Pendulum-v1", OFF, ["critic", "actor", "temperature"]),
    "td3": (TD3, "Pendulum-v1", OFF, ["critic", "actor"]),
    "ddpg": (DDPG, "Pendulum-v1", OFF, ["critic", "actor"]),
    "ppo": (PPO, "CartPole-v1", ON | {"batch_size": 8}, ["policy"]),
    "a2c": (A2C, "Pendulum-v1", ON, ["policy"]),
}
SURGERY_AND_GRADIENT = [
    name
    for name, entry in MITIGATIONS.items()
    if entry.make and entry.seam in ("surgery", "gradient") and entry.architecture is None
]


def make(name: str, kind: Any = "MlpPolicy", **options: Any) -> Any:
    algorithm, env, settings, _ = ALGORITHMS[name]
    settings = settings | {"policy_kwargs": {"net_arch": [12, 8]}} | options
    return algorithm(kind, env, seed=3, device="cpu", **settings)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_learners_are_all_networks_with_their_optimizers(name: str) -> None:
    model = make(name)
    learners = learners_of(model)
    assert list(learners) == ALGORITHMS[name][3]
    for learner in learners.values():
        stepped = {id(p) for group in learner.optimizer.param_groups for p in group["params"]}
        assert {id(p) for p in learner.network.parameters()} == stepped


@pytest.mark.parametrize("name", ALGORITHMS)
def test_redo_resets_dead_units_and_changes_no_output(name: str) -> None:
    """Units are killed before training begins, and waked at the first chance."""
    model = make(name, policy(name), learning_rate=1e-12)
    learner = next(iter(learners_of(model).values()))
    callback = MitigationCallback({"redo": ReDoConfig(every=1, tau=0.0, batch_size=64)})
    callback.init_callback(model)
    callback._on_training_start()
    hidden = callback.mitigations.at_work[f"redo/{next(iter(learners_of(model)))}"].subject.hidden  # type: ignore[union-attr]
    first: Any = hidden[0].weights
    with torch.no_grad():
        first.weight[:3] = 0
        first.bias[:3] = 0
    callback._on_training_end()
    before = model.policy.state_dict()[
        "" + next(n for n, p in model.policy.named_parameters() if p is first.weight)
    ].clone()
    assert (before[:3] == 0).all()
    model.learn(64, callback=callback)
    assert (first.weight[:3] != 0).all()
    for reader in hidden[0].readers:
        columns = (reader.unit < 3) & (reader.unit >= 0)
        weight: Any = reader.weights.weight
        assert weight[:, columns].abs().max() < 1e-6  # a step of the tiny rate at most
    torch.testing.assert_close(first.weight[3:], before[3:], rtol=0, atol=1e-6)
    assert learner.network is next(iter(learners_of(model).values())).network


REFUSED = {  # and why
    ("plasticity-injection", "dqn"): "the networks of dqn and sac",
    ("plasticity-injection", "sac"): "the networks of dqn and sac",
    ("plasticity-injection", "ppo"): "the networks of dqn and sac",
    ("snr", "ppo"): "silent at or below 0",
    ("c-chain", "ppo"): "first output is an integer",
}


@pytest.mark.parametrize("name", ["dqn", "sac", "ppo"])
@pytest.mark.parametrize("remedy", SURGERY_AND_GRADIENT)
def test_every_remedy_of_surgery_and_gradient_works_or_says_why_not(
    remedy: str, name: str, tmp_path: Path
) -> None:
    fields = MITIGATIONS[remedy].config.__dataclass_fields__
    callback = MitigationCallback(
        {remedy: {"every": 10} if "every" in fields else {}}, log_every=16
    )
    model = make(name)
    if (remedy, name) in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[remedy, name]):
            model.learn(64, callback=callback)
        return
    model.set_logger(configure(str(tmp_path), ["tensorboard"]))
    model.learn(64, callback=callback)
    tags = EventAccumulator(str(tmp_path)).Reload().Tags()["scalars"]
    assert any(tag.startswith(f"mitigation/{remedy}/") for tag in tags)
    assert all(p.isfinite().all() for p in model.policy.parameters())


def test_without_effect_it_learns_as_without_it() -> None:
    """Sampling, hooks and counting leave SB3's random numbers alone."""
    chosen: Any = {"redo": ReDoConfig(every=5, tau=0.0), "l2-init": {"strength": 0.0}}
    tanh = {"net_arch": [12, 8], "activation_fn": torch.nn.Tanh}  # whose units never die
    learned = []
    for callback in (MitigationCallback(chosen), None):
        model = make("sac", policy_kwargs=tanh)
        model.learn(60, callback=callback)
        learned.append(list(model.policy.parameters()))
    for mine, other in zip(*learned, strict=True):
        assert torch.equal(mine, other)


def test_images_are_reset_in_their_features_extractor() -> None:
    env = FakeImageEnv(screen_height=40, screen_width=40, n_channels=1, discrete=True)
    model = DQN("CnnPolicy", env, **OFF, device="cpu")
    callback = MitigationCallback({"redo": {"every": 2, "tau": 0.1, "batch_size": 8}})
    model.learn(40, callback=callback)
    assert callback.mitigations is not None
    names = [h.name for h in callback.mitigations.at_work["redo/q_net"].subject.hidden]
    assert names == [f"features_extractor.cnn.{i}" for i in (1, 3, 5)] + [
        "features_extractor.linear.1"
    ]


def test_a_fresh_network_is_made_as_the_policy_makes_it_and_by_given_numbers() -> None:
    from agents import Streams

    model = make("ppo")
    state = torch.random.get_rng_state()
    first, second = (born_again(model, model.policy, Streams([s], "x")) for s in (0, 0))
    other = born_again(model, model.policy, Streams([1], "x"))
    assert torch.equal(torch.random.get_rng_state(), state)
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert any(
        not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True)
    )
    weight = first.mlp_extractor.policy_net[0].weight  # type: ignore[union-attr, index]
    gram = weight.T @ weight  # PPO begins orthogonal, with gain sqrt(2)
    torch.testing.assert_close(gram, 2 * torch.eye(4), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"redoo": {}}, "there is no mitigation 'redoo'. Did you mean 'redo'?"),
        ({"redo": {"taw": 0.1}}, "Received 'taw' (did you mean 'tau'?)"),
        ({"redo": {"tau": -1.0}}, "`tau` should be at least 0. Received -1.0"),
        ({"redo": {"every": 0}}, "`every` should be at least 1. Received 0"),
        ({"upgd": {}}, "mitigation upgd is an optimizer: give it to the policy"),
        ({"layer-norm": {}}, "mitigation layer-norm changes the architecture"),
        ({"sample-weight-decay": {}}, "mitigation sample-weight-decay changes the replay"),
    ],
)
def test_what_it_cannot_do_is_one_clear_line(chosen: Any, message: str) -> None:
    with pytest.raises(
        ValueError, match=message.replace("(", r"\(").replace(")", r"\)").replace("?", r"\?")
    ):
        MitigationCallback(chosen)


def test_a_network_that_the_algorithm_lacks_is_named_when_training_starts() -> None:
    callback = MitigationCallback({"redo": {"networks": ("actors",)}})
    with pytest.raises(
        ValueError, match="has no network 'actors', it has critic, actor, temp.*Did"
    ):
        make("sac").learn(10, callback=callback)


def test_hooks_are_gone_after_training_and_back_when_it_goes_on() -> None:
    model = make("dqn")
    callback = MitigationCallback({"l2-init": {}})
    model.learn(30, callback=callback)
    optimizer = model.policy.optimizer
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    assert callback.mitigations is not None
    updates = callback.mitigations.updates
    first = callback.mitigations
    model.learn(30, callback=callback)
    assert callback.mitigations is first
    assert first.updates > updates
