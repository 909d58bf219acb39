"""Annotations in CDR: equal to rosbags', byte by byte."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytest.importorskip("rosbags", reason="needs the extra record")

from streamseg.ros.annotations_cdr import ANNOTATIONS_TYPE, serialize_annotations
from streamseg.ros.cdr import CdrTypes
from streamseg.ros.messages import image_annotations
from tests.support.messages import disc, make_message, make_object

FINITE = st.floats(allow_nan=False, allow_infinity=False)
TIME = st.fixed_dictionaries({"sec": st.integers(0, 2**31 - 1), "nanosec": st.integers(0, 10**9 - 1)})
COLOUR = st.fixed_dictionaries({name: st.floats(0, 1) for name in "rgba"})
LINE = st.fixed_dictionaries(
    {
        "timestamp": TIME,
        "type": st.integers(0, 4),
        "points": hnp.arrays(np.float64, st.tuples(st.integers(0, 4), st.just(2)), elements=FINITE),
        "outline_color": COLOUR,
        "outline_colors": st.just([]),
        "fill_color": COLOUR,
        "thickness": FINITE,
    }
)
TEXT = st.fixed_dictionaries(
    {
        "timestamp": TIME,
        "position": st.fixed_dictionaries({"x": FINITE, "y": FINITE}),
        "text": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9),
        "font_size": FINITE,
        "text_color": COLOUR,
        "background_color": COLOUR,
    }
)


@given(points=st.lists(LINE, max_size=3), texts=st.lists(TEXT, max_size=3))
def test_the_bytes_are_those_of_rosbags(points, texts):
    message = {"circles": [], "points": points, "texts": texts}
    assert serialize_annotations(message) == CdrTypes().serialize_by_fields(ANNOTATIONS_TYPE, message)


def test_the_bytes_of_a_frame():
    message = image_annotations(
        make_message(make_object(disc(20), 3, 4, label="cup"), make_object(np.ones((2, 2), np.bool_), 40, 30))
    )
    assert len(message["points"]) == 2
    assert serialize_annotations(message) == CdrTypes().serialize_by_fields(ANNOTATIONS_TYPE, message)


@pytest.mark.parametrize(
    "message",
    [
        {"circles": [{}], "points": [], "texts": []},
        {"circles": [], "points": [{"outline_colors": [{}]}], "texts": []},
    ],
    ids=["circles", "colours of points"],
)
def test_what_is_never_written_is_refused(message):
    with pytest.raises(ValueError, match="not supported"):
        serialize_annotations(message)
