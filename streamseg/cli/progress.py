"""A progress bar on standard error: redrawn on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

__all__ = ["CountingBar", "ProgressBar"]

WIDTH = 28
REDRAW_SECONDS = 0.1
LINE_SECONDS = 5.0


class ProgressBar:
    """Shows how much is done, the rate and the time left.

    Args:
        unit: what is counted, such as "frames".
        total: how many there will be; None when nobody knows.
        stream: where to write.
        clock: monotonic seconds.
        started: when the work began, by that clock; None: at this moment.
    """

    def __init__(
        self,
        unit: str,
        total: int | None = None,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        started: float | None = None,
    ) -> None:
        self._unit = unit
        self._total = total
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._on_terminal = self._stream.isatty()
        self._started = clock() if started is None else started
        self._first_done: int | None = None
        self._shown: float | None = None

    def update(self, done: int, remark: str = "") -> None:
        """Say that `done` units are finished; draws rarely enough to be called for each."""
        if self._first_done is None:
            self._first_done = done - 1  # a resumed run starts in the middle; its rate must not count that
        now = self._clock()
        pause = REDRAW_SECONDS if self._on_terminal else LINE_SECONDS
        if self._shown is not None and now - self._shown < pause and done != self._total:
            return
        self._shown = now
        line = self._line(done, now - self._started, remark)
        print(
            f"\r\x1b[K{line}" if self._on_terminal else line,
            end="" if self._on_terminal else "\n",
            file=self._stream,
            flush=True,
        )

    def close(self) -> None:
        """End the line."""
        if self._on_terminal and self._shown is not None:
            print(file=self._stream, flush=True)

    def _line(self, done: int, seconds: float, remark: str) -> str:
        rate = (done - (self._first_done or 0)) / seconds if seconds > 0 else 0.0
        parts = [f"{done} {self._unit}", f"{rate:.1f}/s"]
        if self._total:
            share = min(done / self._total, 1.0)
            bar = ("#" * int(WIDTH * share)).ljust(WIDTH, ".")
            left = (self._total - done) / rate if rate > 0 else 0.0
            parts = [f"[{bar}] {done}/{self._total} {self._unit}", f"{rate:.1f}/s", f"{_minutes(left)} left"]
        return "  ".join([*parts, *([remark] if remark else [])])


class CountingBar:
    """A progress bar for work that says only when its first unit is done how much there is.

    Args:
        unit: what is counted, such as "pictures".
        stream: where to write.
        clock: monotonic seconds; the work begins at this moment.
    """

    def __init__(self, unit: str, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._unit = unit
        self._stream = stream
        self._clock = clock
        self._started = clock()
        self._bar: ProgressBar | None = None

    def __call__(self, done: int, total: int) -> None:
        """Say that `done` of `total` are finished."""
        self._bar = self._bar or ProgressBar(
            self._unit, total, stream=self._stream, clock=self._clock, started=self._started
        )
        self._bar.update(done)

    def close(self) -> None:
        """End the line."""
        if self._bar is not None:
            self._bar.close()


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
