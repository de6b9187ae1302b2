"""The policies for stable-baselines3, most of them against SB3's own."""

import importlib
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import sb3_contrib
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn
from torch.nn import functional as F

from networks import Activation, AdaLin, AdaLinConfig, make_activation, sb3

pytestmark = pytest.mark.filterwarnings("error")

ROOT = Path(__file__).parents[2]
ON_POLICY = ("a2c", "ppo")
DISCRETE = ("dqn", "qrdqn")
ACTOR_CRITIC = ("ddpg", "sac", "td3", "tqc")
ALGORITHMS = (*ON_POLICY, *DISCRETE, *ACTOR_CRITIC)
CONTRIB = ("qrdqn", "tqc")

VECTOR = spaces.Box(-1, 1, (5,))
IMAGE = spaces.Box(0, 255, (3, 36, 36), np.uint8)
BOTH = spaces.Dict({"image": IMAGE, "vector": VECTOR})
SPACES: dict[str, spaces.Space[Any]] = {
    "MlpPolicy": VECTOR,
    "CnnPolicy": IMAGE,
    "MultiInputPolicy": BOTH,
}
EXTRACTOR: dict[str, dict[str, Any]] = {
    "MlpPolicy": {},
    "CnnPolicy": {"features_extractor_kwargs": {"features_dim": 8}},
    "MultiInputPolicy": {"features_extractor_kwargs": {"cnn_output_dim": 8}},
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Noise(gym.Env[Any, Any]):
    """Random observations and rewards, episodes of seven steps."""

    def __init__(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]):
        self.observation_space = observation_space
        self.action_space = action_space
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        reward = float(self.np_random.normal())
        return self.observation_space.sample(), reward, self.steps == 7, False, {}


def algorithm_class(name: str) -> type[BaseAlgorithm]:
    package = sb3_contrib if name in CONTRIB else stable_baselines3
    made: type[BaseAlgorithm] = getattr(package, name.upper())
    return made


def noise(algorithm: str, kind: str = "MlpPolicy") -> Noise:
    discrete = algorithm in DISCRETE
    return Noise(SPACES[kind], spaces.Discrete(3) if discrete else spaces.Box(-1, 1, (2,)))


def make(
    algorithm: str,
    policy: Any = None,
    env: Any = None,
    settings: dict[str, Any] | None = None,
    **policy_kwargs: Any,
) -> Any:
    """A small learner; its policy is AdaLin's MlpPolicy if none is given."""
    small: dict[str, Any] = {
        "learning_starts": 4,
        "batch_size": 4,
        "buffer_size": 100,
        "train_freq": 1,
    }
    if algorithm == "a2c":
        small = {"n_steps": 4}
    if algorithm == "ppo":
        small = {"n_steps": 8, "batch_size": 4, "n_epochs": 2}
    if algorithm in CONTRIB:
        policy_kwargs["n_quantiles"] = 5
    return algorithm_class(algorithm)(
        policy or sb3.policy(algorithm),
        env or noise(algorithm),
        seed=0,
        device="cpu",
        policy_kwargs={"net_arch": [8, 8]} | policy_kwargs,
        **(small | (settings or {})),
    )


def alphas(module: nn.Module) -> list[nn.Parameter]:
    return [part.alpha for part in module.modules() if isinstance(part, AdaLin)]


def count(module: nn.Module, *kinds: type[nn.Module]) -> int:
    return sum(isinstance(part, kinds) for part in module.modules())


def bases(module: nn.Module) -> set[str]:
    return {part.base.name for part in module.modules() if isinstance(part, AdaLin)}


