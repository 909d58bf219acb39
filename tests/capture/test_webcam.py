import threading
import time

import cv2
import numpy as np
import pytest

from streamseg.capture import open_source
from streamseg.capture.webcam import Webcam
from streamseg.config import WebcamSource
from streamseg.errors import SourceError
from tests.support.frames import take


class FakeCamera:
    """A camera that delivers some images and is then unplugged.

    `stamps` selects how CAP_PROP_POS_MSEC behaves: "monotonic" like V4L2, "backwards" every other image, "stream"
    from 0, "none".
    """

    def __init__(self, num_images, *, opens=True, size=(48, 64), stamps="none"):
        self.properties: dict[int, float] = {}
        self.calls: list[int] = []
        self.num_left = num_images
        self.num_read = 0
        self.opens = opens
        self.size = size
        self.stamps = stamps
        self.released = False

    def isOpened(self):
        return self.opens

    def set(self, propId, value):
        self.calls.append(propId)
        self.properties[propId] = value
        return True

    def get(self, propId):
        if propId == cv2.CAP_PROP_POS_MSEC:
            return {
                "monotonic": time.monotonic_ns() / 1e6 - 20.0,
                "backwards": time.monotonic_ns() / 1e6 - (20.0 if self.num_read % 2 else 600.0),
                "stream": self.num_read * 33.3,
                "none": 0.0,
            }[self.stamps]
        if propId == cv2.CAP_PROP_FRAME_WIDTH:
            return float(self.size[1])
        if propId == cv2.CAP_PROP_FRAME_HEIGHT:
            return float(self.size[0])
        return self.properties.get(propId, 0.0)

    def read(self):
        assert not self.released
        if not self.num_left:
            return False, None
        self.num_left -= 1
        self.num_read += 1
        image = np.zeros((*self.size, 3), np.uint8)
        image[..., 0] = 200  # blue
        return True, image

    def release(self):
        self.released = True


class Bus:
    """Open one camera after the other, like a USB port whose camera is unplugged and plugged in again."""

    def __init__(self, *cameras):
        self.cameras = list(cameras)
        self.opened = []
        self.devices = []

    def __call__(self, device):
        self.devices.append(device)
        camera = self.cameras.pop(0)
        self.opened.append(camera)
        return camera


def webcam(*cameras, **values):
    bus = Bus(*cameras)
    return Webcam(WebcamSource(id="webcam0", **values), open_camera=bus), bus


def test_frames_are_rgb_and_numbered():
    source, _ = webcam(FakeCamera(5))
    frames = take(source.frames(), 5)
    assert [frame.index for frame in frames] == list(range(5))
    assert frames[0].image[0, 0].tolist() == [0, 0, 200]
    assert frames[0].pts_seconds == 0.0
    assert frames[4].pts_seconds > 0.0
    assert source.is_live


def test_settings_are_requested_with_the_encoding_first():
    source, bus = webcam(FakeCamera(1, size=(720, 1280)), width=1280, height=720, fps=60, fourcc="YUYV", device=3)
    take(source.frames(), 1)
    camera = bus.opened[0]
    assert bus.devices == [3]
    assert camera.calls[0] == cv2.CAP_PROP_FOURCC
    assert camera.properties == {
        cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"YUYV"),
        cv2.CAP_PROP_FRAME_WIDTH: 1280,
        cv2.CAP_PROP_FRAME_HEIGHT: 720,
        cv2.CAP_PROP_FPS: 60,
        cv2.CAP_PROP_BUFFERSIZE: 1,
    }


def test_unset_settings_are_left_to_the_driver():
    source, bus = webcam(FakeCamera(1), width=None, height=None, fps=None)
    take(source.frames(), 1)
    assert set(bus.opened[0].calls) == {cv2.CAP_PROP_FOURCC, cv2.CAP_PROP_BUFFERSIZE}


@pytest.mark.parametrize(
    ("size", "warns"),
    [pytest.param((720, 1280), False, id="as requested"), pytest.param((480, 640), True, id="other")],
)
def test_size_other_than_requested_is_logged(size, warns, caplog):
    source, _ = webcam(FakeCamera(1, size=size))
    assert take(source.frames(), 1)[0].size == size
    assert ("requested 1280x720 from the camera, it delivers 640x480" in caplog.text) is warns


