"""What every metric refuses: nothing to measure, and numbers that are none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

_LOOK_AT_VALUES = ContextVar("look at values", default=True)


@contextmanager
def unchecked() -> Iterator[None]:
    """Inside, metrics do not look for NaN and infinity: on a GPU each look is a host sync.

    What they return for such numbers is then NaN or meaningless, for the other seeds it is right.
    Shapes are still checked; that costs nothing.
    """
    token = _LOOK_AT_VALUES.set(False)
    try:
        yield
    finally:
        _LOOK_AT_VALUES.reset(token)


def check(axes: int = 0, /, **arguments: Tensor | Sequence[Tensor]) -> None:
    """Refuses tensors without elements or with NaN or infinity.

    Args:
        axes: How many axes they have at least.
        **arguments: Tensors, or sequences of them, by the name that the error calls them.

    Raises:
        ValueError: If a tensor is refused, or a sequence is empty.
    """
    for name, value in arguments.items():
        tensors = [value] if isinstance(value, Tensor) else value
        if not tensors:
            raise ValueError(f"`{name}` should hold at least one tensor. Received none")
        for tensor in tensors:
            shape = tuple(tensor.shape)
            if tensor.dim() < axes:
                raise ValueError(
                    f"`{name}` should have at least {axes} axes. Received shape {shape}"
                )
            if tensor.numel() == 0:
                raise ValueError(f"`{name}` should not be empty. Received shape {shape}")
            if _LOOK_AT_VALUES.get() and not tensor.isfinite().all():
                raise ValueError(f"`{name}` should be finite. Received NaN or infinity")


def check_same_shape(**arguments: Tensor) -> None:
    """Refuses tensors whose shape is not that of the first."""
    (first, reference), *others = arguments.items()
    for name, tensor in others:
        if tensor.shape != reference.shape:
            raise ValueError(
                f"`{name}` should have the shape of `{first}`, {tuple(reference.shape)}. "
                f"Received {tuple(tensor.shape)}"
            )


def check_at_least_zero(**arguments: float | Tensor) -> None:
    """Refuses negative numbers; in tensors only where values are looked at."""
    for name, value in arguments.items():
        if isinstance(value, Tensor):
            if _LOOK_AT_VALUES.get() and (value < 0).any():
                raise ValueError(f"`{name}` should be at least 0. Received {value.min().item():g}")
        elif not value >= 0:  # NaN, too
            raise ValueError(f"`{name}` should be at least 0. Received {value}")
