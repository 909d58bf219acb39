"""Trying a source: what it delivers, and that it is stopped."""

import threading
from collections.abc import Iterator

import pytest

from streamseg.capture.probe import MIN_FRAMES, probe
from streamseg.errors import SourceError
from streamseg.structures.frame import Frame
from streamseg.telemetry import DropCounter
from tests.support.stages import fresh_frame
from tests.support.waiting import WAIT_SECONDS


class Camera:
    """A source that delivers some frames at once, and then waits until it is stopped."""

    source_id = "cam"
    frame_id = ""
    is_live = True

    def __init__(self, num_frames: int, *, ends: bool = False) -> None:
        self.drops = DropCounter()
        self.stopped = threading.Event()
        self._num_frames = num_frames
        self._ends = ends

    def frames(self) -> Iterator[Frame]:
        for index in range(self._num_frames):
            yield fresh_frame("cam", index)
        assert self._ends or self.stopped.wait(WAIT_SECONDS), "was not stopped"

    def stop(self) -> None:
        self.stopped.set()


@pytest.mark.parametrize(
    ("num_frames", "ends", "has_rate"),
    [
        pytest.param(1, True, False, id="one image"),
        pytest.param(1, False, False, id="stalls after the first"),
        pytest.param(5, False, True, id="stalls later"),
        pytest.param(3, True, True, id="short file"),
    ],
)
def test_probe(num_frames: int, ends: bool, has_rate: bool):
    camera = Camera(num_frames, ends=ends)
    camera.drops.count("capture", "corrupt", 2)
    found = probe(camera, timeout_seconds=5.0, measure_seconds=0.1)
    assert (found.size, found.num_frames, found.num_drops) == ((48, 64), num_frames, 2)
    assert (found.fps is not None) is has_rate
    assert camera.stopped.is_set()


def test_endless_source_is_left_soon():
    camera = Camera(10**9)
    assert probe(camera, measure_seconds=0.05).num_frames >= MIN_FRAMES
    assert camera.stopped.is_set()


@pytest.mark.parametrize("ends", [True, False])
def test_no_image_is_an_error(ends: bool):
    camera = Camera(0, ends=ends)
    with pytest.raises(SourceError, match=r"cam: no image within 0\.1 s"):
        probe(camera, timeout_seconds=0.1)
    assert camera.stopped.is_set()
