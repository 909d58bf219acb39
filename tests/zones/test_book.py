"""Zones and lines: objects inside, entered, left, and totals."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("supervision", reason="needs the extra zones")

from streamseg.config import Config
from streamseg.config.zones import ZoneConfig
from streamseg.pipeline import Pipeline
from streamseg.structures.message import Message
from streamseg.structures.zone import ZoneStatus
from streamseg.zones import ZoneBook
from tests.support.frames import make_frame
from tests.support.messages import make_message, make_object
from tests.support.stages import AT_ONCE, SquareSegmenter

SECOND = 1_000_000_000
LEFT_HALF = ZoneConfig(id="left", polygon=((0, 0), (0.5, 0), (0.5, 1), (0, 1)), anchor="center")
UPWARDS = ZoneConfig(id="gate", line=((0.5, 1), (0.5, 0)), anchor="center")


def frame(
    seconds: float, *centres: tuple[float, float, int], size: tuple[int, int] = (48, 64), prompts: tuple[str, ...] = ()
) -> Message:
    """A frame with objects of 4 x 4 pixels, given by centre (x, y) and track id."""
    objects = [
        make_object(np.ones((4, 4), np.bool_), round(x - 2), round(y - 2), track_id=track_id, prompt_ids=prompts)
        for x, y, track_id in centres
    ]
    return make_message(*objects, size=size, captured_ns=1_700_000_000 * SECOND + round(seconds * SECOND))


def last(book: ZoneBook, *frames: Message) -> ZoneStatus:
    for one in frames:
        [status] = book.update(one)
    return status


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        pytest.param([()], ZoneStatus("left"), id="nothing"),
        pytest.param([((10, 10, 3),)], ZoneStatus("left", (3,), (3,), (), 1, 0), id="there from the start"),
        pytest.param([((10, 10, -1),)], ZoneStatus("left"), id="tentative"),
        pytest.param([((50, 10, 3),)], ZoneStatus("left"), id="outside"),
        pytest.param([((50, 10, 3),), ((10, 10, 3),)], ZoneStatus("left", (3,), (3,), (), 1, 0), id="enters"),
        pytest.param([((10, 10, 3),), ((11, 10, 3),)], ZoneStatus("left", (3,), (), (), 1, 0), id="stays"),
        pytest.param([((10, 10, 3),), ((50, 10, 3),)], ZoneStatus("left", (), (), (3,), 1, 1), id="walks out"),
        pytest.param([((10, 10, 3),), ()], ZoneStatus("left", (3,), (), (), 1, 0), id="hidden for a moment"),
        pytest.param([((10, 10, 3),), (), ()], ZoneStatus("left", (), (), (3,), 1, 1), id="gone"),
        pytest.param(
            [((10, 10, 3),), ((10, 10, 3), (9, 9, 1))], ZoneStatus("left", (1, 3), (1,), (), 2, 0), id="another one"
        ),
    ],
)
def test_objects_of_a_zone(frames, expected):
    book = ZoneBook([LEFT_HALF])
    assert last(book, *(frame(0.6 * index, *objects) for index, objects in enumerate(frames))) == expected


def test_a_clock_that_is_set_back_does_not_hold_an_object():
    assert last(ZoneBook([LEFT_HALF]), frame(0, (10, 10, 3)), frame(-3600)).left == (3,)


@pytest.mark.parametrize(
    ("xs", "entered", "left"),
    [
        pytest.param([10, 20, 50, 55], 0, 1, id="from left to right"),
        pytest.param([55, 50, 20, 10], 1, 0, id="from right to left"),
        pytest.param([10, 50, 10], 1, 1, id="there and back"),
        pytest.param([10, 20], 0, 0, id="not across"),
    ],
)
def test_crossings_of_a_line(xs, entered, left):
    book = ZoneBook([UPWARDS])
    states = [last(book, frame(index / 10, (x, 24, 3))) for index, x in enumerate(xs)]
    assert (states[-1].num_entered, states[-1].num_left) == (entered, left)
    assert sum(len(one.entered) for one in states) == entered
    assert sum(len(one.left) for one in states) == left


def test_anchor_decides_where_an_object_is():
    zone = LEFT_HALF.model_copy(update={"polygon": ((0, 0), (1, 0), (1, 0.5), (0, 0.5))})
    standing = zone.model_copy(update={"anchor": "bottom"})
    tall = make_message(make_object(np.ones((20, 4), np.bool_), 10, 10, track_id=1))
    assert last(ZoneBook([zone]), tall).track_ids == (1,)
    assert last(ZoneBook([standing]), tall).track_ids == ()


def test_only_objects_of_the_prompt_count():
    zone = LEFT_HALF.model_copy(update={"prompt": "people"})
    assert last(ZoneBook([zone]), frame(0, (10, 10, 3), prompts=("everything",))).track_ids == ()
    assert last(ZoneBook([zone]), frame(0, (10, 10, 3), prompts=("everything", "people"))).track_ids == (3,)


def test_sources_are_independent_and_forgotten():
    book = ZoneBook([LEFT_HALF, UPWARDS.model_copy(update={"source": "other"})])
    assert [one.zone_id for one in book.update(frame(0, (10, 10, 3)))] == ["left"]
    other = replace(frame(0, (10, 10, 5)), source_id="other")
    assert [one.zone_id for one in book.update(other)] == ["left", "gate"]
    assert book.update(other)[0].track_ids == (5,)
    book.forget("other")
    book.forget("unknown")
    assert book.update(other)[0].num_entered == 1
    assert book.update(frame(0.1, (10, 10, 3)))[0].num_entered == 1


def test_zones_follow_another_image_size_and_keep_their_totals():
    book = ZoneBook([LEFT_HALF])
    assert last(book, frame(0, (40, 10, 3))).track_ids == ()
    status = last(book, frame(0.1, (40, 10, 3), size=(96, 128)), frame(0.2, (100, 10, 3), size=(96, 128)))
    assert status == ZoneStatus("left", (), (), (3,), 1, 1)


@given(
    st.lists(
        st.dictionaries(st.integers(0, 3), st.tuples(st.integers(2, 60), st.integers(2, 44)), max_size=4), max_size=12
    )
)
def test_whoever_is_inside_has_entered_and_not_left(steps):
    book = ZoneBook([LEFT_HALF])
    inside: set[int] = set()
    for index, objects in enumerate(steps):
        [status] = book.update(frame(index * 0.7, *((x, y, track_id) for track_id, (x, y) in objects.items())))
        assert not set(status.entered) & inside
        assert set(status.left) <= inside
        inside = (inside | set(status.entered)) - set(status.left)
        assert set(status.track_ids) == inside
        assert status.num_entered - status.num_left == len(inside)


def test_messages_of_a_pipeline_have_the_zones_and_an_ended_source_begins_anew():
    pipeline = Pipeline(SquareSegmenter(), tracking=AT_ONCE, zones=ZoneBook([LEFT_HALF]))
    [message] = pipeline([make_frame(0)])
    assert [zone.zone_id for zone in message.zones] == ["left"]
    total = message.zones[0].num_entered
    pipeline.end_source(message.source_id)
    [again] = pipeline([make_frame(0)])
    assert again.zones[0].num_entered == total


def test_without_zones_messages_have_none():
    [message] = Pipeline(SquareSegmenter(), tracking=AT_ONCE)([make_frame(0)])
    assert message.zones == ()


@pytest.mark.parametrize(
    ("zone", "problem"),
    [
        ({"id": "a"}, "either polygon, for a zone, or line"),
        ({"id": "a", "polygon": [[0, 0], [1, 0], [1, 1]], "line": [[0, 0], [1, 1]]}, "either polygon"),
        ({"id": "a", "polygon": [[0, 0], [1, 0]]}, "3 items"),
        ({"id": "a", "polygon": [[0, 0], [0.5, 0.5], [1, 1]]}, "must not lie on one line"),
        ({"id": "a", "polygon": [[0, 0], [640, 0], [1, 1]]}, "at most 1|less than or equal to 1"),
        ({"id": "a", "line": [[0.5, 0.5], [0.5, 0.5]]}, "must differ"),
        ({"id": "", "line": [[0, 0], [1, 1]]}, "id"),
        ({"id": "a", "source": "nobody", "line": [[0, 0], [1, 1]]}, "unknown source 'nobody'"),
    ],
)
def test_bad_zones_are_refused(zone, problem):
    with pytest.raises(ValueError, match=problem):
        Config(zones=(zone,))


def test_ids_of_zones_are_unique():
    with pytest.raises(ValueError, match="zone ids must be unique"):
        Config(zones=(LEFT_HALF, LEFT_HALF))
