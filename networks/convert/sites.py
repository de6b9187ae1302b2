"""Where a network applies activations, and how wide they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from networks import layers
from networks.activations import Activation, Elementwise
from networks.adalin import AdaLin
from networks.convert.known import NAMES, TORCH, Call, Filter, Found, torch_class
from networks.convert.source import UnwritableError, give_modules
from networks.convert.state import Seen, inputs_of, undisturbed
from networks.convert.tracing import trace
from networks.convert.widths import Units, Widths, behind, called, input_of
from networks.norms import Norm


@dataclass(eq=False)
class Spot:
    """A site while it is worked on: ``module`` is ``name`` of ``owner``."""

    owner: nn.Module
    name: str
    path: str
    found: Found
    module: nn.Module
    calls: list[tuple[nn.Module, fx.Node]]
    units: Units | None = None


TRANSFORMERS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
_NOT_ELEMENTWISE = nn.MultiheadAttention | nn.Softmax | nn.Softmin | nn.Softmax2d | nn.LogSoftmax


class Search:
    """Finds the sites of the ``wanted`` activations inside ``root``; functions become modules."""

    def __init__(self, root: nn.Module, wanted: Filter) -> None:
        self.wanted = wanted
        self.notes: list[str] = []
        self.kept: Counter[str] = Counter()
        self.paths: dict[nn.Module, str] = {}
        self.graphs: dict[nn.Module, fx.Graph | None] = {}
        self.registered: dict[nn.Module, tuple[nn.Module, str]] = {}
        self._walk("", root)
        self.widths = Widths(self.graphs, wanted)
        self.spots = [self._spot(module, *place) for module, place in self.registered.items()]
        if self.kept and wanted.all:
            kept = ", ".join(f"{name} ({n})" for name, n in sorted(self.kept.items()))
            self.notes.append(f"kept: {kept}, which are not among the bases")

    def _walk(self, path: str, module: nn.Module) -> None:
        self.paths[module] = path
        if isinstance(module, torch.jit.ScriptModule):
            self.notes.append(f"{path or 'the module'} is kept: torch.jit has compiled it")
            return
        above = {cls.__module__ for cls in type(module).__mro__}
        plain = TORCH + "activation" in above and not isinstance(module, _NOT_ELEMENTWISE)
        if plain or isinstance(module, nn.RNNBase):
            self.kept[type(module).__name__] += 1
        if self._has_own_forward(module):
            self._forward(path or "the module", module)
        for name, child in module.named_children():
            if self.wanted.module(child):
                self.registered[child] = (module, name)
                self.paths[child] = f"{path}.{name}" if path else name
            elif child not in self.paths and not isinstance(child, AdaLin):
                self._walk(f"{path}.{name}" if path else name, child)

    def _has_own_forward(self, module: nn.Module) -> bool:
        home = str(type(module).forward.__module__)  # not the class: see parametrized modules
        of_torch = home.startswith("torch.") and torch_class(module) is not nn.Sequential
        ours = isinstance(module, Activation | layers.Linear | layers.Conv2d | Norm)
        compiled = "_orig_mod" in module._modules
        return not (compiled or ours or (of_torch and "forward" not in vars(module)))

    def _forward(self, path: str, module: nn.Module) -> None:
        """Gives functions that a forward calls modules, and reads what it does as a graph."""
        why = ""
        if torch_class(module) is not nn.Sequential:
            try:
                give_modules(module, self.wanted)
            except UnwritableError as problem:
                why = str(problem)
        self.graphs[module] = graph = trace(module)
        nodes = graph.nodes if graph else ()
        left = {NAMES[called(node)] for node in nodes if called(node) in NAMES} & self.wanted.names
        # Functions are left in methods that a forward calls, or where its source can't be changed.
        if left or (why and graph is None and self.wanted.names):
            functions = f" ({', '.join(sorted(left))})" if left else ""
            elsewhere = "they are called in another method, or with settings that are computed"
            reason = f"the forward {why}" if why else elsewhere
            self.notes.append(
                f"{path} ({type(module).__name__}): functions it calls are kept{functions}, "
                f"for {reason}"
            )

    def _spot(self, module: nn.Module, owner: nn.Module, name: str) -> Spot:
        found = self.wanted.module(module)
        assert found is not None  # or it would not be registered
        calls = self.widths.calls.get(module, [])
        spot = Spot(owner, name, self.paths[module], found, module, calls)
        if len(calls) > 1:
            self.notes.append(f"{spot.path} is one AdaLin for {len(calls)} calls")
        if any(node.kwargs for _, node in calls):
            raise ValueError(f"{spot.path} is called with a named argument: call it as f(x)")
        inputs = [(forward, input_of(node)) for forward, node in calls]
        known = {self.widths.at(*value) for value in inputs} - {None}
        if len(known) > 1:
            raise _shared(spot, {units.num_features for units in known if units})
        spot.units = next(iter(known), None)
        if isinstance(owner, TRANSFORMERS) and name == "activation":
            spot.units = behind(owner.linear1)
        untraced = isinstance(module, Call) or None in self.graphs.values()
        seen = calls or not untraced
        if found.inplace and not (seen and all(self.widths.own(*value) for value in inputs)):
            raise ValueError(  # AdaLin leaves its input as it is
                f"the activation {spot.path} changes its input in place, which may be used again: "
                "set its `inplace` to False first"
            )
        return spot

    def measure(self, root: nn.Module, args: tuple[Any, ...] | None, dim: int | None) -> None:
        """Finds the widths that are still unknown, by one forward pass."""
        unknown = [spot for spot in self.spots if spot.units is None]
        seen: Seen = {spot.module: [] for spot in unknown}
        if unknown and args is not None:
            with undisturbed(root), inputs_of(seen):
                root(*args)
        for spot in unknown:
            values = seen[spot.module]
            if values:
                spot.units = _measured(spot, values, dim)
                if not spot.calls and len(values) > 1:
                    self.notes.append(f"{spot.path} is one AdaLin for {len(values)} calls")
            elif args is None and (spot.calls or self.graphs.get(spot.owner) is None):
                raise ValueError(
                    f"the width at {spot.path} can't be read from the layer before it: "
                    "pass `example_input`, an input for one forward pass that gets there"
                )
            else:
                why = "nothing calls it" if args is None else "the example misses it"
                self.notes.append(f"{spot.path} is kept: {why}")
                self.spots.remove(spot)


def _shared(spot: Spot, widths: set[int]) -> ValueError:
    return ValueError(
        f"the activation {spot.path} is shared by layers of {' and '.join(map(str, widths))} "
        "units: give each layer one of its own"
    )


def _measured(spot: Spot, values: list[Tensor], dim: int | None) -> Units:
    shape = values[0].shape
    lead: tuple[int, ...] = ()
    if isinstance(spot.module, Elementwise):
        dim, lead = spot.module.dim, spot.module.lead
    elif len(shape) == 2:
        dim = -1
    if dim is None or len(shape) <= -dim:  # the first axis is that of the batch
        raise ValueError(
            f"`dim` should be the axis of the units at {spot.path}, above -{len(shape)} for "
            f"the shape {tuple(shape)}. Received {dim}"
        )
    widths = {value.shape[dim] for value in values}
    if len(widths) > 1:
        raise _shared(spot, widths)
    return Units(widths.pop(), dim, lead, values[0])
