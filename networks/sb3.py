"""Policies for stable-baselines3 whose activations are chosen by name.

``networks.sb3.policy("sac")`` is SB3's own policy of SAC with AdaLin in place of ReLU.  The classes
have names as well (``networks.sb3.SACMlpPolicy``, ``networks.sb3.DQNCnnPolicy``, ...), by which SB3
saves them and the RL Zoo imports them.  They are made when first asked for, so that sb3-contrib is
needed only by its own algorithms.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from importlib import import_module
from inspect import signature
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, MlpExtractor
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from networks.activations import AdaLinConfig, make_activation
from networks.adalin import AdaLin, share_alpha
from networks.convert import Site, replace_activations

KINDS = ("MlpPolicy", "CnnPolicy", "MultiInputPolicy")

_VALUE_BASED = ("q_net", "features")
_ACTOR_CRITIC = ("actor", "critic", "features")

# The package of an algorithm, and the networks whose activation can be chosen.
_ALGORITHMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "a2c": ("stable_baselines3", _ACTOR_CRITIC),
    "ddpg": ("stable_baselines3", _ACTOR_CRITIC),
    "dqn": ("stable_baselines3", _VALUE_BASED),
    "ppo": ("stable_baselines3", _ACTOR_CRITIC),
    "qrdqn": ("sb3_contrib", _VALUE_BASED),
    "sac": ("stable_baselines3", _ACTOR_CRITIC),
    "td3": ("stable_baselines3", _ACTOR_CRITIC),
    "tqc": ("sb3_contrib", _ACTOR_CRITIC),
}
_NAMES = {f"{name.upper()}{kind}": (name, kind) for name in _ALGORITHMS for kind in KINDS}


class Placeholder(nn.Module):
    """Stands where an activation will be: SB3 makes activations without telling their width."""


class AdaLinPolicy(BasePolicy):
    """What is added to each policy of SB3: activations by name, of every network.

    ``policy_kwargs`` are those of SB3 (``net_arch``, ``features_extractor_class``, ...) except for
    ``activation_fn``, and the two here.  The activations of a features extractor are replaced too;
    a warning tells which can't be.  What SB3 puts behind an output (the tanh of TD3's actor) stays.

    Args:
        observation_space: Space of the observations.
        action_space: Space of the actions.
        lr_schedule: From the progress that remains to a learning rate.
        activation: A key of ``networks.ACTIVATIONS``, or one for each network: ``actor``,
            ``critic`` and ``features`` (the features extractor), or ``q_net`` and ``features`` for
            DQN and QR-DQN.  Networks that are not named have ``adalin-relu``; ``features`` is like
            the network that owns the extractor, which is the actor if the extractor is shared.
        adalin: Options of the ``adalin-*`` activations.  The granularity ``"network"`` is one alpha
            for each of: features extractor, actor, critic (every one, if there are several), q_net.
        **kwargs: Arguments of SB3's policy.

    Raises:
        ValueError: If there is no such activation, network, option or argument, if the activation
            changes the number of units, or if ``adalin`` is given where nothing uses it.
    """

    networks: tuple[str, ...]  # whose activation can be chosen
    mlp_extractor: MlpExtractor
    pi_features_extractor: BaseFeaturesExtractor
    vf_features_extractor: BaseFeaturesExtractor
    share_features_extractor: bool

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        *,
        activation: str | Mapping[str, str] = "adalin-relu",
        adalin: AdaLinConfig | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if "activation_fn" in kwargs:
            raise ValueError(
                "`activation_fn` should not be given to an AdaLin policy, which has `activation` "
                f"(a name, like 'relu'). Received {kwargs['activation_fn']}"
            )
        known = set(signature(super().__init__).parameters) - {"activation_fn"} | {
            "activation",
            "adalin",
        }
        for name in kwargs:
            if name not in known:
                raise ValueError(
                    f"`policy_kwargs` should be arguments of {type(self).__name__}. "
                    f"Received {name!r}{_did_you_mean(name, known)}"
                )
        # nn.Module.__init__, further up, leaves plain attributes as they are.
        self.activation = activation
        self.adalin = adalin
        self._activations = _by_network(activation, self.networks)
        self._options = _options(adalin, set(self._activations.values()))
        super().__init__(
            observation_space, action_space, lr_schedule, activation_fn=Placeholder, **kwargs
        )

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()
        del data["activation_fn"]
        if hasattr(self, "share_features_extractor"):  # which SB3 forgets, except for TD3
            data["share_features_extractor"] = self.share_features_extractor
        return data | {"activation": self.activation, "adalin": self.adalin}

    # SB3 calls the methods below before it makes an optimizer.  A policy has only some of them.

    def make_q_net(self) -> nn.Module:
        return self._activate(super().make_q_net(), "q_net", "q_net")  # type: ignore[misc]

    def make_quantile_net(self) -> nn.Module:
        return self._activate(super().make_quantile_net(), "q_net", "q_net")  # type: ignore[misc]

    def make_actor(self, features_extractor: nn.Module | None = None) -> nn.Module:
        actor = super().make_actor(features_extractor)  # type: ignore[misc]
        return self._activate(actor, "actor", "actor" if features_extractor is None else None)

    def make_critic(self, features_extractor: nn.Module | None = None) -> nn.Module:
        critic = super().make_critic(features_extractor)  # type: ignore[misc]
        # The target of a shared extractor is made with an extractor of its own.
        owner = "actor" if self.share_features_extractor else "critic"
        return self._activate(critic, "critic", owner if features_extractor is None else None)

    def _build_mlp_extractor(self) -> None:
        super()._build_mlp_extractor()  # type: ignore[misc]
        self._replace(self.mlp_extractor.policy_net, self._activations["actor"], only=Placeholder)
        self._replace(self.mlp_extractor.value_net, self._activations["critic"], only=Placeholder)
        self._replace_features(self.pi_features_extractor, "actor")
        if not self.share_features_extractor:
            self._replace_features(self.vf_features_extractor, "critic")

    def _activate(self, network: nn.Module, name: str, owner: str | None) -> nn.Module:
        """Puts activations into a new network; its features extractor is new if it has an owner."""
        for child, part in network.named_children():
            if child != "features_extractor":
                self._replace(part, self._activations[name], only=Placeholder)
            elif owner is not None:
                self._replace_features(part, owner)
        return network

    def _replace_features(self, extractor: nn.Module, owner: str) -> None:
        space = self.observation_space
        # Zeros, because a sample would take from the generator of the space.
        zeros = (
            {key: _zeros(part) for key, part in space.items()}
            if isinstance(space, spaces.Dict)
            else _zeros(space)
        )
        example = preprocess_obs(zeros, space, normalize_images=self.normalize_images)
        name = self._activations.get("features", self._activations[owner])
        images = any(part.dim() == 4 for part in tree_leaves(example))
        self._replace(extractor, name, example_input=example, dim=-3 if images else None)

    def _replace(self, module: nn.Module, name: str, **options: Any) -> None:
        """Replaces placeholders or activations in ``module``, which gets an alpha of its own."""
        new = nn.ModuleList()  # not those that the user has put there

        def make(site: Site) -> nn.Module:
            new.append(_same_width(name, site.num_features, site.dim, self._options))
            if isinstance(new[-1], AdaLin):
                new[-1].path = site.path
            return new[-1]

        _, notes = replace_activations(module, make, **options)
        for note in notes:
            warnings.warn(f"activations of {type(module).__name__}: {note}", stacklevel=2)
        share_alpha(new)


def _by_network(activation: Any, networks: tuple[str, ...]) -> dict[str, str]:
    """The activation of each network; of ``features`` only if that was given."""
    if not isinstance(activation, Mapping):
        activation = dict.fromkeys(networks, activation)
    for network, name in activation.items():
        if network not in networks:
            raise ValueError(
                f"`activation` should have the keys {', '.join(networks)}. "
                f"Received {network!r}{_did_you_mean(network, networks)}"
            )
        if not isinstance(name, str):
            raise ValueError(
                f"`activation` should be a name, like 'adalin-relu'. Received {name!r}"
            )
        make_activation(name, 1)  # a wrong name is an error even where no layer uses it
    return {key: "adalin-relu" for key in networks if key != "features"} | dict(activation)


def _options(adalin: Any, used: set[str]) -> AdaLinConfig:
    if adalin is None or adalin == {}:
        return AdaLinConfig()
    if not any(name.startswith("adalin-") for name in used):
        raise ValueError(
            "`adalin` should be given only with an adalin activation. "
            f"Received {adalin} with {', '.join(sorted(used))}"
        )
    if isinstance(adalin, AdaLinConfig):
        return adalin
    if not isinstance(adalin, Mapping):
        raise ValueError(f"`adalin` should be a dict or an AdaLinConfig. Received {adalin!r}")
    known = [field.name for field in fields(AdaLinConfig)]
    for option in adalin:
        if option not in known:
            raise ValueError(
                f"`adalin` should have the keys {', '.join(known)}. "
                f"Received {option!r}{_did_you_mean(option, known)}"
            )
    return AdaLinConfig(**adalin)


def _zeros(space: spaces.Space[Any]) -> Tensor:
    return torch.zeros(1, *(space.shape or ()))


def _same_width(name: str, width: int, dim: int, options: AdaLinConfig) -> nn.Module:
    module = make_activation(name, width, dim=dim, adalin=options)
    if module.expansion != 1:
        raise ValueError(
            f"`activation` {name!r} changes {width} units to {width * module.expansion}, "
            "which the networks of stable-baselines3 can't hold"
        )
    return module


def _did_you_mean(name: object, known: Any) -> str:
    near = get_close_matches(str(name), known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def policy(algorithm: str | type, kind: str = "MlpPolicy") -> type[Any]:
    """The policy of an algorithm, with AdaLin: ``SAC(policy("sac"), env)``.

    It is a subclass of ``AdaLinPolicy`` and of SB3's policy, which type checkers can't be told.

    Args:
        algorithm: Name of the algorithm ("dqn", "QR-DQN", ...) or its class.
        kind: ``MlpPolicy``, ``CnnPolicy`` or ``MultiInputPolicy``.

    Raises:
        ValueError: If there is no such policy.
        ImportError: If it is in sb3-contrib, and that is not installed.
    """
    classes = algorithm.__mro__ if isinstance(algorithm, type) else ()
    names = [c.__name__.lower() for c in classes] or [str(algorithm).lower().replace("-", "")]
    name = next((name for name in names if name in _ALGORITHMS), None)
    if name is None:
        raise ValueError(
            f"`algorithm` should be one of {', '.join(_ALGORITHMS)}. "
            f"Received {algorithm!r}{_did_you_mean(names[0], _ALGORITHMS)}"
        )
    if kind not in KINDS:
        raise ValueError(
            f"`kind` should be one of {', '.join(KINDS)}. "
            f"Received {kind!r}{_did_you_mean(kind, KINDS)}"
        )
    made: type[Any] = getattr(sys.modules[__name__], f"{name.upper()}{kind}")
    return made


def __getattr__(name: str) -> Any:
    """Makes the policy class called ``name`` when it is first asked for."""
    if name not in _NAMES:
        hint = _did_you_mean(name, _NAMES)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}", name=name)
    algorithm, kind = _NAMES[name]
    package, networks = _ALGORITHMS[algorithm]
    try:
        base = getattr(import_module(f"{package}.{algorithm}"), kind)
    except ImportError as error:
        raise ImportError(f"{name} needs sb3-contrib: pip install 'adalin-rl[contrib]'") from error
    doc = f"SB3's {kind} of {algorithm.upper()} with activations by name, see `AdaLinPolicy`."
    made = type(
        name, (AdaLinPolicy, base), {"__module__": __name__, "__doc__": doc, "networks": networks}
    )
    globals()[name] = made
    return made
