"""Kron: preconditioned gradient descent of a kept library, for each seed apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from agents import Streams
from agents.settings import AT_LEAST_ZERO, Rule
from plasticity.mitigations.base import Mitigation, MitigationConfig, by_seed
from plasticity.mitigations.optimizers import MakeOptimizer, loss_of


@dataclass(frozen=True)
class KronConfig(MitigationConfig):
    """Settings of kron."""

    momentum: float = 0.9
    """Decay of the running mean of gradients that is preconditioned."""
    weight_decay: float = 0.0
    """Share of each weight matrix, times the learning rate, that every step takes away."""

    def rules(self) -> Mapping[str, Rule]:
        momentum: Rule = (lambda x: 0 <= x < 1, "be in [0, 1)")
        return {"momentum": momentum, "weight_decay": AT_LEAST_ZERO}


class Kron(Optimizer):
    """PSGD with Kronecker-factored preconditioners (Li 2018, arXiv 1512.04202).

    The mathematics is that of the library pytorch-optimizer. Each copy of the network (a seed, or a
    twin of it) has an optimizer of the library over views of its part of the parameters, so that no
    preconditioner mixes two of them. What these draw from
    the global generators of NumPy and PyTorch is drawn from generators seeded by the streams, and
    the global ones are left as they were.

    The state of a parameter has ``momentum_buffer``, of its shape, and ``preconditioner``, a
    dictionary of the factors ``(*lead, n)`` or ``(*lead, n, n)`` of its axes: surgery that zeroes
    moments does not reach the factors, which would stay 0 for ever. Settings of the library that
    are not arguments here have its defaults: a preconditioner learns at each of the first 500
    steps, then ever more rarely, down to one in 33.

    Args:
        params: Parameters ``(*lead, ...)``, or groups of them.
        lr: Step size; similar to that of Adam.
        momentum: Decay of the running mean of gradients, in [0, 1).
        weight_decay: Decoupled from the gradient, for tensors of two axes and more.
        streams: A generator for each seed, on the CPU.
        num_leading: Number of leading axes: 1 for seeds, 2 for seeds and twins.

    Raises:
        ValueError: If the library, or opt-einsum, is not installed.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        streams: Streams,
        num_leading: int = 1,
    ) -> None:
        self.library, self.streams, self.num_leading = _library(), streams, num_leading
        self.copies: list[Optimizer] = []  # in the order of the leading axes
        self.views: dict[Tensor, list[Tensor]] = {}  # what each of them sees of a parameter
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        group.setdefault("expressions", [None] * len(group["params"]))
        for p in group["params"]:
            self.views[p] = list(self._by_copy(p.detach()))
        settings = {k: group[k] for k in ("lr", "momentum", "weight_decay")}
        settings["precondition_dtype"] = group["params"][0].dtype
        for copy, views in enumerate(zip(*(self.views[p] for p in group["params"]), strict=True)):
            if copy == len(self.copies):
                self.copies.append(self.library(views, **settings))
            else:
                self.copies[copy].add_param_group({"params": views, **settings})

    def _by_copy(self, value: Tensor) -> Tensor:
        """Brings ``(*lead, ...)`` to ``(copies, ...)``."""
        return value.view(-1, *value.shape[self.num_leading :])

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # torch has an overload for each case
        """Takes a step; returns what the closure returns."""
        loss = loss_of(closure)
        for p, views in self.views.items():
            gradients = (
                [None] * len(views) if p.grad is None else self._by_copy(p.grad.contiguous())
            )
            for view, gradient in zip(views, gradients, strict=True):
                view.grad = gradient
        for copy in self.copies:
            for group, own in zip(self.param_groups, copy.param_groups, strict=True):
                own.update({k: group[k] for k in ("lr", "momentum", "weight_decay")})
        twins = len(self.copies) // len(self.streams.generators)
        seeds = self.streams.integers(1 << 32, twins).flatten().tolist()
        with _global_generators(next(iter(self.views)).device) as reseed:
            for copy, seed in zip(self.copies, seeds, strict=True):
                reseed(seed)
                copy.step()
        self._gather()
        return loss

    def _gather(self) -> None:
        """Takes over the counters, and the state of parameters that learned for the first time."""
        for group, own in zip(self.param_groups, self.copies[0].param_groups, strict=True):
            group.update({k: own[k] for k in COUNTERS if k in own})
            for i, p in enumerate(group["params"]):
                states = [copy.state[v] for copy, v in zip(self.copies, self.views[p], strict=True)]
                if p in self.state or not states[0]:
                    continue
                lead = p.shape[: self.num_leading]
                buffer = torch.stack([state["momentum_buffer"] for state in states])
                factors = zip(*(state["Q"] for state in states), strict=True)
                self.state[p] = {
                    "momentum_buffer": buffer.view(p.shape),
                    "preconditioner": {
                        axis: torch.stack(q).view(*lead, *q[0].shape)
                        for axis, q in enumerate(factors)
                    },
                }
                group["expressions"][i] = states[0]["expressions"]
                self._hand_out(p, group["expressions"][i])

    def _hand_out(self, p: Tensor, expressions: Any) -> None:
        """Gives the copies views of the state of a parameter, which they change in place."""
        buffers = self._by_copy(self.state[p]["momentum_buffer"])
        factors = self.state[p]["preconditioner"]
        for i, (copy, view) in enumerate(zip(self.copies, self.views[p], strict=True)):
            q = [self._by_copy(factors[axis])[i] for axis in sorted(factors)]
            copy.state[view] = {"momentum_buffer": buffers[i], "Q": q, "expressions": expressions}

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"streams": self.streams.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.streams.load_state_dict(state_dict["streams"])
        for copy in self.copies:
            copy.state.clear()
            for group, own in zip(self.param_groups, copy.param_groups, strict=True):
                own.update({k: group[k] for k in COUNTERS if k in group})
        for group in self.param_groups:
            for p, expressions in zip(group["params"], group["expressions"], strict=True):
                if p in self.state:
                    self._hand_out(p, expressions)


