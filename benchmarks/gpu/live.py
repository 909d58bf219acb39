"""`live`: cameras through the threads of the runtime to a subscriber, with CUDA graphs.

As many cameras as the case has images in a batch. First at 30 frames per second each, which gives the age of a frame
when its message is sent; then as fast as frames are taken, which gives the rate.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

from benchmarks.gpu.cases import SIZE, Case, scene_images, seeded_network
from benchmarks.gpu.modes import is_cuda, open_engine, segmenter_of
from benchmarks.gpu.workers import Request
from benchmarks.harness import Timing
from streamseg.capture.source import Unwanted, wanted
from streamseg.config import BatchingConfig
from streamseg.engines import leave_cores
from streamseg.pipeline import Pipeline
from streamseg.publish import Publisher, Subscriber
from streamseg.runtime import Runtime
from streamseg.runtime.sinks import PublishSink
from streamseg.runtime.workers import Worker
from streamseg.segmentation import Segmenter
from streamseg.structures.arrays import ImageArray
from streamseg.structures.frame import Frame
from streamseg.telemetry import DropCounter, Histograms

__all__ = ["Camera", "live"]

FPS: Final = 30.0
FAST_FPS: Final = 1000.0
"""More than any network takes: frames that are not wanted are not made."""
NUM_IMAGES: Final = 4
LIMIT_SHARE: Final = 0.9
"""Part of the time before the process is ended that the runs may take: with few messages rather than without any."""
WARMUP_SHARE: Final = 0.3
"""Part of a run that does not count: the first frames of tracks, and graphs of new shapes."""


class Camera:
    """A live source of frames that are in memory already; each is captured when it is due.

    Args:
        source_id: its id.
        images: the images that it repeats.
        fps: frames per second.
    """

    frame_id = ""
    is_live = True

    def __init__(self, source_id: str, images: Sequence[ImageArray], fps: float) -> None:
        self.source_id = source_id
        self.drops = DropCounter()
        self.unwanted: Unwanted = wanted
        self._images, self._fps = images, fps
        self._stopped = threading.Event()

    def frames(self) -> Iterator[Frame]:
        """See `Source.frames`."""
        started = time.monotonic()
        index = 0
        while not self._stopped.wait(max(started + index / self._fps - time.monotonic(), 0)):
            late = int((time.monotonic() - started) * self._fps) - index
            if late > 0:
                self.drops.count("capture", "late", late)
                index += late
            reason = self.unwanted()
            if reason is None:
                image = self._images[index % len(self._images)]
                now_ns = time.monotonic_ns()
                yield Frame(image, self.source_id, index, index / self._fps, time.time_ns(), "driver", now_ns)
            else:
                self.drops.count("capture", reason)
            index += 1

    def stop(self) -> None:
        """See `Source.stop`."""
        self._stopped.set()


class _Ages(Histograms):
    """Keeps the age of every published frame with the time of its sending, exactly."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[tuple[float, float]] = []
        """(monotonic seconds, age in ms)."""

    def add(self, name: str, source_id: str, milliseconds: float) -> None:
        """See `Histograms.add`."""
        super().add(name, source_id, milliseconds)
        if name == "publish":
            self.published.append((time.monotonic(), milliseconds))


def live(request: Request) -> dict[str, Any]:
    """Run cameras, and return ages at 30 frames per second each, and the rate without a limit."""
    case, device = request.measurement.case, request.device
    network = seeded_network(case, request.num_objects)
    engine = open_engine(case, "graph", device, network, half=is_cuda(device)).engine
    leave_cores(engine)
    images = [scene_images(case.batch, index) for index in range(NUM_IMAGES)]
    found = {}
    with segmenter_of(engine, request.num_objects) as segmenter:
        # Two runs: each pipeline knows its own tracks.
        ends = time.monotonic() + LIMIT_SHARE * request.limit_seconds
        for num_left, (name, fps) in ((2, ("at_30_fps", FPS)), (1, ("saturated", FAST_FPS))):
            cameras = [
                Camera(f"camera{number}", [of_index[number] for of_index in images], fps)
                for number in range(case.batch)
            ]
            most_seconds = max(ends - time.monotonic(), 0.0) / num_left
            found[name] = run_cameras(cameras, segmenter, case, request.seconds / 2, most_seconds)
    return found


def run_cameras(
    cameras: Sequence[Camera], segmenter: Segmenter, case: Case, seconds: float, most_seconds: float
) -> dict[str, Any]:
    """Run cameras through a runtime with a publisher and a subscriber, and return rate, ages and drops.

    Args:
        cameras: one per image of a batch.
        segmenter: used by nothing else.
        case: its batch size is the largest batch.
        seconds: duration from the first message on.
        most_seconds: end of the run without enough messages, with those that there are.

    Raises:
        SourceError, RuntimeError: there is no message.
    """
    pipeline = Pipeline(segmenter, prepare=partial(_warm_up, segmenter, case.batch))
    publisher = Publisher("tcp://127.0.0.1:0")
    ages = publisher.ages = _Ages()
    batching = BatchingConfig(max_batch=case.batch)
    with Subscriber(publisher.endpoint), Runtime(cameras, pipeline, [PublishSink(publisher)], batching=batching) as run:
        began: list[float] = []

        def watch(stats: object) -> None:
            # The time counts from the first frame that was sent: warming up takes as long as it takes.
            if not began and ages.published:
                began.append(ages.published[0][0])
            if began and time.monotonic() - began[0] >= seconds and len(ages.published) > len(cameras):
                run.stop()

        stats = run.run(watch, interval_seconds=0.05, duration_seconds=most_seconds)
    _await_workers()
    published = ages.published
    counted = [one for one in published if one[0] >= published[0][0] + WARMUP_SHARE * seconds] or published[-1:]
    if not counted:
        raise RuntimeError(f"no message within {stats.seconds:.0f} s")
    covered = counted[-1][0] - counted[0][0]
    return {
        "cameras": len(cameras),
        "messages": len(counted),
        "age_ms": Timing.of([age / 1000 for _, age in counted]),
        "frames_per_second": round((len(counted) - 1) / covered, 1) if covered else None,
        "stages_ms": {name: round(values.at(50)[0], 3) for name, values in pipeline.timer.stages.items()},
        "drops": stats.drops,
    }


def _await_workers() -> None:
    """Wait for the threads that a runtime abandoned at its end, because they would compete with the next measurement.

    On a starved machine, that is the thread of the network in the middle of a batch.
    """
    for thread in threading.enumerate():
        if isinstance(thread, Worker):
            thread.join()


def _warm_up(segmenter: Segmenter, most: int) -> None:
    """Prepare for all batch sizes in the inference thread, as a run does."""
    for num_images in sorted({*(1 << power for power in range(most.bit_length())), most}):
        segmenter.warmup(SIZE, num_images=num_images)
