"""The live table of `streamseg run` on a terminal: one row per source, then sinks in trouble and the totals.

In piped output and in the JSON log it is the status line.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TextIO

from streamseg.cli.terminal import StatusLine, describe_totals
from streamseg.structures.source_status import AWAY_STATES

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from streamseg.runtime import RunStats, SourceStats

__all__ = ["RunTable", "draw_run"]

COLUMNS: Final = ("source", "state", "frames/s", "age p50", "age p95", "objects", "drops", "quality", "error")
ADDRESS: Final = re.compile(r"(?: to)? [a-z][a-z0-9+.-]*://[^\s,;()]+(?<!:)")
"""An address within an error, with the word before it."""
STYLES: Final = {"live": "green", "ended": "dim", "connecting": "cyan", "failed": "red", "denied": "red"}
"""Colours of the states; the others, in which a source may return by itself, are yellow."""


class RunTable(StatusLine):
    """The statistics of a run, redrawn in place on a terminal. Log records appear above the table.

    Args:
        stream: output stream; None for standard error.
        clock: monotonic time in seconds.
    """

    def __init__(self, stream: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream, clock=clock)
        self._diverted: list[tuple[logging.StreamHandler[TextIO], TextIO]] = []

    def update(self, stats: RunStats) -> None:
        """Show these statistics; in piped output, only if the last line is old enough."""
        if not self._is_terminal:
            super().update(stats)
            return
        self._draw(draw_run(stats))
        if not self._diverted:
            self._divert_logs()

    def close(self) -> None:
        """Keep the table as it is; later output starts on a new line. Idempotent."""
        for handler, stream in self._diverted:
            handler.setStream(stream)
        self._diverted.clear()
        super().close()

    def _divert_logs(self) -> None:
        """Let log records appear above the table, which would otherwise be drawn over them."""
        from rich.file_proxy import FileProxy

        assert self._live is not None
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is self._stream:
                self._diverted.append((handler, handler.stream))
                handler.setStream(FileProxy(self._live.console, handler.stream))


def draw_run(stats: RunStats) -> RenderableType:
    """Return the table of a run."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in COLUMNS:
        is_text = name in ("source", "state", "error")
        # rich narrows columns that may wrap first: errors, whose text does not wrap either but is cut.
        is_error = name == COLUMNS[-1]
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_error, overflow="ellipsis")
    for source in stats.sources:
        table.add_row(*_cells(source))
    lines = [
        _one_line(f"{sink.name}: {sink.state} for {describe_seconds(sink.state_seconds)} ({sink.error})", "yellow")
        for sink in stats.sinks
        if sink.state != "ok"
    ]
    lines += [_one_line(f"{tier.tier} tier failed ({tier.error})", "red") for tier in stats.tiers if tier.error]
    return Group(table, *lines, _one_line(describe_totals(stats)))


def _one_line(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _cells(source: SourceStats) -> list[Text]:
    from rich.text import Text

    state = source.state if source.state == "live" else f"{source.state} {describe_seconds(source.state_seconds)}"
    num_drops = sum(sum(reasons.values()) for reasons in source.drops.values())
    step = source.degradation.step
    return [
        Text(source.source_id),
        Text(state, style=STYLES.get(source.state, "yellow")),
        Text(f"{source.fps:.1f}"),
        *(Text("–" if math.isnan(age) else f"{age:.0f} ms") for age in (source.ages.p50_ms, source.ages.p95_ms)),
        Text("–" if source.state in AWAY_STATES else str(source.num_objects)),
        Text(str(num_drops)),
        Text(f"step {step}" if step else "full", style="yellow" if step else ""),
        Text(_error(source), style="dim", no_wrap=True, overflow="ellipsis"),
    ]


def _error(source: SourceStats) -> str:
    """Return the error without addresses, which would push its reason out of the column; marked if it is over."""
    if source.error is None:
        return ""
    words = ADDRESS.sub("", source.error)
    return f"before: {words}" if source.state in ("live", "frozen") else words


def describe_seconds(seconds: float) -> str:
    """Return a duration in one unit: 12 s, 5 min, 3 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
