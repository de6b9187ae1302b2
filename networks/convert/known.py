"""Which modules, functions and methods are activations, and which functions exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from networks.activations import Elementwise
from networks.adalin import AdaLin
from networks.bases import BASES, Base, find_base, make_base

TORCH = "torch.nn.modules."
Only = str | type[nn.Module] | Sequence[str | type[nn.Module]] | None


class Found(NamedTuple):
    """An activation: the name that filters know, and its exact function."""

    name: str
    base: str | Base | None
    inplace: bool = False


class Call(nn.Module):
    """Stands where a function is called, until its AdaLin is made."""

    def __init__(self, found: Found) -> None:
        super().__init__()
        self.found = found

    def forward(self, x: Tensor) -> Tensor:
        return find_base(self.found.base or "").function(x)


@dataclass(frozen=True)
class Family:
    """The modules, functions and methods of one base, and their settings in order."""

    module: type[nn.Module]
    function: Callable[..., Tensor]
    others: tuple[Any, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


_INPLACE = {"inplace": False}
FAMILIES = {
    "relu": Family(nn.ReLU, F.relu, (torch.relu, torch.relu_, "relu", "relu_"), _INPLACE),
    "leaky-relu": Family(
        nn.LeakyReLU, F.leaky_relu, (F.leaky_relu_,), {"negative_slope": 0.01} | _INPLACE
    ),
    "elu": Family(nn.ELU, F.elu, (F.elu_,), {"alpha": 1.0} | _INPLACE),
    "tanh": Family(nn.Tanh, torch.tanh, (F.tanh, torch.tanh_, "tanh", "tanh_")),
    "sigmoid": Family(
        nn.Sigmoid, torch.sigmoid, (F.sigmoid, torch.sigmoid_, "sigmoid", "sigmoid_")
    ),
    "softplus": Family(nn.Softplus, F.softplus, (), {"beta": 1.0, "threshold": 20.0}),
    "gelu": Family(nn.GELU, F.gelu, (), {"approximate": "none"}),
    "silu": Family(nn.SiLU, F.silu, (), _INPLACE),
    "mish": Family(nn.Mish, F.mish, (), _INPLACE),
}
NAMES = {f: name for name, family in FAMILIES.items() for f in (family.function, *family.others)}


def _found(name: str, settings: dict[str, Any], inplace: bool = False) -> Found:
    """The activation of that family with these settings, which may not be those of ``BASES``."""
    inplace = bool(settings.pop("inplace", False)) or inplace
    family = FAMILIES[name]
    if settings == {key: family.settings[key] for key in settings}:
        return Found(name, name, inplace)
    if name == "gelu":
        return Found("gelu-tanh", "gelu-tanh")
    largest = max(1.0, abs(settings.get("negative_slope", settings.get("alpha", 1.0))))
    label = f"{name}({', '.join(f'{key}={value}' for key, value in settings.items())})"
    base = make_base(partial(family.function, **settings), lipschitz=largest, name=label)
    return Found(name, base, inplace)


def torch_class(module: nn.Module) -> type[nn.Module] | None:
    """The class of ``torch.nn`` whose forward a module has, if it has one of these."""
    kind: Any = next(kind for kind in type(module).__mro__ if kind.__module__.startswith(TORCH))
    own = getattr(type(module), "forward", None)  # scripted modules have none
    return kind if kind.forward is own else None


def known_module(module: nn.Module) -> Found | None:
    """The activation that a module is, if it is one of the known ones."""
    if isinstance(module, Elementwise):
        name = module.base.name
        return Found(name, name if BASES.get(name) is module.base else module.base)
    if isinstance(module, Call):
        return module.found
    for name, family in FAMILIES.items():
        # A subclass with a forward of its own is another function.
        if isinstance(module, family.module) and type(module).forward is family.module.forward:
            return _found(name, {key: getattr(module, key) for key in family.settings})
    return None


def base_of(module: nn.Module) -> Base | None:
    """The function of a plain activation module (``nn.ReLU()``, ``Elementwise``), else None."""
    found = known_module(module)
    return find_base(found.base) if found and found.base else None


def known_function(function: Any, extra: list[Any], words: dict[str, Any]) -> Found:
    """The activation that a function of ``NAMES`` is with these arguments behind its input."""
    name = NAMES[function]
    known = FAMILIES[name].settings
    settings = dict(zip(known, extra, strict=False)) | {k: words[k] for k in known if k in words}
    return _found(name, settings, str(getattr(function, "__name__", function)).endswith("_"))


class Filter:
    """Tells which activations are meant: names, module types, or all known ones."""

    def __init__(self, only: Only) -> None:
        several = isinstance(only, list | tuple | set | frozenset)
        parts: list[Any] = list(only) if several else [only]  # type: ignore[arg-type]
        self.all = only is None
        self.types = tuple(p for p in parts if isinstance(p, type) and issubclass(p, nn.Module))
        self.names = set(BASES) if self.all else {p for p in parts if isinstance(p, str)}
        for part in parts:
            if not (self.all or part in self.types or (isinstance(part, str) and part in BASES)):
                near = get_close_matches(str(part), BASES, n=1)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                raise ValueError(
                    f"`base` should be one of {', '.join(BASES)}, a module type, or several. "
                    f"Received {part!r}{hint}"
                )

    def module(self, module: nn.Module) -> Found | None:
        if isinstance(module, AdaLin):
            return None
        found = known_module(module)
        if isinstance(module, self.types):
            inplace = bool(getattr(module, "inplace", False))
            return found or Found(type(module).__name__, None, inplace)
        return found if found and (self.all or found.name in self.names) else None
