"""SIGTERM and SIGHUP as exceptions, so that every command closes what it has opened."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

__all__ = ["Terminated", "raise_terminated"]


class Terminated(KeyboardInterrupt):
    """Request to end, from a service manager or a closed terminal; handled like Ctrl-C except for the exit code.

    Args:
        number: number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


@contextlib.contextmanager
def raise_terminated() -> Iterator[None]:
    """Raise `Terminated` in the main thread at the first SIGTERM or SIGHUP; later ones do not disturb the clean-up.

    A signal that is ignored, as SIGHUP under `nohup`, stays ignored. In other threads, which cannot receive signals,
    nothing changes.
    """
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: handler for number in numbers if (handler := signal.getsignal(number)) != signal.SIG_IGN}

    def handle(number: int, frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise Terminated(number)

    try:
        for number in before:
            signal.signal(number, handle)
    except ValueError:  # not the main thread
        before.clear()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
