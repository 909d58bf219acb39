"""Terminal output: progress bars, the status line of a run, and tables of figures.

Drawn with rich on a terminal. Piped output is plain text without control codes. rich is imported only when
something is drawn, because `--help` and `subscribe` do without it.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TextIO

from streamseg.cli.logs import log_is_json
from streamseg.errors import counted

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from streamseg.runtime import RunStats, SinkStats, SourceStats
    from streamseg.tiers import TierReport

__all__ = [
    "LiveLine",
    "ProgressBar",
    "StatusLine",
    "Table",
    "describe_run",
    "describe_tier",
    "describe_totals",
    "print_table",
    "summary_lines",
]

logger = logging.getLogger(__name__)

BAR_WIDTH = 28
REDRAW_SECONDS = 0.1
"""Shortest time between two drawings of a progress bar on a terminal."""
PROGRESS_LINE_SECONDS = 5.0
"""Shortest time between two lines of progress in piped output."""
STATUS_LINE_SECONDS = 10.0
"""Shortest time between two status lines in piped output."""
UNLIMITED_WIDTH = 100_000
"""Console width for tables: figures are never cut or wrapped, however narrow the terminal is."""


class LiveLine:
    """A line on standard error: redrawn in place on a terminal, printed at intervals in piped output.

    With `--log-format json` it is a log record of level info.

    Use it as a context manager, or close it.

    Args:
        redraw_seconds: shortest time between two drawings on a terminal.
        line_seconds: shortest time between two lines in piped output.
        stream: output stream; None for standard error, because standard output holds results only.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        *,
        redraw_seconds: float = 0.0,
        line_seconds: float = 0.0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._is_log = stream is None and log_is_json()
        self._is_terminal = not self._is_log and _is_terminal(self._stream)
        self._interval_seconds = redraw_seconds if self._is_terminal else line_seconds
        self._shown: float | None = None
        self._live: Live | None = None

    def is_due(self) -> bool:
        """Return whether the interval since the last drawing has passed."""
        return self._shown is None or self._clock() - self._shown >= self._interval_seconds

    def show(self, text: str, *, share: float | None = None) -> None:
        """Draw the line now.

        Args:
            text: one line.
            share: length of a bar in front of the text, 0..1; None for no bar.
        """
        self._shown = self._clock()
        if self._is_log:
            logger.info("%s", text)
        elif self._is_terminal:
            self._draw(_line(text, share))
        else:
            bar = "" if share is None else f"[{('#' * int(BAR_WIDTH * share)).ljust(BAR_WIDTH, '.')}] "
            print(f"{bar}{text}", file=self._stream, flush=True)

    def close(self) -> None:
        """Keep the line as it is; later output starts on a new line. Idempotent."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _draw(self, drawing: RenderableType) -> None:
        from rich.console import Console
        from rich.live import Live

        if self._live is None:
            console = Console(file=self._stream, force_terminal=True, highlight=False)
            # Redirection would send standard output to this stream, too.
            self._live = Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
            self._live.start()
            # A process that is killed must not leave its terminal without a cursor.
            console.show_cursor(True)
        self._live.update(drawing, refresh=True)


def _line(text: str, share: float | None) -> RenderableType:
    """Return the drawing of a line, with a bar in front of it unless `share` is None."""
    from rich.progress_bar import ProgressBar as Bar
    from rich.table import Table as Grid
    from rich.text import Text

    if share is None:
        return Text(text)
    grid = Grid.grid(padding=(0, 1))
    grid.add_row(Bar(total=1.0, completed=share, width=BAR_WIDTH), Text(text))
    return grid


class ProgressBar(LiveLine):
    """The number of units done, the rate and the remaining time.

    Args:
        unit: plural noun of what is counted, such as "frames".
        total: number of units; None if it is unknown, or passed to each call of the bar.
        stream: output stream; None for standard error.
        clock: monotonic time in seconds. The work begins when the bar is created.
    """

    def __init__(
        self,
        unit: str,
        total: int | None = None,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(redraw_seconds=REDRAW_SECONDS, line_seconds=PROGRESS_LINE_SECONDS, stream=stream, clock=clock)
        self._unit = unit
        self._total = total
        self._started = clock()
        self._first_done: int | None = None

    def __call__(self, done: int, total: int) -> None:
        """Report `done` of `total` units, for work whose size is known only once its first unit is done."""
        self._total = total
        self.update(done)

    def update(self, done: int, remark: str = "") -> None:
        """Report `done` units. Cheap enough for every unit, because it rarely draws."""
        if self._first_done is None:
            self._first_done = done - 1  # a resumed run starts in the middle; its rate must not count that
        if not self.is_due() and done != self._total:
            return
        seconds = self._clock() - self._started
        rate = (done - self._first_done) / seconds if seconds > 0 else 0.0
        parts = [f"{done} {self._unit}", f"{rate:.1f}/s"]
        share = None
        if self._total:
            share = min(done / self._total, 1.0)
            remaining_seconds = int((self._total - done) / rate if rate > 0 else 0.0)
            parts = [f"{done}/{self._total} {self._unit}", f"{rate:.1f}/s"]
            parts.append(f"{remaining_seconds // 60}:{remaining_seconds % 60:02d} left")
        self.show("  ".join([*parts, *([remark] if remark else [])]), share=share)


class StatusLine(LiveLine):
    """The statistics of a run on one line.

    Args:
        stream: output stream; None for standard error.
        clock: monotonic time in seconds.
    """

    def __init__(self, stream: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(line_seconds=STATUS_LINE_SECONDS, stream=stream, clock=clock)

    def update(self, stats: RunStats) -> None:
        """Show these statistics; in piped output, only if the last line is old enough."""
        if self.is_due():
            self.show(describe_run(stats))


def describe_run(stats: RunStats) -> str:
    """Return one line: frame rate, number of objects, latency, drops, and the sources that are not live."""
    parts = [describe_totals(stats)]
    for source in stats.sources:
        if source.state in ("ended", "failed"):
            parts.append(f"{source.source_id} {source.state}")
        elif source.state != "live":
            parts.append(f"{source.source_id} {source.state} for {source.state_seconds:.0f} s")
    parts += [f"{sink.name} {sink.state}" for sink in stats.sinks if sink.state != "ok"]
    parts += [f"{tier.tier} tier failed" for tier in stats.tiers if tier.state == "failed"]
    return " | ".join(parts)


def describe_totals(stats: RunStats) -> str:
    """Return one line: frame rate, number of objects, latency and drops of all sources together."""
    num_drops = sum(sum(reasons.values()) for reasons in stats.drops.values())
    objects = counted(stats.num_objects, "object")
    parts = [f"{stats.recent_fps:.1f} fps", objects, str(stats.ages), f"drops {num_drops}"]
    return " | ".join([*parts, *(["paused"] if stats.is_paused else [])])


def summary_lines(stats: RunStats) -> Iterator[str]:
    """Yield the summary of a run: each of several sources, the stages, skipped images, and last the totals."""
    from streamseg.cli.skips import num_skipped

    if len(stats.sources) > 1:
        yield from (_describe_source(source) for source in stats.sources)
    yield from (_describe_sink(sink) for sink in stats.sinks if sink.state != "ok" or _num_missing(sink))
    yield from (describe_tier(tier) for tier in stats.tiers)
    stages = [f"{name} {p50:.1f}" for name, (p50, _) in stats.stages_ms.items() if not math.isnan(p50)]
    if stages:
        yield f"stages, p50 ms: {', '.join(stages)}"
    skipped = num_skipped(stats)
    if skipped:
        yield f"{skipped} skipped"
    yield str(stats)


def _describe_source(source: SourceStats) -> str:
    from streamseg.runtime import describe_drops

    clock = f" by {source.clock} clock" if source.clock is not None else ""
    label = "" if source.state == "failed" else "last error: "
    error = f" ({label}{source.error})" if source.error is not None else ""
    return (
        f"{source.source_id}: {source.state}{error}, {counted(source.num_frames, 'frame')},"
        f" {source.ages}{clock}, {describe_drops(source.drops)}"
    )


def _num_missing(sink: SinkStats) -> int:
    """Return the number of frames that a sink did not write; a display may skip any but the newest."""
    num_missing = sum(sum(reasons.values()) for reasons in sink.drops.values())
    return 0 if sink.name == "page" else num_missing


def _describe_sink(sink: SinkStats) -> str:
    error = f" ({sink.error})" if sink.error is not None else ""
    written = f"{counted(sink.num_written, 'frame')} written, {_num_missing(sink)} not written"
    return f"{sink.name}: {sink.state}{error}, {written}"


def describe_tier(tier: TierReport) -> str:
    """Return what a tier has done, in one line."""
    counts = ", ".join(f"{outcome.replace('_', ' ')} {number}" for outcome, number in tier.counts.items())
    error = f" ({tier.error})" if tier.error is not None else ""
    return f"{tier.tier} tier, {tier.model}: {tier.state}{error}, objects: {counts or 'none'}"


@dataclass(frozen=True)
class Table:
    """A titled table of figures; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    """Names of all columns; the first may be ""."""
    rows: tuple[tuple[str | int | float, ...], ...]
    """As many cells per row as there are columns. Floats are shown with three decimals, NaN (no data) as a dash."""


def print_table(table: Table, *, stream: TextIO | None = None) -> None:
    """Print aligned columns at their full width: names to the left, figures to the right.

    Args:
        table: what to print.
        stream: output stream; None for standard output.

    Raises:
        ValueError: a row has more or fewer cells than there are columns.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table as RichTable
    from rich.text import Text

    stream = stream if stream is not None else sys.stdout
    drawn = RichTable(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for position, name in enumerate(table.columns):
        drawn.add_column(Text(name), justify="left" if position == 0 else "right", no_wrap=True)
    for row in table.rows:
        drawn.add_row(*(Text(_cell_text(cell)) for _, cell in zip(table.columns, row, strict=True)))
    console = Console(file=stream, force_terminal=_is_terminal(stream), highlight=False, width=UNLIMITED_WIDTH)
    console.print(Text(table.title, style="bold"))
    console.print(Padding.indent(drawn, 2))
    stream.flush()


def _cell_text(cell: str | int | float) -> str:
    if isinstance(cell, float):
        return "–" if math.isnan(cell) else f"{cell:.3f}"
    return str(cell)


def _is_terminal(stream: TextIO) -> bool:
    """Return whether control codes reach a terminal that obeys them; rich alone would also trust FORCE_COLOR."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")