COUNTERS = ("step", "update_counter")


def _library() -> Any:
    """The optimizer of the library, which takes a second to import."""
    try:
        # PyTorch finds it by itself; without it each step would take 100 times as long.
        import_module("opt_einsum")
        return import_module("pytorch_optimizer").Kron
    except ImportError as error:
        raise ValueError(
            "mitigation kron needs pytorch-optimizer and opt-einsum: pip install 'adalin-rl[kron]'"
        ) from error


@contextmanager
def _global_generators(device: torch.device) -> Iterator[Callable[[int], None]]:
    """Yields a function that seeds the global generators; afterwards they are as before."""
    torchs = torch.default_generator
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torchs = torch.cuda.default_generators[index]
    before = np.random.get_state(), torchs.get_state()

    def reseed(seed: int) -> None:
        np.random.seed(seed)
        torchs.manual_seed(seed)

    try:
        yield reseed
    finally:
        np.random.set_state(before[0])
        torchs.set_state(before[1])


class KronMomentum(Mitigation[KronConfig]):
    """Reports ``momentum_norm``, the L2 norm of the mean gradients that are preconditioned."""

    @torch.no_grad()
    def report(self) -> dict[str, Tensor]:
        states = self.subject.learner.optimizer.state.values()
        squares = [
            by_seed(state["momentum_buffer"].square(), self.subject.num_seeds)
            for state in states
            if "momentum_buffer" in state
        ]
        return {"momentum_norm": torch.stack(squares).sum(0).sqrt()} if squares else {}


def kron_optimizer(config: KronConfig, usual: MakeOptimizer, seeds: Sequence[int]) -> MakeOptimizer:
    """Returns a function that makes Kron."""

    def make(name: str, parameters: Sequence[nn.Parameter], learning_rate: float) -> Optimizer:
        return Kron(
            parameters,
            learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            streams=Streams(seeds, f"kron/{name}"),
            # Every network has biases, which are vectors of each copy; a temperature is a number.
            num_leading=max(min(p.dim() for p in parameters) - 1, 1),
        )

    return make
