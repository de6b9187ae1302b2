"""TRAC: any optimizer, held near where it began as far as that pays, without a setting."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from plasticity.mitigations.base import Mitigation, MitigationConfig, Subject, by_seed
from plasticity.mitigations.optimizers import MakeOptimizer, beside, loss_of

BETAS = (0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999)
INITIAL = 1e-8
EPS = 1e-8
ERFI_OF_SQRT_HALF = 0.9534382692512609
LARGEST_ARGUMENT = 10.0
"""erfi(10) is 1.5e42: sums of 1e-8 times it are finite in float32, more would not be."""


def erfi(x: Tensor) -> Tensor:
    """The imaginary error function, elementwise, of arguments cut to [-10, 10].

    The sum ``4 / pi * sum over odd n of exp(-(n h)^2) sinh(2 n h x) / n`` (Rybicki 1989, "Dawson's
    integral and the sampling theorem") has a relative error of exp(-(pi / 2h)^2), below 1e-16 with
    h = 1/4. Its terms have one sign and are largest near n h = x.

    Args:
        x: Of any shape, float64.
    """
    x = x.clamp(-LARGEST_ARGUMENT, LARGEST_ARGUMENT).unsqueeze(-1)
    n = torch.arange(1, 4 * (LARGEST_ARGUMENT + 7), 2, dtype=x.dtype, device=x.device)
    nh, size = n / 4, x.abs()
    terms = (nh * (2 * size - nh)).exp() * -torch.expm1(-4 * nh * size) / n
    return 2 / math.pi * x.squeeze(-1).sign() * terms.sum(-1)


@dataclass(frozen=True)
class TRACConfig(MitigationConfig):
    """Settings of trac: none, that is its point."""


class TRAC(Optimizer):
    """Parameter-free pull toward a reference point (Muppidi et al. 2024, arXiv 2405.16642).

    The base optimizer proposes a step from ``theta`` to ``theta + u``. With the gradient ``g``
    before it, the reference ``ref`` (the weights at the first step), and ``S`` the sum of ``s``
    after the last step, 0 at first ::

        delta = (theta - ref) / (S + eps)
        h = <g, delta>
        delta += u
        V_j = beta_j^2 V_j + h^2,    sigma_j = beta_j sigma_j - h              for six betas
        s_j = 1e-8 / erfi(1 / sqrt 2) * erfi(sigma_j / (sqrt 2 sqrt V_j + eps))
        theta = ref + max(S, 0) * delta                               with the new S

    as in the authors' code (ComputationalRobotics/TRAC, ``trac.py``), for each seed apart: ``h`` is
    the sum over all parameters of a seed. Parameters without gradient are passed over. As there,
    ``S`` starts near 1e-7, so in float32 only weights near 0 move at all until it has grown, which
    takes some hundred steps; and delta is recomputed from the weights: what else moves them counts
    as a step of TRAC, and is undone where S falls to 0. Unlike there, arguments of erfi are cut to
    [-10, 10], and the tuner is in float64.

    Groups and state are those of the base, so its moments are found at ``state[parameter]``; the
    references are not among them and stay when moments are zeroed. Hooks belong on this optimizer:
    they run before the gradient is read and after the weights are final. In stable-baselines3:
    ``policy_kwargs={"optimizer_class": lambda p, **kw: TRAC(torch.optim.Adam(p, **kw))}``.

    Args:
        base: The optimizer to wrap.
        num_seeds: Size S of the first axis of all parameters; None: there is no such axis.

    Attributes:
        tuner: ``sigma``, ``variance`` (V) and ``s``, each ``(S, 6)``, in float64.
        ref: The reference of each parameter that has learned.

    Raises:
        ValueError: If a parameter does not have the seeds as first axis.
    """

    def __init__(self, base: Optimizer, num_seeds: int | None = None) -> None:
        for parameter in (p for group in base.param_groups for p in group["params"]):
            if num_seeds is not None and parameter.shape[:1] != (num_seeds,):
                raise ValueError(
                    f"the first axis of all parameters should be that of the {num_seeds} seeds. "
                    f"Received a parameter of shape {tuple(parameter.shape)}"
                )
        super().__init__(base.param_groups, base.defaults)
        self.base = base
        self._share()
        zeros = torch.zeros(num_seeds or 1, len(BETAS), dtype=torch.float64)
        self.tuner = {"sigma": zeros + INITIAL, "variance": zeros.clone(), "s": zeros.clone()}
        self.ref: dict[Tensor, Tensor] = {}

    def _share(self) -> None:
        """Makes groups and state those of the base; loading a state makes new ones there."""
        self.param_groups, self.state = self.base.param_groups, self.base.state

    @property
    def scale(self) -> Tensor:
        """How far the weights may go from their references, ``(S,)``: 1 is where the base goes."""
        return self.tuner["s"].sum(1).clamp(min=0)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # torch has an overload for each case
        """Takes a step; returns what the closure returns."""
        loss = loss_of(closure)
        parameters = self._parameters()
        learning = [p for p in parameters if p.grad is not None]
        if not learning:
            return loss
        self._to(learning[0].device)
        for p in learning:
            if p not in self.ref:
                self.ref[p] = p.clone()
        before = [p.clone() for p in learning]
        drift = [p - self.ref[p] for p in learning]
        of_each = [
            by_seed(p.grad * d, len(self.tuner["s"]))
            for p, d in zip(learning, drift, strict=True)
            if p.grad is not None
        ]
        self.base.step()

        past = self.tuner["s"].sum(1) + EPS  # (S,)
        past.masked_fill_(past == 0, torch.inf)
        self._tune(torch.stack(of_each).sum(0) / past)
        for p, theta, d in zip(learning, before, drift, strict=True):
            delta = d.div_(beside(past, p).to(p.dtype)).add_(p).sub_(theta)
            p.copy_(self.ref[p]).addcmul_(delta, beside(self.scale, p).to(p.dtype))
        return loss

    def _tune(self, h: Tensor) -> None:
        """Takes the product of gradient and displacement of each seed, ``(S,)``."""
        sigma, variance, s = (self.tuner[name] for name in ("sigma", "variance", "s"))
        beta, h = sigma.new_tensor(BETAS), h.unsqueeze(1)
        variance.mul_(beta.square()).add_(h.square())
        sigma.mul_(beta).sub_(h)
        s.copy_(erfi(sigma / (math.sqrt(2) * variance.sqrt() + EPS)))
        s.mul_(INITIAL / ERFI_OF_SQRT_HALF)

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _to(self, device: torch.device) -> None:
        self.tuner = {name: value.to(device) for name, value in self.tuner.items()}

    def state_dict(self) -> dict[str, Any]:
        ref = {i: self.ref[p] for i, p in enumerate(self._parameters()) if p in self.ref}
        return self.base.state_dict() | {"trac": {"tuner": dict(self.tuner), "ref": ref}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.base.load_state_dict({k: v for k, v in state_dict.items() if k != "trac"})
        self._share()
        own = state_dict["trac"]
        self.tuner = {name: own["tuner"][name].clone() for name in self.tuner}
        parameters = self._parameters()
        self.ref = {parameters[i]: ref.to(parameters[i]).clone() for i, ref in own["ref"].items()}


def trac_optimizer(config: TRACConfig, usual: MakeOptimizer, seeds: Sequence[int]) -> MakeOptimizer:
    """Returns a function that wraps the usual optimizer."""

    def make(name: str, parameters: Sequence[nn.Parameter], learning_rate: float) -> Optimizer:
        return TRAC(usual(name, parameters, learning_rate), len(seeds))

    return make


class TRACScale(Mitigation[TRACConfig]):
    """Reports the scale ``max(S, 0)`` of TRAC.

    Raises:
        ValueError: If the optimizer of the network isn't TRAC.
    """

    def __init__(self, config: TRACConfig, subject: Subject) -> None:
        super().__init__(config, subject)
        if not isinstance(subject.learner.optimizer, TRAC):
            raise ValueError(
                "the optimizer should be TRAC, around any other. "
                f"Received {type(subject.learner.optimizer).__name__}"
            )
        self.optimizer = subject.learner.optimizer

    def report(self) -> dict[str, Tensor]:
        return {"scale": self.optimizer.scale}
