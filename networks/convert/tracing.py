"""What a forward does, as a graph, and a forward that does what a graph says.

Each module is traced by ``torch.fx`` alone, with its children as leaves.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn


class Tracer(fx.Tracer):
    """Traces one module alone: its children are leaves.

    Args:
        defaults: Whether optional arguments have their defaults, else they are unknown.
    """

    def __init__(self, defaults: bool = False) -> None:
        super().__init__()
        self.defaults = defaults

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True

    def create_proxy(self, kind: str, target: Any, args: Any, *rest: Any, **options: Any) -> Any:
        if self.defaults and kind == "placeholder" and args:
            return args[0]
        return super().create_proxy(kind, target, args, *rest, **options)


@dataclass(frozen=True)
class Trace:
    """The graphs of a forward: one, or what there is and why it can't be written anew."""

    path: str
    graphs: list[fx.Graph]
    problem: str = ""


# Proxies have types of their own, and contexts are left before the graph runs.
_BEYOND_GRAPHS = {
    *("isinstance", "is_tensor", "no_grad", "enable_grad", "set_grad_enabled", "inference_mode"),
    "autocast",
}


def trace(path: str, module: nn.Module) -> Trace:
    """Traces in both modes, and with defaults: a trace takes only one of the ways."""
    if "forward" in vars(module):
        return Trace(path, [], "is set on the instance")
    graphs: list[fx.Graph] = []
    problems = _beyond_graphs(type(module).forward)
    modes = {part: part.training for part in module.modules()}
    before = dict(vars(module))
    for training, defaults in ((True, False), (False, False), (True, True)):
        try:
            for part in modes:
                part.training = training
            with torch.random.fork_rng([]):
                graphs.append(Tracer(defaults).trace(module))
        except Exception as error:  # whatever a forward raises when it is given proxies
            line = (str(error).splitlines() or [type(error).__name__])[0]
            problems.append(f"can't be traced ({line})")
        for part, mode in modes.items():
            part.training = mode
        after = vars(module)
        if after.keys() != before.keys() or any(after[key] is not before[key] for key in before):
            problems.append("changes attributes or makes tensors")
            after.clear()
            after.update(before)
    if not problems:
        train, evaluation, default = map(_steps, graphs)
        if train == evaluation == default:
            return Trace(path, graphs[:1])
        what = "the training mode" if train != evaluation else "its optional arguments"
        problems.append(f"depends on {what}")
    return Trace(path, graphs, problems[0])


def _beyond_graphs(forward: Callable[..., Any]) -> list[str]:
    """What a forward does that its trace would not show."""
    inner = inspect.unwrap(forward)
    code = getattr(inner, "__code__", None)
    if inner is not forward or code is None:
        return ["is decorated"]
    used = sorted(_BEYOND_GRAPHS.intersection(code.co_names))
    return [f"uses {', '.join(used)}"] if used else []


def _steps(graph: fx.Graph) -> list[str]:
    """What a graph does, to compare graphs: optional arguments stand as their defaults."""
    names: dict[fx.Node, Any] = {}
    steps: list[str] = []
    for node in graph.nodes:
        if node.op == "placeholder":
            names[node] = node.args[0] if node.args else node.target
        else:
            names[node] = f"%{len(steps)}"
            inputs = fx.node.map_arg((node.args, node.kwargs), names.__getitem__)
            steps.append(f"{node.op} {node.target} {inputs}")
    return steps


def rewritten(base: type[nn.Module], graph: fx.Graph) -> type[nn.Module]:
    """A subclass of the same name whose forward is ``graph``."""
    code = graph.python_code("self")
    scope = dict(code.globals)
    exec(code.src, scope)

    def reduce(self: nn.Module, protocol: object) -> Any:  # pickle knows classes only by name
        return _blank, (base, graph), self.__getstate__()

    names = {key: getattr(base, key) for key in ("__module__", "__qualname__", "__doc__")}
    changes = {"forward": scope["forward"], "__reduce_ex__": reduce, "rewritten_from": base}
    return type(base.__name__, (base,), names | changes)


def _blank(base: type[nn.Module], graph: fx.Graph) -> nn.Module:
    cls = rewritten(base, graph)
    return cls.__new__(cls)
