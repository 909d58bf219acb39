"""What is remembered of each source, from its first frame to its end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamseg.config import TrackingConfig
from streamseg.pipeline.stream import Stream, Streams
from streamseg.structures.frame import Frame
from streamseg.structures.prompt import BoxPrompt, Prompt
from streamseg.structures.search_regions import NO_REGIONS, SearchRegions
from tests.support.frames import make_frame
from tests.support.stages import AT_ONCE, LEFT, RIGHT, make_instances, point

NO_PROMPTS: tuple[Prompt, ...] = ()
OFF = TrackingConfig(enabled=False)
BOX = BoxPrompt("box", (1, 2, 3, 4))


def follow(stream: Stream, frame: Frame, boxes: list[list[float]]) -> list[int]:
    """The identities in the next frame."""
    return stream.track(make_instances(boxes), stream.time.at(frame)).track_ids.tolist()


def test_each_source_has_one_stream_until_it_ends():
    streams = Streams(AT_ONCE)
    first, other = (streams.of(make_frame(source_id=source_id), NO_PROMPTS) for source_id in "ab")
    assert first is not other
    assert streams.of(make_frame(1, source_id="a"), NO_PROMPTS) is first
    streams.end_source("a")
    streams.end_source("never-seen")
    assert streams.of(make_frame(2, source_id="a"), NO_PROMPTS) is not first
    assert streams.of(make_frame(2, source_id="b"), NO_PROMPTS) is other


def test_identities_are_those_of_the_source():
    streams = Streams(AT_ONCE)
    frames = [make_frame(index, source_id=source_id) for index in range(2) for source_id in "ab"]
    ids = [follow(streams.of(frame, NO_PROMPTS), frame, [LEFT, RIGHT]) for frame in frames]
    assert ids == [[1, 2]] * 4


def test_where_nothing_is_tracked_nothing_has_an_identity():
    frame = make_frame()
    stream = Streams(OFF).of(frame, NO_PROMPTS)
    assert follow(stream, frame, [LEFT, RIGHT]) == [-1, -1]
    assert follow(stream, make_frame(1), []) == []


def test_what_is_asked_is_sorted_again_when_it_changes_and_only_then():
    streams = Streams(AT_ONCE)
    here, there = replace(point("here", 1, 1), source_id="a"), replace(point("there", 1, 1), source_id="b")
    prompts, others = (here, there), (there,)
    asked = streams.of(make_frame(source_id="a"), prompts).asked
    assert asked.prompts == (here,)
    assert streams.of(make_frame(1, source_id="a"), prompts).asked is asked
    assert streams.of(make_frame(2, source_id="a"), others).asked.prompts == ()


def test_sizes_are_told_of_those_whose_picture_was_seen():
    streams = Streams(AT_ONCE)
    streams.of(make_frame(source_id="a"), NO_PROMPTS).image_size = (48, 64)
    streams.of(make_frame(source_id="b"), NO_PROMPTS)
    assert streams.image_sizes == {"a": (48, 64)}
    streams.end_source("a")
    assert streams.image_sizes == {}


# ---- what is known before a frame is segmented


def test_a_source_that_is_not_known_has_no_guide():
    assert Streams(AT_ONCE).guide(make_frame(), (BOX,)) is NO_REGIONS


def test_a_guide_joins_what_prompts_want_with_what_is_tracked():
    streams = Streams(AT_ONCE)
    for index in range(3):
        frame = make_frame(index)
        stream = streams.of(frame, NO_PROMPTS)
        follow(stream, frame, [LEFT])
    wanted, tentative = np.array([[1.0, 2, 3, 4]]), np.array([[5.0, 6, 7, 8]])
    stream.guide = SearchRegions(wanted, tentative)
    guide = streams.guide(make_frame(3), NO_PROMPTS)
    np.testing.assert_array_equal(guide.prompted, wanted)
    np.testing.assert_array_equal(guide.expected[:1], tentative)
    np.testing.assert_allclose(guide.expected[1:], [LEFT], atol=2)


@pytest.mark.parametrize("is_known", [False, True])
def test_where_nothing_is_tracked_the_boxes_of_the_source_are_its_guide(is_known: bool):
    streams = Streams(OFF)
    prompts = (BOX, replace(BOX, prompt_id="there", source_id="b"), point("p", 1, 1))
    if is_known:
        streams.of(make_frame(source_id="a"), prompts)
    assert streams.guide(make_frame(source_id="a"), prompts).prompted.tolist() == [[1, 2, 3, 4]]
    assert streams.guide(make_frame(source_id="a"), NO_PROMPTS) is NO_REGIONS
