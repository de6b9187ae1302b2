"""The probe: what happens inside the networks, on a batch of its own, without changing learning."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from agents import Batch, Learner, Streams
from networks import initialize
from plasticity import metrics
from plasticity.layers import lead_of, weight_layers
from plasticity.network_probe import OVERLAP_TAU, TAUS, NetworkProbe, Rows

GRAMA_TAUS = (0.025, 0.1)
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
    """Environment steps between two probes."""
    batch_size: int = 256
    """Transitions of each seed to look at."""
    dear_every: int = 10_000
    """Environment steps between two looks at the ranks of all layers and weights."""
    refit_every: int | None = None
    """Environment steps between two measurements of refit_loss, which is dear; None: none."""
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
    add what they say on the probe batch, and gradients are those of their loss there.

    Args:
        streams: Generators for the noise of losses and for ``refit_loss``; without them, as with
            learners that have no loss, what needs them is left out.
        refit_steps: Steps of ``refit_loss``.
    """

    def __init__(self, streams: Streams | None = None, refit_steps: int = 100) -> None:
        self.streams, self.refit_steps = streams, refit_steps
        self._networks: dict[str, NetworkProbe] = {}
        self._last_batch: Batch | None = None
        self._last_actions: dict[str, Tensor] = {}

    def measure(
        self,
        learners: Mapping[str, Learner],
        batch: Batch,
        *,
        dear: bool = True,
        refit: bool = False,
    ) -> Rows:
        """Returns every metric ``(S,)`` by name.

        Args:
            learners: The networks by name.
            batch: The probe batch, ``(S, B, ...)``, drawn by generators of its own.
            dear: Whether to measure the ranks of all layers and weights.
            refit: Whether to measure ``refit_loss``.
        """
        rows: Rows = {}
        # Some activations draw numbers in training mode where there is a gradient.
        with evaluating(learner.network for learner in learners.values()), metrics.unchecked():
            for name, learner in learners.items():
                if learner.inputs is None:
                    continue
                rows |= self.network(name, learner.network, learner.inputs(batch), dear=dear)
                rows |= self._outputs(name, learner, batch)
                if self.streams is not None and learner.loss is not None:
                    rows |= self._gradients(name, learner, batch)
                if self.streams is not None and refit:
                    rows[f"plasticity/{name}/refit_loss"] = self._refit(learner, batch)
        self._last_batch = batch
        return rows

    def network(
        self, name: str, network: nn.Module, inputs: Any, *, dear: bool = True
    ) -> dict[str, Tensor]:
        """Returns what ``NetworkProbe`` measures of one network, ``(S,)`` by name."""
        of_network = self._networks.setdefault(name, NetworkProbe(name))
        return of_network.measure(network, inputs, dear=dear)

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
    def _outputs(self, name: str, learner: Learner, batch: Batch) -> Rows:
        """What a critic or a policy says on the probe batch."""
        rows: Rows = {}
        if learner.values is not None:
            values = learner.values(batch)  # (S, B)
            rows |= {"q_mean": metrics.q_mean(values), "q_max": metrics.q_max(values)}
        if learner.td_target is not None and self.streams is not None:
            target = learner.td_target(batch, self.streams)
            rows["td_target_variance"] = metrics.td_target_variance(target)
        if learner.actions is not None:
            if self._last_batch is not None and name in self._last_actions:
                pair = learner.actions(self._last_batch), self._last_actions[name]
                if pair[0].is_floating_point():
                    rows["policy_change"] = metrics.policy_change(*pair)
                else:
                    rows["policy_churn"] = metrics.policy_churn(*pair)
            self._last_actions[name] = learner.actions(batch)
        return {f"plasticity/{name}/{metric}": value.double() for metric, value in rows.items()}

    def _gradients(self, name: str, learner: Learner, batch: Batch) -> Rows:
        """Which weights the loss on the probe batch reaches."""
        assert learner.loss is not None
        assert self.streams is not None
        parameters = [p for p in learner.network.parameters() if p.requires_grad]
        loss = learner.loss(batch, self.streams)
        found = torch.autograd.grad(loss.sum(), parameters, allow_unused=True)
        grads = {
            p: torch.zeros_like(p) if g is None else g
            for p, g in zip(parameters, found, strict=True)
        }
        prefix = f"plasticity/{name}"
        rows = {f"{prefix}/zero_grad_fraction": metrics.zero_grad_fraction(grads.values(), lead=1)}
        units: dict[float, list[Tensor]] = {tau: [] for tau in GRAMA_TAUS}
        layers = weight_layers(learner.network)
        for label, layer in layers.items():
            own = [grads[p] for p in layer.parameters(recurse=False) if p in grads]
            if not own:  # a remedy has frozen it
                continue
            fraction = metrics.zero_grad_fraction(own, lead=1)
            rows[f"{prefix}/zero_grad_fraction/{label}"] = fraction
            if label == list(layers)[-1]:  # the output, whose units can't be recycled
                continue
            weight: Any = layer.weight
            scores = metrics.grama_scores(grads[weight], len(lead_of(layer)))
            for tau in GRAMA_TAUS:
                mask = (scores <= tau).flatten(1)
                rows[f"{prefix}/grama_fraction@{tau:g}/{label}"] = mask.double().mean(-1)
                units[tau].append(mask)
        for tau, masks in units.items():
            if masks:
                pooled = torch.cat(masks, dim=1).double().mean(-1)
                rows[f"{prefix}/grama_fraction@{tau:g}"] = pooled
        return rows

    def _refit(self, learner: Learner, batch: Batch) -> Tensor:
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


@contextmanager
def evaluating(networks: Iterator[nn.Module]) -> Iterator[None]:
    """Has the networks in evaluation mode inside."""
    modes = [(m, m.training) for network in networks for m in network.modules()]
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _outputs_of(result: Any) -> Tensor:
    """All that a network returns for each seed, ``(S, n)``."""
    parts = result if isinstance(result, tuple) else (result,)
    return torch.cat([part.flatten(1) for part in parts], dim=1)
