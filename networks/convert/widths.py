"""How many units there are at a place of a graph, read from the layers before it."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from networks import layers
from networks.activations import Activation
from networks.convert.known import NAMES, TORCH, Call, Filter, torch_class
from networks.norms import Norm


@dataclass(frozen=True)
class Units:
    """The units at a site, and a tensor whose device and dtype they have."""

    num_features: int
    dim: int
    lead: tuple[int, ...] = ()
    like: Tensor | None = field(default=None, compare=False)


_SAME = (nn.Identity, Norm, Call)
_NORMS = {TORCH + kind for kind in ("batchnorm", "instancenorm", "normalization")}
_FRESH = {
    *(operator.add, operator.sub, operator.mul, operator.truediv, operator.neg),
    *(torch.add, torch.sub, torch.mul, torch.div, "add", "sub", "mul", "div"),
}
_IN_PLACE = {operator.iadd, operator.isub, operator.imul, "add_", "sub_", "mul_", "div_"}
_ARITHMETIC = _FRESH | _IN_PLACE


def home(module: nn.Module) -> str:
    """The part of ``torch.nn`` that has the forward of a module, if one has."""
    kind = torch_class(module)
    return kind.forward.__module__ if kind else ""


def behind(layer: nn.Module) -> Units | None:
    """The units behind a layer that tells them."""
    like = next(layer.parameters(), None)
    if isinstance(layer, layers.Linear) and type(layer).forward is layers.Linear.forward:
        return Units(layer.weight.shape[-2], -1, layer.lead, like)
    if isinstance(layer, layers.Conv2d) and type(layer).forward is layers.Conv2d.forward:
        return Units(layer.weight.shape[-4], -3, layer.lead, like)
    if torch_class(layer) is None:
        return None
    if isinstance(layer, nn.Linear):
        return Units(layer.out_features, -1, (), like)
    if isinstance(layer, nn.modules.conv._ConvNd):
        return Units(layer.out_channels, -1 - len(layer.kernel_size), (), like)
    return None


def _axes(layer: nn.Module) -> int:
    """How many axes of places the input of a pooling or normalization has, by its name."""
    name = getattr(torch_class(layer), "__name__", "")
    return int(name[-2]) if name[-2:] in ("1d", "2d", "3d") else 0


def _behind_norm(norm: Any) -> Units | None:
    """The units behind a normalization, where nothing is known of its input."""
    like = next(norm.parameters(), None)
    if _axes(norm) > 1 and hasattr(norm, "num_features"):
        return Units(norm.num_features, -1 - _axes(norm), (), like)
    if len(getattr(norm, "normalized_shape", ())) == 1:
        return Units(norm.normalized_shape[0], -1, (), like)
    return None


def input_of(node: fx.Node) -> Any:
    """The first input of a node."""
    return node.args[0] if node.args else node.kwargs.get("input", node.kwargs.get("x"))


def callee(owner: nn.Module, node: fx.Node) -> nn.Module | None:
    """The module that a node in a graph of ``owner`` calls, if it calls one."""
    return owner.get_submodule(str(node.target)) if node.op == "call_module" else None


def called(node: fx.Node) -> Any:
    """The function, or the name of the method, that a node calls."""
    return node.target if node.op in ("call_function", "call_method") else None


class Widths:
    """Reads the width at a node from the layers before it, across all traced modules."""

    def __init__(self, graphs: dict[nn.Module, fx.Graph | None], wanted: Filter) -> None:
        self.graphs = graphs
        self.wanted = wanted
        self.known: dict[fx.Node, Units | None] = {}
        self.calls: dict[nn.Module, list[tuple[nn.Module, fx.Node]]] = {}
        for owner, graph in graphs.items():
            for node in graph.nodes if graph else ():
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
        if called(node) in _ARITHMETIC:
            # A width of 1 may be broadcast to that of another operand.
            operands = [self.at(owner, value) for value in node.all_input_nodes]
            if len(operands) == 1:
                return operands[0]
            wide = {units for units in operands if units and units.num_features > 1}
            return wide.pop() if len(wide) == 1 else None
        if called(node) in NAMES or called(node) in (F.dropout, F.dropout2d):
            return self.at(owner, input_of(node))
        return None

    def _after(self, owner: nn.Module, node: fx.Node, child: nn.Module) -> Units | None:
        units = behind(child)
        if units:
            return units
        before = self.at(owner, input_of(node))
        if home(child) == TORCH + "pooling":  # the pooled axes are the last ones
            return before if before and before.dim < -_axes(child) else None
        if home(child) in _NORMS:
            return before or _behind_norm(child)
        if self._keeps(child):
            return before
        result = self._result(child)
        return self.at(child, result) if result else None

    def _keeps(self, child: nn.Module) -> bool:
        """Whether a module gives as many units as it gets, in the same places."""
        ours = isinstance(child, Activation) and child.expansion == 1
        same = home(child) == TORCH + "dropout" or isinstance(child, _SAME) or ours
        activation = home(child) == TORCH + "activation" and not isinstance(child, nn.GLU)
        return same or activation or self.wanted.module(child) is not None

    def _result(self, child: nn.Module) -> Any:
        graph = self.graphs.get(child)
        return graph.output_node().args[0] if graph else None

    def own(self, owner: nn.Module, node: Any) -> bool:
        """Whether a value is new memory that one place reads: a change in place stays unseen."""
        if not isinstance(node, fx.Node) or len(node.users) != 1:
            return False
        child = callee(owner, node)
        if child is not None:
            if behind(child) or home(child) in _NORMS | {TORCH + "pooling"}:
                return True
            if self._keeps(child):
                return self.own(owner, input_of(node))
            return self.own(child, self._result(child))
        if called(node) in _IN_PLACE:
            return self.own(owner, input_of(node))
        if called(node) in NAMES:
            name = str(getattr(node.target, "__name__", node.target))
            new = not (name.endswith("_") or node.kwargs.get("inplace"))
            return new or self.own(owner, input_of(node))
        return called(node) in _FRESH
