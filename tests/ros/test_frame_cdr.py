"""The messages of each frame in CDR: equal to rosbags', byte by byte."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytest.importorskip("rosbags", reason="needs the extra record")

from streamseg.ros.cdr import CdrTypes
from streamseg.ros.frame_cdr import FRAME_TYPES
from streamseg.ros.messages import image, image_annotations
from streamseg.ros.topics import IMAGE_TOPIC, frame_topics
from streamseg.structures.message import PromptStatus
from tests.support.messages import disc, in_image_space, make_message, make_object, messages

ANNOTATIONS = "foxglove_msgs/msg/ImageAnnotations"
DETECTIONS = "vision_msgs/msg/Detection2DArray"

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


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)
HEADER = st.fixed_dictionaries({"stamp": TIME, "frame_id": WORDS})
POSE = st.fixed_dictionaries(
    {
        "pose": st.fixed_dictionaries(
            {
                "position": st.fixed_dictionaries(dict.fromkeys("xyz", FINITE)),
                "orientation": st.fixed_dictionaries(dict.fromkeys("xyzw", FINITE)),
            }
        ),
        "covariance": hnp.arrays(np.float64, 36, elements=FINITE),
    }
)
DETECTION = st.fixed_dictionaries(
    {
        "header": HEADER,
        "results": st.lists(
            st.fixed_dictionaries(
                {"hypothesis": st.fixed_dictionaries({"class_id": WORDS, "score": FINITE}), "pose": POSE}
            ),
            max_size=2,
        ),
        "bbox": st.fixed_dictionaries(
            {
                "center": st.fixed_dictionaries(
                    {"position": st.fixed_dictionaries({"x": FINITE, "y": FINITE}), "theta": FINITE}
                ),
                "size_x": FINITE,
                "size_y": FINITE,
            }
        ),
        "id": WORDS,
    }
)


def assert_equal_bytes(type_name, message):
    assert FRAME_TYPES[type_name](message) == CdrTypes().serialize_by_fields(type_name, message)


@given(points=st.lists(LINE, max_size=3), texts=st.lists(TEXT, max_size=3))
def test_any_annotations(points, texts):
    assert_equal_bytes(ANNOTATIONS, {"circles": [], "points": points, "texts": texts})


@given(header=HEADER, detections=st.lists(DETECTION, max_size=3))
def test_any_detections(header, detections):
    assert_equal_bytes(DETECTIONS, {"header": header, "detections": detections})


@given(message=messages().map(in_image_space))
def test_all_topics_of_any_message(message):
    for topic in frame_topics():
        if topic.type_name in FRAME_TYPES:
            assert_equal_bytes(topic.type_name, topic.build(message))


def test_the_bytes_of_a_frame():
    message = make_message(
        make_object(disc(20), 3, 4, label="cup", prompt_ids=("cup",)),
        make_object(np.ones((2, 2), np.bool_), 40, 30),
        prompts=(PromptStatus("cup", "bound", 0.9, 5), PromptStatus("pen", "lost")),
    )
    assert len(image_annotations(message)["points"]) == 2
    for topic in frame_topics():
        if topic.type_name in FRAME_TYPES:
            assert_equal_bytes(topic.type_name, topic.build(message))
    assert_equal_bytes(IMAGE_TOPIC[1], image(message, b"\xff\xd8 not a JPEG"))


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
        FRAME_TYPES[ANNOTATIONS](message)
