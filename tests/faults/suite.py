"""All rows of docs/faults.md, by section."""

from __future__ import annotations

from tests.faults import images, neighbours, scenarios, strangers, subscribers
from tests.faults.rows import Checked, Row

__all__ = ["SECTIONS", "rows"]

SIGNALS = "tests/faults/test_signals.py"
SINKS = "tests/faults/test_sinks.py"

SECTIONS: dict[str, tuple[Row, ...]] = {
    "Cameras": (
        *scenarios.SCENARIOS,
        Checked(
            "attempt in a half-open network",
            ("tests/capture/test_reconnection.py",),
            "attempts whose connection is open and silent, and every other kind of failed attempt; time injected",
            "such an attempt ends soon; no kind of failure ends the attempts",
            times=20,
        ),
        Checked(
            "steps of clocks",
            ("tests/capture/test_clock.py",),
            "the clock of the host or of the camera is set by an hour, by seconds, or at random; injected, never the"
            " machine's own",
            "no age changes by a step",
            times=20,
        ),
    ),
    "Images": images.SCENARIOS,
    "Neighbours and load": (
        *neighbours.SCENARIOS,
        Checked(
            "lasting overload",
            ("tests/runtime/test_overload.py", "tests/runtime/test_ladder.py"),
            "a network that is several times too slow, then fast again",
            "quality is reduced step by step, reported in each message, and restored; nothing older than its deadline"
            " is published",
        ),
        *subscribers.SCENARIOS,
    ),
    "Outputs": (
        Checked(
            "disk full",
            (f"{SINKS}::test_full_disk_stops_that_output_only_and_it_resumes",),
            "a tmpfs of 1 MB below a recording, a video and the messages is filled and emptied; the time is the"
            " longest gap between two published messages (50 a second)",
            "publishing never stops: ≤ 0.5 s; the output resumes, and what was complete is kept",
            0.5,
            "s",
        ),
        Checked(
            "hung output",
            (f"{SINKS}::test_pipe_without_a_reader_disturbs_nothing_and_is_read_later",),
            "the messages go to a named pipe without a reader; the longest gap between two published messages",
            "publishing never stops: ≤ 0.5 s",
            0.5,
            "s",
            times=20,
        ),
        Checked(
            "reader of a pipe sleeps, leaves and returns",
            (f"{SINKS}::test_pipe_whose_reader_sleeps_leaves_and_returns",),
            "the pipe is full; the longest gap between two published messages",
            "publishing never stops: ≤ 0.5 s; whole lines, in order",
            0.5,
            "s",
        ),
        Checked(
            "stop while an output hangs",
            (f"{SINKS}::test_hung_sink_at_the_stop",),
            "a write that never ends; the time is that to the end of the run",
            "≤ 1 s",
            1.0,
            "s",
            times=20,
        ),
        Checked(
            "one output raises",
            (f"{SINKS}::test_sink_that_raises_ends_no_run",),
            "KeyError, MemoryError, DataError, OSError in its third write; the longest gap of the publisher",
            "publishing never stops: ≤ 0.5 s; the error is raised at the end",
            0.5,
            "s",
            times=20,
        ),
        Checked(
            "two runs with one output",
            (f"{SINKS}::test_second_run_is_refused", f"{SINKS}::test_lock_of_a_killed_run_does_not_remain"),
            "a video, and messages",
            "refused in one line; the claim ends with the process",
            times=20,
        ),
        Checked(
            "kill -9 while recording",
            (f"{SINKS}::test_kill_loses_the_last_second_only",),
            "the program is killed; the files are decoded, and the time is that between the last recorded message and"
            " the last image that plays",
            "≤ 1 s is lost",
            1.0,
            "s",
        ),
    ),
    "The run": (
        Checked(
            "SIGTERM, SIGINT, SIGHUP in each state",
            (f"{SIGNALS}::test_signals_in_each_state",),
            "`streamseg run` with a camera that is connecting, live, stalled, frozen, waiting or denied; SIGHUP adds a"
            " source, then SIGTERM or SIGINT; the time is that to the end of the process",
            "stop ≤ 1 s, exit code 0 (SIGTERM) or 130 (SIGINT)",
            1.0,
            "s",
            times=1,
        ),
        Checked(
            "stop while the network is busy",
            (f"{SIGNALS}::test_stop_while_the_network_is_busy",),
            "SIGTERM while a batch runs that takes a second or more",
            "stop ≤ 1 s, exit code 0",
            1.0,
            "s",
        ),
        Checked(
            "one stage raises",
            ("tests/runtime/test_supervisor_faults.py::test_fault_ends_the_run_and_reaches_the_caller",),
            "network, tracker, output or the only source raises at frame 0, 1, 2 or 7",
            "the run ends within 3 s, everything is closed, and the error is raised",
            times=20,
        ),
        Checked(
            "bug in one of several sources",
            ("tests/runtime/test_supervisor_faults.py::test_bug_in_one_source_ends_only_that_source",),
            "KeyError in the thread of one source",
            "only that source ends",
            times=20,
        ),
    ),
    "Strangers": (
        *strangers.SCENARIOS,
        Checked(
            "wrong key, no key, key without permission",
            ("tests/publish/test_authentication.py",),
            "clients with CURVE keys of every kind and role",
            "refused with the reason, named in the log once; admitted clients miss no message, and refused ones return"
            " when their key is allowed",
        ),
        Checked(
            "page: wrong token, host, origin; flood",
            ("tests/viewer/test_strangers.py",),
            "connections and messages to the page's server",
            "refused; only their own connection ends",
        ),
        Checked(
            "garbage at /metrics",
            ("tests/metrics/test_server.py",),
            "garbage, idle and too many connections",
            "closed; health checks are answered",
        ),
    ),
}


def rows() -> tuple[Row, ...]:
    """Return all rows in their order."""
    return tuple(row for section in SECTIONS.values() for row in section)
