"""SIGTERM and SIGHUP as exceptions, so that every command closes what it has opened; SIGHUP as a request to reload."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["Terminated", "on_hangup", "raise_terminated"]


class Terminated(KeyboardInterrupt):
    """Request to end, from a service manager or a closed terminal; handled like Ctrl-C except for the exit code.

    Args:
        number: number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


@contextlib.contextmanager
def on_hangup(request: Callable[[], None]) -> Iterator[None]:
    """Call `request` in the main thread at each SIGHUP, by convention the request to reload the configuration.

    If the terminal on which the program was started is gone, SIGHUP raises `Terminated` instead, because nobody could
    stop the program any more. A signal that is ignored stays ignored, and in other threads nothing changes.

    Args:
        request: must return at once and be safe to call at any moment.
    """
    terminals = [number for number in range(3) if os.isatty(number)]

    def handle(number: int, frame: FrameType | None) -> None:
        if terminals and not any(os.isatty(terminal) for terminal in terminals):
            raise Terminated(number)
        request()

    before = signal.getsignal(signal.SIGHUP) if hasattr(signal, "SIGHUP") else signal.SIG_IGN
    if before == signal.SIG_IGN:
        yield
        return
    try:
        signal.signal(signal.SIGHUP, handle)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


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
