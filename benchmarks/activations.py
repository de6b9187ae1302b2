"""How fast AdaLin is: beside its base, PReLU and the formula written plainly, in one run.

    python benchmarks/activations.py > docs/activations.md

Measures the layer alone, forward and backward, eager and compiled, its memory, and a whole update
of SAC. Every row of a table is measured in turn, many times over, so that a change in the machine's
speed meets all of them; the figures are the lowest decile of the times. One thread, or one GPU.
"""

from __future__ import annotations

import argparse
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from agents import SAC, Batch, SACConfig
from networks import BASES, AdaLin
from networks.fused import BUILT

SHAPES = {(256, 256): -1, (1024, 1024): -1, (32, 64, 21, 21): -3}  # and the axis of the units
KINDS = ("relu", "tanh", "gelu")


class Plain(nn.Module):
    """The definition of AdaLin, operation by operation."""

    def __init__(self, num_features: int, base: str, dim: int) -> None:
        super().__init__()
        self.base = BASES[base]
        self.alpha = nn.Parameter(torch.zeros(num_features, *(1,) * (-1 - dim)))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            slope = self.base.derivative(x)
            gate = torch.cos(math.pi / 2 * slope.abs() / self.base.lipschitz)
        out: Tensor = self.base.function(x) + self.alpha * x * gate
        return out


class Function(nn.Module):
    """A base activation."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self.function = BASES[base].function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def rivals(base: str, units: int, dim: int) -> dict[str, nn.Module]:
    """The modules to compare, by name."""
    return {
        base: Function(base),
        **({"PReLU": nn.PReLU(units)} if base == "relu" else {}),
        "plain expression": Plain(units, base, dim),
        f"adalin-{base}": AdaLin(units, base, dim=dim),
    }


def interleaved(runs: dict[str, Callable[[], object]], device: str, seconds: float) -> list[float]:
    """The lowest decile of the seconds that each run takes, all of them measured in turn."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[next(iter(runs))]) < 20:
        for name, run in runs.items():
            _wait(device)
            start = time.perf_counter()
            run()
            _wait(device)
            times[name].append(time.perf_counter() - start)
    return [sorted(t)[len(t) // 10] for t in times.values()]


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def peak_tensors(module: nn.Module, x: Tensor) -> float:
    """The most memory that forward and backward take beside the input, in tensors of its size."""
    upstream = torch.ones_like(x)
    module(x).backward(upstream)  # the gradients of the parameters are there from now on
    x.grad = None
    if x.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        module(x).backward(upstream)
        return (torch.cuda.max_memory_allocated() - before) / x.nbytes
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        out = module(x)
        out.backward(upstream)
        del out
    events = [e for e in trace.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak / x.nbytes


def step(module: Callable[[Tensor], Tensor], x: Tensor, upstream: Tensor) -> None:
    """Forward and backward."""
    x.grad = None
    module(x).backward(upstream)


def layer_rows(device: str, seconds: float, compiled: bool) -> Iterator[list[str]]:
    """Rows of the table of the layer alone."""
    for shape, dim in SHAPES.items():
        for base in KINDS:
            x = torch.randn(shape, device=device, requires_grad=True)
            upstream = torch.randn(shape, device=device)
            modules = rivals(base, shape[dim], dim)
            runs: dict[str, Callable[[], object]] = {}
            for name, module in modules.items():
                module.to(device)
                called: Any = torch.compile(module) if compiled else module
                runs[name] = partial(step, called, x, upstream)
            best = dict(zip(modules, interleaved(runs, device, seconds), strict=True))
            for name, module in modules.items():
                yield [
                    " x ".join(map(str, shape)),
                    name,
                    f"{best[name] * 1e6:.0f}",
                    f"{best[name] / best[base]:.2f}",
                    f"{best['plain expression'] / best[name]:.2f}",
                    "" if compiled else f"{peak_tensors(module, x):.2f}",
                ]
            torch._dynamo.reset()


def update_rows(device: str, seconds: float, num_seeds: int) -> Iterator[list[str]]:
    """Rows of the table of a whole SAC update: 256-256, batch 256, 17 inputs, 6 actions."""
    obs, act = gym.spaces.Box(-1, 1, (17,)), gym.spaces.Box(-1, 1, (6,))
    size = (num_seeds, 256)
    batch = Batch(
        torch.randn(*size, 17, device=device),
        torch.rand(*size, 6, device=device) * 2 - 1,
        torch.randn(size, device=device),
        torch.full(size, 0.99, device=device),
        torch.randn(*size, 17, device=device),
    )
    names = [name for base in KINDS for name in (base, f"adalin-{base}")]
    seeds = range(num_seeds)
    agents = {n: SAC(obs, act, seeds, SACConfig(), activation=n, device=device) for n in names}
    runs: dict[str, Callable[[], object]] = {
        name: partial(agent.update, batch) for name, agent in agents.items()
    }
    best = dict(zip(names, interleaved(runs, device, seconds), strict=True))
    for name in names:
        ratio = best[name] / best[name.removeprefix("adalin-")]
        yield [str(num_seeds), name, f"{best[name] * 1e3:.2f}", f"{ratio:.3f}"]


def table(head: list[str], rows: Iterator[list[str]]) -> None:
    """Prints a Markdown table, row by row."""
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    """Prints all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="for each group of rows")
    parser.add_argument("--no-compile", action="store_true", help="leave the compiled tables out")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("# AdaLin beside its base\n")
    print(
        f"Made by `python benchmarks/activations.py {' '.join(sys.argv[1:])}`".rstrip("` ") + "`:"
    )
    loops = "with" if BUILT else "WITHOUT"
    print(f"Python {platform.python_version()}, PyTorch {torch.__version__}, {loops} the C loops.")
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        where = torch.cuda.get_device_name() if device == "cuda" else "CPU, one thread"
        print(f"\n## A whole update of SAC, eager, {where}")
        print("\n256-256, batch 256; beside the base: time divided by that of the base.")
        head = ["seeds", "activation", "ms", "beside the base"]
        for num_seeds in (1, 3):
            table(head, update_rows(device, 10 * arguments.seconds, num_seeds))
        for compiled in (False,) if arguments.no_compile else (False, True):
            mode = "compiled" if compiled else "eager"
            print(f"\n## The layer alone, forward and backward, {mode}, {where}")
            if not compiled:
                print("\nmemory: the peak beside the input, in tensors of its size.")
            head = ["shape", "activation", "us", "beside the base", "plain / this", "memory"]
            table(head, layer_rows(device, arguments.seconds, compiled))


if __name__ == "__main__":
    main()
