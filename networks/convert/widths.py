"""How many units there are at a place of a graph, read from the layers before it."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from networks import layers
from networks.activations import Elementwise
from networks.adalin import AdaLin
from networks.convert.known import NAMES, Call, Filter
from networks.convert.tracing import Trace


@dataclass(frozen=True)
class Units:
    """The units at a site, and a tensor whose device and dtype they have."""

    num_features: int
    dim: int
    lead: tuple[int, ...] = ()
    like: Tensor | None = field(default=None, compare=False)


TORCH = "torch.nn.modules."
_SAME = {TORCH + kind for kind in ("dropout", "activation")}
_NORMS = {TORCH + kind for kind in ("batchnorm", "instancenorm", "normalization")}
_SAME_CALLS = {F.dropout, F.dropout2d, "contiguous", "clone", "to", "float", "double", "half"}
_ARITHMETIC = {
    *(operator.add, operator.iadd, operator.sub, operator.isub, operator.mul, operator.imul),
    *(operator.truediv, operator.neg, torch.add, torch.sub, torch.mul, torch.div),
    *("add", "add_", "sub", "sub_", "mul", "mul_", "div", "div_"),
}


def behind(layer: nn.Module) -> Units | None:
    """The units behind a layer that tells them."""
    like = next(layer.parameters(), None)
    if isinstance(layer, layers.Linear):
        return Units(layer.weight.shape[-2], -1, layer.lead, like)
    if isinstance(layer, layers.Conv2d):
        return Units(layer.weight.shape[-4], -3, layer.lead, like)
    if isinstance(layer, nn.Linear | nn.Bilinear):
        return Units(layer.out_features, -1, (), like)
    if isinstance(layer, nn.modules.conv._ConvNd):
        return Units(layer.out_channels, -1 - len(layer.kernel_size), (), like)
    return None


def _behind_norm(norm: Any) -> Units | None:
    """The units behind a normalization, where nothing is known of its input."""
    like = next(norm.parameters(), None)
    axes = type(norm).__name__[-2]
    if axes in "23" and hasattr(norm, "num_features"):
        return Units(norm.num_features, -1 - int(axes), (), like)
    if len(getattr(norm, "normalized_shape", ())) == 1:
        return Units(norm.normalized_shape[0], -1, (), like)
    return None


def input_of(node: fx.Node) -> Any:
    """The first input of a node."""
    return node.args[0] if node.args else node.kwargs.get("input")


def callee(owner: nn.Module, node: fx.Node) -> nn.Module | None:
    """The module that a node in a graph of ``owner`` calls, if it calls one."""
    return owner.get_submodule(str(node.target)) if node.op == "call_module" else None


class Widths:
    """Reads the width at a node from the layers before it, across all traced modules."""

    def __init__(self, traces: dict[nn.Module, Trace], wanted: Filter) -> None:
        self.traces = traces
        self.wanted = wanted
        self.known: dict[fx.Node, Units | None] = {}
        self.calls: dict[nn.Module, list[tuple[nn.Module, fx.Node]]] = {}
        for owner, trace in traces.items():
            for graph in trace.graphs:
                for node in graph.nodes:
                    child = callee(owner, node)
                    if child is not None:
                        self.calls.setdefault(child, []).append((owner, node))

    def sources(self, owner: nn.Module, node: fx.Node) -> list[tuple[nn.Module, fx.Node, Any]]:
        """The calls of ``owner``, and what each puts in for the placeholder ``node``."""
        names = [other.target for other in node.graph.find_nodes(op="placeholder")]
        place = names.index(node.target)
        found = []
        for caller, call in self.calls.get(owner, ()):
            given = call.args[place] if place < len(call.args) else call.kwargs.get(names[place])
            found.append((caller, call, given))
        return found

    def at(self, owner: nn.Module, node: Any) -> Units | None:
        """The units of a node's value in a graph of ``owner``, or None."""
        if not isinstance(node, fx.Node):
            return None
        if node not in self.known:
            self.known[node] = None  # until it is known, for a module that calls itself
            self.known[node] = self._at(owner, node)
        return self.known[node]

    def _at(self, owner: nn.Module, node: fx.Node) -> Units | None:
        if node.op == "placeholder":
            found = {self.at(caller, given) for caller, _, given in self.sources(owner, node)}
            return found.pop() if len(found) == 1 else None
        child = callee(owner, node)
        if child is not None:
            return self._after(owner, node, child)
        if node.target in _ARITHMETIC:
            # A width of 1 may be broadcast to that of another operand.
            operands = [self.at(owner, value) for value in node.all_input_nodes]
            if len(operands) == 1:
                return operands[0]
            wide = {units for units in operands if units and units.num_features > 1}
            return wide.pop() if len(wide) == 1 else None
        if node.target in NAMES or node.target in _SAME_CALLS:
            return self.at(owner, input_of(node))
        return None

    def _after(self, owner: nn.Module, node: fx.Node, child: nn.Module) -> Units | None:
        units = behind(child)
        if units:
            return units
        before, kind = self.at(owner, input_of(node)), type(child)
        if kind.__module__ == TORCH + "pooling":  # the pooled axes are the last ones
            return before if before and before.dim < -int(kind.__name__[-2]) else None
        if kind.__module__ in _NORMS:
            return before or _behind_norm(child)
        keeps = isinstance(child, nn.Identity | AdaLin | Elementwise | Call)
        if keeps or (kind.__module__ in _SAME and kind is not nn.GLU) or self.wanted.module(child):
            return before
        trace = self.traces.get(child)
        return (
            self.at(child, trace.graphs[0].output_node().args[0])
            if trace and trace.graphs
            else None
        )
