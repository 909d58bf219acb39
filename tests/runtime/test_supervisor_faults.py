"""Faults that end a run or one of its sources."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from streamseg.errors import EngineError, SourceError, StreamsegError
from streamseg.pipeline import FrameResult, Pipeline
from streamseg.runtime import RunStats, Runtime
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Instances
from streamseg.telemetry import Drops
from tests.support.runs import BOUND_SECONDS, BackgroundRun, indices_of
from tests.support.stages import ListSink, ScriptedSource, SquareSegmenter

pytestmark = pytest.mark.usefixtures("no_thread_left")


class FailingPipeline(Pipeline):
    """A pipeline whose `finish` fails at a frame, as a failing tracker would."""

    def __init__(self, *, fail_at: int, error: BaseException) -> None:
        super().__init__(SquareSegmenter())
        self._fail_at = fail_at
        self._error = error

    def finish(self, frame: Frame, instances: Instances, *, drops: Drops | None = None) -> FrameResult:
        if frame.index == self._fail_at:
            raise self._error
        return super().finish(frame, instances, drops=drops)


def caused_error() -> EngineError:
    """Return an error as a stage raises it, caused by an error of its library."""
    error = EngineError("the device is gone")
    error.__cause__ = RuntimeError("CUDA error: unspecified launch failure")
    return error


# ---- an error in any stage ends the run; that of a sink does not, but it reaches the caller at the end


@dataclass
class Parts:
    """Parts of a run; a fault replaces one of them."""

    sources: Sequence[ScriptedSource]
    pipeline: Pipeline
    sinks: Sequence[ListSink]


Fault = Callable[[BaseException, int], Parts]


def fault_in_segmenter(error: BaseException, fail_at: int) -> Parts:
    pipeline = Pipeline(SquareSegmenter(error=error, fail_at=fail_at))
    return Parts([ScriptedSource("file", 200)], pipeline, [ListSink()])


def fault_in_segmenter_live(error: BaseException, fail_at: int) -> Parts:
    sources = [ScriptedSource(f"cam{n}", is_live=True, paced_seconds=0.001) for n in range(3)]
    return Parts(sources, Pipeline(SquareSegmenter(error=error, fail_at=fail_at)), [ListSink()])


def fault_in_tracker(error: BaseException, fail_at: int) -> Parts:
    return Parts([ScriptedSource("file", 200)], FailingPipeline(error=error, fail_at=fail_at), [ListSink()])


def fault_in_sink(error: BaseException, fail_at: int) -> Parts:
    sinks = [ListSink(), ListSink(error=error, fail_at=fail_at)]
    return Parts([ScriptedSource("file", 40)], Pipeline(SquareSegmenter()), sinks)


def fault_in_only_source(error: BaseException, fail_at: int) -> Parts:
    source = ScriptedSource("file", fail_at, error=error)
    return Parts([source], Pipeline(SquareSegmenter()), [ListSink()])


@pytest.mark.slow
@pytest.mark.parametrize("fail_at", [0, 1, 2, 7], ids=lambda n: f"at-{n}")
@pytest.mark.parametrize(
    "fault",
    [fault_in_segmenter, fault_in_segmenter_live, fault_in_tracker, fault_in_sink, fault_in_only_source],
)
def test_fault_ends_the_run_and_reaches_the_caller(fault: Fault, fail_at: int):
    cause = ZeroDivisionError("the cause")
    error = SourceError("it broke")
    error.__cause__ = cause
    parts = fault(error, fail_at)
    started = time.monotonic()
    with pytest.raises(SourceError, match="it broke") as caught:
        Runtime(parts.sources, parts.pipeline, parts.sinks).run()
    assert time.monotonic() - started < BOUND_SECONDS
    assert caught.value is error
    assert caught.value.__cause__ is cause
    assert [sink.num_closed for sink in parts.sinks] == [1] * len(parts.sinks)
    assert all(source.is_closed for source in parts.sources)


@pytest.mark.parametrize("kind", [RuntimeError, MemoryError, KeyError, SystemExit])
def test_foreign_errors_are_raised_unchanged(kind: type[BaseException]):
    parts = fault_in_segmenter(kind("no more"), 1)
    with pytest.raises(kind, match="no more"):
        Runtime(parts.sources, parts.pipeline, parts.sinks).run()


def test_first_error_wins(caplog: pytest.LogCaptureFixture):
    sinks = [ListSink(error=caused_error(), fail_at=3), ListSink(close_error=OSError("disk full"))]
    with pytest.raises(EngineError, match="the device is gone") as caught:
        Runtime([ScriptedSource("file", 50)], Pipeline(SquareSegmenter()), sinks).run()
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert [sink.num_closed for sink in sinks] == [1, 1]
    assert "sink 2: degraded: disk full" in caplog.text


def test_error_while_closing_a_sink_is_raised():
    sinks = [ListSink(close_error=OSError("disk full")), ListSink()]
    with pytest.raises(OSError, match="disk full"):
        Runtime([ScriptedSource("file", 5)], Pipeline(SquareSegmenter()), sinks).run()
    assert [len(sink.results) for sink in sinks] == [5, 5]
    assert sinks[1].num_closed == 1


def test_error_in_the_callback_ends_the_run():
    def fail(stats: RunStats) -> None:
        raise BrokenPipeError("no reader")

    sink = ListSink()
    runtime = Runtime([ScriptedSource("cam", is_live=True, paced_seconds=0.001)], Pipeline(SquareSegmenter()), [sink])
    with pytest.raises(BrokenPipeError):
        runtime.run(fail, interval_seconds=0.05)
    assert sink.num_closed == 1


def test_callback_is_called_at_every_interval():
    calls: list[tuple[float, RunStats]] = []

    def record(stats: RunStats) -> None:
        calls.append((time.monotonic(), stats))
        if len(calls) == 3:
            runtime.stop()

    runtime = Runtime([ScriptedSource("cam", is_live=True, paced_seconds=0.001)], Pipeline(SquareSegmenter()))
    started = time.monotonic()
    last = runtime.run(record, interval_seconds=0.05)
    assert [at >= started + 0.05 * nth for nth, (at, _) in enumerate(calls, start=1)] == [True] * 3
    seen = [stats.num_frames for _, stats in calls]
    assert seen == sorted(seen)
    assert last.num_frames >= seen[-1]


# ---- each source is a failure domain of its own


@pytest.mark.slow
def test_failing_source_ends_alone(caplog: pytest.LogCaptureFixture):
    sources = [
        ScriptedSource("bad", 3, error=SourceError("bad: no packet for 5 s")),
        ScriptedSource("good", 60),
    ]
    sink = ListSink()
    stats = Runtime(sources, Pipeline(SquareSegmenter(seconds=0.001)), [sink]).run()
    assert indices_of(sink, "bad") == [0, 1, 2]
    assert indices_of(sink, "good") == list(range(60))
    assert [(source.state, source.error) for source in stats.sources] == [
        ("failed", "bad: no packet for 5 s"),
        ("ended", None),
    ]
    assert [record.message for record in caplog.records] == ["bad: no packet for 5 s"]


def test_bug_in_one_source_ends_only_that_source():
    sources = [ScriptedSource("bad", 0, error=ZeroDivisionError("oops")), ScriptedSource("good", 10)]
    stats = Runtime(sources, Pipeline(SquareSegmenter())).run()
    assert stats.sources[0].error == "source bad failed: ZeroDivisionError: oops"
    assert stats.sources[1].num_frames == 10


def test_first_error_is_raised_if_every_source_fails():
    permits = threading.Semaphore(0)
    first = SourceError("first")
    sources = [
        ScriptedSource("late", 1, error=SourceError("second"), permits=permits),
        ScriptedSource("early", 0, error=first),
    ]
    run = BackgroundRun(Runtime(sources, Pipeline(SquareSegmenter())))
    deadline = time.monotonic() + BOUND_SECONDS
    while run.runtime.stats().sources[1].state != "failed":
        assert time.monotonic() < deadline
    permits.release()
    run.join()
    assert run.error is first


def test_bug_in_the_only_source_is_the_cause_of_the_error():
    bug = ZeroDivisionError("oops")
    with pytest.raises(StreamsegError, match="source only failed: ZeroDivisionError: oops") as caught:
        Runtime([ScriptedSource("only", 2, error=bug)], Pipeline(SquareSegmenter())).run()
    assert isinstance(caught.value, SourceError)
    assert caught.value.__cause__ is bug


def test_error_caused_by_stopping_is_no_failure():
    class FailingWhenStopped(ScriptedSource):
        def frames(self) -> Iterator[Frame]:
            yield from super().frames()
            raise SourceError("interrupted while reading")

    sink = ListSink()
    run = BackgroundRun(Runtime([FailingWhenStopped("cam", is_live=True)], Pipeline(SquareSegmenter()), [sink]))
    sink.wait_for(2)
    run.runtime.stop()
    run.join()
    assert run.error is None
