"""Pauses and steps of a frame queue; `test_mailboxes` tests the mailboxes alone."""

import pytest

from streamseg.runtime.frame_queue import Batch
from streamseg.runtime.mailbox import FILE_CAPACITY
from tests.support.frame_queues import FILE, LIVE, Call, make_queue, put, take_batch


def test_pause_drops_and_counts_live_frames_while_files_wait():
    queue = make_queue(cam=LIVE, file=FILE)
    put(queue, "cam", 0)
    put(queue, "file", 0)
    queue.pause()
    assert queue.is_paused
    put(queue, "cam", 1)
    take = Call(queue.take)
    assert take.is_waiting()
    queue.resume()
    batch = take.result()
    assert isinstance(batch, Batch)
    assert [(frame.source_id, frame.index) for frame in batch.frames] == [("file", 0)]
    put(queue, "cam", 2)
    assert take_batch(queue) == [("cam", 2)]
    assert queue.drops("cam") == {"mailbox": {"paused": 2}}
    assert queue.drops("file") == {}


def test_pause_does_not_keep_ended_sources_open():
    queue = make_queue(cam=LIVE)
    queue.pause()
    queue.end_source("cam")
    assert queue.take() == Batch((), ("cam",))
    assert queue.take() is None


def test_step_lets_one_frame_of_each_source_through():
    queue = make_queue(cam=LIVE, file=FILE)
    queue.pause()
    for index in range(FILE_CAPACITY):
        put(queue, "file", index)
    put(queue, "cam", 0)
    assert queue.step()
    assert take_batch(queue) == [("file", 0)]
    put(queue, "cam", 1)
    put(queue, "file", FILE_CAPACITY)
    assert take_batch(queue) == [("cam", 1)]
    put(queue, "cam", 2)
    assert Call(queue.take).is_waiting()
    assert queue.is_paused
    assert queue.drops("cam") == {"mailbox": {"paused": 2}}
    assert queue.drops("file") == {}


def test_step_wakes_a_waiting_take():
    queue = make_queue(file=FILE)
    queue.pause()
    put(queue, "file", 0)
    take = Call(queue.take)
    assert take.is_waiting()
    assert queue.step()
    batch = take.result()
    assert isinstance(batch, Batch)
    assert [frame.index for frame in batch.frames] == [0]


def test_step_takes_the_newest_live_frame():
    queue = make_queue(cam=LIVE)
    queue.pause()
    queue.step()
    put(queue, "cam", 0)
    put(queue, "cam", 1)
    assert take_batch(queue) == [("cam", 1)]
    assert queue.drops("cam") == {"mailbox": {"newer_frame": 1}}


def test_two_steps_before_a_frame_count_once():
    queue = make_queue(cam=LIVE)
    queue.pause()
    queue.step()
    queue.step()
    put(queue, "cam", 0)
    assert take_batch(queue) == [("cam", 0)]
    put(queue, "cam", 1)
    assert Call(queue.take).is_waiting()


@pytest.mark.parametrize("change", ["resume", "pause"])
def test_step_ends_with_its_pause(change: str):
    queue = make_queue(cam=LIVE)
    queue.pause()
    queue.step()
    getattr(queue, change)()
    queue.pause()
    put(queue, "cam", 0)
    assert Call(queue.take).is_waiting()


def test_step_without_pause_has_no_effect():
    queue = make_queue(file=FILE)
    assert not queue.step()
    queue.pause()
    put(queue, "file", 0)
    assert Call(queue.take).is_waiting()


def test_source_may_end_while_it_owes_a_step():
    queue = make_queue(a=LIVE, b=LIVE)
    queue.pause()
    queue.step()
    queue.end_source("a")
    assert queue.take() == Batch((), ("a",))
    put(queue, "b", 0)
    assert take_batch(queue) == [("b", 0)]


def test_frames_are_unwanted_while_paused_but_for_a_step():
    queue = make_queue(cam=LIVE)
    feed = queue.feed("cam")
    assert feed.unwanted() is None
    queue.pause()
    assert feed.unwanted() == "paused"
    queue.step()
    assert feed.unwanted() is None
    queue.resume()
    assert feed.unwanted() is None
