"""Waiting for a condition that another thread or process fulfils."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

WAIT_SECONDS = 30.0
"""Time limit of waits for what normally happens at once; a test that reaches it fails."""


def wait_until(is_so: Callable[[], bool], *, seconds: float = WAIT_SECONDS) -> None:
    """Wait until a condition holds; fail after so many seconds."""
    pause, end = threading.Event(), time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "the condition does not hold"
        pause.wait(0.02)
