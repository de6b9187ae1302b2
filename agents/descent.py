"""What an update is made of: gradients, their bound, a step, and the target that follows."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeGuard, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.adam import adam as adam_step

Function = TypeVar("Function", bound=Callable[..., Any])


class Adam(torch.optim.Adam):
    """PyTorch's Adam with a step that a compiler can look into.

    It has its state from the beginning, so that compiled code does not change after the first step.

    Args:
        parameters: What learns.
        learning_rate: Step size.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], learning_rate: float) -> None:
        super().__init__(parameters, learning_rate, fused=True)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters that learn, with moments of zero."""
        super().add_param_group(param_group)
        for p in self.param_groups[-1]["params"]:
            moments = {name: torch.zeros_like(p) for name in ("exp_avg", "exp_avg_sq")}
            self.state[p] = {"step": torch.zeros((), device=p.device), **moments}

    def forget(self, parameter: nn.Parameter) -> None:
        """Sets the state of a parameter back to zero, in place."""
        for value in self.state[parameter].values():
            value.zero_()

    @torch.no_grad()
    def descend(self) -> None:
        """Does what ``step`` does, without its hooks."""
        for group in self.param_groups:
            learning = [p for p in group["params"] if p.grad is not None]
            grads = [p.grad for p in learning if p.grad is not None]
            states = [self.state[p] for p in learning]
            means, squares, steps = (
                [state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step")
            )
            settings = {name: group[name] for name in ("lr", "eps", "weight_decay")}
            if torch.compiler.is_compiling() and learning:
                _adam(learning, grads, means, squares, steps, group["betas"], **settings)
                continue
            adam_step(
                learning,
                grads,
                means,
                squares,
                [],
                steps,
                fused=True,
                amsgrad=False,
                maximize=False,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                **settings,
            )


def _adam(
    parameters: list[nn.Parameter],
    grads: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    steps: list[Tensor],
    betas: tuple[float, float],
    lr: float,
    eps: float,
    weight_decay: float,
) -> None:
    """Adam (Kingma and Ba 2015) for a compiler, in place.

    PyTorch's own would be compiled so that each vector of numbers computes powers of the step.
    """
    torch._foreach_add_(steps, 1)
    step = torch.stack(steps).double()  # (P,)
    first, second = (1 - torch.exp(step * math.log(beta)) for beta in betas)
    rate, root = (lr / first).float(), second.rsqrt().float()
    moments = zip(parameters, grads, means, squares, strict=True)
    for i, (parameter, grad, mean, square) in enumerate(moments):
        if weight_decay:
            grad = grad.add(parameter, alpha=weight_decay)
        mean.lerp_(grad, 1 - betas[0])
        square.mul_(betas[1]).addcmul_(grad, grad, value=1 - betas[1])
        parameter.sub_(rate[i] * mean / (square.sqrt() * root[i] + eps))


class SGD(torch.optim.SGD):
    """PyTorch's gradient descent with a step that a compiler can look into.

    Args:
        parameters: What learns.
        learning_rate: Step size.
        momentum: Share of the last step that is taken again.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], learning_rate: float, momentum: float = 0.0
    ) -> None:
        super().__init__(parameters, learning_rate, momentum)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters that learn, with buffers of zero; the first step is the same."""
        super().add_param_group(param_group)
        if self.param_groups[-1]["momentum"]:
            for p in self.param_groups[-1]["params"]:
                self.state[p] = {"momentum_buffer": torch.zeros_like(p)}

    def forget(self, parameter: nn.Parameter) -> None:
        """Sets the state of a parameter back to zero, in place."""
        for value in self.state.get(parameter, {}).values():
            value.zero_()

    @torch.no_grad()
    def descend(self) -> None:
        """Does what ``step`` does, without its hooks."""
        for group in self.param_groups:
            learning: list[Tensor] = [p for p in group["params"] if p.grad is not None]
            steps: list[Tensor] = [p.grad for p in learning if p.grad is not None]
            if group["momentum"]:
                buffers = [self.state[p]["momentum_buffer"] for p in learning]
                torch._foreach_mul_(buffers, group["momentum"])
                torch._foreach_add_(buffers, steps)
                steps = buffers
            torch._foreach_add_(learning, steps, alpha=-group["lr"])


def adam(_: str, parameters: Sequence[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
    """The optimizer of an agent that nobody changes."""
    return Adam(parameters, learning_rate)


def descend(loss: Tensor, optimizer: torch.optim.Optimizer, max_norm: float | None) -> Tensor:
    """Takes one step of the optimizer down the sum of the losses of all seeds.

    Args:
        loss: ``(S,)``.
        optimizer: Of parameters with the seeds as first axis; others get no gradient.
        max_norm: Bound of the gradient norm of each seed; None: no bound.

    Returns:
        The gradient norm of each seed before the bound, ``(S,)``.
    """
    parameters = [p for g in optimizer.param_groups for p in g["params"] if p.requires_grad]
    grads = torch.autograd.grad(loss.sum(), parameters, allow_unused=True)
    for parameter, grad in zip(parameters, grads, strict=True):
        # The kernels of optimizers go through memory as it lies: in the order of the parameter.
        parameter.grad = None if grad is None else grad.contiguous()
    norm = clip_per_seed(parameters, max_norm)
    if is_plain(optimizer):
        optimizer.descend()
    else:
        optimizer.step()
    return norm


def is_plain(optimizer: torch.optim.Optimizer) -> TypeGuard[Adam | SGD]:
    """Whether a compiler can look into its step: it is one of these, with no remedy's hook."""
    hooks = optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks
    return type(optimizer) in (Adam, SGD) and not any(hooks)


