"""Mailboxes of all sources: ends, removals and pauses. The queue around them is tested in `test_frame_queue*`."""

from dataclasses import replace

import pytest

from streamseg.runtime.deadlines import NO_LIMITS, SourceLimits
from streamseg.runtime.mailboxes import Mailboxes
from tests.support.stages import fresh_frame

LIVE, FILE = True, False


def make_boxes(**sources: bool) -> Mailboxes:
    return Mailboxes(sources, {"cam": SourceLimits(weight=2.0)})


def put(boxes: Mailboxes, source_id: str, index: int = 0) -> None:
    boxes.open[source_id].put(replace(fresh_frame(source_id, index), received_ns=0), 0)


def test_limits_are_those_of_the_source():
    boxes = make_boxes(cam=LIVE, other=LIVE)
    assert (boxes.open["cam"].limits.weight, boxes.open["other"].limits) == (2.0, NO_LIMITS)


def test_each_end_is_reported_once_and_after_the_last_frame():
    boxes = make_boxes(cam=LIVE, file=FILE)
    put(boxes, "file")
    boxes.open["cam"].has_ended = boxes.open["file"].has_ended = True
    assert boxes.take_ended() == ("cam",)
    assert len(boxes) == 1
    boxes.open["file"].take(0)
    assert boxes.take_ended() == ("file",)
    assert boxes.take_ended() == ()
    assert set(boxes.latest) == {"cam", "file"}, "they have the drops"


def test_removed_source_can_return_and_its_counts_continue():
    boxes = make_boxes(cam=LIVE, file=FILE)
    put(boxes, "cam")
    assert boxes.remove("cam")
    assert not boxes.remove("cam")
    boxes.add("cam", is_live=LIVE, limits=NO_LIMITS)
    with pytest.raises(ValueError, match="there is a source 'cam' already"):
        boxes.add("cam", is_live=LIVE, limits=NO_LIMITS)
    assert boxes.take_ended() == ("cam",), "that of the former one"
    assert boxes.latest["cam"].drops.snapshot() == {"mailbox": {"removed": 1}}


def test_pause_holds_back_all_but_one_frame_of_a_step():
    boxes = make_boxes(cam=LIVE, file=FILE)
    for index in range(2):
        put(boxes, "file", index)
    put(boxes, "cam")
    boxes.pause()
    assert boxes.latest["cam"].drops.snapshot() == {"mailbox": {"paused": 1}}
    assert boxes.states() == []
    assert boxes.holds("cam")
    boxes.step()
    assert [(state.source_id, state.num_ready) for state in boxes.states()] == [("cam", 0), ("file", 1)]
    boxes.stepped(["file"])
    assert [state.source_id for state in boxes.states()] == ["cam"]
    boxes.resume()
    assert [(state.source_id, state.num_ready) for state in boxes.states()] == [("cam", 0), ("file", 2)]
