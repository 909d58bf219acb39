"""Topics of a source."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.ros.topics import IMAGE_TOPIC, frame_topics, namespace


@pytest.mark.parametrize(
    ("source_id", "expected"),
    [
        ("cam0", "/streamseg/cam0"),
        ("front.left-2", "/streamseg/front_left_2"),
        ("0", "/streamseg/source_0"),
        ("_x", "/streamseg/source__x"),
    ],
)
def test_namespaces(source_id, expected):
    assert namespace(source_id) == expected


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True))
def test_every_topic_has_a_name_that_ros_allows(source_id):
    for name in (IMAGE_TOPIC[0], *(topic.name for topic in frame_topics())):
        assert re.fullmatch(r"(/[A-Za-z][A-Za-z0-9_]*)+", f"{namespace(source_id)}/{name}")