def same(one: nn.Module, other: nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


# Algorithms and spaces


@pytest.mark.parametrize("kind", sb3.KINDS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_activation_is_adalin_and_learns(algorithm: str, kind: str) -> None:
    env = noise(algorithm, kind)
    theirs = make(algorithm, kind, env, activation_fn=nn.ReLU, **EXTRACTOR[kind])
    ours = make(algorithm, sb3.policy(algorithm, kind), env, **EXTRACTOR[kind])
    assert count(ours.policy, AdaLin) == count(theirs.policy, nn.ReLU) > 0
    assert count(ours.policy, nn.ReLU, sb3.Placeholder) == 0
    assert count(ours.policy, nn.Tanh) == count(theirs.policy, nn.Tanh)  # of the actor of TD3
    ours.learn(24)
    for name, parameter in ours.policy.named_parameters():
        if name.endswith("alpha") and "target" not in name:
            assert parameter.any(), name


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(4),
        spaces.MultiDiscrete([3, 2]),
        spaces.MultiBinary(4),
        spaces.Box(-1, 1, (2, 3)),
        spaces.Box(0, 255, (36, 36, 3), np.uint8),
        spaces.Dict({"a": spaces.Discrete(3), "b": spaces.MultiBinary(2), "c": VECTOR}),
    ],
    ids=str,
)
@pytest.mark.parametrize("algorithm", ["dqn", "ppo"])
def test_observations(algorithm: str, space: spaces.Space[Any]) -> None:
    kind = "MultiInputPolicy" if isinstance(space, spaces.Dict) else "MlpPolicy"
    env = Noise(space, spaces.Discrete(2))
    model = make(algorithm, sb3.policy(algorithm, kind), env).learn(16)
    assert env.action_space.contains(int(model.predict(env.reset(seed=0)[0])[0]))


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-1, 1, (2,)),
        spaces.Discrete(3),
        spaces.MultiDiscrete([3, 2]),
        spaces.MultiBinary(4),
    ],
    ids=str,
)
@pytest.mark.parametrize("algorithm", ON_POLICY)
def test_actions(algorithm: str, space: spaces.Space[Any]) -> None:
    model = make(algorithm, env=Noise(VECTOR, space)).learn(16)
    assert np.asarray(model.predict(VECTOR.sample())[0]).shape == space.shape


@pytest.mark.parametrize("algorithm", ["a2c", "dqn", "sac"])
def test_two_environments(algorithm: str) -> None:
    env = DummyVecEnv([lambda: noise(algorithm)] * 2)
    model = make(algorithm, env=env).learn(24)
    assert len(model.predict(env.reset())[0]) == 2


@pytest.mark.parametrize("algorithm", ["a2c", "ppo", "sac", "tqc"])
def test_state_dependent_exploration(algorithm: str) -> None:
    model = make(algorithm, settings={"use_sde": True}).learn(16)
    assert count(model.policy, nn.Hardtanh) == (algorithm in ACTOR_CRITIC)
    assert any(alpha.any() for alpha in alphas(model.policy))


# Against SB3's own policies


@pytest.mark.parametrize(
    ("algorithm", "kind", "activation", "activation_fn"),
    [
        ("dqn", "MlpPolicy", "relu", nn.ReLU),
        ("dqn", "MultiInputPolicy", "relu", nn.ReLU),
        ("qrdqn", "CnnPolicy", "relu", nn.ReLU),
        ("sac", "MlpPolicy", "relu", nn.ReLU),
        ("td3", "MlpPolicy", "elu", nn.ELU),
        ("tqc", "MlpPolicy", "relu", nn.ReLU),
        ("ppo", "MlpPolicy", "relu", nn.ReLU),
        ("ppo", "MlpPolicy", "tanh", nn.Tanh),
        ("a2c", "CnnPolicy", "relu", nn.ReLU),
    ],
)
def test_a_plain_activation_is_sb3(
    algorithm: str, kind: str, activation: str, activation_fn: type[nn.Module]
) -> None:
    extractor = EXTRACTOR[kind]
    theirs = make(
        algorithm, kind, noise(algorithm, kind), activation_fn=activation_fn, **extractor
    ).learn(100)
    policy = sb3.policy(algorithm, kind)
    ours = make(
        algorithm, policy, noise(algorithm, kind), activation=activation, **extractor
    ).learn(100)
    assert same(ours.policy, theirs.policy)


