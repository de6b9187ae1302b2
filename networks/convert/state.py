"""What a module is made of, to put it back: after an error, a trace or a forward pass."""

from __future__ import annotations

import random
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin


def parts(module: nn.Module) -> list[nn.Module]:
    """A module and those inside it, without what ``torch.jit`` has compiled."""
    return [part for part in module.modules() if not isinstance(part, torch.jit.ScriptModule)]


class Snapshot:
    """The class and the attributes of each part of a module, and what is in dicts, lists, sets.

    Lazy parts are left out: the forward pass that gives them their shape makes them another class.
    """

    def __init__(self, module: nn.Module) -> None:
        self.parts = [
            (part, type(part), dict(vars(part)))
            for part in parts(module)
            if not isinstance(part, LazyModuleMixin)
        ]
        values = [value for _, _, attributes in self.parts for value in attributes.values()]
        containers = [value for value in values if isinstance(value, dict | list | set | deque)]
        self.containers = [(value, value.copy()) for value in containers]
        self.tensors = [
            tensor
            for tensor in (*module.buffers(), *values)
            if isinstance(tensor, Tensor) and not nn.parameter.is_lazy(tensor)
        ]

    def restore(self) -> None:
        for part, kind, attributes in self.parts:
            part.__class__ = kind
            vars(part).clear()
            vars(part).update(attributes)
        for value, before in self.containers:
            value.clear()
            if isinstance(value, dict | set):
                value.update(before)
            else:
                value.extend(before)


@contextmanager
def all_or_nothing(module: nn.Module) -> Iterator[None]:
    """On an error every part of a module gets back its class, children and attributes."""
    before = Snapshot(module)
    try:
        yield
    except BaseException:
        before.restore()
        raise


@contextmanager
def _random_kept(module: nn.Module) -> Iterator[None]:
    """Random numbers of torch, Python and NumPy go on as if none had been drawn inside."""
    devices = {tensor.device for tensor in module.parameters() if tensor.is_cuda}
    numpy: Any = sys.modules.get("numpy")
    own, theirs = random.getstate(), numpy.random.get_state() if numpy else None
    try:
        with torch.random.fork_rng(list(devices)):
            yield
    finally:
        random.setstate(own)
        if numpy:
            numpy.random.set_state(theirs)


@contextmanager
def undisturbed(module: nn.Module, training: bool = False) -> Iterator[None]:
    """For a forward pass: modes, attributes, buffers and random numbers stay as they were."""
    before = Snapshot(module)
    modes = {part: part.training for part in module.modules()}
    values = [tensor.detach().clone() for tensor in before.tensors]
    try:
        with torch.no_grad(), _random_kept(module):
            for part in modes:
                part.training = training
            yield
    finally:
        for part, mode in modes.items():
            part.training = mode
        before.restore()
        for tensor, value in zip(before.tensors, values, strict=True):
            tensor.data.copy_(value)


Seen = dict[nn.Module, list[Tensor]]


@contextmanager
def inputs_of(seen: Seen) -> Iterator[None]:
    """Notes what goes into some modules."""

    def see(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen[module] += [*args, *kwargs.values()][:1]

    handles = [module.register_forward_pre_hook(see, with_kwargs=True) for module in seen]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
