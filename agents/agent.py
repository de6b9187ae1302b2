"""What the trainer knows of an agent, and what plasticity knows of its networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from agents.descent import adam
from networks import Architecture

Array = np.ndarray[Any, np.dtype[Any]]


class Batch(NamedTuple):
    """Transitions of all seeds.

    Attributes:
        obs: Observations, ``(S, B, ...)``.
        action: Actions as the environment takes them, ``(S, B)`` integers or ``(S, B, A)``.
        reward: Sum of the next n rewards, discounted, ``(S, B)``.
        discount: Weight of the value of ``next_obs``, ``(S, B)``: gamma^n, and 0 where the episode
            terminated. A truncated episode keeps its weight, so its value is bootstrapped.
        next_obs: Observations n steps later, or the last ones of the episode, ``(S, B, ...)``.
    """

    obs: Tensor
    action: Tensor
    reward: Tensor
    discount: Tensor
    next_obs: Tensor


@dataclass(frozen=True)
class Learner:
    """A network that learns, as plasticity sees it.

    Attributes:
        network: The network; all its parameters have the seeds as first axis.
        optimizer: The optimizer of exactly these parameters.
        target: Its slowly moving copy, if it has one.
        inputs: Returns what the network is called with on a batch; None: it has no inputs.
        values: Reads the values ``(S, B)`` from its outputs, if it is a critic.
        td_target: Returns what these values are pulled toward ``(S, B)``, if it is a critic.
        actions: Reads the greedy actions ``(S, B)`` or ``(S, B, A)`` from its outputs, if it is a
            policy.
        loss: Returns what it minimises, ``(S,)``, with its gradient.  Noise comes from the streams;
            a critic takes the target where it is known already.
        labelled: Whether what it should say stands in the batch, so that the loss on a batch is of
            the same thing before and after a step.

    A batch is of the kind that its agent learns from: ``Batch``, or ``Examples`` of a classifier.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    target: nn.Module | None = None
    inputs: Callable[[Any], tuple[Any, ...]] | None = None
    values: Callable[[Any], Tensor] | None = None
    td_target: Callable[[Any, Streams], Tensor] | None = None
    actions: Callable[[Any], Tensor] | None = None
    loss: Callable[[Any, Streams, Tensor | None], Tensor] | None = None
    labelled: bool = False


@dataclass(frozen=True)
class Seams:
    """How an agent makes its networks and optimizers; remedies against lost plasticity change it.

    Attributes:
        architecture: From the name of a network and what it would be made of to what it is made of.
        optimizer: From the name of a network, its parameters and learning rate to the optimizer.
    """

    architecture: Callable[[str, Architecture], Architecture] = lambda _, usual: usual
    optimizer: Callable[[str, Sequence[nn.Parameter], float], torch.optim.Optimizer] = adam


USUAL = Seams()
"""Nothing is changed."""


Source = TypeVar("Source", bound=tuple[Any, ...])
Gather = Callable[[Source], Batch]
"""Makes the batch of a source."""


def itself(batch: Any) -> Batch:
    """Returns what is a batch already."""
    return batch  # type: ignore[no-any-return]


class Agent(Protocol):
    """What learns: S seeds side by side, fed with batches of shape ``(S, B, ...)``."""

    device: torch.device
    """Where the networks are."""
    batch_size: int
    """Transitions of each seed in one update."""
    replay_ratio: float
    """Updates per environment step and seed; may be below or above 1."""
    learn_every: int
    """Environment steps between two turns of updates."""
    learning_starts: int
    """Environment steps of random actions before the first update."""
    config: Any
    """Its settings, a dataclass."""
    architectures: dict[str, Architecture]
    """What each of its networks is made of."""

    def act(self, obs: Array, step: int, *, explore: bool = True) -> Array:
        """Chooses actions.

        Args:
            obs: ``(S, N, ...)``.
            step: Steps since the agent began, for exploration schedules.
            explore: Whether to explore; else the greedy or the mean action, without random numbers.

        Returns:
            Actions as the environment takes them, ``(S, N)`` or ``(S, N, A)``.
        """
        ...

    def update(self, *sources: Source, gather: Gather[Source] = itself) -> dict[str, Tensor]:
        """Learns from batches, an update with each, one after the other.

        Args:
            sources: Batches, or the places ``(S, B)`` where their transitions lie.
            gather: Makes the batch of a source; it is compiled with the updates.

        Returns:
            Detached metrics ``(S,)`` of the last update by name; there was no host sync.
        """
        ...

    def update_and_act(
        self, obs: Array, step: int, *sources: Source, gather: Gather[Source] = itself
    ) -> tuple[dict[str, Tensor], Array]:
        """Does what ``update`` and then ``act`` do, which explores; compiled, in one call.

        Args:
            obs: ``(S, N, ...)``.
            step: Steps since the agent began, at least ``learning_starts``.
            sources: As ``update`` takes them.
            gather: As ``update`` takes it.

        Returns:
            What ``update`` and ``act`` return.
        """
        ...

    def learners(self) -> dict[str, Learner]:
        """Returns the networks that learn, by name."""
        ...

    def compile(self) -> None:
        """Compiles the update with torch.compile when it is called first, for these shapes."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Returns everything that learning goes on from: live tensors, numbers, dictionaries."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state that ``state_dict`` returned."""
        ...


class Streams:
    """A random generator for each seed: what a seed draws does not depend on the others.

    Args:
        seeds: The seeds.
        purpose: What the numbers are for; streams of different purposes are independent.
        device: Where the numbers are drawn.
    """

    def __init__(self, seeds: Sequence[int], purpose: str, device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        self.generators = []
        for seed in seeds:
            state = np.random.SeedSequence((seed, *purpose.encode())).generate_state(1, np.uint64)
            generator = torch.Generator(self.device)
            self.generators.append(generator.manual_seed(int(state[0] >> np.uint64(1))))

    def uniform(self, *shape: int) -> Tensor:
        """Draws from U[0, 1): ``(S, *shape)``."""
        return self._each(torch.rand, shape)

    def normal(self, *shape: int) -> Tensor:
        """Draws from N(0, 1): ``(S, *shape)``."""
        return self._each(torch.randn, shape)

    def integers(self, high: int, *shape: int, low: int = 0) -> Tensor:
        """Draws from {low, ..., high - 1}: ``(S, *shape)``."""
        return self._each(torch.randint, low, high, shape)

    def _each(self, draw: Callable[..., Tensor], *how: Any) -> Tensor:
        drawn = [draw(*how, generator=g, device=self.device) for g in self.generators]
        return drawn[0].unsqueeze(0) if len(drawn) == 1 else torch.stack(drawn)

    def state_dict(self) -> dict[int, Tensor]:
        return {i: generator.get_state() for i, generator in enumerate(self.generators)}

    def load_state_dict(self, state: dict[int, Tensor]) -> None:
        for i, generator in enumerate(self.generators):
            generator.set_state(state[i].cpu().clone())  # a view of a file may not be aligned
