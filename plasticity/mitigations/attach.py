"""All remedies of a run, attached to the learners of an agent."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from agents import Learner, Streams
from agents.agent import Array
from agents.spaces import to_tensor
from networks import initialize
from plasticity.mitigations.base import Mitigation, MitigationConfig, Subject, overridden
from plasticity.mitigations.registry import MITIGATIONS


def born_again(network: nn.Module, streams: Streams) -> nn.Module:
    """Returns a network of the same make that has learned nothing, drawn by the streams."""
    other = copy.deepcopy(network)
    initialize(other, streams.generators)
    return other


class Mitigations:
    """The remedies of a run at work, in the order in which they were chosen.

    Args:
        chosen: Settings by the name of the remedy.
        learners: The networks by name.
        seeds: The seeds.
        draw: Draws that many transitions of each seed from the replay, by given generators.
        example: A batch of one transition, all zeros, for shapes.
        born: Makes a network that has learned nothing in place of a given one.

    Raises:
        ValueError: If there is no such network, or it can't have the remedy.
    """

    def __init__(
        self,
        chosen: Mapping[str, MitigationConfig],
        learners: Mapping[str, Learner],
        seeds: Sequence[int],
        draw: Callable[[int, Streams], Any],
        example: Any,
        born: Callable[[nn.Module, Streams], nn.Module] = born_again,
    ) -> None:
        self.updates = 0
        self.at_work: dict[str, Mitigation[Any]] = {}  # by <remedy>/<network>
        # Who reads gradients comes before those who add to them: hooks run in this order.
        for name, config in sorted(chosen.items(), key=lambda item: item[0] != "regrama"):
            make = MITIGATIONS[name].make
            networks = _networks(name, config, learners)
            for network in networks if make is not None else ():
                learner = learners[network]
                device = next(learner.network.parameters()).device
                streams = Streams(seeds, f"{name}/{network}", device)
                subject = Subject(network, learner, streams, draw, example, born)
                try:
                    mitigation = make(config, subject)  # type: ignore[misc]  # not None
                except ValueError as error:
                    raise ValueError(f"mitigation {name}, network {network}: {error}") from error
                self.at_work[f"{name}/{network}"] = mitigation
        self._learners = learners
        self._handles: list[RemovableHandle] = []
        self.attach()

    def attach(self) -> None:
        """Asks the optimizers to tell when they are about to step, and when they have."""
        for key, mitigation in self.at_work.items():
            optimizer = self._learners[key.partition("/")[2]].optimizer
            if overridden(mitigation, "before_step"):
                self._handles.append(
                    optimizer.register_step_pre_hook(lambda *_, m=mitigation: m.before_step())
                )
            if overridden(mitigation, "after_step"):
                self._handles.append(
                    optimizer.register_step_post_hook(lambda *_, m=mitigation: m.after_step())
                )

    def detach(self) -> None:
        """Leaves the optimizers alone again."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    @property
    def observes(self) -> bool:
        """Whether one of them looks at what ``observe`` shows."""
        return any(overridden(mitigation, "observe") for mitigation in self.at_work.values())

    def observe(self, obs: Array) -> None:
        """Shows the observations that the agent acts on, ``(S, N, ...)``, to those who look."""
        for mitigation in self.at_work.values():
            if overridden(mitigation, "observe"):
                mitigation.observe(to_tensor(obs, mitigation.subject.streams.device))

    def after_update(self) -> None:
        """Lets those operate whose time has come; to be called after each update of the agent."""
        self.updates += 1
        for mitigation in self.at_work.values():
            if self.updates % getattr(mitigation.config, "every", 1) == 0:
                mitigation.operate()

    def report(self) -> dict[str, Tensor]:
        """Returns what they did since the last call: ``<remedy>/<network>/<what>``, ``(S,)``."""
        return {
            f"{key}/{what}": value
            for key, mitigation in self.at_work.items()
            for what, value in mitigation.report().items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns all that they must remember to go on."""
        state: dict[str, Any] = {"updates": self.updates}
        for key, mitigation in self.at_work.items():
            own = {
                "state": mitigation.state_dict(),
                "notes": dict(mitigation.notes),
                "streams": mitigation.subject.streams.state_dict(),
            }
            state[key] = own
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state that ``state_dict`` returned."""
        self.updates = state["updates"]
        for key, mitigation in self.at_work.items():
            own = state[key]
            mitigation.load_state_dict(own["state"])
            device = mitigation.subject.streams.device
            mitigation.notes = {what: note.to(device) for what, note in own["notes"].items()}
            mitigation.subject.streams.load_state_dict(own["streams"])


def _networks(name: str, config: MitigationConfig, learners: Mapping[str, Learner]) -> list[str]:
    """The networks that a remedy works on: those it was told, or all that it suits."""
    make = MITIGATIONS[name].make
    for network in config.networks:
        if network not in learners:
            near = get_close_matches(network, learners, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"mitigation {name}: the agent has no network {network!r}, it has "
                f"{', '.join(learners)}.{hint}"
            )
    if config.networks:
        return list(config.networks)
    return [n for n, learner in learners.items() if make is None or make.suits(learner)]
