from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.capture.timeline import LiveTimeline, Timeline, describe_mended

P = 0.1
"""Frame period of the tables in seconds."""


def times_of(stamps, *, dts=None, passes=1, **values):
    """Return (times, mended) of a time line for presentation stamps, in frames of `P` seconds."""
    timeline = Timeline(P, **values)
    timed = []
    for _ in range(passes):
        for number, stamp in enumerate(stamps):
            decoding = None if dts is None or dts[number] is None else dts[number] * P
            timed += timeline.add(number, None if stamp is None else stamp * P, decoding)
        timed += timeline.end()
    assert [item for item, _ in timed] == list(range(len(stamps))) * passes, "no frame is lost or reordered"
    return [seconds / P for _, seconds in timed], dict(timeline.mended)


FAR = 98_000  # 9,800 s in frames
HOURS = 324_000  # 9 h in frames


@pytest.mark.parametrize(
    ("stamps", "expected", "mended"),
    [
        pytest.param([0, 1, 2, 3], [0, 1, 2, 3], {}, id="regular"),
        pytest.param([14, 15, 16], [0, 1, 2], {}, id="late start"),
        pytest.param([0, 1, 3, 3.5, 9], [0, 1, 3, 3.5, 9], {}, id="variable rate"),
        pytest.param([None] * 5, [0, 1, 2, 3, 4], {}, id="no stamps: nominal rate"),
        pytest.param([0, None, None, 3, 4], [0, 1, 2, 3, 4], {}, id="stamps of some frames"),
        pytest.param([None, 5, 6, 7], [0, 1, 2, 3], {}, id="no stamp at the start"),
        pytest.param([0, 1, 2, 0, 1, 2, 0, 1, 2], list(range(9)), {"restart": 2}, id="restart twice"),
        pytest.param([7, 8, 9, 8, 9, 10, 11], list(range(7)), {"restart": 1}, id="restart that catches up"),
        pytest.param([5, 6, 7, 0, 1], [0, 1, 2, 3, 4], {"restart": 1}, id="restart before the end"),
        pytest.param([0, 1, 2 + FAR, 3, 4], [0, 1, 2, 3, 4], {"outlier": 1}, id="one frame ahead"),
        pytest.param([0, 1, 2 + FAR, 3 + FAR, 4, 5], list(range(6)), {"outlier": 2}, id="two frames ahead"),
        pytest.param([5, 6, 0, 8, 9, 10], list(range(6)), {"outlier": 1}, id="one frame behind"),
        pytest.param([FAR, 0, 1, 2, 3], [0, 1, 2, 3, 4], {"restart": 1}, id="outlier at the start"),
        pytest.param([0, 1, 2, FAR], [0, 1, 2, 3], {"outlier": 1}, id="outlier at the end"),
        pytest.param([0, 1, 1, 3, 4], [0, 1, 2, 3, 4], {"outlier": 1}, id="repeated stamp"),
        pytest.param([0, 1, 1, 1, 4, 5], [0, 1, 2, 3, 4, 5], {"outlier": 2}, id="stamp repeated twice"),
        pytest.param([0, 1, HOURS, HOURS + 1], [0, 1, HOURS, HOURS + 1], {}, id="gap of hours is kept"),
        pytest.param([0, 1, 601], [0, 1, 601], {}, id="last frame of a screen recording, after a minute"),
    ],
)
def test_presentation_stamps(stamps, expected, mended):
    times, found = times_of(stamps)
    assert times == pytest.approx(expected)
    assert found == mended