@pytest.mark.parametrize(
    ("stamps", "clock", "age_ms"),
    [
        pytest.param("monotonic", "driver", 20.0, id="V4L2"),
        pytest.param("stream", "arrival", 0.0, id="counts from opening"),
        pytest.param("none", "arrival", 0.0, id="no stamps"),
    ],
)
def test_clock_of_the_capture_time(stamps, clock, age_ms):
    source, _ = webcam(FakeCamera(3, stamps=stamps))
    for frame in take(source.frames(), 3):
        now_ns = time.time_ns()
        assert frame.clock == clock
        assert (now_ns - frame.captured_ns) / 1e6 == pytest.approx(age_ms, abs=15)


@pytest.mark.parametrize("stamps", ["monotonic", "backwards", "stream", "none"])
def test_times_start_at_zero_and_increase(stamps):
    source, _ = webcam(FakeCamera(6, stamps=stamps))
    times = [frame.pts_seconds for frame in take(source.frames(), 6)]
    assert times[0] == 0
    assert times == sorted(set(times))
    assert source.mended == ({"restart": 3} if stamps == "backwards" else {})


@pytest.mark.parametrize(
    "camera",
    [pytest.param(FakeCamera(0, opens=False), id="missing"), pytest.param(FakeCamera(0), id="opens, no frame")],
)
def test_camera_that_never_delivers(camera):
    source, _ = webcam(camera, device=7)
    with pytest.raises(SourceError, match="the camera 7 cannot be opened or delivers no frame; check that"):
        next(source.frames())
    assert camera.released


@pytest.mark.slow
def test_unplugged_and_plugged_in_again(caplog):
    first, gone, returned = FakeCamera(2), FakeCamera(0, opens=False), FakeCamera(3, size=(96, 128))
    source, bus = webcam(first, gone, returned)
    frames = take(source.frames(), 5)
    assert [frame.index for frame in frames] == list(range(5))
    assert [frame.size for frame in frames] == [(48, 64)] * 2 + [(96, 128)] * 3
    assert len(bus.opened) == 3
    assert first.released
    assert gone.released
    assert caplog.text.count("webcam0: no frame from the camera 0, trying again") == 1, "once per interruption"
    times = [frame.pts_seconds for frame in frames]
    assert times == sorted(set(times)), "one time line over all connections"
    assert source.mended == {}
    assert source.health.num_connections == 0, "frames are reported by their consumer"


def test_camera_is_released_when_the_iterator_is_closed():
    source, bus = webcam(FakeCamera(5))
    frames = source.frames()
    take(frames, 2)
    assert not bus.opened[0].released
    frames.close()
    assert bus.opened[0].released


def test_stop_ends_the_wait_for_the_camera():
    source, _ = webcam(FakeCamera(1), FakeCamera(0, opens=False), FakeCamera(0, opens=False))
    frames = source.frames()
    take(frames, 1)
    timer = threading.Timer(0.05, source.stop)
    timer.start()
    assert list(frames) == []
    timer.join()
    source.stop()
    assert list(source.frames()) == []


def test_stop_between_frames():
    source, bus = webcam(FakeCamera(100))
    frames = source.frames()
    take(frames, 2)
    source.stop()
    assert list(frames) == []
    assert bus.opened[0].released


def test_missing_device(capfd):
    source = open_source(WebcamSource(id="webcam0", device="/dev/there-is-no-such-camera"))
    with pytest.raises(SourceError, match="'/dev/there-is-no-such-camera' cannot be opened"):
        next(source.frames())
    assert "WARN" not in capfd.readouterr().err


@pytest.mark.slow
def test_camera_that_is_absent_at_start_is_awaited(caplog):
    bus = Bus(FakeCamera(0, opens=False), FakeCamera(0, opens=False), FakeCamera(2))
    source = Webcam(WebcamSource(id="webcam0"), open_camera=bus, gives_up=False)
    assert len(take(source.frames(), 2)) == 2
    error = source.health.status(time.monotonic_ns()).error
    assert error == "the camera 0 cannot be opened or delivers no frame"
    assert f"webcam0: {error}, trying again; check that it is plugged in" in caplog.text
