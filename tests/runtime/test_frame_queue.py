import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.config import BatchingConfig
from streamseg.runtime.batching import Batcher
from streamseg.runtime.deadlines import SourceLimits
from streamseg.runtime.frame_queue import Batch, FrameQueue
from streamseg.runtime.mailbox import FILE_CAPACITY
from streamseg.structures.frame import Frame
from streamseg.telemetry import Drops
from tests.support.stages import fresh_frame

LIVE, FILE = True, False


class Clock:
    """Monotonic time that a test sets."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def make_queue(clock: Callable[[], int] | None = None, *, max_age_ms: float = 1000, **sources: bool) -> FrameQueue:
    batcher = Batcher(BatchingConfig(deadline_ms=0, max_age_ms=max_age_ms))
    return FrameQueue(sources, batcher, now_ns=clock if clock is not None else Clock())


def frame_at(source_id: str, index: int, received_ns: int = 0) -> Frame:
    return replace(fresh_frame(source_id, index), received_ns=received_ns)


def put(queue: FrameQueue, source_id: str, index: int) -> bool:
    return queue.put(frame_at(source_id, index))


def take_batch(queue: FrameQueue) -> list[tuple[str, int]]:
    """Take the next batch as (source id, frame index); must not be called if `take` would wait."""
    batch = queue.take()
    assert batch is not None
    return [(frame.source_id, frame.index) for frame in batch.frames]


class Call:
    """A call in a thread of its own, to see whether it waits."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.returned: object = None
        self._done = threading.Event()
        self._call = call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.returned = self._call()
        self._done.set()

    def is_waiting(self) -> bool:
        return not self._done.wait(0.05)

    def result(self) -> object:
        assert self._done.wait(5), "still waiting"
        return self.returned


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
    producer.join(5)
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


# ---- limits


@pytest.mark.parametrize(
    ("limits", "lag_ms", "expected"),
    [
        pytest.param(SourceLimits(), 0, {}, id="no-deadline"),
        pytest.param(SourceLimits(deadline_ns=100_000_000), 0, {}, id="in-time"),
        pytest.param(SourceLimits(deadline_ns=100_000_000), 80, {"publish": {"deadline": 1}}, id="deadline-missed"),
        pytest.param(SourceLimits(), 2000, {}, id="max-age-is-since-the-arrival"),
    ],
)
def test_late_result_is_counted_and_not_published(limits: SourceLimits, lag_ms: int, expected: Drops):
    clock = Clock()
    queue = FrameQueue({"cam": LIVE}, Batcher(BatchingConfig(deadline_ms=0)), limits={"cam": limits}, now_ns=clock)
    frame = replace(frame_at("cam", 0), lag_ns=lag_ms * 1_000_000)
    clock.now_ns = 50_000_000
    assert queue.is_late(frame, 20_000_000) is bool(expected)
    assert queue.drops("cam") == expected


def test_late_result_of_a_slow_machine_is_dropped_after_the_network():
    """Bug: the age was checked before the network only."""
    clock = Clock()
    queue = make_queue(clock, cam=LIVE, file=FILE)
    clock.now_ns = 1_500_000_000
    assert queue.is_late(frame_at("cam", 0), 1_490_000_000)
    assert not queue.is_late(frame_at("file", 0), 0), "files lose nothing"
    assert queue.drops("cam") == {"publish": {"too_old": 1}}


@pytest.mark.parametrize(("max_fps", "num_taken"), [(10, 10), (7, 7), (30, 30), (100, 30)])
def test_rate_is_limited_and_the_rest_is_counted(max_fps: float, num_taken: int):
    clock = Clock()
    limits = {"cam": SourceLimits(min_period_ns=round(1e9 / max_fps))}
    queue = FrameQueue({"cam": LIVE}, Batcher(BatchingConfig(deadline_ms=0)), limits=limits, now_ns=clock)
    taken = 0
    for nth in range(30):
        clock.now_ns = round(nth * 1e9 / 30) + (nth % 3) * 2_000_000  # a little jitter
        before = queue.drops("cam").get("mailbox", {}).get("max_fps", 0)
        queue.put(frame_at("cam", nth, clock.now_ns))
        if queue.drops("cam").get("mailbox", {}).get("max_fps", 0) == before:
            taken += len(take_batch(queue))
    assert taken == pytest.approx(num_taken, abs=1)
    assert queue.drops("cam").get("mailbox", {}).get("max_fps", 0) == 30 - taken


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


def test_frames_beyond_the_rate_of_a_source_are_unwanted():
    clock = Clock()
    batcher = Batcher(BatchingConfig(deadline_ms=0))
    queue = FrameQueue({"cam": LIVE}, batcher, limits={"cam": SourceLimits(min_period_ns=100)}, now_ns=clock)
    feed = queue.feed("cam")
    answers = []
    for clock.now_ns in range(1000, 1400, 25):
        answers.append(feed.unwanted())
        if answers[-1] is None:
            feed.put(frame_at("cam", 0, clock.now_ns))
    assert answers[-8:].count(None) == 2, "two of 8, which come four times as often"
    assert set(answers) == {None, "max_fps"}
    assert queue.drops("cam") == {"mailbox": {"newer_frame": answers.count(None) - 1}}


def test_files_and_ended_sources_are_always_asked_to_put():
    queue = make_queue(file=FILE, cam=LIVE)
    file, cam = queue.feed("file"), queue.feed("cam")
    queue.pause()
    assert file.unwanted() is None
    queue.remove_source("cam")
    assert cam.unwanted() is None, "`put` ends it"
    assert not cam.put(frame_at("cam", 0))
    queue.close()
    assert file.unwanted() is None
