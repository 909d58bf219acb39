import threading

import pytest

from streamseg.runtime.background import Background

pytestmark = pytest.mark.usefixtures("no_thread_left")


def test_work_is_done_in_its_order_by_one_other_thread():
    seen: list[tuple[int, int]] = []

    def work(number: int) -> int:
        seen.append((number, threading.get_ident()))
        return number * number

    with Background() as background:
        tasks = [background.start(lambda number=number: work(number)) for number in range(5)]
        assert [task.result() for task in tasks] == [0, 1, 4, 9, 16]
    assert [number for number, _ in seen] == list(range(5))
    assert len({thread for _, thread in seen}) == 1
    assert seen[0][1] != threading.get_ident()


def test_who_asks_does_not_wait():
    gate = threading.Event()
    with Background() as background:
        task = background.start(gate.wait)
        assert not task.is_done
        gate.set()
        assert task.result()
        assert task.is_done


def test_a_mistake_is_told_to_who_asks_for_the_result_and_the_next_work_is_done():
    def fail() -> None:
        raise MemoryError("no room")

    with Background() as background:
        failed, good = background.start(fail), background.start(lambda: 7)
        with pytest.raises(MemoryError, match="no room"):
            failed.result()
        assert good.result() == 7


def test_what_waits_when_it_is_closed_is_left_undone():
    begun, gate = threading.Event(), threading.Event()
    done: list[str] = []

    def first() -> None:
        begun.set()
        gate.wait(5)
        done.append("first")

    background = Background()
    background.start(first)
    late = background.start(lambda: done.append("second"))
    begun.wait(5)
    closing = threading.Thread(target=background.close)
    closing.start()
    gate.set()
    closing.join(5)
    assert done == ["first"]
    assert not late.is_done
    background.close()


def test_without_work_there_is_no_thread():
    before = threading.active_count()
    with Background():
        assert threading.active_count() == before


def test_after_the_end_work_is_done_at_once():
    background = Background()
    background.close()
    assert background.start(threading.get_ident).result() == threading.get_ident()
