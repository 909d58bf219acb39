"""Progress bars, status line and tables: on a terminal, and in piped output."""

import io
import math

import pytest

from streamseg.cli.terminal import LiveLine, ProgressBar, StatusLine, Table, describe_run, print_table, summary_lines
from streamseg.runtime import Ages, RunStats, SinkStats, SourceStats
from streamseg.structures.source_status import SourceState


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


# ---- lines


def test_terminal_line_is_redrawn_in_place_and_keeps_the_cursor():
    terminal = Terminal()
    with LiveLine(stream=terminal) as line:
        line.show("one")
        line.show("two")
    text = terminal.getvalue()
    assert text.index("one") < text.index("\r") < text.index("two")
    assert text.count("\n") == 1
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


@pytest.mark.parametrize(
    ("stream", "term", "variables"),
    [
        pytest.param(io.StringIO, "xterm", {}, id="pipe"),
        pytest.param(io.StringIO, "xterm", {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"}, id="pipe-with-forced-colour"),
        pytest.param(Terminal, "dumb", {}, id="dumb-terminal"),
    ],
)
def test_other_streams_get_plain_lines(monkeypatch, stream, term, variables):
    for name, value in {"TERM": term, **variables}.items():
        monkeypatch.setenv(name, value)
    output = stream()
    with LiveLine(stream=output) as line:
        line.show("one")
        line.show("two", share=0.5)
    print_table(Table("Recall", ("", "AR@10"), (("box", 0.5),)), stream=output)
    lines = output.getvalue().splitlines()
    assert lines[:2] == ["one", "[##############..............] two"]
    assert not {"\x1b", "\r"} & set(output.getvalue())


def test_line_without_text_writes_nothing():
    terminal = Terminal()
    line = LiveLine(stream=terminal)
    line.close()
    line.close()
    assert terminal.getvalue() == ""


# ---- progress


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        pytest.param(100, "50/100 frames  10.0/s  0:05 left", id="known-total"),
        pytest.param(None, "50 frames  10.0/s", id="unknown-total"),
    ],
)
def test_progress_shows_count_rate_and_remaining_time(total, expected):
    clock, stream = Clock(), io.StringIO()
    bar = ProgressBar("frames", total, stream=stream, clock=clock)
    bar.update(1)
    clock.seconds = 5.0
    bar.update(50)
    assert expected in stream.getvalue().splitlines()[-1]


def test_progress_is_redrawn_on_a_terminal_and_printed_at_intervals_elsewhere():
    clock, terminal, file = Clock(), Terminal(), io.StringIO()
    bars = [ProgressBar("frames", 1000, stream=stream, clock=clock) for stream in (terminal, file)]
    for done in range(1, 101):
        clock.seconds = done * 0.02
        for bar in bars:
            bar.update(done)
    for bar in bars:
        bar.close()
    assert 15 <= terminal.getvalue().count("\r") <= 25
    assert "1/1000 frames" in terminal.getvalue()
    assert terminal.getvalue().count("\n") == 1
    assert file.getvalue().count("\n") == 1


def test_last_update_is_always_shown():
    clock, stream = Clock(), io.StringIO()
    bar = ProgressBar("images", 3, stream=stream, clock=clock)
    for done in (1, 2, 3):
        bar.update(done, f"{done} objects")
    assert "3/3 images" in stream.getvalue()
    assert "3 objects" in stream.getvalue()


def test_rate_of_a_resumed_run_excludes_earlier_units():
    clock, stream = Clock(), io.StringIO()
    bar = ProgressBar("steps", 1000, stream=stream, clock=clock)
    bar.update(901)
    clock.seconds = 10.0
    bar.update(1000)
    assert "10.0/s" in stream.getvalue().splitlines()[-1]


def test_total_may_come_with_the_first_unit():
    stream = io.StringIO()
    bar = ProgressBar("images", stream=stream)
    bar.close()
    assert stream.getvalue() == ""
    bar(1, 3)
    bar(3, 3)
    bar.close()
    lines = stream.getvalue().splitlines()
    assert "1/3 images" in lines[0]
    assert lines[-1].startswith("[############################] 3/3 images")


def test_rate_includes_the_first_unit():
    clock, stream = Clock(), io.StringIO()
    bar = ProgressBar("images", stream=stream, clock=clock)
    clock.seconds = 2.0
    bar(1, 6)
    assert "0.5/s  0:10 left" in stream.getvalue()


# ---- status line


