import logging
import threading
import time

import pytest

from streamseg.runtime.ending import STOP_SECONDS, Ending
from streamseg.runtime.workers import Worker


def nothing() -> None:
    pass


def ending(calls: list[str] | None = None) -> Ending:
    return Ending(nothing if calls is None else lambda: calls.append("close"))


def worker(work: threading.Event) -> Worker:
    def wait() -> None:
        work.wait()

    return Worker("worker", wait, closing=[], report=lambda error: None)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param([], False, id="neither"),
        pytest.param(["stop"], True, id="stopped"),
        pytest.param(["flushed"], True, id="flushed"),
        pytest.param(["fail"], True, id="failed"),
        pytest.param(["stop", "stop", "flushed"], True, id="again"),
    ],
)
def test_a_run_ends_by_a_stop_its_last_result_or_an_error(steps: list[str], expected: bool):
    end = ending()
    for step in steps:
        end.fail(KeyError("x")) if step == "fail" else getattr(end, step)()
    assert end.wait(0.0) is expected


def test_stop_wakes_who_waits():
    end = ending()
    ended: list[bool] = []
    thread = threading.Thread(target=lambda: ended.append(end.wait(60.0)))
    thread.start()
    end.stop()
    thread.join()
    assert ended == [True]


def test_first_error_is_kept_and_later_ones_are_logged(caplog: pytest.LogCaptureFixture):
    calls: list[str] = []
    end = ending(calls)
    first = KeyError("first")
    end.fail(first)
    with caplog.at_level(logging.ERROR):
        end.fail(ValueError("second"))
    assert end.error is first
    assert calls == ["close"]
    assert caplog.messages == ["while stopping: ValueError: second"]


def test_threads_that_do_not_end_are_abandoned_in_time(caplog: pytest.LogCaptureFixture):
    end = ending()
    release = threading.Event()
    stuck, unstarted = worker(release), worker(release)
    stuck.start()
    started = time.monotonic()
    end.stop()
    end.join([unstarted, stuck])
    seconds = time.monotonic() - started
    release.set()
    stuck.join()
    assert seconds >= STOP_SECONDS
    assert caplog.messages == ["thread 'worker' did not end in time and was abandoned"]


def test_threads_that_have_ended_are_not_waited_for(caplog: pytest.LogCaptureFixture):
    end = ending()
    done = threading.Event()
    done.set()
    finished = worker(done)
    finished.start()
    end.flushed()
    end.stop()
    end.join([finished])
    assert not finished.is_alive()
    assert caplog.messages == []
