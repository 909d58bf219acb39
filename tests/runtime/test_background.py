import os
import subprocess
import sys
import threading

import pytest

from streamseg.runtime import background as module
from streamseg.runtime.background import BackgroundThread
from tests.support.waiting import WAIT_SECONDS

pytestmark = pytest.mark.usefixtures("no_thread_left")


def test_work_is_done_in_order_by_one_other_thread():
    seen: list[tuple[int, int]] = []

    def work(number: int) -> int:
        seen.append((number, threading.get_ident()))
        return number * number

    with BackgroundThread() as background:
        futures = [background.submit(lambda number=number: work(number)) for number in range(5)]
        assert [future.result() for future in futures] == [0, 1, 4, 9, 16]
    assert [number for number, _ in seen] == list(range(5))
    assert len({thread for _, thread in seen}) == 1
    assert seen[0][1] != threading.get_ident()


@pytest.mark.skipif(sys.platform != "linux", reason="nice values by thread are those of Linux")
@pytest.mark.parametrize("niceness", [0, 5, 40])
def test_a_background_gives_way(niceness: int):
    def own() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    with BackgroundThread(niceness=niceness) as background:
        assert background.submit(own).result() == min(own() + niceness, 19)


def test_submit_does_not_wait():
    gate = threading.Event()
    with BackgroundThread() as background:
        future = background.submit(gate.wait)
        assert not future.done()
        gate.set()
        assert future.result()
        assert future.done()


def test_error_is_raised_by_result_and_later_work_is_done():
    def fail() -> None:
        raise MemoryError("no room")

    with BackgroundThread() as background:
        failed, good = background.submit(fail), background.submit(lambda: 7)
        with pytest.raises(MemoryError, match="no room"):
            failed.result()
        assert good.result() == 7


def test_close_discards_waiting_work():
    begun, gate = threading.Event(), threading.Event()
    done: list[str] = []

    def first() -> None:
        begun.set()
        gate.wait(WAIT_SECONDS)
        done.append("first")

    background = BackgroundThread()
    background.submit(first)
    late = background.submit(lambda: done.append("second"))
    begun.wait(WAIT_SECONDS)
    closing = threading.Thread(target=background.close)
    closing.start()
    gate.set()
    closing.join(WAIT_SECONDS)
    assert done == ["first"]
    assert not late.done()
    background.close()


def test_without_work_there_is_no_thread():
    before = threading.active_count()
    with BackgroundThread():
        assert threading.active_count() == before


def test_after_close_the_caller_does_the_work():
    background = BackgroundThread()
    background.close()
    assert background.submit(threading.get_ident).result() == threading.get_ident()


@pytest.mark.slow
def test_unfinished_work_does_not_keep_the_program_from_exiting():
    program = (
        "import runpy, sys, threading\n"
        "begun = threading.Event()\n"
        "with runpy.run_path(sys.argv[1])['BackgroundThread']() as background:\n"
        "    background.submit(lambda: (begun.set(), threading.Event().wait()))\n"
        "    begun.wait()\n"
    )
    assert subprocess.run([sys.executable, "-c", program, module.__file__], timeout=60, check=False).returncode == 0
