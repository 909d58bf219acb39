import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from benchmarks.soak import Minute, _listen, _verdict
from streamseg.structures.message import Message
from tests.support.stages import fresh_frame

STATUS = {"stages_ms": {"segment": [40.0, 60.0], "network": [30.0, 50.0]}}


def minutes(
    *, age_ms: float = 80.0, rss: Callable[[int], float] = lambda second: 400.0, count: int = 4
) -> list[Minute]:
    return [
        Minute(ages_ms=[age_ms] * 100, rss_mb=[rss(nth * 60 + second) for second in range(60)]) for nth in range(count)
    ]


@pytest.mark.parametrize(
    ("age_ms", "holds"),
    [pytest.param(149.0, True, id="just-below"), pytest.param(151.0, False, id="just-above")],
)
def test_age_limit_is_three_frame_times_and_the_network_time(age_ms: float, holds: bool):
    verdict = _verdict(minutes(age_ms=age_ms), [33.3, 33.4, 900.0], STATUS)
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
    assert _verdict(minutes(rss=rss, count=count), [33.3], STATUS)["memory"][0] is holds


def test_minute_without_messages_has_no_ages():
    summary = Minute().summary()
    assert summary["fps"] == 0
    assert math.isnan(summary["age_p95_ms"])


class FakeSubscriber:
    """Return messages 30 ms apart in source time, with every second frame dropped, and then None."""

    def __init__(self, num_messages: int) -> None:
        self._messages = iter([self._message(2 * nth) for nth in range(num_messages)])

    def _message(self, index: int) -> Message:
        frame = replace(fresh_frame("cam", index), captured_ns=index * 30_000_000)
        size = frame.size
        return Message("cam", index, frame.captured_ns, "camera", 12.0, size, size, (1, 1, 0, 0), ())

    def receive(self, timeout_seconds: float) -> Message | None:
        return next(self._messages, None)


class FakeProcess:
    def memory_info(self) -> "FakeProcess":
        return self

    rss = 400_000_000


def test_frame_time_includes_dropped_frames():
    frame_times_ms: list[float] = []
    listened: Iterator[Minute] = _listen(FakeSubscriber(5), FakeProcess(), 0.01, frame_times_ms)  # type: ignore[arg-type]
    (minute,) = listened
    assert frame_times_ms == [30.0] * 4
    assert minute.ages_ms == [12.0] * 5
    assert minute.rss_mb == [400.0]
