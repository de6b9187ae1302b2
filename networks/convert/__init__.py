"""AdaLin in place of the activations of any network: ``networks.adalinize(module)``.

A forward that calls functions such as ``F.relu``, or one activation several times, gets a module
for each in its source (``source.py``).  Then each forward is traced by ``torch.fx``, alone, with
its children as leaves (``tracing.py``), and the width of an activation is read from the layers
before it in these graphs (``widths.py``); where that can't be, one forward pass tells it
(``sites.py``).
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

from torch import Tensor, nn

from networks.activations import Activation
from networks.adalin import AdaLin, share_alpha
from networks.bases import BASES, Base
from networks.convert.known import NAMES, TORCH, Call, Filter, Only, base_of, known_function
from networks.convert.sites import TRANSFORMERS, Search, Spot
from networks.convert.state import all_or_nothing, parts

__all__ = ["Only", "Site", "adalinize", "base_of", "replace_activations"]

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Site:
    """One place where an activation is applied.

    Attributes:
        path: Dotted name of the activation module inside the network.
        base: What stands there: a key of ``BASES``, a base of its own (a leaky ReLU of slope 0.2),
            or None for a module type that only the filter knows.
        num_features: Number of units.
        dim: The axis of the units, negative.
        lead: Leading axes, see ``AdaLin``.
    """

    path: str
    base: str | Base | None
    num_features: int
    dim: int
    lead: tuple[int, ...] = ()


def _separate(module: nn.Module, wanted: Filter) -> dict[nn.Module, Any]:
    """Makes each name an activation module of its own, be it a second name or a function of torch.

    Returns:
        What each new module stands for.
    """
    originals: dict[nn.Module, Any] = {}
    met: set[nn.Module] = set()
    for owner in parts(module):
        for name, child in list(owner._modules.items()):
            if child is not None and wanted.module(child):
                if child in met:
                    owner._modules[name] = other = copy.copy(child)
                    originals[other] = child
                met.add(child)
        value = vars(owner).get("activation") if isinstance(owner, TRANSFORMERS) else None
        if inspect.isroutine(value) and value in NAMES:
            call = Call(known_function(value, [], {})).train(owner.training)
            if wanted.module(call):
                del vars(owner)["activation"]
                owner._modules["activation"] = call
                originals[call] = value
    return originals


def _fit(new: nn.Module, spot: Spot, root: nn.Module) -> nn.Module:
    """Gives a new module the device, dtype, mode and hooks of its place."""
    assert spot.units is not None  # measured
    near = (spot.units.like, *spot.owner.parameters(), *root.parameters())
    like = next(
        (tensor for tensor in near if tensor is not None and tensor.is_floating_point()), None
    )
    if like is not None:
        new.to(like.device, like.dtype)
    new.train(spot.module.training)
    for name, value in vars(spot.module).items():
        # The very dictionaries: the handles of the hooks refer to them.
        if name.endswith(("_hooks", "_hook", "_hooks_with_kwargs", "_hooks_always_called")):
            setattr(new, name, value)
    return new


def _replace_in_containers(module: nn.Module, made: dict[nn.Module, nn.Module]) -> None:
    """Replaces activations in the lists, tuples and dicts that hold them a second time."""

    def now(value: Any) -> Any:
        return made.get(value, value) if isinstance(value, nn.Module) else value

    for part in parts(module):
        for name, value in list(vars(part).items()):
            if type(value) is dict and not name.startswith("_"):
                value.update({key: now(held) for key, held in value.items()})
            elif type(value) is list:
                value[:] = map(now, value)
            elif type(value) is tuple and not made.keys().isdisjoint(_modules(value)):
                vars(part)[name] = tuple(map(now, value))


def _modules(values: tuple[Any, ...]) -> list[nn.Module]:
    return [value for value in values if isinstance(value, nn.Module)]


def _leave_fast_paths(module: nn.Module, changed: set[nn.Module]) -> None:
    """In eval mode transformers skip their modules for a kernel with ReLU or GELU inside."""
    for part in parts(module):
        if part in changed and isinstance(part, nn.TransformerEncoderLayer):
            part.activation_relu_or_gelu = 0
        if part in changed and isinstance(part, nn.TransformerDecoderLayer):
            # Its __setstate__ puts F.relu over a module if it finds no such attribute (deepcopy).
            vars(part)["activation"] = part.activation
        if isinstance(part, nn.TransformerEncoder) and not changed.isdisjoint(part.layers):
            part.use_nested_tensor = False


def replace_activations(
    module: nn.Module,
    make: Callable[[Site], nn.Module],
    *,
    only: Only = None,
    dim: int | None = None,
    example_input: Any = None,
) -> tuple[tuple[Site, ...], tuple[str, ...]]:
    """Replaces activations inside a network; on an error it is left as it was.

    Args:
        module: The network.
        make: Makes the module for a site. It then gets the device, dtype, mode and hooks.
        only: Which activations: a name such as ``"relu"`` (modules and functions), a module type,
            or several of these. By default all of ``BASES``, except inside of AdaLin layers.
        dim: The axis of the units where the forward pass tells the width and has more than two
            axes: -3 for images.
        example_input: Input of the forward pass that tells the widths which can't be read from the
            layers: one argument, or a tuple of them.

    Returns:
        The sites, and lines on what was kept.

    Raises:
        ValueError: If a width is unknown, sites that can't be told apart differ in width, or an
            activation changes in place what may be read again.
    """
    wanted = Filter(only)
    if wanted.module(module):
        raise ValueError(
            f"`module` should contain activations. Received an activation, {type(module).__name__}"
        )
    if dim is not None and dim >= 0:
        raise ValueError(f"`dim` counts from the last axis, so it is negative. Received {dim}")
    args = example_input
    if args is not None and not isinstance(args, tuple):
        args = (args,)
    with all_or_nothing(module):
        originals = _separate(module, wanted)
        search = Search(module, wanted)
        search.measure(module, args, dim)
        sites, made = [], {}
        for spot in search.spots:
            units = spot.units
            assert units is not None  # measured
            site = Site(spot.path, spot.found.base, units.num_features, units.dim, units.lead)
            sites.append(site)
            made[spot.module] = new = _fit(make(site), spot, module)
            setattr(spot.owner, spot.name, new)
        _replace_in_containers(module, made)
        for new, original in originals.items():
            owner, name = search.registered[new]
            if getattr(owner, name) is new:  # kept
                delattr(owner, name)
                setattr(owner, name, original)
        _leave_fast_paths(module, {spot.owner for spot in search.spots})
    return tuple(sites), tuple(search.notes)


def adalinize(
    module: M,
    base: Only = None,
    *,
    to: str | Base | Callable[[Tensor], Tensor] | None = None,
    granularity: str = "neuron",
    gate: bool = True,
    init: str | float = "zeros",
    dim: int | None = None,
    example_input: Any = None,
    log: Callable[[str], object] | None = print,
) -> M:
    """Puts AdaLin in place of the activations of any network, which is changed and returned.

    With ``init="zeros"`` the values are those from before (but for rounding in the eval mode of a
    transformer, where torch has another kernel for ReLU).  Functions such as ``F.relu`` that a
    forward calls by themselves are replaced too: the module gets a subclass of the same name, whose
    forward calls modules there and is otherwise the same source.

    Args:
        module: The network.
        base: Which activations: a name such as ``"relu"`` (modules and functions), a module type,
            or several of these. By default all of ``BASES``. AdaLin layers stay what they are.
        to: The base of the AdaLin layers; by default each keeps the function that stands there.
        granularity: See ``AdaLin``.
        gate: See ``AdaLin``.
        init: See ``AdaLin``.
        dim: See ``replace_activations``.
        example_input: See ``replace_activations``.
        log: Is called with a line on each AdaLin layer, and on functions that are kept, and why.

    Raises:
        ValueError: If nothing was replaced, a width is unknown, or an activation changes its input
            in place where that may be seen; the module is left as it was.
    """
    if isinstance(to, str) and to not in BASES:
        near = get_close_matches(to, BASES, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"`to` should be one of {', '.join(BASES)}. Received {to!r}{hint}")
    lines: list[str] = []
    new = nn.ModuleList()  # not those of an earlier call

    def make(site: Site) -> nn.Module:
        function = site.base if to is None else to
        if function is None:
            raise ValueError(f"`to` should be given: the function at {site.path} is not known")
        layer = AdaLin(
            site.num_features,
            function,
            granularity=granularity,
            gate=gate,
            init=init,
            dim=site.dim,
            lead=site.lead,
        )
        layer.path = site.path
        lines.append(f"{site.path}: {layer}")
        new.append(layer)
        return layer

    with all_or_nothing(module):
        sites, notes = replace_activations(
            module, make, only=base, dim=dim, example_input=example_input
        )
        if not sites:
            kinds = {type(part) for part in module.modules()}
            seen = {
                kind.__name__
                for kind in kinds
                if kind.__module__ == TORCH + "activation" or issubclass(kind, Activation)
            }
            raise ValueError(
                f"`base` should match an activation of the module, which has "
                f"{', '.join(sorted(seen)) or 'none'}. "
                f"Received {base!r}{''.join(f'; {note}' for note in notes)}"
            )
        share_alpha(new)
    for line in (*lines, *notes):
        if log is not None:
            log(line)
    return module
