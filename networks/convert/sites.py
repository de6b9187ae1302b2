"""Where a network applies activations: found in its graphs, measured where these don't tell."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor, fx, nn

from networks import layers
from networks.activations import Elementwise
from networks.adalin import AdaLin
from networks.bases import find_base
from networks.convert.known import Call, Filter, Found
from networks.convert.tracing import Trace, rewritten, trace
from networks.convert.widths import Units, Widths, behind, callee, input_of


@dataclass(eq=False)
class Spot:
    """A site while it is worked on: ``module`` is, or will be, ``name`` of ``owner``."""

    owner: nn.Module
    name: str
    path: str
    found: Found
    module: nn.Module
    calls: list[tuple[nn.Module, fx.Node]]
    target: str = ""  # what the forward calls, if it is written anew
    units: Units | None = None


_MAY_ALIAS = (nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout2d)
_TRANSFORMERS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)


class Search:
    """Finds the sites of the ``wanted`` activations inside ``root``."""

    def __init__(self, root: nn.Module, wanted: Filter) -> None:
        self.wanted = wanted
        self.notes: list[str] = []
        self.spots: list[Spot] = []
        self.traces: dict[nn.Module, Trace] = {}
        self.registered: dict[nn.Module, tuple[nn.Module, str, str]] = {}
        self._walk("", root, set())
        self.widths = Widths(self.traces, wanted)
        for module, place in self.registered.items():
            self._module(module, *place)
        for forward, of_forward in self.traces.items():
            self._functions(forward, of_forward)
        for spot in self.spots:
            self._read_width(spot)

    def _walk(self, path: str, module: nn.Module, met: set[nn.Module]) -> None:
        met.add(module)
        kind = type(module)
        of_torch = kind.__module__.startswith("torch.") and kind is not nn.Sequential
        ours = isinstance(module, AdaLin | Elementwise | layers.Linear | layers.Conv2d)
        abstract = kind.forward is nn.Module.forward and "forward" not in vars(module)
        if not (of_torch or ours or abstract):
            self.traces[module] = trace(path, module)
        for name, child in module.named_children():
            inner = f"{path}.{name}" if path else name
            if self.wanted.module(child):
                self.registered[child] = (module, name, inner)
            elif child not in met and not isinstance(child, AdaLin):
                self._walk(inner, child, met)

    def _module(self, module: nn.Module, owner: nn.Module, name: str, path: str) -> None:
        """Adds the sites of a module: one for each call, if the forward can be written anew."""
        calls = self.widths.calls.get(module, [])
        found = self.wanted.module(module)
        assert found is not None  # or it would not be registered
        first = Spot(owner, name, path, found, module, calls)
        self.spots.append(first)
        if not calls:
            return
        forward, node = calls[0]
        most = max(Counter(node.graph for _, node in calls).values())
        if any(other is not forward for other, _ in calls) or self.traces[forward].problem:
            if most > 1:
                self.notes.append(f"{path} is one AdaLin for {most} calls")
        elif most > 1 or (found.inplace and _read_later(input_of(node), node)):
            first.calls, first.target = calls[:1], str(node.target)
            for call in calls[1:]:
                self._add(first.target.replace(".", "_"), 1, found, copy.copy(module), call)

    def _functions(self, forward: nn.Module, trace: Trace) -> None:
        """Adds the sites where a forward calls a function."""
        calls = [
            (node, found)
            for graph in trace.graphs
            for node in graph.nodes
            if (found := self.wanted.call(node))
        ]
        if not trace.problem:
            for node, found in calls:
                function = find_base(found.base or "").function
                stem = found.name.replace("-", "_")
                self._add(stem, 0, found, Call(function).train(forward.training), (forward, node))
        elif self.wanted.names and (calls or not trace.graphs):
            kept = ", ".join(sorted({found.name for _, found in calls}))
            self.notes.append(
                f"the forward of {trace.path or 'the module'} ({type(forward).__name__}) "
                f"{trace.problem}: functions it calls are kept{f' ({kept})' * bool(kept)}"
            )

    def _add(
        self,
        stem: str,
        first: int,
        found: Found,
        module: nn.Module,
        call: tuple[nn.Module, fx.Node],
    ) -> None:
        """Adds a site with a new name, of a module that the forward will call."""
        forward = call[0]
        names = (f"{stem}_{i}" if i else stem for i in count(first))
        name = next(name for name in names if not hasattr(forward, name))
        forward.add_module(name, module)
        path = self.traces[forward].path
        path = f"{path}.{name}" if path else name
        self.spots.append(Spot(forward, name, path, found, module, [call], name))

    def _read_width(self, spot: Spot) -> None:
        known = {self.widths.at(forward, input_of(node)) for forward, node in spot.calls} - {None}
        if len(known) > 1:
            raise _shared(spot, {units.num_features for units in known if units})
        spot.units = next(iter(known), None)
        if isinstance(spot.owner, _TRANSFORMERS) and spot.name == "activation":
            spot.units = behind(spot.owner.linear1)
        for forward, node in spot.calls if spot.found.inplace else ():
            value = input_of(node)
            direct = not spot.target and _read_later(value, node)
            if direct or self._alias_read_later(forward, value, node):
                raise ValueError(  # AdaLin leaves its input as it is
                    f"the activation {spot.path} changes its input in place, and the input is used "
                    "again: set its `inplace` to False first"
                )

    def _alias_read_later(self, forward: nn.Module, value: Any, call: fx.Node) -> bool:
        """Whether the memory of a value is read after a call, under another name."""
        aliases: list[tuple[nn.Module, fx.Node, Any]] = []
        if isinstance(value, fx.Node) and value.op == "placeholder":
            aliases = self.widths.sources(forward, value)
        elif isinstance(value, fx.Node) and isinstance(callee(forward, value), _MAY_ALIAS):
            aliases = [(forward, call, input_of(value))]
        return any(
            _read_later(other, at) or self._alias_read_later(owner, other, at)
            for owner, at, other in aliases
        )

    def rewrite(self) -> None:
        """Gives a new forward to each module that needs one."""
        forwards = {spot.calls[0][0]: None for spot in self.spots if spot.target}
        for forward in forwards:
            graph = self.traces[forward].graphs[0]
            for spot in self.spots:
                if spot.target and spot.calls[0][0] is forward:
                    _edit(graph, spot)
            kind = type(forward)
            forward.__class__ = rewritten(getattr(kind, "rewritten_from", kind), graph)

    def measure(self, root: nn.Module, example_input: Any, dim: int | None) -> None:
        """Finds the widths that are still unknown, by one forward pass."""
        unknown = [spot for spot in self.spots if spot.units is None]
        seen: dict[nn.Module, list[Tensor]] = {spot.module: [] for spot in unknown}
        if unknown and example_input is not None:
            args = example_input if isinstance(example_input, tuple) else (example_input,)
            with undisturbed(root), inputs_of(seen):
                root(*args)
        for spot in unknown:
            values = seen[spot.module]
            trace = self.traces.get(spot.owner)
            if values:
                spot.units = _measured(spot, values, dim)
                if not spot.calls and len(values) > 1:
                    self.notes.append(f"{spot.path} is one AdaLin for {len(values)} calls")
            elif spot.target or (
                example_input is None and (spot.calls or not trace or not trace.graphs)
            ):
                raise ValueError(
                    f"the width at {spot.path} can't be read from the layer before it: "
                    "pass `example_input`, an input for one forward pass that gets there"
                )
            else:
                why = "nothing calls it" if example_input is None else "the example misses it"
                self.notes.append(f"{spot.path} is kept: {why}")
                self.spots.remove(spot)


def _read_later(value: Any, call: fx.Node) -> bool:
    return isinstance(value, fx.Node) and any(user > call for user in value.users)


def _edit(graph: fx.Graph, spot: Spot) -> None:
    """Lets a graph call the module of a site."""
    node = spot.calls[0][1]
    value = input_of(node)
    with graph.inserting_after(node):
        new = graph.call_module(spot.target, (value,))
    node.replace_all_uses_with(new)
    if spot.found.inplace:  # whoever read the input later found the output there
        value.replace_all_uses_with(new, delete_user_cb=lambda user: user > new)
    graph.erase_node(node)


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
    if dim is None:
        dim = {2: -1, 4: -3}.get(len(shape))
    if dim is None or len(shape) < -dim:
        raise ValueError(
            f"`dim` should be the axis of the units at {spot.path}, from -1 to -{len(shape)} for "
            f"the shape {tuple(shape)}. Received {dim}"
        )
    widths = {value.shape[dim] for value in values}
    if len(widths) > 1:
        raise _shared(spot, widths)
    return Units(widths.pop(), dim, lead, values[0])


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """For a forward pass in eval mode: modes, buffers and random numbers stay as they were."""
    modes = {part: part.training for part in module.modules()}
    buffers = {buffer: buffer.clone() for buffer in module.buffers()}
    devices = {tensor.device for tensor in module.parameters() if tensor.is_cuda}
    try:
        with torch.no_grad(), torch.random.fork_rng(list(devices)):
            for part in modes:
                part.training = False
            yield
    finally:
        for part, mode in modes.items():
            part.training = mode
        for buffer, value in buffers.items():
            buffer.data.copy_(value)


@contextmanager
def inputs_of(seen: dict[nn.Module, list[Tensor]]) -> Iterator[None]:
    """Notes what goes into some modules."""

    def see(module: nn.Module, args: tuple[Any, ...]) -> None:
        if module in seen and args:
            seen[module].append(args[0])

    handle = nn.modules.module.register_module_forward_pre_hook(see)
    try:
        yield
    finally:
        handle.remove()
