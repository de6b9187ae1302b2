"""AdaLin in place of the activations of any network: ``networks.adalinize(module)``.

Each module with a forward of its own is traced by ``torch.fx``, alone, with its children as leaves.
In that graph one sees where an activation is applied, be it a module or a function, and reads its
width from the layers before; where that can't be, one forward pass tells it.  A forward that calls
functions, or one module several times, is then written anew from its graph.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

from torch import Tensor, nn

from networks.activations import Elementwise
from networks.adalin import AdaLin, share_alpha
from networks.bases import BASES, Base
from networks.convert.known import NAMES, Call, Filter, Only, base_of
from networks.convert.sites import Search, Spot
from networks.convert.widths import TORCH

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


@contextmanager
def all_or_nothing(module: nn.Module) -> Iterator[None]:
    """On an error every part of a module gets back its class, children and attributes."""
    before = [
        (part, type(part), dict(part._modules), dict(vars(part))) for part in module.modules()
    ]
    try:
        yield
    except BaseException:
        for part, kind, children, attributes in before:
            part.__class__ = kind
            vars(part).clear()
            vars(part).update(attributes)
            part._modules.clear()
            part._modules.update(children)
        raise


def _separate(module: nn.Module, wanted: Filter) -> dict[nn.Module, Any]:
    """Makes each name an activation module of its own, be it a second name or a function.

    Returns:
        What each new module stands for.
    """
    originals: dict[nn.Module, Any] = {}
    met: set[nn.Module] = set()
    for owner in list(module.modules()):
        for name, child in list(owner._modules.items()):
            if child is not None and wanted.module(child):
                if child in met:
                    owner._modules[name] = other = copy.copy(child)
                    originals[other] = child
                met.add(child)
        for name, value in list(vars(owner).items()):
            if inspect.isroutine(value) and value in NAMES and wanted.module(Call(value)):
                del vars(owner)[name]
                owner._modules[name] = call = Call(value).train(owner.training)
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


def _leave_fast_paths(module: nn.Module, changed: set[nn.Module]) -> None:
    """In eval mode transformers skip their modules for a kernel with ReLU or GELU inside."""
    for part in module.modules():
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
            or several of these. By default all of ``BASES``. AdaLin layers are left alone.
        dim: The axis of the units where the forward pass tells the width; by default the last of
            two axes and the second of four.
        example_input: Input of the forward pass that tells the widths which can't be read from the
            layers: one argument, or a tuple of them.

    Returns:
        The sites, and lines on what could not be seen or was kept.

    Raises:
        ValueError: If a width is unknown, or sites that can't be told apart differ in width.
    """
    wanted = Filter(only)
    if wanted.module(module):
        raise ValueError(
            f"`module` should contain activations. Received an activation, {type(module).__name__}"
        )
    if dim is not None and dim >= 0:
        raise ValueError(f"`dim` counts from the last axis, so it is negative. Received {dim}")
    with all_or_nothing(module):
        originals = _separate(module, wanted)
        search = Search(module, wanted)
        search.rewrite()
        search.measure(module, example_input, dim)
        sites = []
        for spot in search.spots:
            units = spot.units
            assert units is not None  # measured
            site = Site(spot.path, spot.found.base, units.num_features, units.dim, units.lead)
            sites.append(site)
            setattr(spot.owner, spot.name, _fit(make(site), spot, module))
        for new, original in originals.items():
            owner, name, _ = search.registered[new]
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

    With ``init="zeros"`` the network computes what it did before.  Functions such as ``F.relu`` are
    replaced too if ``torch.fx`` can trace the forward that calls them.  Such a forward is written
    anew: the class keeps its name, and attributes that the forward reads are fixed at their values.

    Args:
        module: The network.
        base: Which activations: a name such as ``"relu"`` (modules and functions), a module type,
            or several of these. By default all of ``BASES``. AdaLin layers are left alone.
        to: The base of the AdaLin layers; by default each keeps the function that stands there.
        granularity: See ``AdaLin``.
        gate: See ``AdaLin``.
        init: See ``AdaLin``.
        dim: The axis of the units where the forward pass tells the width; by default the last of
            two axes and the second of four.
        example_input: Input of the forward pass that tells the widths which can't be read from the
            layers: one argument, or a tuple of them.
        log: Is called with a line on each AdaLin layer and on all that could not be seen.

    Raises:
        ValueError: If nothing was replaced, or a width is unknown; the module is left as it was.
    """
    if isinstance(to, str) and to not in BASES:
        near = get_close_matches(to, BASES, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"`to` should be one of {', '.join(BASES)}. Received {to!r}{hint}")
    lines = []

    def make(site: Site) -> nn.Module:
        function = site.base if to is None else to
        if function is None:
            raise ValueError(f"`to` should be given: the function at {site.path} is not known")
        new = AdaLin(
            site.num_features,
            function,
            granularity=granularity,
            gate=gate,
            init=init,
            dim=site.dim,
            lead=site.lead,
        )
        lines.append(f"{site.path}: {new}")
        return new

    sites, notes = replace_activations(
        module, make, only=base, dim=dim, example_input=example_input
    )
    if not sites:
        kinds = {type(part) for part in module.modules()}
        seen = {
            kind.__name__
            for kind in kinds
            if kind.__module__ == TORCH + "activation" or issubclass(kind, AdaLin | Elementwise)
        }
        raise ValueError(
            f"`base` should match an activation of the module, which has "
            f"{', '.join(sorted(seen)) or 'none'}. "
            f"Received {base!r}{''.join(f'; {note}' for note in notes)}"
        )
    if granularity == "network":
        share_alpha(module)
    for line in (*lines, *notes):
        if log is not None:
            log(line)
    return module
