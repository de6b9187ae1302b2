"""What agents that learn from a replay have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from agents.agent import Array, Gather, Learner, Source, Streams, itself
from agents.descent import compiled, is_plain
from agents.spaces import to_tensor


class OffPolicy(ABC):
    """Does updates, which may end with the choice of the next actions, and keeps its state.

    Random numbers are drawn before ``learn`` and ``explore``, so that all of both can be compiled.

    Args:
        config: Settings.
        seeds: The seeds.
        device: Where the networks lie.

    Attributes:
        learn: Does the work of updates: takes their sources, what makes a batch of one, what
            ``draw`` returned and, where the agent acts, what ``wander`` did.  ``action`` is among
            the metrics then.
        explore: Returns actions ``(S, N, ...)``, from what ``wander`` returned.
    """

    PARTS: ClassVar[tuple[str, ...]]
    """Attributes with a state of their own."""
    LOSS: ClassVar[str]
    """The method that is compiled where ``learn`` as a whole can't be."""
    learn: Callable[..., dict[str, Tensor]]
    explore: Callable[..., Tensor]

    def __init__(self, config: Any, seeds: Sequence[int], device: torch.device | str) -> None:
        self.config = config
        self.batch_size: int = config.batch_size
        self.replay_ratio: float = config.replay_ratio
        self.learn_every: int = config.learn_every
        self.learning_starts: int = config.learning_starts
        self.device = torch.device(device)
        self.exploration = Streams(seeds, "exploration")
        self.updates = 0

    @abstractmethod
    def learners(self) -> dict[str, Learner]:
        """Returns the networks that learn, by name."""

    @abstractmethod
    def draw(self, sources: Sequence[Any]) -> tuple[Any, ...]:
        """Counts updates; returns what they need beside their batches."""

    @abstractmethod
    def wander(self, obs: Array, step: int) -> tuple[Tensor, ...]:
        """Returns observations as tensors, and the random numbers of exploration there."""

    @abstractmethod
    def random(self, num_envs: int) -> Tensor:
        """Returns random actions, ``(S, N, ...)``."""

    @abstractmethod
    def greedy(self, obs: Tensor) -> Tensor:
        """Returns what the agent thinks best, ``(S, N, ...)``."""

    @torch.no_grad()
    def act(self, obs: Array, step: int, *, explore: bool = True) -> Array:
        if not explore:
            action = self.greedy(to_tensor(obs, self.device))
        elif step < self.learning_starts:
            action = self.random(obs.shape[1])
        else:
            action = self.explore(*self.wander(obs, step))
        return action.cpu().numpy()

    def update(self, *sources: Source, gather: Gather[Source] = itself) -> dict[str, Tensor]:
        return self.learn(sources, gather, *self.draw(sources))

    def update_and_act(
        self, obs: Array, step: int, *sources: Source, gather: Gather[Source] = itself
    ) -> tuple[dict[str, Tensor], Array]:
        drawn = self.draw(sources)
        metrics = self.learn(sources, gather, *drawn, self.wander(obs, step))
        return metrics, metrics.pop("action").cpu().numpy()

    def compile(self) -> None:
        self.explore = compiled(self.explore)
        if all(is_plain(learner.optimizer) for learner in self.learners().values()):
            self.learn = compiled(self.learn)
        else:  # a remedy acts between gradient and step
            setattr(self, self.LOSS, compiled(getattr(self, self.LOSS)))

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {name: getattr(self, name).state_dict() for name in self.PARTS}
        return state | {"updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in self.PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.updates = state["updates"]