def clip_per_seed(parameters: Iterable[Tensor], max_norm: float | None) -> Tensor:
    """Scales the gradients of each seed in place to a global L2 norm of at most ``max_norm``.

    Args:
        parameters: Tensors with the seeds as first axis and their gradients.
        max_norm: The bound; ``None`` only measures.

    Returns:
        The norm of each seed before clipping, ``(S,)``.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    norms = [torch.linalg.vector_norm(g.reshape(len(g), -1), dim=1) for g in grads]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms), dim=0)  # (S,)
    if max_norm is not None:
        scale = (max_norm / (norm + 1e-6)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(scale.view(-1, *(1,) * (grad.dim() - 1)))
    return norm


@torch.no_grad()
def polyak(target: nn.Module, source: nn.Module, tau: float) -> None:
    """Moves the target toward the source, in place: ``target += tau * (source - target)``."""
    targets: list[Tensor] = list(target.parameters())
    sources: list[Tensor] = list(source.parameters())
    if tau == 1.0:
        torch._foreach_copy_(targets, sources)
    else:
        torch._foreach_lerp_(targets, sources, tau)


def can_compile() -> bool:
    """Whether there is a C++ compiler, without which nothing is compiled."""
    return any(shutil.which(os.environ.get("CXX", name)) for name in ("g++", "clang++", "c++"))


def compiled(function: Function) -> Function:
    """Compiles a whole update, gradients and steps included, for the shapes of its first call."""
    # Versions of PyTorch that lack the first compile what lies between the calls of autograd.  The
    # second: after so many agents, one that is made anew would silently not be compiled.
    for name, value in (("trace_autograd_ops", True), ("recompile_limit", 1_000)):
        if hasattr(torch._dynamo.config, name):
            setattr(torch._dynamo.config, name, value)
    # On a CPU what calls the kernels is compiled, too: networks are small, and Python takes longer.
    options: dict[str, Any] = {"cpp_wrapper": not torch.cuda.is_available()}
    # Functions and modules do not change while a program runs: to look at them before every call is
    # time that small networks feel.  What an agent holds is looked at, as always.
    if hasattr(torch.compiler, "skip_guard_on_globals_unsafe"):
        options["guard_filter_fn"] = torch.compiler.skip_guard_on_globals_unsafe
    return torch.compile(function, dynamic=False, options=options)  # type: ignore[return-value]  # same signature
