import threading
from collections.abc import Callable

from streamseg.runtime.handover import SlotQueue


def starts_waiting(call: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Run a call that has to wait in a thread; its answer appears in the list."""
    answers: list[object] = []
    done = threading.Event()

    def run() -> None:
        answers.append(call())
        done.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert not done.wait(0.05), "it did not wait"
    return thread, answers


def test_what_is_put_is_taken():
    handover: SlotQueue[int] = SlotQueue()
    assert handover.wait_for_room()
    assert handover.put(1)
    assert handover.take() == 1


def test_the_producer_waits_while_its_work_lies_there():
    handover: SlotQueue[int] = SlotQueue()
    handover.put(1)
    # One after the other: of two that wait for the same room, the one that puts may be first and fill it again.
    waits, room = starts_waiting(handover.wait_for_room)
    assert handover.take() == 1
    waits.join(5)
    assert room == [True]
    handover.put(2)
    puts, put = starts_waiting(lambda: handover.put(3))
    assert handover.take() == 2
    puts.join(5)
    assert put == [True]
    assert handover.take() == 3


def test_the_consumer_waits_for_work():
    handover: SlotQueue[int] = SlotQueue()
    thread, answers = starts_waiting(handover.take)
    handover.put(3)
    thread.join(5)
    assert answers == [3]


def test_after_close_the_rest_is_taken_and_nothing_is_put():
    handover: SlotQueue[int] = SlotQueue()
    handover.put(1)
    handover.close()
    assert not handover.wait_for_room()
    assert not handover.put(2)
    assert handover.take() == 1
    assert handover.take() is None


def test_close_ends_every_wait():
    full: SlotQueue[int] = SlotQueue()
    full.put(1)
    empty: SlotQueue[int] = SlotQueue()
    waiting = [starts_waiting(full.wait_for_room), starts_waiting(lambda: full.put(2)), starts_waiting(empty.take)]
    full.close()
    empty.close()
    for thread, _ in waiting:
        thread.join(5)
    assert [answers for _, answers in waiting] == [[False], [False], [None]]
