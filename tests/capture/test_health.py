"""The health of a source, event by event."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.capture.health import STALL_SECONDS, SourceHealth, UnchangedImage
from streamseg.structures.source_status import SOURCE_STATES

SECOND = 1_000_000_000


def image(value=0, size=(48, 64)):
    return np.full((*size, 3), value, np.uint8)


class Timeline:
    """A source whose events are written as a script: `c0 f1 f1.1 x2 d3 e4`, an event and its time in seconds.

    c connecting, f frame with a new image, s frame with the same image, x disconnected, d denied, e ended, F failed.
    """

    def __init__(self, **settings):
        self.health = SourceHealth(**settings)
        self._num_images = 0

    def play(self, script):
        for word in script.split():
            now_ns = round(float(word[1:]) * SECOND)
            match word[0]:
                case "c":
                    self.health.connecting(now_ns)
                case "f" | "s":
                    self._num_images += word[0] == "f"
                    self.health.received(image(20 * (self._num_images % 12)), now_ns)
                case "x" | "d":
                    self.health.disconnected(word, now_ns, is_denied=word[0] == "d")
                case "e":
                    self.health.ended(now_ns)
                case "F":
                    self.health.failed(word, now_ns)
        return self

    def at(self, seconds):
        status = self.health.status(round(seconds * SECOND))
        return status.state, pytest.approx(status.seconds), status.error


@pytest.mark.parametrize(
    ("script", "at", "expected"),
    [
        pytest.param("", 5, ("connecting", 0.0, None), id="not-started"),
        pytest.param("c1", 3, ("connecting", 2.0, None), id="opening"),
        pytest.param("c1 f3", 4, ("live", 1.0, None), id="first-frame"),
        pytest.param("c1 f3 f3.1 f3.2", 4, ("live", 1.0, None), id="since-its-first-frame"),
        pytest.param("c1 f3 f3.1", 3.1 + STALL_SECONDS, ("live", 0.1 + STALL_SECONDS, None), id="short-silence"),
        pytest.param("c1 f3 f3.1", 6, ("stalled", 2.9, None), id="silence-counts-from-the-last-frame"),
        pytest.param("c1 f3 f4 f5 f6", 9.9, ("live", 6.9, None), id="slow-camera-is-not-stalled"),
        pytest.param("c1 f3 f4 f5 f6", 10.1, ("stalled", 4.1, None), id="slow-camera-stalls-after-four-periods"),
        pytest.param("c1 f3 f6 f9 f12", 15, ("live", 9.0, None), id="slower-than-the-shortest-stall"),
        pytest.param("c1 f3 f3.1 f9", 10, ("live", 1.0, None), id="end-of-a-stall"),
        pytest.param("c1 f3 f3.1 f9 f9.1", 12, ("stalled", 2.9, None), id="a-stall-is-no-period"),
        pytest.param("c1 x2", 2.5, ("waiting", 0.5, "x2"), id="no-connection"),
        pytest.param("c1 x2 c3 x4 c5", 5.5, ("waiting", 3.5, "x4"), id="attempts-do-not-end-the-outage"),
        pytest.param("c1 f2 x3 c4 f5", 6, ("live", 1.0, "x3"), id="last-error-is-kept"),
        pytest.param("c1 d2 c12 d13", 14, ("denied", 12.0, "d13"), id="denied-during-attempts"),
        pytest.param("c1 d2 c12 x13", 14, ("waiting", 1.0, "x13"), id="denied-then-unreachable"),
        pytest.param("c1 d2 c12 f13", 14, ("live", 1.0, "d2"), id="denied-then-accepted"),
        pytest.param("c1 f2 c3", 60, ("connecting", 57.0, None), id="reopening-is-no-stall"),
        pytest.param("c1 f2 e3", 5, ("ended", 2.0, None), id="ended"),
        pytest.param("c1 F2 e3", 5, ("failed", 3.0, "F2"), id="failed-stays-failed"),
    ],
)
def test_status(script, at, expected):
    assert Timeline().play(script).at(at) == expected


FRAMES = " ".join(f"s{1 + step / 10:g}" for step in range(60))
SHORT = " ".join(f"s{1 + step / 10:g}" for step in range(30))


@pytest.mark.parametrize(
    ("script", "settings", "at", "expected"),
    [
        pytest.param(f"c0.5 {FRAMES}", {"frozen_seconds": 5}, 7.0, ("frozen", 6.0, None), id="frozen"),
        pytest.param(f"c0.5 {FRAMES}", {"frozen_seconds": 7}, 7.0, ("live", 6.0, None), id="not-yet"),
        pytest.param(f"c0.5 {FRAMES}", {"frozen_seconds": None}, 7.0, ("live", 6.0, None), id="off"),
        pytest.param(f"c0.5 {FRAMES}", {"frozen_seconds": 5, "is_live": False}, 7.0, ("live", 6.0, None), id="file"),
        pytest.param(f"c0.5 {FRAMES} f7", {"frozen_seconds": 5}, 7.5, ("live", 0.5, None), id="moves-again"),
        pytest.param(f"c0.5 {FRAMES}", {"frozen_seconds": 5}, 10, ("stalled", 3.1, None), id="frozen-then-stalled"),
        pytest.param(f"c0.5 {FRAMES} x7 c8 s9", {"frozen_seconds": 5}, 9.1, ("frozen", 6.0, "x7"), id="reconnected"),
        pytest.param(
            f"{SHORT} x4 c30 s30", {"frozen_seconds": 5}, 30.1, ("live", 0.1, "x4"), id="outage-does-not-count"
        ),
        pytest.param(f"{SHORT} s30", {"frozen_seconds": 5}, 30.1, ("live", 0.1, None), id="stall-does-not-count"),
        pytest.param("c0.5 f1", {"is_live": False}, 99, ("live", 98.0, None), id="a-waiting-file-is-not-stalled"),
    ],
)
def test_images_and_silence(script, settings, at, expected):
    assert Timeline(**settings).play(script).at(at) == expected


def test_connections_that_delivered_are_counted():
    health = Timeline().play("c1 x2 c3 f4 f5 x6 c7 f8").health
    assert health.num_connections == 2


EVENTS = st.lists(st.tuples(st.sampled_from("cfsxde"), st.floats(0.01, 30)), max_size=60)


@given(EVENTS, st.floats(0, 60))
def test_any_order_of_events_has_a_valid_status(events, rest):
    now, words = 1.0, []
    for kind, seconds in events:
        now += seconds
        words.append(f"{kind}{now:.6f}")
    source = Timeline(frozen_seconds=5).play(" ".join(words))
    state, seconds, error = source.at(now + rest)
    assert state in SOURCE_STATES
    assert seconds.expected <= now + rest
    assert (error is None) == (not any(kind in "xd" for kind, _ in events))
    if events and events[-1][0] == "f" and rest <= STALL_SECONDS:
        assert state == "live", "a new image is a sign of life, whatever happened before"
    if events and events[-1][0] == "x":
        assert state == "waiting"


class TestUnchangedImage:
    @pytest.mark.parametrize(
        ("second", "is_unchanged"),
        [
            pytest.param(image(100), True, id="same"),
            pytest.param(image(112), True, id="noise-of-an-encoder"),
            pytest.param(image(113), False, id="brighter"),
            pytest.param(image(80), False, id="darker"),
            pytest.param(image(100, (48, 60)), False, id="another-size"),
        ],
    )
    def test_two_images(self, second, is_unchanged):
        still = UnchangedImage()
        still.add(image(100), SECOND)
        assert still.add(second, 3 * SECOND) == (1 if is_unchanged else 3) * SECOND

    def test_slow_change_adds_up(self):
        """Dusk: each step is small, their sum is not."""
        still = UnchangedImage()
        since = [still.add(image(100 + step), step * SECOND) for step in range(30)]
        assert since[12] == 0
        assert since[13] == 13 * SECOND
        assert since[-1] > 13 * SECOND

    def test_digits_of_a_clock_are_seen(self):
        still, second = UnchangedImage(), image(0, (720, 1280))
        still.add(second.copy(), 0)
        second[20:40, 600:612] = 255
        assert still.add(second, SECOND) == SECOND

    def test_between_two_comparisons_nothing_is_read(self):
        still = UnchangedImage(interval_seconds=1.0)
        still.add(image(0), 0)
        assert still.add(image(255), SECOND - 1) == 0
        assert still.add(image(255), SECOND) == SECOND

    def test_memory_is_a_copy(self):
        """The buffer of the first image may be reused."""
        still, first = UnchangedImage(), image(0)
        still.add(first, 0)
        first[:] = 255
        assert still.add(first, SECOND) == SECOND


def test_frames_that_are_not_decoded_keep_a_source_live():
    health = SourceHealth()
    health.received(image(), 1 * SECOND)
    for second in range(2, 20):
        health.skipped(second * SECOND)
    assert health.status(20 * SECOND).state == "live"
    assert health.status(30 * SECOND).state == "stalled"
    assert health.num_connections == 1


def test_frame_that_is_not_decoded_is_no_connection():
    health = SourceHealth()
    health.connecting(SECOND)
    health.skipped(2 * SECOND)
    assert health.status(2 * SECOND).state == "connecting"
    assert health.num_connections == 0
