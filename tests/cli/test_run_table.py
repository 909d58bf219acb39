"""The live table of a run."""

import io
import logging

import pytest
from rich.console import Console

from streamseg.cli.run_table import COLUMNS, RunTable, describe_seconds, draw_run
from streamseg.cli.terminal import describe_run, describe_totals
from streamseg.runtime import Ages, RunStats
from streamseg.structures.degradation import Degradation
from tests.support.run_stats import run_stats, sink_stats, source_stats

STATS = run_stats(
    source_stats("door"),
    source_stats(
        "yard",
        state="denied",
        state_seconds=300.0,
        fps=0.0,
        ages=Ages(),
        num_objects=0,
        drops={},
        error="401 [bold]no",
        degradation=Degradation(step=2),
    ),
    sinks=(sink_stats(), sink_stats("recording door", state="degraded", state_seconds=3.0, error="disk full")),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawn(stats: RunStats, width: int = 120) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False).print(draw_run(stats))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_table():
    head, _, door, yard, sink, totals = drawn(STATS)
    assert [head.index(name) for name in COLUMNS] == sorted(head.index(name) for name in COLUMNS)
    assert door.split() == ["door", "live", "30.0", "20", "ms", "30", "ms", "7", "3", "full"]
    assert yard.split() == ["yard", "denied", "5", "min", "0.0", "–", "–", "–", "0", "step", "2", "401", "[bold]no"]
    assert sink == "recording door: degraded for 3 s (disk full)"
    assert totals == describe_totals(STATS)


@pytest.mark.parametrize(
    ("state", "error", "shown"),
    [
        pytest.param(
            "waiting",
            "connection lost to rtsp://***@192.168.0.20:554/stream1 (Connection refused)",
            "connection lost (Connection refused)",
            id="reason-is-not-cut-off",
        ),
        pytest.param(
            "waiting",
            "no connection to rtsp://10.0.0.1/live (no response for 5 s)",
            "no connection (no response for 5 s)",
            id="never-connected",
        ),
        pytest.param("denied", "cannot open rtsp://cam/live: 404 Not Found", "cannot open: 404 Not Found", id="colon"),
        pytest.param("live", "the stream ended", "before: the stream ended", id="over"),
        pytest.param("failed", "KeyError: 'x'", "KeyError: 'x'", id="without-an-address"),
        pytest.param("live", None, "full", id="none"),
    ],
)
def test_error_of_a_source(state: str, error: str | None, shown: str):
    row = drawn(run_stats(source_stats("cam", state=state, error=error)))[2]
    assert row.endswith(shown)


def test_narrow_terminal_cuts_and_never_wraps():
    for width in (20, 50, 79):
        assert len(drawn(STATS, width=width)) == len(drawn(STATS))
    assert "denied 5 min" in drawn(STATS, width=79)[3]


def test_256_sources_are_one_row_each():
    assert len(drawn(run_stats(*(source_stats(f"cam{number}") for number in range(256))))) == 2 + 256 + 1


def test_terminal_shows_the_table(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    terminal = Terminal()
    table = RunTable(terminal)
    table.update(STATS)
    table.close()
    table.close()
    assert "denied 5 min" in terminal.getvalue()


def test_elsewhere_it_is_the_status_line():
    stream = io.StringIO()
    table = RunTable(stream)
    table.update(STATS)
    table.close()
    assert stream.getvalue() == f"{describe_run(STATS)}\n"


def test_log_records_appear_above_the_table(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    handler = logging.StreamHandler(terminal)
    logging.getLogger().addHandler(handler)
    try:
        table = RunTable(terminal)
        table.update(STATS)
        logging.getLogger("test").warning("a record")
        table.update(STATS)
        table.close()
        assert handler.stream is terminal
    finally:
        logging.getLogger().removeHandler(handler)
    first, second = terminal.getvalue().split("a record")
    assert "yard" in first
    assert "yard" in second


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0 s"), (119.4, "119 s"), (120.0, "2 min"), (7199.0, "120 min"), (7200.0, "2 h")]
)
def test_durations(seconds: float, text: str):
    assert describe_seconds(seconds) == text
