"""Keep the C library's free memory for the next frame, and give it back to the system in a run of hours."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streamseg.runtime import RunStats

__all__ = ["FreeMemory", "keep_large_blocks", "share_one_heap", "system_trim"]

TRIM_SECONDS: Final = 30.0
"""Time between two trims: one takes a few milliseconds, during which threads of the same arena wait."""
M_ARENA_MAX: Final = -8
M_MMAP_THRESHOLD: Final = -3
M_TRIM_THRESHOLD: Final = -1
"""Parameters of `mallopt`, from malloc.h."""
LARGE_BYTES: Final = 32 << 20
"""Largest block that is kept, an image of 4K; the C library allows no more."""
KEPT_BYTES: Final = 256 << 20
"""Free memory at the end of the heap that is given back only by `FreeMemory`."""


class FreeMemory:
    """Trims the C library's heaps at intervals.

    The GNU C library returns only the free memory above the last block in use, so that a heap keeps the size of its
    worst moment: an outage, a burst of other programs. Trimming returns the free pages below it, too.

    Args:
        trim: returns free memory to the system; None if the system has nothing of the kind.
        clock: monotonic time in seconds.
    """

    def __init__(self, trim: Callable[[], None] | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._trim = trim
        self._clock = clock
        self._trim_at = clock() + TRIM_SECONDS

    def beside(self, on_stats: Callable[[RunStats], None]) -> Callable[[RunStats], None]:
        """Return a callback of the run's statistics that also polls."""

        def both(stats: RunStats) -> None:
            on_stats(stats)
            self.poll()

        return both

    def poll(self) -> None:
        """Trim if it is time to."""
        if self._trim is None or self._clock() < self._trim_at:
            return
        self._trim()
        # From its end: a slow trim is not followed by another one at once.
        self._trim_at = self._clock() + TRIM_SECONDS


def share_one_heap() -> None:
    """Let all threads that start from now on share one heap of the GNU C library; others have nothing of the kind.

    By default almost every thread has its own (8 per core). Each grows to the size of its worst moment, so that a run
    grows for hours as one thread after the other has its worst moment. Images are few blocks, and Python keeps its own
    pools for small objects, so that the threads hardly wait for each other. `MALLOC_ARENA_MAX` takes precedence.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        _set({M_ARENA_MAX: 1})


def keep_large_blocks() -> None:
    """Let the GNU C library use the memory of images again, instead of giving it back and taking it each time.

    The system clears each page of new memory, which takes longer than many steps of the work on an image: writing a
    frame to an MCAP file takes a quarter less time with this (`scripts/bench mcap`). `FreeMemory` gives back what is
    free for long. `MALLOC_TRIM_THRESHOLD_` takes precedence.
    """
    if "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        _set({M_MMAP_THRESHOLD: LARGE_BYTES, M_TRIM_THRESHOLD: KEPT_BYTES})


def _set(parameters: Mapping[int, int]) -> None:
    """Set parameters of the GNU C library's memory; others have nothing of the kind."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if mallopt is not None:
        for parameter, value in parameters.items():
            mallopt(parameter, value)


def system_trim() -> Callable[[], None] | None:
    """Return a function that returns the C library's free memory to the system; None if it is not the GNU C library."""
    if not sys.platform.startswith("linux"):
        return None
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return None
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int

    def call() -> None:
        # ctypes releases the interpreter lock: the other threads go on.
        trim(0)

    return call
