"""UPGD: gradient descent that disturbs what is of no use and spares what is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from agents import Streams
from agents.settings import AT_LEAST_ZERO, POSITIVE, Rule
from plasticity.mitigations.base import RULES, Mitigation, MitigationConfig
from plasticity.mitigations.optimizers import MakeOptimizer, beside, loss_of


@dataclass(frozen=True)
class UPGDConfig(MitigationConfig):
    """Settings of upgd."""

    decay: float = 0.999
    """Decay of the running utility of each weight."""
    weight_decay: float = 1e-3
    """Share of each weight, times the learning rate, that every step takes away."""
    sigma: float = 1e-3
    """Standard deviation of the noise that joins the gradient."""

    def rules(self) -> Mapping[str, Rule]:
        return {"weight_decay": AT_LEAST_ZERO, "sigma": AT_LEAST_ZERO}


class UPGD(Optimizer):
    """Utility-based perturbed gradient descent (Elsayed and Mahmood 2024, arXiv 2404.00781).

    The utility of a weight is the running mean ``U`` of ``-gradient * weight``, what the loss would
    rise without it to first order. With the largest utility ``M`` of all weights of a seed, step
    ``t`` and noise of standard deviation ``sigma`` ::

        gate = 1 - sigmoid(U / (1 - decay^t) / M)
        weight <- (1 - lr * weight_decay) * weight - lr * (gradient + noise) * gate

    This is the authors' code for their experiments (mohmdelsayed/upgd, ``FirstOrderGlobalUPGD``),
    in which M is signed and, unlike U, has no bias correction; the class in their README takes
    steps of twice the length. Where M is 0 the gate is 1/2, while theirs is not a number. There is
    no momentum, and nothing is left out: biases, gains and alphas have utilities, too.

    Parameters without gradient are passed over. In stable-baselines3:
    ``policy_kwargs={"optimizer_class": UPGD}``.

    Args:
        params: Parameters, or groups of them.
        lr: Step size.
        decay: Of the running utility, in [0, 1).
        weight_decay: Decoupled from the gradient.
        sigma: Standard deviation of the noise.
        streams: A generator for each seed; the parameters then have the seeds as first axis. None:
            they have no such axis.
        seed: Of the noise without ``streams``; None: PyTorch's global generator draws one.

    Raises:
        ValueError: If a number is out of its range, or the first axis isn't that of the seeds.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-5,
        *,
        decay: float = 0.999,
        weight_decay: float = 1e-3,
        sigma: float = 1e-3,
        streams: Streams | None = None,
        seed: int | None = None,
    ) -> None:
        settings = dict(lr=lr, decay=decay, weight_decay=weight_decay, sigma=sigma)
        rules = {**RULES, **UPGDConfig().rules(), "lr": POSITIVE}
        for name, value in settings.items():
            holds, rule = rules[name]
            if not holds(value):
                raise ValueError(f"`{name}` should {rule}. Received {value}")
        self.seeds_first = streams is not None
        if streams is None:
            seed = int(torch.randint(2**62, ())) if seed is None else seed
            streams = Streams([seed], "upgd")
        self.streams = streams
        super().__init__(params, settings)

    @property
    def num_seeds(self) -> int:
        """Number of seeds S; 1 if there is no such axis."""
        return len(self.streams.generators)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        for parameter in self.param_groups[-1]["params"] if self.seeds_first else ():
            if parameter.shape[:1] != (self.num_seeds,):
                raise ValueError(
                    f"the first axis of `params` should be that of the {self.num_seeds} seeds. "
                    f"Received a parameter of shape {tuple(parameter.shape)}"
                )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # torch has an overload for each case
        """Takes a step; returns what the closure returns."""
        loss = loss_of(closure)
        learning = [(g, p) for g in self.param_groups for p in g["params"] if p.grad is not None]
        if not learning:
            return loss
        for group, p in learning:
            state = self.state[p]
            if not state:
                state["step"], state["utility"] = 0, torch.zeros_like(p)
            state["step"] += 1
            state["utility"].mul_(group["decay"]).addcmul_(p.grad, p, value=group["decay"] - 1)
        parameters = [p for _, p in learning]
        largest = self._largest([self.state[p]["utility"] for p in parameters])  # (S,)
        for (group, p), normal in zip(learning, self._normal(parameters), strict=True):
            state, lr = self.state[p], group["lr"]
            relative = state["utility"] / beside(largest, p) / (1 - group["decay"] ** state["step"])
            gate = torch.sigmoid(-relative)
            noisy = p.grad.add(normal.to(p), alpha=group["sigma"])
            p.mul_(1 - lr * group["weight_decay"]).addcmul_(noisy, gate, value=-lr)
        return loss

    def _largest(self, utilities: Sequence[Tensor]) -> Tensor:
        """The largest utility of each seed, and infinity for 0: relative to that, 0 is 0."""
        rows = [u.reshape(self.num_seeds, -1).amax(1) for u in utilities]
        largest = torch.stack(rows).amax(0)  # (S,)
        return largest.masked_fill_(largest == 0, torch.inf)

    def _normal(self, parameters: Sequence[Tensor]) -> list[Tensor]:
        """Standard normal numbers for all weights: one draw from the generator of each seed."""
        sizes = [p.numel() // self.num_seeds for p in parameters]
        draws = self.streams.normal(sum(sizes))  # (S, all weights of a seed)
        pairs = zip(draws.split(sizes, 1), parameters, strict=True)
        return [normal.reshape(p.shape) for normal, p in pairs]

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"streams": self.streams.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.streams.load_state_dict(state_dict["streams"])


class UPGDGate(Mitigation[UPGDConfig]):
    """Reports ``gate``, the mean share of its gradient that a weight follows; 1/2: all alike."""

    @torch.no_grad()
    def report(self) -> dict[str, Tensor]:
        optimizer, num_seeds = self.subject.learner.optimizer, self.subject.num_seeds
        states = [s for s in optimizer.state.values() if "utility" in s]
        if not states:
            return {}
        decay = optimizer.param_groups[0]["decay"]
        utilities = [s["utility"].reshape(num_seeds, -1) for s in states]  # each (S, n)
        largest = torch.cat(utilities, 1).amax(1, keepdim=True)
        largest.masked_fill_(largest == 0, torch.inf)
        gates = [
            torch.sigmoid(-u / largest / (1 - decay ** s["step"]))
            for u, s in zip(utilities, states, strict=True)
        ]
        return {"gate": torch.cat(gates, 1).mean(1)}


def upgd_optimizer(config: UPGDConfig, usual: MakeOptimizer, seeds: Sequence[int]) -> MakeOptimizer:
    """Returns a function that makes UPGD."""

    def make(name: str, parameters: Sequence[nn.Parameter], learning_rate: float) -> Optimizer:
        return UPGD(
            parameters,
            learning_rate,
            decay=config.decay,
            weight_decay=config.weight_decay,
            sigma=config.sigma,
            streams=Streams(seeds, f"upgd/{name}", parameters[0].device),
        )

    return make
