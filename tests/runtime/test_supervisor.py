import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from streamseg.config import BatchingConfig
from streamseg.pipeline import FrameResult, Pipeline
from streamseg.runtime import Runtime
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Instances
from tests.support.runs import BOUND_SECONDS, BackgroundRun, indices_of
from tests.support.stages import ListSink, ScriptedSource, SquareSegmenter

pytestmark = pytest.mark.usefixtures("no_thread_left")

# ---- files


@pytest.mark.slow
@pytest.mark.parametrize("num_sources", [1, 3])
def test_every_frame_of_a_file_is_processed_in_order(num_sources: int):
    sources = [ScriptedSource(f"file{n}", 40) for n in range(num_sources)]
    sink = ListSink()
    stats = Runtime(sources, Pipeline(SquareSegmenter(seconds=0.002)), [sink]).run()
    for source in sources:
        assert indices_of(sink, source.source_id) == list(range(40))
        assert source.is_closed
    assert stats.num_frames == 40 * num_sources
    assert stats.drops == {}
    assert sink.num_closed == 1
    assert [source.state for source in stats.sources] == ["ended"] * num_sources


@pytest.mark.slow
def test_each_result_belongs_to_its_frame():
    sink = ListSink()
    Runtime([ScriptedSource("a", 50), ScriptedSource("b", 50)], Pipeline(SquareSegmenter()), [sink]).run()
    for result in sink.results:
        assert result.message.objects[0].box[0] == result.frame.index % 32
        assert result.message.frame_index == result.frame.index


@pytest.mark.slow
def test_files_share_batches():
    segmenter = SquareSegmenter(seconds=0.005)
    batching = BatchingConfig(max_batch=3)
    Runtime([ScriptedSource(f"f{n}", 30) for n in range(4)], Pipeline(segmenter), batching=batching).run()
    assert max(segmenter.batch_sizes) == 3
    assert sum(segmenter.batch_sizes) == 120


class NotingSegmenter(SquareSegmenter):
    """Notes the thread of each call."""

    def __init__(self):
        super().__init__()
        self.threads: list[str] = []

    def __call__(self, images, regions=None):
        self.threads.append(threading.current_thread().name)
        return super().__call__(images, regions)


class DeferringSegmenter(NotingSegmenter):
    """Leaves everything after the network to another thread, whose name it notes, too."""

    defers = True

    def begin_batch(self, images, regions, degradations):
        self.threads.append(threading.current_thread().name)
        return [partial(self._later, image) for image in images]

    def _later(self, image):
        return self([image])[0]


def test_deferred_work_is_done_by_the_finishing_thread():
    segmenter, sink = DeferringSegmenter(), ListSink()
    Runtime([ScriptedSource("a", 5)], Pipeline(segmenter), [sink], batching=BatchingConfig(max_batch=1)).run()
    assert sorted(segmenter.threads) == ["finish"] * 5 + ["segment"] * 5
    assert [result.frame.index for result in sink.results] == list(range(5))
    for result in sink.results:
        assert result.message.objects[0].box[0] == result.frame.index % 32


def test_an_error_of_deferred_work_ends_the_run():
    class Failing(DeferringSegmenter):
        def _later(self, image):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        Runtime([ScriptedSource("a", 5)], Pipeline(Failing())).run()


def test_pipeline_is_prepared_in_the_inference_thread_before_the_first_frame():
    segmenter = NotingSegmenter()
    prepare = lambda: segmenter.threads.append(threading.current_thread().name + " prepares")  # noqa: E731
    Runtime([ScriptedSource("a", 2)], Pipeline(segmenter, prepare=prepare)).run()
    first, *others = segmenter.threads
    assert others
    assert {f"{name} prepares" for name in others} == {first}
    assert threading.current_thread().name not in first


def test_pipeline_releases_ended_sources():
    pipeline = Pipeline(SquareSegmenter())
    Runtime([ScriptedSource("a", 3), ScriptedSource("b", 6)], pipeline).run()
    assert pipeline.image_sizes == {}


def test_source_without_frames_ends_at_once():
    stats = Runtime([ScriptedSource("empty", 0)], Pipeline(SquareSegmenter())).run()
    assert (stats.num_frames, stats.drops, stats.sources[0].state) == (0, {}, "ended")


# ---- live sources


@pytest.mark.slow
def test_dropped_frames_of_a_live_source_are_counted():
    source = ScriptedSource("cam", 300, is_live=True, paced_seconds=0.001)
    sink = ListSink()
    stats = Runtime([source], Pipeline(SquareSegmenter(seconds=0.01)), [sink]).run()
    indices = indices_of(sink, "cam")
    assert indices == sorted(set(indices))
    assert indices[-1] == 299
    assert stats.drops["mailbox"]["newer_frame"] > 0
    # On a busy machine frames are dropped for other reasons, too.
    num_dropped = sum(sum(reasons.values()) for reasons in stats.drops.values())
    assert stats.num_frames + num_dropped == 300
    gaps = sum(after - before - 1 for before, after in pairwise([-1, *indices]))
    assert gaps == num_dropped


