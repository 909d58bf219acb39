"""One sink in its thread: what it misses, and how it ends."""

import errno
import logging
import threading
import time

import pytest

from streamseg.pipeline import FrameResult
from streamseg.runtime.sink_runner import STOP_SECONDS, SinkRunner
from streamseg.runtime.sink_slot import SinkPolicy
from streamseg.telemetry import StageTimer
from tests.support.runs import BOUND_SECONDS
from tests.support.stages import ListSink, make_result

pytestmark = pytest.mark.usefixtures("no_thread_left")

RESULTS = [make_result(index) for index in range(12)]
FULL = OSError(errno.ENOSPC, "No space left on device")


class GatedSink(ListSink):
    """Waits in each write until the gate is open."""

    def __init__(self) -> None:
        super().__init__(policy=SinkPolicy("gated", capacity=2))
        self.gate = threading.Event()
        self.is_writing = threading.Event()

    def write(self, result: FrameResult) -> None:
        self.is_writing.set()
        self.gate.wait()
        super().write(result)


class MendedSink(ListSink):
    """Raises an error in the first writes."""

    def __init__(self, num_errors: int, error: BaseException) -> None:
        super().__init__(policy=SinkPolicy("mended"))
        self.num_tries = 0
        self._num_errors = num_errors
        self._first_error = error

    def write(self, result: FrameResult) -> None:
        self.num_tries += 1
        if self.num_tries <= self._num_errors:
            raise self._first_error
        super().write(result)


def start(sink: ListSink) -> tuple[SinkRunner, StageTimer]:
    timer = StageTimer()
    runner = SinkRunner(sink, sink.policy, timer=timer)
    runner.start()
    return runner, timer


def finish(runner: SinkRunner) -> None:
    runner.end()
    runner.wait()


def indices(sink: ListSink) -> list[int]:
    return [result.frame.index for result in sink.results]


def test_results_are_written_in_order_then_the_sink_is_closed():
    sink = ListSink(policy=SinkPolicy("list", capacity=12))
    runner, timer = start(sink)
    for result in RESULTS:
        runner.offer(result)
    finish(runner)
    stats = runner.stats()
    assert indices(sink) == list(range(12))
    assert (sink.num_closed, stats.state, stats.error, stats.num_written, stats.drops) == (1, "ok", None, 12, {})
    assert timer.stages["list"].num_values == 12
    assert runner.error is None


def test_busy_sink_delays_nobody_and_its_drops_are_counted():
    sink = GatedSink()
    runner, _ = start(sink)
    runner.offer(RESULTS[0])
    assert sink.is_writing.wait(BOUND_SECONDS)
    for result in RESULTS[1:]:
        runner.offer(result)  # the sink is busy until the gate opens: to wait for it would be forever
    assert runner.stats().drops == {"cam": {"slot_full": 9}}
    sink.gate.set()
    finish(runner)
    assert indices(sink) == [0, 1, 2]


def test_frame_of_a_file_waits_for_room():
    sink = GatedSink()
    runner, _ = start(sink)
    runner.offer(RESULTS[0])
    assert sink.is_writing.wait(BOUND_SECONDS)
    offering = threading.Thread(
        target=lambda: [runner.offer(result, wait_seconds=BOUND_SECONDS) for result in RESULTS[1:]]
    )
    offering.start()
    sink.gate.set()
    offering.join(BOUND_SECONDS)
    finish(runner)
    assert indices(sink) == list(range(12))
    assert runner.stats().drops == {}


def test_hung_sink_is_abandoned_after_a_stop(caplog: pytest.LogCaptureFixture):
    sink = GatedSink()
    runner, _ = start(sink)
    for result in RESULTS[:3]:
        runner.offer(result)
    assert sink.is_writing.wait(BOUND_SECONDS)
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        runner.stop()
        runner.wait()
    assert time.monotonic() - started >= STOP_SECONDS, "and the sink is still busy"
    assert "gated: did not close in time and was abandoned" in caplog.text
    sink.gate.set()
    for thread in threading.enumerate():
        if thread.name == "gated":
            thread.join(BOUND_SECONDS)


def test_stop_writes_the_waiting_results_and_closes_without_end():
    sink = GatedSink()
    runner, _ = start(sink)
    for result in RESULTS[:3]:
        runner.offer(result)
    runner.stop()
    sink.gate.set()
    runner.wait()
    runner.offer(RESULTS[3], wait_seconds=BOUND_SECONDS)
    assert (sink.num_closed, runner.stats().num_written) == (1, len(sink.results))
    assert runner.stats().drops["cam"]["stopped"] >= 1


@pytest.mark.slow
def test_error_is_retried_and_reported_while_it_lasts(caplog: pytest.LogCaptureFixture):
    sink = MendedSink(2, FULL)
    runner, _ = start(sink)
    pause = threading.Event()
    states = set()
    deadline = time.monotonic() + BOUND_SECONDS
    while not sink.results:
        assert time.monotonic() < deadline
        runner.offer(RESULTS[0])
        stats = runner.stats()
        states.add((stats.state, stats.error))
        pause.wait(0.01)
    finish(runner)
    assert ("degraded", "[Errno 28] No space left on device") in states
    assert runner.stats().state == "ok"
    assert runner.error is None
    assert runner.stats().drops["cam"]["unavailable"] > 0
    texts = [record.message for record in caplog.records]
    assert texts[0] == "mended: degraded: [Errno 28] No space left on device", "once, not once per attempt"
    assert texts[1].startswith("mended: writes again; ")
    assert len(texts) == 2


def test_bug_ends_the_sink_and_keeps_its_traceback(caplog: pytest.LogCaptureFixture):
    bug = KeyError("a bug")
    sink = MendedSink(100, bug)
    runner, _ = start(sink)
    for result in RESULTS:
        runner.offer(result)
    finish(runner)
    assert (sink.num_tries, sink.num_closed) == (1, 1)
    assert runner.stats().state == "failed"
    assert runner.error is bug
    assert "Traceback" in caplog.text


def test_closed_sink_is_ok_however_long_the_run_goes_on():
    sink, now = ListSink(policy=SinkPolicy("list")), [0.0]
    runner = SinkRunner(sink, sink.policy, timer=StageTimer(), clock=lambda: now[0])
    runner.start()
    runner.offer(RESULTS[0])
    finish(runner)
    now[0] = 60.0
    assert (runner.stats().state, runner.stats().error) == ("ok", None)


def test_error_while_closing_is_kept():
    sink = ListSink(close_error=FULL)
    runner, _ = start(sink)
    runner.offer(RESULTS[0])
    finish(runner)
    assert runner.error is FULL
    assert (len(sink.results), sink.num_closed) == (1, 1)
