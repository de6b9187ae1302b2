"""What a stranger's file says: values of the right types, and no more memory than was saved."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


def typed(kind: Any, value: Any, name: str = "recipe") -> Any:
    """Returns a value of exactly the type ``kind``, made of what JSON holds.

    Args:
        kind: A dataclass, from a dictionary; a tuple of any length, from a list; ``dict[str, X]``;
            a union, a Literal, Any, or a plain type. Whole numbers are floats, too; booleans are
            no numbers.
        value: What was read.
        name: What it is called in errors.

    Raises:
        ValueError: If it is of another type, or holds a name that the dataclass has not.
    """
    origin, args = get_origin(kind), get_args(kind)
    if is_dataclass(kind) and isinstance(kind, type) and isinstance(value, dict):
        kinds = get_type_hints(kind)
        for key in value:
            if key not in kinds:
                raise ValueError(f"`{name}` has nothing called {str(key)[:40]!r}")
        return kind(**{key: typed(kinds[key], item, key) for key, item in value.items()})
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(typed(args[0], item, name) for item in value)
    if origin is dict and isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: typed(args[1], item, key) for key, item in value.items()}
    if origin in (Union, UnionType):
        for one in args:
            if _fits(one, value):
                return typed(one, value, name)
    elif _fits(kind, value):
        return value
    raise ValueError(f"`{name}` should be {_called(kind)}. Received {_short(value)}")


def _fits(kind: Any, value: Any) -> bool:
    """Whether a value can only be meant as this kind: by its outermost type."""
    if kind is Any:
        return True
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        return isinstance(value, dict) and set(value) <= set(get_type_hints(kind))
    if kind in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, int | float if kind is float else kind)


def _called(kind: Any) -> str:
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(map(_called, get_args(kind)))
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if kind is NoneType:
        return "None"
    return kind.__name__ if get_origin(kind) is None else str(kind)


def _short(value: Any) -> str:
    text = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


class NoMoreThan(TorchFunctionMode):
    """Inside, parameters are made only as far as they may all have been saved.

    A size is a few bytes in a file, what is made of it may be terabytes.

    Args:
        saved: Tensors, in nested dictionaries.
    """

    def __init__(self, saved: Mapping[Any, Any]) -> None:
        super().__init__()
        self.tensors, self.numbers = _size(saved)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is torch.empty:  # of which all layers make their parameters
            shape = args[0] if args and isinstance(args[0], tuple | list) else args
            self.tensors -= 1
            self.numbers -= math.prod(shape)
            if self.tensors < 0 or self.numbers < 0:
                raise ValueError("its networks are larger than the weights that were saved")
        return func(*args, **(kwargs or {}))


def _size(saved: Mapping[Any, Any]) -> tuple[int, int]:
    """Returns how many tensors there are, and of how many numbers all of them are."""
    tensors = numbers = 0
    for value in saved.values():
        if isinstance(value, Tensor):
            more = 1, value.numel()
        else:
            more = _size(value) if isinstance(value, dict) else (0, 0)
        tensors, numbers = tensors + more[0], numbers + more[1]
    return tensors, numbers