@pytest.mark.slow
def test_age_is_bounded_by_the_stages():
    """The source delivers 10 times too fast: a queue would let the age grow to a second by the end."""
    source = ScriptedSource("cam", 1000, is_live=True, paced_seconds=0.001)
    sink = ListSink()
    Runtime([source], Pipeline(SquareSegmenter(seconds=0.01)), [sink]).run()
    ages_ms = sorted(result.message.age_ms for result in sink.results[-50:])
    assert ages_ms[len(ages_ms) // 2] < 100


def test_message_includes_the_drops_of_its_source():
    sources = [ScriptedSource("cam", 100, is_live=True, paced_seconds=0.001), ScriptedSource("file", 5)]
    sources[0].drops.count("capture", "corrupt", 7)
    sink = ListSink()
    Runtime(sources, Pipeline(SquareSegmenter(seconds=0.01)), [sink]).run()
    last = {result.frame.source_id: result.message.drops for result in sink.results}
    assert last["cam"]["capture"] == {"corrupt": 7}
    assert last["cam"]["mailbox"]["newer_frame"] > 0
    assert last["file"] == {}


@pytest.mark.slow
def test_slow_sink_delays_frames_only_once():
    """If the sink is the slowest stage, a frame is chosen only when there is room after the network."""

    class SlowSink(ListSink):
        def write(self, result: FrameResult) -> None:
            threading.Event().wait(0.03)
            super().write(result)

    source = ScriptedSource("cam", 400, is_live=True, paced_seconds=0.002)
    sink = SlowSink()
    Runtime([source], Pipeline(SquareSegmenter()), [sink]).run()
    ages_ms = sorted(result.message.age_ms for result in sink.results[2:])
    assert ages_ms[len(ages_ms) // 2] < 75, "one wait for the sink, not two"


@pytest.mark.slow
def test_ages_include_only_live_sources_if_there_are_any():
    sources = [ScriptedSource("cam", 20, is_live=True, paced_seconds=0.002), ScriptedSource("file", 100)]
    stats = Runtime(sources, Pipeline(SquareSegmenter(seconds=0.005))).run()
    assert stats.ages == stats.sources[0].ages != stats.sources[1].ages
    alone = Runtime([ScriptedSource("file", 10)], Pipeline(SquareSegmenter())).run()
    assert alone.ages == alone.sources[0].ages
    assert alone.ages.p50_ms > 0


# ---- pause


def test_pause_writes_nothing_and_keeps_track_ids():
    permits = threading.Semaphore(0)
    source = ScriptedSource("cam", None, is_live=True, permits=permits)
    sink = ListSink()
    run = BackgroundRun(Runtime([source], Pipeline(SquareSegmenter()), [sink]))
    for count in range(1, 6):
        permits.release()
        sink.wait_for(count)
    before = sink.results[-1].message.objects[0].track_id
    assert before > 0
    run.runtime.pause()
    assert run.runtime.stats().is_paused
    permits.release(7)
    deadline = time.monotonic() + BOUND_SECONDS
    while run.runtime.stats().drops != {"mailbox": {"paused": 7}}:
        assert time.monotonic() < deadline
    assert len(sink.results) == 5
    run.runtime.resume()
    permits.release()
    sink.wait_for(6)
    run.runtime.stop()
    run.join()
    assert sink.results[5].message.objects[0].track_id == before


def test_paused_file_loses_nothing():
    permits = threading.Semaphore(0)
    sink = ListSink()
    run = BackgroundRun(Runtime([ScriptedSource("f", 20, permits=permits)], Pipeline(SquareSegmenter()), [sink]))
    permits.release(5)
    sink.wait_for(5)
    run.runtime.pause()
    permits.release(15)
    run.runtime.resume()
    run.join()
    assert indices_of(sink, "f") == list(range(20))


# ---- prompts


def test_prompts_can_be_changed_during_a_run():
    permits = threading.Semaphore(0)
    sink = ListSink()
    pipeline = Pipeline(SquareSegmenter())
    run = BackgroundRun(Runtime([ScriptedSource("cam", None, is_live=True, permits=permits)], pipeline, [sink]))
    permits.release()
    sink.wait_for(1)
    pipeline.set_prompts([])
    permits.release()
    sink.wait_for(2)
    run.runtime.stop()
    run.join()
    assert [len(result.message.objects) for result in sink.results] == [1, 0]


# ---- the end


def test_stop_ends_endless_sources_within_a_second_and_flushes():
    sink = ListSink()
    sources = [ScriptedSource("a", is_live=True, paced_seconds=0.001), ScriptedSource("b")]
    run = BackgroundRun(Runtime(sources, Pipeline(SquareSegmenter()), [sink]))
    sink.wait_for(10)
    started = time.monotonic()
    run.runtime.stop()
    run.runtime.stop()
    run.join()
    assert time.monotonic() - started < BOUND_SECONDS
    assert run.error is None
    assert run.stats is not None
    assert run.stats.num_frames == len(sink.results)
    assert sink.num_closed == 1
    assert all(source.is_closed for source in sources)


@pytest.mark.slow
def test_every_frame_is_accounted_for_after_a_stop():
    """One frame waits and one is in the network when the run stops."""
    in_network, go_on = threading.Event(), threading.Event()

    class HeldSegmenter(SquareSegmenter):
        def __call__(self, images: Sequence[npt.NDArray[np.uint8]], regions: object = None) -> list[Instances]:
            if len(self.batch_sizes) == 5:
                in_network.set()
                go_on.wait(BOUND_SECONDS)
            return super().__call__(images)

    sink = ListSink()
    source = ScriptedSource("cam", is_live=True, paced_seconds=0.001)
    run = BackgroundRun(Runtime([source], Pipeline(HeldSegmenter()), [sink]))
    assert in_network.wait(BOUND_SECONDS)
    run.runtime.stop()
    go_on.set()
    run.join()
    assert run.stats is not None
    assert len(sink.results) == 5
    assert source.num_delivered == 5 + sum(run.stats.drops["mailbox"].values())
    assert run.stats.drops["mailbox"]["stopped"] >= 1


@pytest.mark.slow
def test_duration_ends_the_run():
    sink = ListSink()
    runtime = Runtime([ScriptedSource("cam", is_live=True, paced_seconds=0.005)], Pipeline(SquareSegmenter()), [sink])
    stats = runtime.run(duration_seconds=0.2)
    assert 0.2 <= stats.seconds < BOUND_SECONDS
    assert sink.num_closed == 1


def test_ctrl_c_stops_flushes_and_is_raised():
    sink = ListSink()
    runtime = Runtime([ScriptedSource("cam", is_live=True, paced_seconds=0.001)], Pipeline(SquareSegmenter()), [sink])
    pressed_at: list[float] = []

    def press() -> None:
        sink.wait_for(5)
        pressed_at.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    with pytest.raises(KeyboardInterrupt):
        runtime.run()
    ended_at = time.monotonic()
    presser.join()
    assert ended_at - pressed_at[0] < BOUND_SECONDS
    assert sink.num_closed == 1
    assert runtime.stats().num_frames == len(sink.results)


@pytest.mark.slow
def test_source_stuck_in_its_driver_is_abandoned(caplog: pytest.LogCaptureFixture):
    class StuckSource(ScriptedSource):
        def __init__(self) -> None:
            super().__init__("stuck", is_live=True)
            self.is_stuck = threading.Event()
            self.release = threading.Event()

        def frames(self) -> Iterator[Frame]:
            self.is_stuck.set()
            self.release.wait()
            yield from ()

    sink = ListSink()
    stuck = StuckSource()
    run = BackgroundRun(Runtime([ScriptedSource("cam", is_live=True), stuck], Pipeline(SquareSegmenter()), [sink]))
    stuck.is_stuck.wait()
    sink.wait_for(3)
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        run.runtime.stop()
        run.join()
    assert time.monotonic() - started < BOUND_SECONDS
    assert sink.num_closed == 1
    assert "'capture stuck' did not end in time" in caplog.text
    stuck.release.set()
    for thread in threading.enumerate():
        if thread.name == "capture stuck":
            thread.join(BOUND_SECONDS)


def test_runtime_runs_once():
    runtime = Runtime([ScriptedSource("a", 1)], Pipeline(SquareSegmenter()))
    runtime.run()
    with pytest.raises(RuntimeError, match="runs once"):
        runtime.run()


def test_runtime_that_never_ran_closes_its_sinks():
    sink = ListSink()
    with Runtime([ScriptedSource("a", 1)], Pipeline(SquareSegmenter()), [sink]):
        pass
    assert sink.num_closed == 1
    with Runtime([ScriptedSource("a", 1)], Pipeline(SquareSegmenter()), [sink]) as runtime:
        runtime.run()
    assert sink.num_closed == 2


def test_source_ids_must_differ():
    with pytest.raises(ValueError, match="source ids must differ"):
        Runtime([ScriptedSource("a"), ScriptedSource("a")], Pipeline(SquareSegmenter()))
