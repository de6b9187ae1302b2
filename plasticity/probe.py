"""The probe: what happens inside the networks, on a batch of its own, without changing learning."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from agents import Learner, Streams
from networks import initialize
from plasticity import metrics
from plasticity.layers import evaluating
from plasticity.network_probe import OVERLAP_TAU, TAUS, NetworkProbe, Rows
from plasticity.watch import GRAMA_TAUS

METRICS = (
    *(f"dormant_fraction@{tau:g}" for tau in TAUS),
    *(f"dormant_fraction_of_layers@{tau:g}" for tau in TAUS),
    f"dormant_overlap@{OVERLAP_TAU:g}",
    *("dead_fraction", "linear_fraction", "sign_entropy"),
    *("effective_rank", "srank_001", "stable_rank_fro", "feature_norm"),
    *("weight_rms", "weight_change", "weight_stable_rank_fro"),
    *(f"grama_fraction@{tau:g}" for tau in GRAMA_TAUS),
    *("grad_norm", "zero_grad_fraction", "effective_lr", "one_step_plasticity", "refit_loss"),
    *("policy_churn", "policy_change", "td_target_variance", "q_mean", "q_max"),
    *("alpha_mean", "alpha_min", "alpha_max", "alpha_abs"),
)


@dataclass(frozen=True)
class ProbeConfig:
    """Settings of the probe."""

    every: int = 1_000
    """Steps (of the environment; in supervise.py, updates) between two probes."""
    batch_size: int = 256
    """Transitions (in supervise.py, images) of each seed in a probe."""
    dear_every: int = 10_000
    """Steps between two measurements of stable ranks, and of the ranks of layers and weights.

    They are measured at the first probe at or after that step, and so is ``refit_loss``.
    """
    refit_every: int | None = None
    """Steps between two measurements of refit_loss, which is expensive; None: never."""
    refit_steps: int = 100
    """Steps that a copy of a network is trained for refit_loss."""

    def __post_init__(self) -> None:
        for name in ("every", "batch_size", "dear_every", "refit_every", "refit_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"`{name}` should be at least 1. Received {value}")


class Probe:
    """Measures the learners of an agent.

    What a forward pass and the weights tell is named in ``NetworkProbe``; critics and policies
    add what they say on the probe batch.  Gradients and steps are for ``UpdateWatch``.

    Args:
        streams: Generators for the noise of targets and for ``refit_loss``; without them, these
            are left out.
        refit_steps: Steps of ``refit_loss``.
    """

    def __init__(self, streams: Streams | None = None, refit_steps: int = 100) -> None:
        self.streams, self.refit_steps = streams, refit_steps
        self._networks: dict[str, NetworkProbe] = {}
        self._last_inputs: dict[str, tuple[Any, ...]] = {}  # of policies
        self._last_actions: dict[str, Tensor] = {}

    def measure(
        self,
        learners: Mapping[str, Learner],
        batch: Any,
        *,
        dear: bool = True,
        refit: bool = False,
    ) -> Rows:
        """Returns every metric ``(S,)`` by name.

        Args:
            learners: The networks by name.
            batch: The probe batch, ``(S, B, ...)``, drawn by generators of its own.
            dear: Whether to measure stable ranks, and the ranks of all layers and weights.
            refit: Whether to measure ``refit_loss``.
        """
        rows: Rows = {}
        # Some activations draw numbers in training mode where there is a gradient.
        with evaluating(learner.network for learner in learners.values()), metrics.unchecked():
            for name, learner in learners.items():
                if learner.inputs is None:
                    continue
                inputs = learner.inputs(batch)
                rows |= self.network(name, learner.network, inputs, dear=dear)
                rows |= self._outputs(name, learner, batch, inputs)
                if self.streams is not None and refit:
                    rows[f"plasticity/{name}/refit_loss"] = self._refit(learner, batch)
        return rows

    def network(
        self, name: str, network: nn.Module, inputs: Any, *, dear: bool = True
    ) -> dict[str, Tensor]:
        """Returns what ``NetworkProbe`` measures of one network, ``(S,)`` by name."""
        of_network = self._networks.setdefault(name, NetworkProbe(name))
        return of_network.measure(network, inputs, dear=dear)

    def state_dict(self) -> dict[str, Any]:
        """Returns what the next probe compares with."""
        state: dict[str, Any] = {
            "networks": {name: of.state_dict() for name, of in self._networks.items()},
            "actions": dict(self._last_actions),
            "inputs": {name: dict(enumerate(of)) for name, of in self._last_inputs.items()},
        }
        if self.streams is not None:
            state["noise"] = self.streams.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state that ``state_dict`` returned."""
        device = "cpu" if self.streams is None else self.streams.device
        self._networks = {name: NetworkProbe(name) for name in state["networks"]}
        for name, of_network in self._networks.items():
            of_network.load_state_dict(state["networks"][name], device)
        self._last_actions = {name: value.to(device) for name, value in state["actions"].items()}
        if self.streams is not None:
            self.streams.load_state_dict(state["noise"])
        self._last_inputs = {
            name: tuple(value.to(device) for value in of.values())
            for name, of in state["inputs"].items()
        }

    def distributions(self) -> dict[str, Tensor]:
        """Returns alpha and the score of each unit at the last probe, of all seeds, for histograms.

        Names are ``adalin/<network>/<layer>/alpha`` and
        ``plasticity/<network>/neuron_score/<layer>``.
        """
        found: dict[str, Tensor] = {}
        for of_network in self._networks.values():
            found |= of_network.distributions
        return found

    @torch.no_grad()
    def _outputs(self, name: str, learner: Learner, batch: Any, inputs: tuple[Any, ...]) -> Rows:
        """What a critic or a policy says on the probe batch."""
        rows: Rows = {}
        outputs = self._networks[name].outputs
        if learner.values is not None:
            values = learner.values(outputs)  # (S, B)
            rows |= {"q_mean": metrics.q_mean(values), "q_max": metrics.q_max(values)}
        if learner.td_target is not None and self.streams is not None:
            target = learner.td_target(batch, self.streams)  # (S, B)
            rows["td_target_variance"] = metrics.td_target_variance(target)
        if learner.actions is not None:
            if name in self._last_actions:
                now = learner.actions(learner.network(*self._last_inputs[name]))
                pair = now, self._last_actions[name]
                if pair[0].is_floating_point():
                    rows["policy_change"] = metrics.policy_change(*pair)
                else:
                    rows["policy_churn"] = metrics.policy_churn(*pair)
            self._last_actions[name] = learner.actions(outputs)
            self._last_inputs[name] = inputs
        return {f"plasticity/{name}/{metric}": value.double() for metric, value in rows.items()}

    def _refit(self, learner: Learner, batch: Any) -> Tensor:
        """How well a copy fits what a fresh network of the same make says on the probe batch."""
        assert learner.inputs is not None
        assert self.streams is not None
        inputs = learner.inputs(batch)
        other = copy.deepcopy(learner.network)
        initialize(other, self.streams.generators)
        with torch.no_grad():
            targets = _outputs_of(other(*inputs))
        return metrics.refit_loss(
            learner.network, inputs, targets, steps=self.refit_steps, outputs=_outputs_of
        )


def _outputs_of(result: Any) -> Tensor:
    """All that a network returns for each seed, ``(S, n)``."""
    parts = result if isinstance(result, tuple) else (result,)
    return torch.cat([part.flatten(1) for part in parts], dim=1)
