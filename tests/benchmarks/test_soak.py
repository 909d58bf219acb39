import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.soak.listening import Minute, listen
from benchmarks.soak.mappings import resident_mb, sums
from benchmarks.soak.plot import plot
from benchmarks.soak.verdict import judge
from streamseg.structures.message import Message
from tests.support.stages import fresh_frame

STATUS = {"stages_ms": {"segment": [40.0, 60.0], "network": [30.0, 50.0]}}


def minutes(
    *, age_ms: float = 80.0, rss: Callable[[int], float] = lambda second: 400.0, count: int = 4
) -> list[Minute]:
    return [
        Minute(ages_ms={"cam": [age_ms] * 100}, rss_mb=[rss(nth * 60 + second) for second in range(60)])
        for nth in range(count)
    ]


@pytest.mark.parametrize(
    ("age_ms", "holds"),
    [pytest.param(149.0, True, id="just-below"), pytest.param(151.0, False, id="just-above")],
)
def test_age_limit_is_three_frame_times_and_the_network_time(age_ms: float, holds: bool):
    verdict = judge(minutes(age_ms=age_ms), [33.3, 33.4, 900.0], STATUS)
    assert verdict["age"][0] is holds
    assert "limit 150 ms" in verdict["age"][1]


@pytest.mark.parametrize(
    ("rss", "count", "holds"),
    [
        pytest.param(lambda second: 400.0, 4, True, id="flat"),
        pytest.param(lambda second: 300.0 if second < 60 else 400.0, 4, True, id="warm-up-does-not-count"),
        pytest.param(lambda second: 400.0 + second / 10, 4, False, id="leak"),
        pytest.param(lambda second: 400.0 - second / 10, 4, True, id="shrinks"),
        pytest.param(lambda second: 400.0, 1, False, id="too-short"),
    ],
)
def test_memory_must_not_grow(rss: Callable[[int], float], count: int, holds: bool):
    assert judge(minutes(rss=rss, count=count), [33.3], STATUS)["memory"][0] is holds


def test_minute_without_messages_has_no_ages():
    summary = Minute().summary()
    assert summary["fps"] == 0
    assert math.isnan(summary["age_p95_ms"])


class FakeSubscriber:
    """Return messages 30 ms apart in source time, with every second frame dropped, and then None."""

    def __init__(self, *source_ids: str, num_messages: int) -> None:
        self._messages = iter(
            [self._message(source_id, 2 * nth) for nth in range(num_messages) for source_id in source_ids]
        )

    def _message(self, source_id: str, index: int) -> Message:
        frame = replace(fresh_frame(source_id, index), captured_ns=index * 30_000_000)
        size = frame.size
        return Message(source_id, index, frame.captured_ns, "camera", 12.0, size, size, (1, 1, 0, 0), ())

    def receive(self, timeout_seconds: float) -> Message | None:
        return next(self._messages, None)


def test_frame_time_includes_dropped_frames():
    frame_times_ms: list[float] = []
    (minute,) = listen(FakeSubscriber("cam", num_messages=5), lambda: 400_000_000, 0.01, frame_times_ms)
    assert frame_times_ms == [30.0] * 4
    assert minute.ages_ms == {"cam": [12.0] * 5}
    assert minute.rss_mb == [400.0]


def test_frame_times_are_those_of_each_source():
    frame_times_ms: list[float] = []
    (minute,) = listen(FakeSubscriber("a", "b", num_messages=3), lambda: 1, 0.01, frame_times_ms)
    assert frame_times_ms == [30.0] * 4
    assert {source_id: len(ages) for source_id, ages in minute.ages_ms.items()} == {"a": 3, "b": 3}


def test_sources_take_turns():
    two = [Minute(ages_ms={"a": [199.0] * 100, "b": [199.0] * 100})]
    assert "limit 200 ms" in judge(two, [33.3, 33.4, 900.0], STATUS)["age"][1]
    assert judge(two, [33.3, 33.4, 900.0], STATUS)["age"][0]


@pytest.mark.parametrize(("last_ms", "holds"), [(149.0, True), (151.0, False)])
def test_age_must_not_grow(last_ms: float, holds: bool):
    ages_ms = [500.0, 100.0, 100.0, last_ms]
    found = [Minute(ages_ms={"cam": [age] * 100}, rss_mb=[400.0] * 60) for age in ages_ms]
    assert judge(found, [33.3], STATUS)["age does not grow"][0] is holds


@pytest.mark.parametrize(("mb_per_hour", "holds"), [(3.9, True), (4.1, False)])
def test_slope_of_a_long_run(mb_per_hour: float, holds: bool):
    found = minutes(count=32, rss=lambda second: 400.0 + mb_per_hour * (second - 60) / 3600)
    assert judge(found, [33.3], STATUS)["memory"][0] is holds


def test_first_ten_minutes_of_a_long_run_do_not_count():
    found = minutes(count=32, rss=lambda second: 300.0 + min(second, 600) / 6)
    holds, words = judge(found, [33.3], STATUS)["memory"]
    assert holds
    assert "from minute 10 on" in words


SMAPS = """\
55d0c0000000-55d0c0400000 rw-p 00000000 00:00 0                          [heap]
Size:               4096 kB
Rss:                2000 kB
VmFlags: rd wr mr mw me ac sd
7f0000000000-7f0000400000 rw-p 00000000 00:00 0 \nRss:                1000 kB
7f0000400000-7f0004000000 ---p 00000000 00:00 0 \nRss:                   0 kB
7f0010001000-7f0010002000 ---p 00000000 00:00 0 \nRss:                   0 kB
7f0010002000-7f0010802000 rw-p 00000000 00:00 0 \nRss:                  40 kB
7f0020003000-7f0020803000 rw-p 00000000 00:00 0 \nRss:                 500 kB
7f0030000000-7f0030001000 r-xp 00000000 fe:00 4711                       /usr/lib/x y/libc.so.6
Rss:                   4 kB
7f0040000000-7f0040001000 rw-s 00000000 00:01 12                         /dev/shm/ring (deleted)
Rss:                   8 kB
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
Rss:                  60 kB
7ffc10000000-7ffc10002000 r-xp 00000000 00:00 0                          [vdso]
Rss:                   4 kB
"""


def test_memory_by_kind_of_mapping():
    assert sums(SMAPS.splitlines(keepends=True)) == pytest.approx(
        {
            "main heap": 2.048,
            "thread arenas": 1.024,
            "stacks": 0.1024,
            "other anonymous": 0.512,
            "files": 0.008192,
            "shared": 0.008192,
        },
        abs=0.006,
    )


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="the system has no /proc")
def test_kinds_of_mappings_add_up_to_the_resident_memory():
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    assert sum(resident_mb(os.getpid()).values()) == pytest.approx(pages * 4096 / 1e6, rel=0.1)


def test_process_that_has_ended_has_no_mappings():
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    assert resident_mb(ended.pid) == {}


@pytest.mark.slow
def test_plot_is_an_image(tmp_path: Path):
    drops = {"cam": {"mailbox": {"newer_frame": 3}}}
    plot([Minute(ages_ms={"cam": [20.0]}, rss_mb=[400.0], drops=drops), Minute()], tmp_path / "soak.png")
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")
