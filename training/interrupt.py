"""Ctrl-C as a wish to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_interrupt(wish: Callable[[], None]) -> Iterator[None]:
    """Inside, the first Ctrl-C calls ``wish``; a second one breaks off, as without it."""

    def stop(*_: object) -> None:
        wish()
        signal.signal(signal.SIGINT, before)

    try:
        before = signal.signal(signal.SIGINT, stop)
    except ValueError:  # not the main thread: Ctrl-C is somebody else's
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
