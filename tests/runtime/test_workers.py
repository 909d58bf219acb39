"""The slot between two workers; the workers themselves are tested with the supervisor."""

import threading
from collections.abc import Callable

from streamseg.runtime.workers import SlotQueue
from tests.support.waiting import WAIT_SECONDS


def start_waiting(call: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Run a call that has to wait in a thread; its return value appears in the list."""
    returned: list[object] = []
    done = threading.Event()

    def run() -> None:
        returned.append(call())
        done.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert not done.wait(0.05), "the call did not wait"
    return thread, returned


def test_take_returns_the_work_that_was_put():
    queue: SlotQueue[int] = SlotQueue()
    assert queue.wait_for_room()
    assert queue.put(1)
    assert queue.take() == 1


def test_producer_waits_while_the_slot_is_full():
    queue: SlotQueue[int] = SlotQueue()
    queue.put(1)
    # One after the other: if two calls wait for the same room, `put` may come first and fill it again.
    waits, room = start_waiting(queue.wait_for_room)
    assert queue.take() == 1
    waits.join(WAIT_SECONDS)
    assert room == [True]
    queue.put(2)
    puts, put = start_waiting(lambda: queue.put(3))
    assert queue.take() == 2
    puts.join(WAIT_SECONDS)
    assert put == [True]
    assert queue.take() == 3


def test_consumer_waits_for_work():
    queue: SlotQueue[int] = SlotQueue()
    thread, returned = start_waiting(queue.take)
    queue.put(3)
    thread.join(WAIT_SECONDS)
    assert returned == [3]


def test_closed_queue_is_drained_and_accepts_nothing():
    queue: SlotQueue[int] = SlotQueue()
    queue.put(1)
    queue.close()
    assert not queue.wait_for_room()
    assert not queue.put(2)
    assert queue.take() == 1
    assert queue.take() is None


def test_close_ends_every_wait():
    full: SlotQueue[int] = SlotQueue()
    full.put(1)
    empty: SlotQueue[int] = SlotQueue()
    waiting = [start_waiting(full.wait_for_room), start_waiting(lambda: full.put(2)), start_waiting(empty.take)]
    full.close()
    empty.close()
    for thread, _ in waiting:
        thread.join(WAIT_SECONDS)
    assert [returned for _, returned in waiting] == [[False], [False], [None]]
