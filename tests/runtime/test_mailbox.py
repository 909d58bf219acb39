import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from streamseg.config import BatchingConfig
from streamseg.runtime.batching import Batcher
from streamseg.runtime.mailbox import FILE_CAPACITY, FrameQueue, Mailbox, Taken
from streamseg.structures.frame import Frame
from tests.support.stages import fresh_frame

LIVE, FILE = True, False


class Clock:
    """Monotonic time that passes only when told to."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def make_intake(clock: Callable[[], int] | None = None, *, max_age_ms: float = 1000, **sources: bool) -> FrameQueue:
    batcher = Batcher(BatchingConfig(deadline_ms=0, max_age_ms=max_age_ms))
    return FrameQueue(sources, batcher, now_ns=clock if clock is not None else Clock())


def frame_at(source_id: str, index: int, received_ns: int = 0) -> Frame:
    return replace(fresh_frame(source_id, index), received_ns=received_ns)


def put(intake: FrameQueue, source_id: str, index: int) -> bool:
    return intake.put(frame_at(source_id, index))


def taken(intake: FrameQueue) -> list[tuple[str, int]]:
    """What the next batch holds; must not be called where `take` would wait."""
    batch = intake.take()
    assert batch is not None
    return [(frame.source_id, frame.index) for frame in batch.frames]


class Background:
    """Runs one call in a thread, to see whether it waits."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.answer: object = None
        self._done = threading.Event()
        self._call = call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.answer = self._call()
        self._done.set()

    def is_waiting(self) -> bool:
        return not self._done.wait(0.05)

    def result(self) -> object:
        assert self._done.wait(5), "still waiting"
        return self.answer


# ---- one mailbox


def test_a_live_mailbox_keeps_the_newest_frame_and_its_place_in_the_row():
    mailbox = Mailbox("cam", is_live=True)
    for index, now_ns in enumerate([100, 200, 300]):
        assert mailbox.has_room
        mailbox.put(frame_at("cam", index, now_ns), now_ns)
    waiting = mailbox.waiting()
    assert (waiting.num_ready, waiting.since_ns, waiting.received_ns) == (1, 100, 300)
    assert mailbox.take(400).index == 2
    assert mailbox.drops.snapshot() == {"mailbox": {"newer_frame": 2}}


def test_a_file_mailbox_keeps_the_order_and_says_when_it_is_full():
    mailbox = Mailbox("file", is_live=False)
    for index in range(FILE_CAPACITY):
        assert mailbox.has_room
        mailbox.put(frame_at("file", index), index)
    assert not mailbox.has_room
    assert [mailbox.take(9).index for _ in range(FILE_CAPACITY)] == list(range(FILE_CAPACITY))
    assert mailbox.drops.snapshot() == {}
    with pytest.raises(IndexError):
        mailbox.take(9)


# ---- the intake


def test_the_newest_live_frame_wins_and_the_rest_is_counted():
    intake = make_intake(cam=LIVE)
    for index in range(5):
        assert put(intake, "cam", index)
    assert taken(intake) == [("cam", 4)]
    assert intake.drops("cam") == {"mailbox": {"newer_frame": 4}}


def test_sources_go_together_and_are_counted_apart():
    intake = make_intake(a=LIVE, b=LIVE)
    put(intake, "a", 0)
    put(intake, "a", 1)
    put(intake, "b", 7)
    assert taken(intake) == [("a", 1), ("b", 7)]
    assert intake.drops("a") == {"mailbox": {"newer_frame": 1}}
    assert intake.drops("b") == {}


def test_take_waits_for_a_frame():
    intake = make_intake(cam=LIVE)
    take = Background(intake.take)
    assert take.is_waiting()
    put(intake, "cam", 3)
    batch = take.result()
    assert isinstance(batch, Taken)
    assert batch.frames[0].index == 3


def test_put_waits_for_room_in_a_file_and_loses_nothing():
    intake = make_intake(file=FILE)
    for index in range(FILE_CAPACITY):
        put(intake, "file", index)
    third = Background(lambda: put(intake, "file", FILE_CAPACITY))
    assert third.is_waiting()
    assert taken(intake) == [("file", index) for index in range(FILE_CAPACITY)]
    assert third.result() is True
    assert taken(intake) == [("file", FILE_CAPACITY)]
    assert intake.drops("file") == {}


def test_an_old_live_frame_is_dropped_before_the_network():
    clock = Clock()
    intake = make_intake(clock, max_age_ms=500, cam=LIVE, other=LIVE)
    put(intake, "cam", 0)
    clock.now_ns = 600_000_000
    intake.put(frame_at("other", 1, clock.now_ns))
    assert taken(intake) == [("other", 1)]
    assert intake.drops("cam") == {"mailbox": {"too_old": 1}}


def test_the_end_of_a_source_comes_after_its_last_frame():
    intake = make_intake(a=FILE, b=FILE)
    put(intake, "a", 0)
    intake.end("a")
    put(intake, "b", 0)
    first = intake.take()
    assert first is not None
    assert [frame.source_id for frame in first.frames] == ["a", "b"]
    assert first.ended == ("a",)
    intake.end("b")
    assert intake.take() == Taken((), ("b",))
    assert intake.take() is None
    assert intake.take() is None


def test_a_source_whose_last_frame_is_dropped_ends():
    """Nobody would wake `take` any more: it must look again by itself."""
    clock = Clock()
    intake = make_intake(clock, max_age_ms=500, cam=LIVE)
    put(intake, "cam", 0)
    intake.end("cam")
    clock.now_ns = 600_000_000
    take = Background(intake.take)
    assert take.result() == Taken((), ("cam",))
    assert intake.drops("cam") == {"mailbox": {"too_old": 1}}