@pytest.mark.parametrize("kind", sb3.KINDS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_alpha_of_zeros_starts_as_sb3(algorithm: str, kind: str) -> None:
    env = noise(algorithm, kind)
    theirs = make(algorithm, kind, env, activation_fn=nn.ReLU, **EXTRACTOR[kind])
    after_theirs = torch.rand(1)
    ours = make(algorithm, sb3.policy(algorithm, kind), env, **EXTRACTOR[kind])
    assert torch.equal(torch.rand(1), after_theirs)
    weights = {k: v for k, v in ours.policy.state_dict().items() if not k.endswith("alpha")}
    assert weights.keys() == theirs.policy.state_dict().keys()
    assert all(torch.equal(weights[k], v) for k, v in theirs.policy.state_dict().items())
    observation = env.reset(seed=1)[0]
    actions = [model.predict(observation, deterministic=True)[0] for model in (ours, theirs)]
    np.testing.assert_array_equal(*actions)


def test_equal_seeds_give_equal_runs() -> None:
    runs = [make("sac", adalin={"init": "uniform"}).learn(60) for _ in range(2)]
    assert same(runs[0].policy, runs[1].policy)
    assert len(set(torch.cat([*alphas(runs[0].actor)]).tolist())) == 16


# Networks


def test_each_network_has_its_activation() -> None:
    model = make(
        "td3",
        sb3.policy("td3", "CnnPolicy"),
        noise("td3", "CnnPolicy"),
        activation={"actor": "adalin-tanh", "critic": "adalin-elu", "features": "adalin-gelu"},
        **EXTRACTOR["CnnPolicy"],
    )
    for actor in (model.actor, model.actor_target):
        assert bases(actor.mu) == {"tanh"}
        assert isinstance(actor.mu[-1], nn.Tanh)
        assert bases(actor.features_extractor) == {"gelu"}
    for critic in (model.critic, model.critic_target):
        assert bases(critic.qf0) == bases(critic.qf1) == {"elu"}
        assert bases(critic.features_extractor) == {"gelu"}


@pytest.mark.parametrize(
    ("algorithm", "share", "critic"),
    [("sac", False, "elu"), ("sac", True, "tanh"), ("td3", False, "elu"), ("td3", True, "tanh")],
)
def test_a_features_extractor_is_like_its_owner(algorithm: str, share: bool, critic: str) -> None:
    kind = "CnnPolicy"
    model = make(
        algorithm,
        sb3.policy(algorithm, kind),
        noise(algorithm, kind),
        activation={"actor": "adalin-tanh", "critic": "adalin-elu"},
        share_features_extractor=share,
        **EXTRACTOR[kind],
    ).learn(12)
    assert bases(model.actor.features_extractor) == {"tanh"}
    assert bases(model.critic.features_extractor) == {critic}
    assert bases(model.critic_target.features_extractor) == {critic}
    shared = model.actor.features_extractor is model.critic.features_extractor
    assert shared == share
    assert all(alpha.any() for alpha in alphas(model.actor.features_extractor))


@pytest.mark.parametrize(("share", "critic"), [(False, "elu"), (True, "tanh")])
def test_features_extractors_of_ppo(share: bool, critic: str) -> None:
    policy = make(
        "ppo",
        sb3.policy("ppo", "CnnPolicy"),
        noise("ppo", "CnnPolicy"),
        activation={"actor": "adalin-tanh", "critic": "adalin-elu"},
        share_features_extractor=share,
        **EXTRACTOR["CnnPolicy"],
    ).policy
    assert bases(policy.pi_features_extractor) == bases(policy.mlp_extractor.policy_net) == {"tanh"}
    assert bases(policy.vf_features_extractor) == {critic}
    assert bases(policy.mlp_extractor.value_net) == {"elu"}


def test_networks_of_different_depth() -> None:
    model = make("sac", net_arch={"pi": [4], "qf": [6, 5, 4]})
    assert [len(alpha) for alpha in alphas(model.actor)] == [4]
    assert [len(alpha) for alpha in alphas(model.critic)] == [6, 5, 4] * 2


@pytest.mark.parametrize("granularity", ["neuron", "layer", "network"])
@pytest.mark.parametrize("algorithm", ["dqn", "qrdqn", "ppo", "sac", "td3"])
def test_optimizers_hold_every_alpha_once(algorithm: str, granularity: str) -> None:
    model = make(algorithm, adalin={"granularity": granularity})
    networks = {
        "dqn": lambda p: [(p, [p.q_net.q_net])],
        "qrdqn": lambda p: [(p, [p.quantile_net.quantile_net])],
        "ppo": lambda p: [(p, [p.mlp_extractor.policy_net, p.mlp_extractor.value_net])],
        "sac": lambda p: [(p.actor, [p.actor.latent_pi]), (p.critic, [p.critic.qf0, p.critic.qf1])],
        "td3": lambda p: [(p.actor, [p.actor.mu]), (p.critic, [p.critic.qf0, p.critic.qf1])],
    }[algorithm](model.policy)
    for owner, parts in networks:
        held = [id(p) for group in owner.optimizer.param_groups for p in group["params"]]
        each = [{id(alpha) for alpha in alphas(part)} for part in parts]
        assert {len(ids) for ids in each} == {1 if granularity == "network" else 2}
        assert len(set.union(*each)) == sum(map(len, each))  # no alpha in two networks
        assert [held.count(alpha) for alpha in set.union(*each)] == [1] * len(set.union(*each))
    model.learn(16)


@pytest.mark.parametrize("algorithm", ["sac", "tqc"])
def test_a_shared_extractor_is_optimized_with_the_actor_only(algorithm: str) -> None:
    kind = "CnnPolicy"
    model = make(
        algorithm,
        sb3.policy(algorithm, kind),
        noise(algorithm, kind),
        share_features_extractor=True,
        adalin={"granularity": "network"},
        **EXTRACTOR[kind],
    )
    (shared,) = {id(alpha) for alpha in alphas(model.actor.features_extractor)}
    held = [
        [id(p) for group in owner.optimizer.param_groups for p in group["params"]].count(shared)
        for owner in (model.actor, model.critic)
    ]
    assert held == [1, 0]


@pytest.mark.parametrize("algorithm", [*DISCRETE, *ACTOR_CRITIC])
def test_targets_copy_alpha_then_follow_it(algorithm: str) -> None:
    settings: dict[str, Any] = {"tau": 0.25}
    if algorithm in DISCRETE:
        settings["target_update_interval"] = 1
    if algorithm == "td3":
        settings["policy_delay"] = 1
    model = make(algorithm, settings=settings, adalin={"init": "uniform"})
    name = {"dqn": "q_net", "qrdqn": "quantile_net"}.get(algorithm, "critic")
    online, target = getattr(model, name), getattr(model, f"{name}_target")
    assert alphas(online)
    assert all(map(torch.equal, alphas(online), alphas(target)))
    model.learn(10)
    before = [alpha.clone() for alpha in alphas(target)]
    assert not any(map(torch.equal, alphas(online), before))
    if algorithm in DISCRETE:
        model._on_step()
    else:
        model.train(1, 4)
    for new, old, now in zip(alphas(target), before, alphas(online), strict=True):
        torch.testing.assert_close(new.data, 0.75 * old + 0.25 * now, rtol=0, atol=1e-7)
    assert not any(alpha.requires_grad and alpha.grad is not None for alpha in alphas(target))


def test_another_optimizer() -> None:
    model = make("dqn", optimizer_class=torch.optim.SGD, optimizer_kwargs={"momentum": 0.5})
    assert type(model.policy.optimizer) is torch.optim.SGD
    model.learn(16)
    assert all(alpha.any() for alpha in alphas(model.q_net))


class Extractor(BaseFeaturesExtractor):
    """Two activation modules and a function."""

    def __init__(self, observation_space: spaces.Space[Any]) -> None:
        super().__init__(observation_space, 6)
        self.first = nn.Linear(5, 7)
        self.norm = nn.LayerNorm(7)
        self.bend = nn.ELU()
        self.second = nn.Sequential(nn.Linear(7, 4), nn.SiLU(), nn.Linear(4, 6))

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return F.relu(self.second(self.bend(self.norm(self.first(observations)))))


class Branching(Extractor):
    """A forward that can't be traced, with a way that is rarely taken."""

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        x = self.second(self.bend(self.norm(self.first(observations))))
        return F.silu(x) if x.sum() > 1e9 else F.relu(x)


def test_a_features_extractor_of_ones_own() -> None:
    model = make("sac", features_extractor_class=Extractor)
    for network in (model.actor, model.critic, model.critic_target):
        extractor = network.features_extractor
        assert isinstance(extractor, Extractor)
        assert isinstance(extractor.bend, AdaLin)
        assert sorted(len(alpha) for alpha in alphas(extractor)) == [4, 6, 7]
        assert count(extractor, nn.ELU, nn.SiLU) == 0
    model.learn(12)
    assert all(alpha.any() for alpha in alphas(model.actor.features_extractor))


def test_what_stays_in_a_features_extractor_is_told() -> None:
    with pytest.warns(UserWarning, match="of Branching: silu is kept: the example misses it"):
        make("dqn", features_extractor_class=Branching)


# Saving


LOAD = """
import sys
from pathlib import Path
import numpy as np, torch
import stable_baselines3, sb3_contrib

torch.set_num_threads(1)
for file in sorted(Path(sys.argv[1]).glob("*.zip")):
    algorithm, kind = file.stem.split("-")
    package = stable_baselines3 if hasattr(stable_baselines3, algorithm) else sb3_contrib
    model = getattr(package, algorithm).load(file, device="cpu")
    from networks import sb3
    alone = sb3.policy(algorithm, kind).load(file.with_suffix(".pt"), device="cpu")
    observations = dict(np.load(file.with_suffix(".npz")))
    if "all" in observations:
        observations = observations["all"]
    for name, policy in ("in the model", model.policy), ("alone", alone):
        actions = policy.predict(observations, deterministic=True)[0]
        vector = policy.parameters_to_vector()
        np.savez(file.with_name(f"{file.stem} {name}.npz"), actions=actions, vector=vector)
"""


def test_saved_policies_predict_the_same_in_a_new_process(tmp_path: Path) -> None:
    expected = {}
    images = [("dqn", "CnnPolicy"), ("ppo", "CnnPolicy"), ("sac", "MultiInputPolicy")]
    for algorithm, kind in [*((algorithm, "MlpPolicy") for algorithm in ALGORITHMS), *images]:
        env = DummyVecEnv([lambda a=algorithm, k=kind: noise(a, k)] * 5)  # type: ignore[misc]
        own: dict[str, Any] = (
            {} if algorithm in DISCRETE else {"share_features_extractor": algorithm == "sac"}
        )
        model = make(
            algorithm,
            sb3.policy(algorithm, kind),
            env,
            activation={"features": "adalin-tanh"},
            adalin=AdaLinConfig(init="uniform"),
            **own,
            **EXTRACTOR[kind],
        ).learn(20)
        file = tmp_path / f"{algorithm.upper()}-{kind}.zip"
        model.save(file)
        model.policy.save(file.with_suffix(".pt"))
        observations = env.reset()
        named = observations if isinstance(observations, dict) else {"all": observations}
        np.savez(file.with_suffix(".npz"), **named)
        actions = model.predict(observations, deterministic=True)[0]
        expected[file] = (actions, model.policy.parameters_to_vector())
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for file, (actions, vector) in expected.items():
        for name in ("in the model", "alone"):
            loaded = np.load(file.with_name(f"{file.stem} {name}.npz"))
            np.testing.assert_array_equal(loaded["actions"], actions, err_msg=file.name)
            np.testing.assert_array_equal(loaded["vector"], vector, err_msg=file.name)


def test_parameters_move_between_learners() -> None:
    one, other = (make("td3", adalin={"init": init}) for init in (0.5, 0.25))
    one.learn(12)
    other.set_parameters(one.get_parameters())
    assert same(one.policy, other.policy)
    assert one.critic.optimizer.state_dict()["state"].keys() == set(range(16))


def test_a_loaded_learner_goes_on(tmp_path: Path) -> None:
    model = make("sac", activation="adalin-gelu", adalin={"granularity": "network"}).learn(20)
    model.save(tmp_path / "sac.zip")
    loaded = stable_baselines3.SAC.load(tmp_path / "sac.zip", noise("sac"), device="cpu")
    assert same(loaded.policy, model.policy)
    loaded.learn(12)
    assert len({id(alpha) for alpha in alphas(loaded.actor)}) == 1
    assert not same(loaded.policy, model.policy)


@pytest.mark.parametrize("kind", sb3.KINDS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_policies_are_found_by_name(algorithm: str, kind: str) -> None:
    made = sb3.policy(algorithm, kind)
    name = f"{algorithm.upper()}{kind}"
    assert made is sb3.policy(algorithm_class(algorithm), kind)
    assert made is getattr(importlib.import_module("networks.sb3"), name)
    assert (made.__module__, made.__qualname__) == ("networks.sb3", name)
    assert pickle.loads(pickle.dumps(made)) is made


def test_names_of_algorithms() -> None:
    class Mine(stable_baselines3.DDPG):
        pass

    assert sb3.policy("QR-DQN") is sb3.policy("qrdqn") is sb3.policy("QRDQN")
    assert sb3.policy(Mine) is sb3.policy("ddpg")


def test_the_rl_zoo_finds_a_policy() -> None:
    utils = pytest.importorskip("rl_zoo3.utils")
    assert utils.get_class_by_name("networks.sb3.PPOMlpPolicy") is sb3.policy("ppo")


# Bad input


@pytest.mark.parametrize(
    ("algorithm", "policy_kwargs", "message"),
    [
        ("dqn", {"activation": "adalin-rleu"}, "no activation 'adalin-rleu'. .*'adalin-relu'"),
        ("dqn", {"activation": "reluu", "net_arch": []}, "no activation 'reluu'"),
        (
            "dqn",
            {"activation": {"actor": "relu"}},
            "`activation` should have the keys q_net, features. Received 'actor'",
        ),
        (
            "sac",
            {"activation": {"crtic": "relu"}},
            r"keys actor, critic, features. Received 'crtic' \(did you mean 'critic'\?\)",
        ),
        ("ppo", {"activation": nn.ReLU}, "`activation` should be a name, like 'adalin-relu'"),
        ("ppo", {"activation_fn": nn.ReLU}, "`activation_fn` should not be given"),
        (
            "sac",
            {"activaton": "relu"},
            r"arguments of SACMlpPolicy. Received 'activaton' \(did you mean 'activation'\?\)",
        ),
        (
            "a2c",
            {"adalin": {"granularty": "layer"}},
            r"Received 'granularty' \(did you mean 'granularity'\?\)",
        ),
        ("td3", {"adalin": {"granularity": "unit"}}, "`granularity` should be one of"),
        (
            "td3",
            {"activation": {"actor": "relu", "critic": "tanh"}, "adalin": {"init": 1.0}},
            "`adalin` should be given only with an adalin activation. .* with relu, tanh",
        ),
        ("ppo", {"adalin": "uniform"}, "`adalin` should be a dict or an AdaLinConfig"),
    ],
)
def test_bad_policy_kwargs(algorithm: str, policy_kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        make(algorithm, **policy_kwargs)
    assert "\n" not in str(error.value)


def test_no_options_are_no_error() -> None:
    assert count(make("sac", activation="relu", adalin={}).policy, AdaLin) == 0
    assert bases(make("sac", activation={}, adalin={}).actor) == {"relu"}


class Images(BaseFeaturesExtractor):
    """Convolutions in a forward that can't be traced, and that reads a width only from a pass."""

    def __init__(self, observation_space: spaces.Space[Any]) -> None:
        super().__init__(observation_space, 4)
        self.conv, self.act, self.count = nn.Conv2d(3, 4, 8, 4), nn.ELU(), 0

    def forward(self, observations: torch.Tensor) -> Any:
        self.count += 1
        x = self.conv(observations)
        return self.act(x).mean((2, 3)) if x.sum() < 1e9 else x


def test_images_of_a_forward_that_cannot_be_traced() -> None:
    extractor = make(
        "dqn",
        sb3.policy("dqn", "CnnPolicy"),
        noise("dqn", "CnnPolicy"),
        features_extractor_class=Images,
        net_arch=[],
    ).q_net.features_extractor
    assert (extractor.act.dim, extractor.act.num_features, extractor.count) == (-3, 4, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("trpo",), "`algorithm` should be one of a2c, ddpg, dqn, .*. Received 'trpo'"),
        (("sca",), r"Received 'sca' \(did you mean 'sac'\?\)"),
        ((sb3_contrib.TRPO,), "`algorithm` should be one of .*TRPO"),
        (("dqn", "MlpPolcy"), r"`kind` should be .*'MlpPolcy' \(did you mean 'MlpPolicy'\?\)"),
    ],
)
def test_no_such_policy(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sb3.policy(*arguments)


def test_no_such_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'DQNMlp'.*did you mean 'DQNMlpPolicy'"):
        _ = sb3.DQNMlp


def test_without_sb3_contrib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    monkeypatch.setitem(sys.modules, "sb3_contrib.qrdqn", None)
    monkeypatch.delitem(vars(sb3), "QRDQNMlpPolicy", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'adalin-rl\[contrib\]'"):
        sb3.policy("qrdqn")
    assert sb3.policy("dqn") is sb3.DQNMlpPolicy


@pytest.mark.parametrize("activation", ["crelu", "fourier"])
@pytest.mark.parametrize(
    ("network", "width"), [("q_net", 8), ("features", 32)], ids=["dense", "convolution"]
)
def test_an_activation_that_changes_widths(network: str, width: int, activation: str) -> None:
    message = (
        f"'{activation}' changes {width} units to {2 * width}, which the networks of stable-basel"
    )
    with pytest.raises(ValueError, match=message):
        make(
            "dqn",
            sb3.policy("dqn", "CnnPolicy"),
            noise("dqn", "CnnPolicy"),
            activation={"q_net": "relu", "features": "relu", network: activation},
        )


@pytest.mark.parametrize(
    "activation", ["smooth-leaky", "randomized-smooth-leaky", "rational", "aid"]
)
@pytest.mark.parametrize(("algorithm", "kind"), [("dqn", "CnnPolicy"), ("sac", "MlpPolicy")])
def test_other_activations_learn_and_load(
    algorithm: str, kind: str, activation: str, tmp_path: Path
) -> None:
    model = make(
        algorithm, sb3.policy(algorithm, kind), noise(algorithm, kind), activation=activation
    )
    before = {name: value.clone() for name, value in model.policy.named_parameters()}
    model.learn(60)
    assert {type(part) for part in model.policy.modules() if isinstance(part, Activation)} == {
        type(make_activation(activation, 1))
    }
    targets = ("q_net_target.", "critic_target.")
    for name, value in model.policy.named_parameters():
        if not name.startswith(targets):
            assert not torch.equal(value, before[name]), name
    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model")
    for name, value in loaded.policy.state_dict().items():
        assert torch.equal(value, model.policy.state_dict()[name]), name
