"""Seconds of a source, whatever its stamps do."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.pipeline.source_time import SourceTime
from streamseg.structures.frame import Frame
from tests.support.frames import make_frame


def timed(pts_seconds: float | None, received_seconds: float) -> Frame:
    return replace(make_frame(), pts_seconds=pts_seconds, received_ns=round(received_seconds * 1e9))


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        pytest.param([(5.0, 0), (5.5, 0.1), (6.0, 0.2)], [0, 0.5, 1.0], id="presentation-time-where-there-is-one"),
        pytest.param([(None, 10), (None, 10.25), (None, 11)], [0, 0.25, 1.0], id="arrival-where-there-is-none"),
        pytest.param([(9.0, 0), (9.5, 0.5), (0.0, 2.5), (0.5, 3.0)], [0, 0.5, 2.5, 3.0], id="camera-came-back"),
        pytest.param([(9.0, 0), (0.0, 0.1), (0.5, 0.2)], [0, 0.1, 0.6], id="file-repeats"),
        pytest.param([(1.0, 0), (1.0, 0.25)], [0, 0.25], id="time-stands-still"),
        pytest.param([(1.0, 0), (None, 0.25), (1.5, 0.5)], [0, 0.25, 0.5], id="now-and-then-none"),
        pytest.param([(None, 5), (None, 4)], [0, 0], id="never-backwards"),
    ],
)
def test_source_time(stamps: list[tuple[float | None, float]], expected: list[float]):
    time = SourceTime()
    assert [time.at(timed(*stamp)) for stamp in stamps] == pytest.approx(expected)


@given(
    st.lists(st.tuples(st.one_of(st.none(), st.floats(-1e6, 1e6)), st.floats(0, 1e6)), min_size=1, max_size=20),
)
def test_source_time_never_runs_backwards(stamps: list[tuple[float | None, float]]):
    time = SourceTime()
    expected, seconds = [], []
    for stamp in stamps:
        expected.append(time.expected_at(timed(*stamp)))
        seconds.append(time.at(timed(*stamp)))
    assert expected == seconds, "asking beforehand gives the same, and changes nothing"
    assert seconds[0] == 0
    assert seconds == sorted(seconds)
