"""What every remedy is: settings, a network to work on, and the moments at which it acts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from torch import Tensor, nn

from agents import Learner, Streams
from agents.settings import AT_LEAST_ONE, AT_LEAST_ZERO, POSITIVE, UNIT_INTERVAL, Rule, check_rules
from plasticity.wiring import Hidden, hidden_layers

RULES: dict[str, Rule] = {
    "every": AT_LEAST_ONE,
    "tau": AT_LEAST_ZERO,
    "strength": AT_LEAST_ZERO,
    "batch_size": AT_LEAST_ONE,
    "maturity": AT_LEAST_ZERO,
    "kappa": POSITIVE,
    "rate": UNIT_INTERVAL,
    "decay": (lambda x: 0 <= x < 1, "be in [0, 1)"),
}
"""What settings of these names keep, in every remedy."""


@dataclass(frozen=True)
class MitigationConfig:
    """Settings that every remedy has."""

    networks: tuple[str, ...] = ()
    """Networks to work on (dqn: q; sac: actor, critic, temperature; supervise.py: classifier);
    none: all that the remedy suits."""

    def __post_init__(self) -> None:
        check_rules(self, {**RULES, **self.rules()})

    def rules(self) -> Mapping[str, Rule]:
        """Returns rules for settings that only this remedy has."""
        return {}


C = TypeVar("C", bound=MitigationConfig)


@dataclass
class Subject:
    """A network that a remedy works on.

    Attributes:
        name: Its name: q, actor, critic, ...
        learner: The network with optimizer and target.
        streams: A generator for each seed, of this remedy and this network alone.
        draw: Draws that many transitions of each seed from the replay, by given generators.
        example: A batch of one transition, all zeros, for shapes.
        born: Makes a network like this one that has learned nothing, by the generators above.
    """

    name: str
    learner: Learner
    streams: Streams
    draw: Callable[[int, Streams], Any]
    example: Any
    born: Callable[[nn.Module, Streams], nn.Module]

    @property
    def num_seeds(self) -> int:
        """Number of seeds S."""
        return len(self.streams.generators)

    @property
    def network(self) -> nn.Module:
        """The network."""
        return self.learner.network

    @cached_property
    def hidden(self) -> tuple[Hidden, ...]:
        """The hidden layers, in the order of the forward pass; empty if there are no inputs."""
        if self.learner.inputs is None:
            return ()
        return hidden_layers(self.network, self.learner.inputs(self.example))

    def batch(self, size: int) -> Any:
        """Draws transitions or examples of each seed, ``(S, B, ...)``, by generators of its own."""
        return self.draw(size, self.streams)

    def fresh(self) -> dict[str, Tensor]:
        """Draws a new initialisation: the value of each parameter by its name."""
        network = self.born(self.network, self.streams)
        return {name: p.detach() for name, p in network.named_parameters()}

    def zero_moments(self, parameter: nn.Parameter, mask: Tensor | None = None) -> None:
        """Zeroes what the optimizer remembers of a parameter, in place; step counts stay.

        Args:
            parameter: A parameter of the network.
            mask: Where, broadcast to its shape; everywhere by default.
        """
        for value in self.learner.optimizer.state.get(parameter, {}).values():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                if mask is None:
                    value.zero_()
                else:
                    value.masked_fill_(mask, 0)


class Mitigation(Generic[C]):
    """A remedy at work on one network.  Each method is a moment; a remedy has those that it needs.

    All of it happens in place, for each seed apart, by random numbers of its own.

    Args:
        config: Its settings.
        subject: The network.

    Raises:
        ValueError: If the network can't have it; says why.
    """

    def __init__(self, config: C, subject: Subject) -> None:
        self.config, self.subject = config, subject
        self.notes: dict[str, Tensor] = {}

    def before_step(self) -> None:
        """Between backward and the optimizer's step: gradients may be changed."""

    def after_step(self) -> None:
        """After each step of the optimizer of this network."""

    def operate(self) -> None:
        """After an update of the agent, every ``config.every`` updates."""

    def observe(self, obs: Tensor) -> None:
        """When the agent acts: sees the observations ``(S, N, ...)`` that it acts on."""

    def report(self) -> dict[str, Tensor]:
        """Returns what to log, ``(S,)`` by name: here what was counted since the last call."""
        notes, self.notes = self.notes, {}
        return notes

    def count(self, name: str, number: Tensor) -> None:
        """Adds to what ``report`` returns: a number for each seed, ``(S,)``."""
        self.notes[name] = self.notes[name] + number if name in self.notes else number

    def state_dict(self) -> dict[str, Any]:
        """Returns what it must remember to go on: tensors and what JSON can hold."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state that ``state_dict`` returned."""

    @classmethod
    def suits(cls, learner: Learner) -> bool:
        """Whether it works on such a network if it is not told which; by default on layers."""
        return learner.inputs is not None


def by_seed(value: Tensor, num_seeds: int) -> Tensor:
    """Sums ``(*lead, ...)``, where the seeds are the first axis or there is none, to ``(S,)``."""
    return value.double().reshape(num_seeds, -1).sum(-1)


def overridden(mitigation: Mitigation[Any], method: str) -> bool:
    """Whether a remedy acts at that moment."""
    return getattr(type(mitigation), method) is not getattr(Mitigation, method)
