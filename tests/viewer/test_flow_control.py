import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.viewer.flow_control import MAX_UNACKNOWLEDGED, PROBE_FRAMES, FlowControl, TokenBucket

MS = 1_000_000


@pytest.mark.parametrize(
    ("events", "num_in_flight", "wants"),
    [
        pytest.param([], 0, {0, 1, 2}, id="new"),
        pytest.param(["s0"], 1, {1, 2}, id="one-sent"),
        pytest.param(["s0", "s1"], 2, set(), id="full"),
        pytest.param(["s0", "s1", "a0"], 1, {2}, id="first-acknowledged"),
        pytest.param(["s0", "s1", "a1"], 0, {2}, id="acknowledgement-includes-earlier-frames"),
        pytest.param(["s1", "a1", "a1"], 0, {2}, id="acknowledged-twice"),
        pytest.param(["s2", "a0"], 1, set(), id="skipped-frame-acknowledged"),
    ],
)
def test_wanted_frames(events: list[str], num_in_flight: int, wants: set[int]):
    flow = FlowControl()
    for event in events:
        if event[0] == "s":
            flow.record_sent(int(event[1:]), 0)
        else:
            assert flow.acknowledge(int(event[1:]), 0)
    assert flow.num_in_flight == num_in_flight
    assert {seq for seq in range(3) if flow.wants(seq)} == wants


@pytest.mark.parametrize("seq", [-1, 1, 1 << 53])
def test_frame_that_was_never_sent_cannot_be_acknowledged(seq: int):
    flow = FlowControl()
    flow.record_sent(0, 0)
    assert not flow.acknowledge(seq, 0)
    assert flow.num_in_flight == 1


def test_unwanted_frame_cannot_be_sent():
    flow = FlowControl()
    flow.record_sent(3, 0)
    with pytest.raises(ValueError, match="frame 3 must not be sent after 3"):
        flow.record_sent(3, 0)


@given(st.lists(st.tuples(st.sampled_from(["offer", "ack"]), st.integers(0, 5), st.integers(0, 50)), max_size=200))
def test_never_more_than_two_never_older_never_stuck(steps: list[tuple[str, int, int]]):
    flow = FlowControl()
    newest, now_ns = 0, 0
    sent: list[int] = []
    for kind, number, elapsed_ms in steps:
        now_ns += elapsed_ms * MS
        if kind == "offer":
            newest += number
            if flow.wants(newest):
                flow.record_sent(newest, now_ns)
                sent.append(newest)
        elif sent:
            flow.acknowledge(sent[max(len(sent) - 1 - number, 0)], now_ns)
        assert flow.num_in_flight <= MAX_UNACKNOWLEDGED
        assert flow.limit in (1, 2)
    assert sent == sorted(set(sent))
    if sent:
        flow.acknowledge(sent[-1], now_ns)
    assert flow.wants(newest + 1), "a browser that has acknowledged everything is sent the next frame"


class Line:
    """A connection on which frames, one every `interval_ms`, take `service_ms` each in turn, plus `latency_ms`."""

    def __init__(self, *, interval_ms: float, service_ms: float, latency_ms: float) -> None:
        self.ages_ms: list[float] = []
        self.flow = FlowControl()
        acknowledgements: list[tuple[float, int]] = []
        free_ms = now_ms = 0.0
        newest = -1
        while newest < 400:
            arrival_ms = (newest + 1) * interval_ms
            now_ms = min([arrival_ms, *(at_ms for at_ms, _ in acknowledgements)])
            if now_ms == arrival_ms:
                newest += 1
            for at_ms, seq in [one for one in acknowledgements if one[0] <= now_ms]:
                self.flow.acknowledge(seq, round(at_ms * MS))
                acknowledgements.remove((at_ms, seq))
            if newest >= 0 and self.flow.wants(newest):
                self.flow.record_sent(newest, round(now_ms * MS))
                free_ms = max(free_ms, now_ms) + service_ms
                acknowledgements.append((free_ms + latency_ms, newest))
                self.ages_ms.append(free_ms + latency_ms - newest * interval_ms)

    @property
    def late_ages_ms(self) -> list[float]:
        return self.ages_ms[len(self.ages_ms) // 2 :]


def test_slow_browser_is_sent_one_frame_at_a_time():
    line = Line(interval_ms=33, service_ms=60, latency_ms=0)
    ages = sorted(line.late_ages_ms)
    # At most one interval until a frame is sent, and its own transfer; a queue of two would add another 60 ms.
    assert ages[len(ages) // 2] <= 33 + 60
    assert len(line.ages_ms) >= 400 * 33 / 60 * 0.95, "the connection is still used fully"


def test_high_latency_is_filled_with_two_frames():
    line = Line(interval_ms=33, service_ms=2, latency_ms=60)
    assert line.flow.limit == 2
    assert len(line.ages_ms) > 400 * 0.9, "one at a time would display every second frame"


def test_two_frames_are_tried_again_after_a_while():
    flow = FlowControl()
    now_ms = 0
    flow.record_sent(0, 0)
    flow.acknowledge(0, 10 * MS)
    flow.record_sent(1, 10 * MS)
    flow.record_sent(2, 10 * MS)
    flow.acknowledge(2, 60 * MS)
    assert flow.limit == 1
    for seq in range(3, 3 + PROBE_FRAMES):
        now_ms += 100
        flow.record_sent(seq, now_ms * MS)
        flow.acknowledge(seq, (now_ms + 10) * MS)
    assert flow.limit == 2


# ---- the token bucket


@pytest.mark.parametrize(
    ("takes", "waits"),
    [
        pytest.param([(1, 0.0), (1, 0.0)], [0, 0], id="burst"),
        pytest.param([(2, 0.0), (1, 0.0)], [0, 0.1], id="empty"),
        pytest.param([(2, 0.0), (1, 0.1)], [0, 0], id="refilled"),
        pytest.param([(2, 0.0), (2, 100.0), (1, 100.0)], [0, 0, 0.1], id="refilled-to-capacity"),
        pytest.param([(12, 0.0), (1, 0.5)], [1.0, 0.6], id="debt"),
        pytest.param([(2, 1.0), (1, 0.0)], [0, 0.1], id="time-runs-backwards"),
    ],
)
def test_bucket_waits(takes: list[tuple[float, float]], waits: list[float]):
    bucket = TokenBucket(10, 2, 0.0)
    assert [bucket.take(amount, now) for amount, now in takes] == pytest.approx(waits)


@pytest.mark.slow
@given(st.lists(st.tuples(st.floats(1, 50), st.floats(0, 3)), min_size=1, max_size=60))
def test_bucket_limits_the_rate(steps: list[tuple[float, float]]):
    bucket = TokenBucket(10, 20, 0.0)
    now = total = 0.0
    for amount, pause in steps:
        now += pause
        total += amount
        now += bucket.take(amount, now)
        assert total <= 20 + 10 * now + 1e-6
