"""The networks of stable-baselines3's policies, as the probe looks at them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from stable_baselines3.common.preprocessing import preprocess_obs
from torch import Tensor, nn

from networks.activations import Activation
from networks.convert import base_of
from plasticity.layers import activations


class Part(NamedTuple):
    """A network of a policy, what it is called with, and the values that it gives ``(B,)``."""

    name: str
    network: nn.Module
    inputs: Tensor | dict[str, Tensor]
    values: Tensor | None = None


def by_layer(body: Iterable[nn.Module]) -> nn.Sequential:
    """Names the modules of an SB3 network ``layer_1.weights``, ``layer_1.activation``, ``head``."""
    layers: list[OrderedDict[str, nn.Module]] = []
    for module in body:
        if isinstance(module, nn.Linear) or not layers:
            layers.append(OrderedDict())
        activation = isinstance(module, Activation) or base_of(module) is not None
        kind = "weights" if isinstance(module, nn.Linear) else "activation" if activation else None
        layers[-1][kind or f"other_{len(layers[-1])}"] = module
    names = [f"layer_{i + 1}" for i in range(len(layers))]
    if layers and "activation" not in layers[-1]:
        names[-1] = "head"
    return nn.Sequential(
        OrderedDict((n, nn.Sequential(parts)) for n, parts in zip(names, layers, strict=True))
    )


def parts(policy: Any, raw_obs: Any, actions: Tensor) -> Iterator[Part]:
    """The networks of a policy with their inputs on a batch of observations and actions."""
    obs = preprocess_obs(
        raw_obs, policy.observation_space, normalize_images=policy.normalize_images
    )

    def features(extractor: nn.Module, name: str) -> Iterator[Part]:
        if activations(extractor):
            yield Part(f"{name}_features", extractor, obs)

    if hasattr(policy, "q_net") or hasattr(policy, "quantile_net"):
        owner = policy.q_net if hasattr(policy, "q_net") else policy.quantile_net
        body = owner.q_net if hasattr(policy, "q_net") else owner.quantile_net
        values = owner(raw_obs)  # (B, A), or (B, quantiles, A)
        values = values.mean(1) if values.dim() == 3 else values
        yield from features(owner.features_extractor, "q_net")
        yield Part("q_net", by_layer(body), owner.features_extractor(obs), values.amax(-1))
    elif hasattr(policy, "actor"):
        actor, critic = policy.actor, policy.critic
        # TD3's actor ends in the tanh that bounds the actions, which is no hidden layer.
        body = actor.latent_pi if hasattr(actor, "latent_pi") else actor.mu[:-1]
        yield from features(actor.features_extractor, "actor")
        yield Part("actor", by_layer(body), actor.features_extractor(obs))
        if critic.features_extractor is not actor.features_extractor:
            yield from features(critic.features_extractor, "critic")
        inputs = torch.cat((critic.features_extractor(obs), actions), dim=1)
        for i, body in enumerate(critic.q_networks):
            yield Part(f"critic_{i}", by_layer(body), inputs, body(inputs).mean(-1))
    else:
        bodies = policy.mlp_extractor
        of_actor, of_critic = policy.pi_features_extractor, policy.vf_features_extractor
        yield from features(of_actor, "actor")
        yield Part("actor", by_layer(bodies.policy_net), of_actor(obs))
        if of_critic is not of_actor:
            yield from features(of_critic, "critic")
        values = policy.value_net(bodies.value_net(of_critic(obs))).flatten()
        yield Part("critic", by_layer(bodies.value_net), of_critic(obs), values)
