"""How a run is doing, for a person: one line that is redrawn on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from streamseg.runtime.figures import RunStats, SourceStats, describe_drops

__all__ = ["StatusLine", "describe_run", "summary_lines"]

LINE_SECONDS = 10.0
"""Between two lines where nothing can be redrawn."""


SILENT_SECONDS = 3.0
"""A source that gave nothing for so long is named."""


class StatusLine:
    """Shows figures as they come.

    Args:
        stream: where to write; standard error, so that standard output holds results only.
        clock: monotonic seconds.
    """

    def __init__(self, stream: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._on_terminal = self._stream.isatty()
        self._shown: float | None = None

    def update(self, figures: RunStats) -> None:
        """Show these figures, unless a line was written a moment ago."""
        now = self._clock()
        if not self._on_terminal and self._shown is not None and now - self._shown < LINE_SECONDS:
            return
        self._shown = now
        line = describe_run(figures)
        print(
            f"\r\x1b[K{line}" if self._on_terminal else line, end="" if self._on_terminal else "\n", file=self._stream
        )
        self._stream.flush()

    def close(self) -> None:
        """Leave the line; what is printed next starts on its own."""
        if self._on_terminal and self._shown is not None:
            print(file=self._stream, flush=True)


def describe_run(figures: RunStats) -> str:
    """One line: rate, objects, age, drops, and the sources that give nothing."""
    num_drops = sum(sum(reasons.values()) for reasons in figures.drops.values())
    parts = [
        f"{figures.recent_fps:.1f} fps",
        f"{figures.num_objects} objects",
        str(figures.ages),
        f"drops {num_drops}",
    ]
    if figures.is_paused:
        parts.append("paused")
    for source in figures.sources:
        if source.state != "running":
            parts.append(f"{source.source_id} {source.state}")
        elif not figures.is_paused and source.silent_seconds is not None and source.silent_seconds >= SILENT_SECONDS:
            parts.append(f"{source.source_id} silent for {source.silent_seconds:.0f} s")
    return " | ".join(parts)


def summary_lines(figures: RunStats) -> Iterator[str]:
    """What a run came to; the last line holds the figures of the whole."""
    if len(figures.sources) > 1:
        yield from (_describe_source(source) for source in figures.sources)
    stages = [f"{name} {p50:.1f}" for name, (p50, _) in figures.stages_ms.items() if not math.isnan(p50)]
    if stages:
        yield f"stages, p50 ms: {', '.join(stages)}"
    yield str(figures)


def _describe_source(source: SourceStats) -> str:
    clock = f" by {source.clock} clock" if source.clock is not None else ""
    error = f" ({source.error})" if source.error is not None else ""
    return (
        f"{source.source_id}: {source.state}{error}, {source.num_frames} frames,"
        f" {source.ages}{clock}, {describe_drops(source.drops)}"
    )
