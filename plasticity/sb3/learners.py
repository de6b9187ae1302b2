"""The networks of stable-baselines3's algorithms as learners, for remedies."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from agents import Batch, Learner, Streams


class Temperature(nn.Module):
    """SAC's logarithm of the temperature, which is a plain tensor in SB3, as a network."""

    def __init__(self, log_value: Tensor) -> None:
        super().__init__()
        self._parameters["log_value"] = log_value  # type: ignore[assignment]  # the same tensor


def learners_of(model: BaseAlgorithm) -> dict[str, Learner]:
    """Returns the networks of an algorithm by name; the first has a step in every update.

    Raises:
        ValueError: If the algorithm is of another kind.
    """
    policy: Any = model.policy
    if hasattr(policy, "q_net") or hasattr(policy, "quantile_net"):
        name = "q_net" if hasattr(policy, "q_net") else "quantile_net"
        network, target = getattr(policy, name), getattr(policy, f"{name}_target")
        return {"q_net": Learner(network, policy.optimizer, target, lambda batch: (batch.obs,))}
    if hasattr(policy, "critic"):
        actor, critic = policy.actor, policy.critic
        squashed = hasattr(actor, "latent_pi")  # and draws, unless it is told not to

        def of_actor(batch: Batch) -> tuple[Any, ...]:
            return (batch.obs, True) if squashed else (batch.obs,)

        found = {
            "critic": Learner(
                critic,
                critic.optimizer,
                policy.critic_target,
                lambda batch: (batch.obs, batch.action),
            ),
            "actor": Learner(
                actor, actor.optimizer, getattr(policy, "actor_target", None), of_actor
            ),
        }
        optimizer = getattr(model, "ent_coef_optimizer", None)
        if optimizer is not None:
            log_value: Any = model.log_ent_coef  # type: ignore[attr-defined]  # of SAC and TQC
            found["temperature"] = Learner(Temperature(log_value), optimizer)
        return found
    if isinstance(policy, ActorCriticPolicy) and not hasattr(policy, "lstm_actor"):
        return {"policy": Learner(policy, policy.optimizer, None, lambda batch: (batch.obs, True))}
    raise ValueError(f"MitigationCallback does not know the networks of {type(policy).__name__}")


def born_again(model: BaseAlgorithm, network: nn.Module, streams: Streams) -> nn.Module:
    """Returns such a network of the policy as its class makes it, drawn by the streams."""
    if isinstance(network, Temperature):
        _, _, first = str(model.ent_coef).partition("_")  # type: ignore[attr-defined]  # auto_0.1
        log_value: Any = network.log_value
        value = torch.full_like(log_value, float(first or 1.0)).log()
        return Temperature(value)
    policy: Any = model.policy
    with torch.random.fork_rng():
        torch.manual_seed(int(streams.integers(1 << 62, 1)[0]))
        fresh = type(policy)(**policy._get_constructor_parameters()).to(model.device)
    if network is policy:
        return fresh  # type: ignore[no-any-return]
    name = next(name for name, child in policy.named_children() if child is network)
    other: nn.Module = getattr(fresh, name)
    return other


def example_of(model: BaseAlgorithm) -> Batch:
    """Returns a batch of one transition, all zeros, ``(1, ...)``."""

    def zeros(space: spaces.Space[Any]) -> Any:
        if isinstance(space, spaces.Dict):
            return {key: zeros(part) for key, part in space.spaces.items()}
        assert space.shape is not None
        dtype = torch.uint8 if space.dtype == "uint8" else torch.float32
        return torch.zeros(1, *space.shape, dtype=dtype, device=model.device)

    obs, nothing = zeros(model.observation_space), torch.zeros(1, device=model.device)
    return Batch(obs, zeros(model.action_space), nothing, nothing, obs)
