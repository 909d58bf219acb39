import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.viewer.window import MAX_UNACKNOWLEDGED, PROBE_FRAMES, Window

MS = 1_000_000


@pytest.mark.parametrize(
    ("events", "num_in_flight", "wants"),
    [
        pytest.param([], 0, {0, 1, 2}, id="fresh"),
        pytest.param(["s0"], 1, {1, 2}, id="one-sent"),
        pytest.param(["s0", "s1"], 2, set(), id="full"),
        pytest.param(["s0", "s1", "a0"], 1, {2}, id="first-acknowledged"),
        pytest.param(["s0", "s1", "a1"], 0, {2}, id="a-later-one-counts-for-those-before"),
        pytest.param(["s1", "a1", "a1"], 0, {2}, id="twice"),
        pytest.param(["s2", "a0"], 1, set(), id="an-older-one-that-was-skipped"),
    ],
)
def test_what_is_wanted(events: list[str], num_in_flight: int, wants: set[int]):
    window = Window()
    for event in events:
        if event[0] == "s":
            window.sent(int(event[1:]), 0)
        else:
            assert window.acknowledged(int(event[1:]), 0)
    assert window.num_in_flight == num_in_flight
    assert {seq for seq in range(3) if window.wants(seq)} == wants


@pytest.mark.parametrize("seq", [-1, 1, 1 << 53])
def test_what_was_never_sent_cannot_be_acknowledged(seq: int):
    window = Window()
    window.sent(0, 0)
    assert not window.acknowledged(seq, 0)
    assert window.num_in_flight == 1


def test_what_is_not_wanted_cannot_be_sent():
    window = Window()
    window.sent(3, 0)
    with pytest.raises(ValueError, match="frame 3 must not be sent after 3"):
        window.sent(3, 0)


@given(st.lists(st.tuples(st.sampled_from(["offer", "ack"]), st.integers(0, 5), st.integers(0, 50)), max_size=200))
def test_never_more_than_two_never_older_never_stuck(steps: list[tuple[str, int, int]]):
    window = Window()
    newest, now_ns = 0, 0
    sent: list[int] = []
    for kind, number, elapsed_ms in steps:
        now_ns += elapsed_ms * MS
        if kind == "offer":
            newest += number
            if window.wants(newest):
                window.sent(newest, now_ns)
                sent.append(newest)
        elif sent:
            window.acknowledged(sent[max(len(sent) - 1 - number, 0)], now_ns)
        assert window.num_in_flight <= MAX_UNACKNOWLEDGED
        assert window.limit in (1, 2)
    assert sent == sorted(set(sent))
    if sent:
        window.acknowledged(sent[-1], now_ns)
    assert window.wants(newest + 1), "whoever has acknowledged everything is sent the next"


class Line:
    """Frames that come every `interval_ms` travel one after the other, `service_ms` each, and `latency_ms` on top."""

    def __init__(self, *, interval_ms: float, service_ms: float, latency_ms: float) -> None:
        self.ages_ms: list[float] = []
        self.window = Window()
        acknowledgements: list[tuple[float, int]] = []
        free_ms = now_ms = 0.0
        newest = -1
        while newest < 400:
            arrival_ms = (newest + 1) * interval_ms
            now_ms = min([arrival_ms, *(at_ms for at_ms, _ in acknowledgements)])
            if now_ms == arrival_ms:
                newest += 1
            for at_ms, seq in [one for one in acknowledgements if one[0] <= now_ms]:
                self.window.acknowledged(seq, round(at_ms * MS))
                acknowledgements.remove((at_ms, seq))
            if newest >= 0 and self.window.wants(newest):
                self.window.sent(newest, round(now_ms * MS))
                free_ms = max(free_ms, now_ms) + service_ms
                acknowledgements.append((free_ms + latency_ms, newest))
                self.ages_ms.append(free_ms + latency_ms - newest * interval_ms)

    @property
    def late_ages_ms(self) -> list[float]:
        return self.ages_ms[len(self.ages_ms) // 2 :]


def test_a_slow_browser_is_sent_one_at_a_time_which_keeps_frames_young():
    line = Line(interval_ms=33, service_ms=60, latency_ms=0)
    ages = sorted(line.late_ages_ms)
    # One interval at most until it is sent, and its own way; a queue of two would add another 60 ms.
    assert ages[len(ages) // 2] <= 33 + 60
    assert len(line.ages_ms) >= 400 * 33 / 60 * 0.95, "and the line is still full"


def test_a_long_way_is_filled_with_two():
    line = Line(interval_ms=33, service_ms=2, latency_ms=60)
    assert line.window.limit == 2
    assert len(line.ages_ms) > 400 * 0.9, "one at a time would show every second frame"


def test_two_are_tried_again_after_a_while():
    window = Window()
    now_ms = 0
    window.sent(0, 0)
    window.acknowledged(0, 10 * MS)
    window.sent(1, 10 * MS)
    window.sent(2, 10 * MS)
    window.acknowledged(2, 60 * MS)
    assert window.limit == 1
    for seq in range(3, 3 + PROBE_FRAMES):
        now_ms += 100
        window.sent(seq, now_ms * MS)
        window.acknowledged(seq, (now_ms + 10) * MS)
    assert window.limit == 2