@pytest.mark.parametrize(
    ("stamps", "dts", "expected", "mended"),
    [
        pytest.param(
            [1, 4, 3, 5, 2, 8, 7, 9, 6, 10, 11],
            [2, 3, 4, 5, 6, 7, 8, 9, 10, None, None],
            list(range(11)),
            {"reordered": 1},
            id="AVI with B-frames: stamps in decoding order",
        ),
        pytest.param(
            [0, 1, 2, 3, 4, 5, 8, 7, 9, 6, 10],
            [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
            list(range(11)),
            {"reordered": 1},
            id="B-frames from the middle on",
        ),
        pytest.param(
            [None] * 5, [3, 4, 5, 6, None], [0, 1, 2, 3, 4], {}, id="decoding stamps only, as in VFW codecs in MKV"
        ),
        pytest.param(
            [16, 17, 18, 19, 16, 17, 18, 19],
            [16, 17, 14, 15, 16, 17, None, None],
            list(range(8)),
            {"restart": 1},
            id="joined MPEG-TS: decoding stamps restart earlier",
        ),
        pytest.param(
            [0, 1, 2 + FAR, 3, 4, 5, 6, 7],
            [2, 3, 4, 5, 6, 7, None, None],
            list(range(8)),
            {"reordered": 1},
            id="outlier",
        ),
    ],
)
def test_decoding_stamps(stamps, dts, expected, mended):
    times, found = times_of(stamps, dts=dts)
    assert times == pytest.approx(expected)
    assert found == mended


def test_forward_jump_of_a_format_whose_clock_may_jump():
    times, mended = times_of([0, 1, HOURS, HOURS + 1, HOURS + 2], has_jumps=True)
    assert times == pytest.approx([0, 1, 2, 3, 4])
    assert mended == {"restart": 1}


def test_slide_show():
    """Steps of a minute are regular if the nominal period is 50 s."""
    timeline = Timeline[int](50.0, has_jumps=True)
    timed = [one for number in range(8) for one in timeline.add(number, number * 60.0)] + list(timeline.end())
    assert [seconds for _, seconds in timed] == [number * 60.0 for number in range(8)]
    assert not timeline.mended


def test_passes_continue_without_a_discontinuity():
    times, mended = times_of([3, 4, 5], passes=3)
    assert times == pytest.approx(list(range(9)))
    assert mended == {}


def test_without_lookahead_every_frame_is_returned_at_once():
    timeline = Timeline[int](P, lookahead=0)
    for number, stamp in enumerate([5.0, 5.1, 1.0, 1.1, 99.0]):
        assert len(list(timeline.add(number, stamp))) == 1
    assert list(timeline.end()) == []


@pytest.mark.slow
@given(
    st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=40),
    st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=40, max_size=40),
    st.integers(0, 5),
    st.booleans(),
)
def test_any_stamps_give_a_strictly_increasing_time_per_frame(stamps, dts, lookahead, has_jumps):
    timeline = Timeline[int](0.04, lookahead=lookahead, has_jumps=has_jumps)
    timed = []
    for number, stamp in enumerate(stamps):
        timed += timeline.add(number, stamp, dts[number])
    timed += timeline.end()
    assert [item for item, _ in timed] == list(range(len(stamps)))
    times = [seconds for _, seconds in timed]
    assert times[:1] in ([], [0.0])
    assert all(a < b for a, b in pairwise(times))


def test_steps_too_small_for_a_frame_are_mended():
    times, mended = times_of([0.0, 1e-40, None, 1e6, None])
    assert all(a < b for a, b in pairwise(times))
    assert mended == {"restart": 1}


@given(st.lists(st.integers(1, 100), min_size=1, max_size=40))
def test_intact_stamps_are_kept(steps):
    """Steps of 0.04 to 4 s are unchanged up to rounding, and nothing is counted as mended."""
    stamps = [sum(steps[:number]) * 0.04 for number in range(len(steps) + 1)]
    timeline = Timeline[None](0.04)
    timed = [one for stamp in stamps for one in timeline.add(None, 7 + stamp)] + list(timeline.end())
    assert [seconds for _, seconds in timed] == pytest.approx(stamps)
    assert not timeline.mended


class TestLiveTimeline:
    @pytest.mark.parametrize(
        ("stamps", "arrivals", "expected", "mended"),
        [
            pytest.param([5.0, 5.2, 5.4], [0, 0.3, 0.4], [0, 0.2, 0.4], {}, id="stamps, not arrivals"),
            pytest.param([5.0, 0.0, 0.2], [0, 0.3, 0.4], [0, 0.3, 0.5], {"restart": 1}, id="restart"),
            pytest.param([5.0, 9805.0, 5.4], [0, 0.2, 0.4], [0, 0.2, 0.4], {"jump": 1, "restart": 1}, id="outlier"),
            pytest.param([5.0, 65.0], [0, 60.1], [0, 60.0], {}, id="an outage that both clocks saw"),
            pytest.param([5.0, 5.0], [0, 0.2], [0, 0.2], {}, id="repeated stamp"),
            pytest.param([None, None], [0, 0.2], [None, None], {}, id="no stamps"),
            pytest.param([None, 5.0, None, 5.4], [0, 0.2, 0.4, 0.7], [None, 0.2, 0.4, 0.7], {}, id="some stamps"),
        ],
    )
    def test_frames(self, stamps, arrivals, expected, mended):
        timeline = LiveTimeline()
        times = [timeline.at(stamp, round(at * 1e9)) for stamp, at in zip(stamps, arrivals, strict=True)]
        assert times == pytest.approx(expected)
        assert timeline.mended == mended

    def test_new_connection_is_bridged_by_the_time_of_arrival(self):
        timeline = LiveTimeline()
        timeline.reconnected()
        assert timeline.at(100.0, 0) == 0.0
        timeline.reconnected()
        assert timeline.at(101.0, 3_000_000_000) == pytest.approx(3.0)
        assert timeline.at(101.2, 3_500_000_000) == pytest.approx(3.2)
        assert not timeline.mended


def test_description():
    mended = Counter({"restart": 1, "outlier": 2})
    assert describe_mended(mended) == "3 discontinuities of the time stamps mended (outlier 2, restart 1)"
