"""The queue between capture and inference: waits, ends, and sources that come and go."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.config import BatchingConfig
from streamseg.runtime.batching import Batcher
from streamseg.runtime.frame_queue import Batch, FrameQueue
from streamseg.runtime.mailbox import FILE_CAPACITY
from tests.support.frame_queues import FILE, LIVE, Call, Clock, frame_at, make_queue, put, take_batch
from tests.support.stages import fresh_frame
from tests.support.waiting import WAIT_SECONDS


def test_newest_live_frame_wins_and_older_ones_are_counted():
    queue = make_queue(cam=LIVE)
    for index in range(5):
        assert put(queue, "cam", index)
    assert take_batch(queue) == [("cam", 4)]
    assert queue.drops("cam") == {"mailbox": {"newer_frame": 4}}


def test_sources_share_a_batch_and_are_counted_separately():
    queue = make_queue(a=LIVE, b=LIVE)
    put(queue, "a", 0)
    put(queue, "a", 1)
    put(queue, "b", 7)
    assert take_batch(queue) == [("a", 1), ("b", 7)]
    assert queue.drops("a") == {"mailbox": {"newer_frame": 1}}
    assert queue.drops("b") == {}


def test_take_waits_for_a_frame():
    queue = make_queue(cam=LIVE)
    take = Call(queue.take)
    assert take.is_waiting()
    put(queue, "cam", 3)
    batch = take.result()
    assert isinstance(batch, Batch)
    assert batch.frames[0].index == 3


def test_put_waits_for_room_in_a_file_mailbox():
    queue = make_queue(file=FILE)
    for index in range(FILE_CAPACITY):
        put(queue, "file", index)
    third = Call(lambda: put(queue, "file", FILE_CAPACITY))
    assert third.is_waiting()
    assert take_batch(queue) == [("file", index) for index in range(FILE_CAPACITY)]
    assert third.result() is True
    assert take_batch(queue) == [("file", FILE_CAPACITY)]
    assert queue.drops("file") == {}


def test_old_live_frame_is_dropped():
    clock = Clock()
    queue = make_queue(clock, max_age_ms=500, cam=LIVE, other=LIVE)
    put(queue, "cam", 0)
    clock.now_ns = 600_000_000
    queue.put(frame_at("other", 1, clock.now_ns))
    assert take_batch(queue) == [("other", 1)]
    assert queue.drops("cam") == {"mailbox": {"too_old": 1}}


def test_source_ends_after_its_last_frame():
    queue = make_queue(a=FILE, b=FILE)
    put(queue, "a", 0)
    queue.end_source("a")
    put(queue, "b", 0)
    first = queue.take()
    assert first is not None
    assert [frame.source_id for frame in first.frames] == ["a", "b"]
    assert first.ended == ("a",)
    queue.end_source("b")
    assert queue.take() == Batch((), ("b",))
    assert queue.take() is None
    assert queue.take() is None


def test_source_ends_if_its_last_frame_is_dropped():
    """No later call wakes `take`: it must check again by itself."""
    clock = Clock()
    queue = make_queue(clock, max_age_ms=500, cam=LIVE)
    put(queue, "cam", 0)
    queue.end_source("cam")
    clock.now_ns = 600_000_000
    take = Call(queue.take)
    assert take.result() == Batch((), ("cam",))
    assert queue.drops("cam") == {"mailbox": {"too_old": 1}}


def test_end_of_source_wakes_a_waiting_take():
    queue = make_queue(cam=LIVE)
    take = Call(queue.take)
    assert take.is_waiting()
    queue.end_source("cam")
    assert take.result() == Batch((), ("cam",))


def test_close_ends_every_wait_and_counts_waiting_frames():
    queue = make_queue(file=FILE, cam=LIVE)
    for index in range(FILE_CAPACITY):
        put(queue, "file", index)
    blocked = Call(lambda: put(queue, "file", FILE_CAPACITY))
    assert blocked.is_waiting()
    queue.close()
    assert blocked.result() is False
    assert put(queue, "cam", 0) is False
    assert queue.take() is None
    assert queue.drops("file") == {"mailbox": {"stopped": FILE_CAPACITY + 1}}
    assert queue.drops("cam") == {"mailbox": {"stopped": 1}}


def test_close_ends_a_waiting_take():
    queue = make_queue(cam=LIVE)
    take = Call(queue.take)
    assert take.is_waiting()
    queue.close()
    assert take.result() is None


def test_discarded_frames_are_counted():
    queue = make_queue(cam=LIVE)
    queue.discard([frame_at("cam", 0), frame_at("cam", 1)])
    assert queue.drops("cam") == {"mailbox": {"stopped": 2}}


def test_every_frame_is_taken_or_counted_between_two_threads():
    num_frames = 2000
    queue = FrameQueue({"cam": LIVE}, Batcher(BatchingConfig(deadline_ms=0)))

    def produce() -> None:
        for index in range(num_frames):
            queue.put(fresh_frame("cam", index))
        queue.end_source("cam")

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    indices = []
    while (batch := queue.take()) is not None:
        indices += [frame.index for frame in batch.frames]
    producer.join(WAIT_SECONDS)
    assert indices == sorted(set(indices))
    assert indices[-1] == num_frames - 1
    dropped = queue.drops("cam").get("mailbox", {}).get("newer_frame", 0)
    assert len(indices) + dropped == num_frames


# ---- sources that come and go


def test_added_source_is_taken_with_the_others():
    queue = make_queue(a=LIVE)
    queue.add_source("b", is_live=True)
    put(queue, "a", 0)
    put(queue, "b", 0)
    assert sorted(take_batch(queue)) == [("a", 0), ("b", 0)]


def test_added_source_wakes_nobody_and_a_waiting_take_sees_its_frames():
    queue = make_queue(a=LIVE)
    take = Call(queue.take)
    queue.add_source("b", is_live=True)
    assert take.is_waiting()
    put(queue, "b", 7)
    batch = take.result()
    assert isinstance(batch, Batch)
    assert [frame.index for frame in batch.frames] == [7]


def test_removed_source_ends_at_once_and_its_waiting_frames_are_counted():
    queue = make_queue(a=LIVE, file=FILE)
    put(queue, "file", 0)
    put(queue, "file", 1)
    queue.remove_source("file")
    assert queue.take() == Batch((), ("file",))
    assert queue.drops("file") == {"mailbox": {"removed": 2}}
    put(queue, "a", 3)
    assert take_batch(queue) == [("a", 3)]


def test_removal_ends_a_reader_that_waits_for_room():
    queue = make_queue(a=LIVE, file=FILE)
    feed = queue.feed("file")
    for index in range(FILE_CAPACITY):
        feed.put(frame_at("file", index))
    blocked = Call(lambda: feed.put(frame_at("file", 9)))
    assert blocked.is_waiting()
    queue.remove_source("file")
    assert blocked.result() is False


def test_late_frames_of_a_removed_source_do_not_reach_the_next_with_its_id():
    queue = make_queue(cam=LIVE)
    old = queue.feed("cam")
    queue.replace_source("cam", is_live=True)
    assert old.put(frame_at("cam", 99)) is False
    queue.feed("cam").put(frame_at("cam", 0))
    old.end()
    assert queue.take() == Batch((), ("cam",)), "the end of the old one comes first"
    assert take_batch(queue) == [("cam", 0)]
    assert queue.drops("cam") == {"mailbox": {"removed": 1}}, "counts continue"


def test_replacing_the_only_source_does_not_end_the_run():
    queue = make_queue(cam=LIVE)
    queue.replace_source("cam", is_live=True)
    assert queue.take() == Batch((), ("cam",))
    assert Call(queue.take).is_waiting()
    queue.close()


@pytest.mark.parametrize("is_paused", [False, True])
def test_removal_while_paused(is_paused: bool):
    queue = make_queue(a=LIVE, b=LIVE)
    if is_paused:
        queue.pause()
        queue.step()
    queue.remove_source("a")
    queue.remove_source("a")
    assert queue.take() == Batch((), ("a",)), "reported once"


@pytest.mark.parametrize(
    ("source_id", "ends", "message"),
    [
        pytest.param("a", False, "there is a source 'a' already", id="same-id"),
        pytest.param("b", True, "the run has ended", id="after-the-end"),
    ],
)
def test_source_that_cannot_be_added(source_id: str, ends: bool, message: str):
    queue = make_queue(a=LIVE)
    if ends:
        queue.end_source("a")
        assert queue.take() == Batch((), ("a",))
        assert queue.take() is None
    with pytest.raises(ValueError, match=message):
        queue.add_source(source_id, is_live=True)


CHANGES = st.lists(
    st.tuples(st.sampled_from(["put", "take", "add", "remove", "replace", "end"]), st.sampled_from("abc")), max_size=60
)


@given(CHANGES)
def test_every_frame_of_sources_that_come_and_go_is_taken_or_counted(changes: list[tuple[str, str]]):
    queue = make_queue(a=LIVE, z=LIVE)  # z stays: without a source the run would end
    feeds = {"a": queue.feed("a")}
    num_put: dict[str, int] = dict.fromkeys("abc", 0)
    taken: list[str] = []
    ends: list[str] = []

    def take_all() -> None:
        queue.feed("z").put(frame_at("z", 0))
        batch = queue.take()
        while batch is not None and not any(frame.source_id == "z" for frame in batch.frames):
            taken.extend(frame.source_id for frame in batch.frames)
            ends.extend(batch.ended)
            batch = queue.take()
        if batch is not None:
            taken.extend(frame.source_id for frame in batch.frames)
            ends.extend(batch.ended)

    num_lives = {"a": 1, "b": 0, "c": 0}
    for change, source_id in changes:
        is_open = source_id in feeds
        if change == "take":
            take_all()
        elif change == "add" and not is_open:
            take_all()  # an ended source with waiting frames is still there
            queue.add_source(source_id, is_live=True)
            feeds[source_id] = queue.feed(source_id)
            num_lives[source_id] += 1
        elif is_open and change == "put":
            num_put[source_id] += 1
            assert feeds[source_id].put(frame_at(source_id, 0))
        elif is_open and change == "remove":
            queue.remove_source(source_id)
            assert feeds.pop(source_id).put(frame_at(source_id, 0)) is False
            num_put[source_id] += 1
        elif is_open and change == "replace":
            queue.replace_source(source_id, is_live=True)
            feeds[source_id] = queue.feed(source_id)
            num_lives[source_id] += 1
        elif is_open and change == "end":
            feeds.pop(source_id).end()
    take_all()
    for source_id in "abc":
        if num_lives[source_id]:
            num_dropped = sum(queue.drops(source_id).get("mailbox", {}).values())
            assert taken.count(source_id) + num_dropped == num_put[source_id]
        assert ends.count(source_id) == num_lives[source_id] - (source_id in feeds)
