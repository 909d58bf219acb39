"""Steps of wall clocks, from the camera to the message: the age of a frame is never wrong by a step.

The clocks are injected: that of the host into the source, that of the camera into its sender reports.
"""

import threading
import time
from collections.abc import Iterator

import pytest

from streamseg.capture.network_stream import NetworkStream
from streamseg.config import StreamSource
from streamseg.pipeline import Pipeline
from tests.support.camera_site import rtsp
from tests.support.loopback import LoopbackServer
from tests.support.rtsp_camera import Step, encoded_frames, play
from tests.support.stages import SquareSegmenter

HOUR = 3600.0
AGE_SECONDS = 6.0
"""Age of frame 0 when it is sent; frame n was captured n / 5 s later."""
NUM_FRAMES = 20
BUSY_SECONDS = 30.0
"""Longest time that a busy machine may need: far less than a step."""


@pytest.fixture(scope="module")
def encoded() -> list[list[bytes]]:
    return encoded_frames(NUM_FRAMES, key_every=10)


@pytest.fixture
def finished() -> Iterator[threading.Event]:
    """Event that ends all waits of the server at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


class HostClock:
    """The wall clock of this machine, with steps."""

    def __init__(self) -> None:
        self.offset_ns = 0

    def __call__(self) -> int:
        return time.time_ns() + self.offset_ns

    def step(self, seconds: float) -> None:
        self.offset_ns += round(seconds * 1e9)


@pytest.mark.parametrize(
    ("host_seconds", "camera_seconds"),
    [
        pytest.param(0, 0, id="no-step"),
        pytest.param(HOUR, 0, id="host-forwards"),
        pytest.param(-HOUR, 0, id="host-backwards"),
        pytest.param(0, HOUR, id="camera-forwards"),
        pytest.param(0, -HOUR, id="camera-backwards"),
        pytest.param(HOUR, HOUR, id="both: the end of summer time, set by hand"),
        pytest.param(HOUR, -HOUR, id="both-in-opposite-directions"),
    ],
)
def test_age_is_never_wrong_by_a_step(encoded, finished, host_seconds: float, camera_seconds: float):
    stepped = Step(report_offset_seconds=AGE_SECONDS - camera_seconds)
    script = [*play(range(8), report=AGE_SECONDS), Step(wait_seconds=0.2), stepped, *play(range(8, NUM_FRAMES))]
    camera, host = rtsp(encoded, finished, script), HostClock()
    pipeline, captured, ages_ms = Pipeline(SquareSegmenter()), [], []
    with LoopbackServer(camera.serve) as server:
        section = StreamSource(id="camera", url=f"rtsp://127.0.0.1:{server.port}/live", timeout_seconds=10.0)
        source = NetworkStream(section, wall_ns=host)
        for frame in source.frames():
            message = pipeline.finish(frame, pipeline.segment([frame])[0]).message
            assert frame.clock == message.clock == "camera"
            captured.append((frame.received_ns - frame.lag_ns) / 1e9 - frame.index / 5)
            ages_ms.append(message.age_ms)
            if len(captured) == 4:
                host.step(host_seconds)
            if len(captured) == NUM_FRAMES - 1:
                break
        finished.set()
    assert source.camera_clock.num_rejected == 0
    # The wait before the second report, which claims the same age of frame 0, is no step.
    assert max(captured) - min(captured) < 0.2 + BUSY_SECONDS / 10, "captured one after the other, every 0.2 s"
    assert all(0 <= age_ms < (AGE_SECONDS + BUSY_SECONDS) * 1000 for age_ms in ages_ms)


@pytest.mark.parametrize("step_seconds", [HOUR, -HOUR])
def test_age_by_arrival_is_never_wrong_by_a_step(encoded, finished, step_seconds: float):
    """Of a camera without a clock."""
    camera, host = rtsp(encoded, finished, play(range(NUM_FRAMES))), HostClock()
    pipeline, ages_ms = Pipeline(SquareSegmenter()), []
    with LoopbackServer(camera.serve) as server:
        section = StreamSource(id="camera", url=f"rtsp://127.0.0.1:{server.port}/live", timeout_seconds=10.0)
        for frame in NetworkStream(section, wall_ns=host).frames():
            message = pipeline.finish(frame, pipeline.segment([frame])[0]).message
            assert message.clock == "arrival"
            ages_ms.append(message.age_ms)
            if len(ages_ms) == 4:
                host.step(step_seconds)
            if len(ages_ms) == NUM_FRAMES - 1:
                break
        finished.set()
    assert all(0 <= age_ms < BUSY_SECONDS * 1000 for age_ms in ages_ms)
