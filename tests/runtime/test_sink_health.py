"""The states of a sink, with time as an argument."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.errors import DataError
from streamseg.runtime.sink_health import FAILED_SECONDS, HUNG_SECONDS, SinkHealth, may_pass

FULL = OSError(errno.ENOSPC, "No space left on device")
BUG = KeyError("a bug")


def health_after(*events: tuple[str, float], error: BaseException = FULL) -> SinkHealth:
    health = SinkHealth(0.0)
    for name, at in events:
        match name:
            case "begin":
                health.begin(at)
            case "end":
                health.end(at)
            case "closed":
                health.closed()
            case "fail":
                health.fail(error, at)
    return health


@pytest.mark.parametrize(
    ("events", "at", "state", "seconds"),
    [
        pytest.param([], 5.0, "ok", 5.0, id="new"),
        pytest.param([("begin", 1.0)], 1.0 + HUNG_SECONDS / 2, "ok", 2.0, id="writing"),
        pytest.param([("begin", 1.0)], 1.0 + HUNG_SECONDS, "degraded", HUNG_SECONDS, id="hung"),
        pytest.param([("begin", 1.0)], 1.5 + FAILED_SECONDS, "failed", 0.5, id="hung-for-long"),
        pytest.param([("begin", 1.0), ("end", 9.0)], 10.0, "ok", 1.0, id="hung-then-written"),
        pytest.param([("begin", 1.0), ("end", 1.1)], 10.0, "ok", 10.0, id="written-in-time"),
        pytest.param([("begin", 1.0), ("fail", 2.0)], 3.0, "degraded", 1.0, id="error"),
        pytest.param([("fail", 2.0), ("fail", 20.0)], 21.0, "degraded", 19.0, id="second-error"),
        pytest.param([("fail", 2.0), ("fail", 20.0)], 3.0 + FAILED_SECONDS, "failed", 1.0, id="errors-for-long"),
        pytest.param([("fail", 2.0), ("begin", 90.0), ("end", 91.0)], 92.0, "ok", 1.0, id="recovered"),
        pytest.param([("begin", 1.0), ("end", 1.1), ("begin", 2.0), ("closed", 2.1)], 9.0, "ok", 9.0, id="closed"),
        pytest.param([("fail", 2.0), ("begin", 4.0), ("closed", 4.1)], 9.0, "degraded", 7.0, id="closed-after-error"),
        pytest.param([("fail", 2.0), ("begin", 4.0)], 9.0, "degraded", 7.0, id="retry-that-hangs"),
    ],
)
def test_states(events: list[tuple[str, float]], at: float, state: str, seconds: float):
    health = health_after(*events)
    assert health.state(at) == state
    assert health.state_seconds(at) == pytest.approx(seconds)
    assert (health.error(at) is None) == (state == "ok")


def test_trouble_lasts_over_all_states_until_a_write_ends():
    health = health_after(("fail", 2.0), ("fail", 20.0))
    assert [health.trouble_seconds(at) for at in (21.0, 3.0 + FAILED_SECONDS)] == [19.0, 1.0 + FAILED_SECONDS]
    health.begin(90.0)
    health.end(91.0)
    assert health.trouble_seconds(92.0) == 0.0


def test_bug_fails_at_once_and_for_good():
    health = health_after(("begin", 1.0), ("fail", 2.0), error=BUG)
    assert (health.state(2.0), health.state_seconds(5.0)) == ("failed", 3.0)
    assert not health.accepts(1e9)
    assert health.error(3.0) is BUG


def test_error_is_retried_with_growing_pauses():
    health = SinkHealth(0.0)
    now, pauses = 0.0, []
    for _ in range(8):
        health.fail(FULL, now)
        failed_at = now
        while not health.accepts(now):
            now += 0.25
        pauses.append(now - failed_at)
    assert pauses == sorted(pauses)
    assert pauses[0] < 1.0
    assert pauses[-1] == pauses[-2] <= 15.0


def test_hang_is_described():
    assert str(health_after(("begin", 1.0)).error(13.2)) == "a write has not ended for 12 s"


@pytest.mark.parametrize(
    ("error", "expected"),
    [(FULL, True), (DataError("no"), True), (BrokenPipeError(), True), (BUG, False), (MemoryError(), False)],
)
def test_errors_that_may_pass(error: BaseException, expected: bool):
    assert may_pass(error) is expected


@given(st.lists(st.tuples(st.sampled_from(["begin", "end", "fail"]), st.floats(0.01, 50.0)), max_size=20))
def test_a_successful_write_always_recovers(steps: list[tuple[str, float]]):
    now, events = 0.0, []
    for name, pause in steps:
        now += pause
        events.append((name, now))
    health = health_after(*events)
    assert health.state_seconds(now) >= 0
    health.begin(now + 1.0)
    health.end(now + 1.5)
    assert (health.state(now + 1.5), health.error(now + 1.5)) == ("ok", None)