def test_the_end_wakes_a_waiting_take():
    intake = make_intake(cam=LIVE)
    take = Background(intake.take)
    assert take.is_waiting()
    intake.end("cam")
    assert take.result() == Taken((), ("cam",))


def test_while_paused_live_frames_are_dropped_and_counted_and_files_wait():
    intake = make_intake(cam=LIVE, file=FILE)
    put(intake, "cam", 0)
    put(intake, "file", 0)
    intake.pause()
    assert intake.is_paused
    put(intake, "cam", 1)
    take = Background(intake.take)
    assert take.is_waiting()
    intake.resume()
    batch = take.result()
    assert isinstance(batch, Taken)
    assert [(frame.source_id, frame.index) for frame in batch.frames] == [("file", 0)]
    put(intake, "cam", 2)
    assert taken(intake) == [("cam", 2)]
    assert intake.drops("cam") == {"mailbox": {"paused": 2}}
    assert intake.drops("file") == {}


def test_a_pause_does_not_outlive_its_sources():
    intake = make_intake(cam=LIVE)
    intake.pause()
    intake.end("cam")
    assert intake.take() == Taken((), ("cam",))
    assert intake.take() is None


def test_a_step_lets_one_frame_of_each_source_through_a_pause():
    intake = make_intake(cam=LIVE, file=FILE)
    intake.pause()
    for index in range(FILE_CAPACITY):
        put(intake, "file", index)
    put(intake, "cam", 0)
    assert intake.step()
    assert taken(intake) == [("file", 0)]
    put(intake, "cam", 1)
    put(intake, "file", FILE_CAPACITY)
    assert taken(intake) == [("cam", 1)]
    put(intake, "cam", 2)
    assert Background(intake.take).is_waiting()
    assert intake.is_paused
    assert intake.drops("cam") == {"mailbox": {"paused": 2}}
    assert intake.drops("file") == {}


def test_a_step_wakes_a_waiting_take():
    intake = make_intake(file=FILE)
    intake.pause()
    put(intake, "file", 0)
    take = Background(intake.take)
    assert take.is_waiting()
    assert intake.step()
    batch = take.result()
    assert isinstance(batch, Taken)
    assert [frame.index for frame in batch.frames] == [0]


def test_of_a_step_the_newest_live_frame_is_taken():
    intake = make_intake(cam=LIVE)
    intake.pause()
    intake.step()
    put(intake, "cam", 0)
    put(intake, "cam", 1)
    assert taken(intake) == [("cam", 1)]
    assert intake.drops("cam") == {"mailbox": {"newer_frame": 1}}


def test_two_steps_before_a_frame_came_are_one():
    intake = make_intake(cam=LIVE)
    intake.pause()
    intake.step()
    intake.step()
    put(intake, "cam", 0)
    assert taken(intake) == [("cam", 0)]
    put(intake, "cam", 1)
    assert Background(intake.take).is_waiting()


@pytest.mark.parametrize("change", ["resume", "pause"])
def test_a_step_is_forgotten_with_its_pause(change: str):
    intake = make_intake(cam=LIVE)
    intake.pause()
    intake.step()
    getattr(intake, change)()
    intake.pause()
    put(intake, "cam", 0)
    assert Background(intake.take).is_waiting()


def test_there_is_no_step_without_a_pause():
    intake = make_intake(file=FILE)
    assert not intake.step()
    intake.pause()
    put(intake, "file", 0)
    assert Background(intake.take).is_waiting()


def test_a_source_may_end_while_it_owes_a_step():
    intake = make_intake(a=LIVE, b=LIVE)
    intake.pause()
    intake.step()
    intake.end("a")
    assert intake.take() == Taken((), ("a",))
    put(intake, "b", 0)
    assert taken(intake) == [("b", 0)]


def test_close_ends_every_wait_and_counts_what_is_left():
    intake = make_intake(file=FILE, cam=LIVE)
    for index in range(FILE_CAPACITY):
        put(intake, "file", index)
    blocked = Background(lambda: put(intake, "file", FILE_CAPACITY))
    assert blocked.is_waiting()
    intake.close()
    assert blocked.result() is False
    assert put(intake, "cam", 0) is False
    assert intake.take() is None
    assert intake.drops("file") == {"mailbox": {"stopped": FILE_CAPACITY + 1}}
    assert intake.drops("cam") == {"mailbox": {"stopped": 1}}


def test_close_ends_a_waiting_take():
    intake = make_intake(cam=LIVE)
    take = Background(intake.take)
    assert take.is_waiting()
    intake.close()
    assert take.result() is None


def test_frames_that_were_taken_in_vain_are_counted():
    intake = make_intake(cam=LIVE)
    intake.discard([frame_at("cam", 0), frame_at("cam", 1)])
    assert intake.drops("cam") == {"mailbox": {"stopped": 2}}


def test_no_frame_is_lost_uncounted_between_two_threads():
    num_frames = 2000
    intake = FrameQueue({"cam": LIVE}, Batcher(BatchingConfig(deadline_ms=0)))

    def produce() -> None:
        for index in range(num_frames):
            intake.put(fresh_frame("cam", index))
        intake.end("cam")

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    indices = []
    while (batch := intake.take()) is not None:
        indices += [frame.index for frame in batch.frames]
    producer.join(5)
    assert indices == sorted(set(indices))
    assert indices[-1] == num_frames - 1
    dropped = intake.drops("cam").get("mailbox", {}).get("newer_frame", 0)
    assert len(indices) + dropped == num_frames
