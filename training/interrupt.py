"""Ctrl-C, and the SIGTERM of a scheduler, as a wish to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def on_interrupt(wish: Callable[[int], None]) -> Iterator[None]:
    """Inside, the first signal of each kind calls ``wish`` with it; a second one breaks off."""
    before: dict[int, Any] = {}

    def stop(number: int, _: object) -> None:
        wish(number)
        signal.signal(number, before[number])

    try:
        for kind in (signal.SIGINT, signal.SIGTERM):
            before[kind] = signal.signal(kind, stop)
    except ValueError:  # not the main thread: signals are somebody else's
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