def stats(state: SourceState = "live", error: str | None = None, **values: object) -> RunStats:
    drops = {"mailbox": {"newer_frame": 2}}
    sources = (
        SourceStats("a", state, error, 5, 0.1, 2.0, Ages(40, 55, 70), "camera", 3, drops, state_seconds=12.3),
        SourceStats("b", "failed", "b: gone", 0, None, 0.0, Ages(), None, 0, {}),
    )
    standard: dict[str, object] = {
        "seconds": 3.0,
        "num_frames": 5,
        "fps": 2.5,
        "recent_fps": 2.0,
        "ages": Ages(40, 55, 70),
        "num_objects": 3,
        "drops": {"mailbox": {"newer_frame": 2}},
        "stages_ms": {"network": (30.0, 40.0), "masks": (math.nan, math.nan)},
        "is_paused": False,
        "sources": sources,
    }
    return RunStats(**{**standard, **values})  # type: ignore[arg-type]


def test_one_line_describes_a_run():
    assert describe_run(stats()) == "2.0 fps | 3 objects | age p50 40 p95 55 p99 70 ms | drops 2 | b failed"
    assert describe_run(stats("stalled")).endswith("drops 2 | a stalled for 12 s | b failed")
    assert describe_run(stats("denied", is_paused=True)).endswith("drops 2 | paused | a denied for 12 s | b failed")
    assert describe_run(stats("ended")).endswith("drops 2 | a ended | b failed")


def test_summary_ends_with_the_totals():
    assert list(summary_lines(stats())) == [
        "a: live, 5 frames, age p50 40 p95 55 p99 70 ms by camera clock, drops 2 (mailbox newer_frame 2)",
        "b: failed (b: gone), 0 frames, age -, drops 0",
        "stages, p50 ms: network 30.0",
        "5 frames, 2.5 fps, age p50 40 p95 55 p99 70 ms, drops 2 (mailbox newer_frame 2)",
    ]
    assert next(summary_lines(stats("ended", "no connection"))).startswith("a: ended (last error: no connection), 5 fr")
    assert len(list(summary_lines(stats(sources=stats().sources[:1], stages_ms={})))) == 1


def test_outputs_with_trouble_are_named():
    full = SinkStats("messages", "degraded", "disk full", 3.0, 5, {"a": {"slot_full": 1}, "b": {"unavailable": 2}})
    slow = SinkStats("video a", "ok", None, 9.0, 7, {"a": {"slot_full": 4}})
    page = SinkStats("page", "ok", None, 9.0, 7, {"a": {"slot_full": 4}})
    fine = SinkStats("recording a", "ok", None, 9.0, 7, {})
    lines = list(summary_lines(stats(sinks=(full, slow, page, fine))))
    assert lines[2:4] == [
        "messages: degraded (disk full), 5 frames written, 3 not written",
        "video a: ok, 7 frames written, 4 not written",
    ]
    assert len(lines) == 6
    assert describe_run(stats(sinks=(full, slow, page, fine))).endswith("b failed | messages degraded")


def test_status_is_redrawn_at_each_update_on_a_terminal():
    terminal = Terminal()
    line = StatusLine(terminal)
    line.close()
    assert terminal.getvalue() == ""
    line.update(stats())
    line.update(stats(num_objects=4))
    line.close()
    first, second = describe_run(stats()), describe_run(stats(num_objects=4))
    assert terminal.getvalue().index(first) < terminal.getvalue().index(second)
    assert terminal.getvalue().count("\n") == 1


def test_status_is_printed_at_intervals_elsewhere():
    stream, clock = io.StringIO(), Clock()
    line = StatusLine(stream, clock=clock)
    for second in range(25):
        clock.seconds = float(second)
        line.update(stats())
    line.close()
    assert stream.getvalue() == f"{describe_run(stats())}\n" * 3


# ---- tables


def printed(table: Table) -> list[str]:
    stream = io.StringIO()
    print_table(table, stream=stream)
    return stream.getvalue().splitlines()


def test_columns_are_aligned_and_figures_rounded():
    table = Table("Recall", ("", "AR@10", "n"), (("box", 0.12345, 7), ("a long name", float("nan"), 1234)))
    assert printed(table) == [
        "Recall",
        "                AR@10      n",
        "  ──────────────────────────",
        "  box           0.123      7",
        "  a long name       –   1234",
    ]


def test_table_without_rows_has_a_header():
    assert [line.split() for line in printed(Table("Nothing", ("a", "b"), ()))[:2]] == [["Nothing"], ["a", "b"]]


def test_wide_table_is_neither_cut_nor_wrapped():
    columns = tuple(f"a long column name {number}" for number in range(20))
    lines = printed(Table("A title of more than eighty characters " * 3, columns, (tuple(range(20)),)))
    assert len(lines) == 4
    assert all(column in lines[1] for column in columns)
    assert lines[3].split() == [str(number) for number in range(20)]


def test_cells_are_not_markup():
    assert "[bold] :smile:" in printed(Table("t", ("[red]", "b"), (("[bold] :smile:", 1),)))[3]


def test_rows_have_as_many_cells_as_columns():
    with pytest.raises(ValueError, match="zip"):
        print_table(Table("t", ("a", "b"), (("x",),)), stream=io.StringIO())
