"""A camera of this machine, through OpenCV."""

from __future__ import annotations

import logging
import platform
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import cv2
import numpy as np

from streamseg.capture.clock import NS_PER_SECOND, driver_stamp_ns, wall_ns_at
from streamseg.capture.quiet import quiet_opencv
from streamseg.capture.reconnect import Backoff
from streamseg.config import WebcamSource
from streamseg.errors import SourceError
from streamseg.structures.frame import Clock, Frame
from streamseg.telemetry import DropCounter

__all__ = ["VideoCapture", "Webcam"]

logger = logging.getLogger(__name__)


class VideoCapture(Protocol):
    """What is used of `cv2.VideoCapture`."""

    def isOpened(self) -> bool:
        """Whether the camera was opened."""
        ...

    def set(self, propId: int, value: float) -> bool:
        """Ask for a property; the driver may choose another value."""
        ...

    def get(self, propId: int) -> float:
        """A property, 0 where the driver has none."""
        ...

    def read(self) -> tuple[bool, Any]:
        """Wait for the next picture: (True, BGR) or (False, None)."""
        ...

    def release(self) -> None:
        """Close the camera."""
        ...


# The system's default may take minutes to open a camera (MSMF) or ignore the settings.
BACKENDS = {"Linux": cv2.CAP_V4L2, "Windows": cv2.CAP_DSHOW, "Darwin": cv2.CAP_AVFOUNDATION}


def _open_camera(device: int | str) -> VideoCapture:
    with quiet_opencv():
        return cv2.VideoCapture(device, BACKENDS.get(platform.system(), cv2.CAP_ANY))


class Webcam:
    """Delivers the pictures of a camera, and waits for it to come back when it is unplugged.

    Coded pictures (MJPG) are asked for, since uncoded ones of any size exceed USB's bandwidth, and a
    driver queue of one, since every more is a picture more of age. Where the driver stamps pictures
    by the monotonic clock (V4L2 does), that is when they were taken.
    """

    def __init__(
        self, config: WebcamSource, *, open_camera: Callable[[int | str], VideoCapture] = _open_camera
    ) -> None:
        """Make a source; the camera is opened by `frames()`.

        Args:
            config: which camera, and what to ask of it.
            open_camera: opens a device by index or path.
        """
        self.source_id = config.id
        self.frame_id = config.frame_id
        self.is_live = True
        self.drops = DropCounter()
        self._config = config
        self._open_camera = open_camera
        self._stopped = threading.Event()
        self._backoff = Backoff()
        self._next_index = 0

    def frames(self) -> Iterator[Frame]:
        """Yield pictures until `stop`.

        Raises:
            SourceError: the camera cannot be opened, or opens and never delivers a picture.
        """
        while not self._stopped.is_set():
            camera = self._open_camera(self._config.device)
            try:
                if camera.isOpened():
                    self._configure(camera)
                    yield from self._read(camera)
            finally:
                camera.release()
            if self._stopped.is_set():
                return
            if not self._next_index:
                raise SourceError(
                    f"the camera {self._config.device!r} cannot be opened or gives no picture; is it plugged in, "
                    "free (no other program uses it) and allowed to be used? Try another index, 0, 1, 2 …"
                )
            delay_seconds = self._backoff.failed(time.monotonic())
            logger.warning("%s: no picture from the camera, next try in %.1f s", self.source_id, delay_seconds)
            self._stopped.wait(delay_seconds)

    def stop(self) -> None:
        """End `frames()`: at once while it waits to try again, else with the driver's next picture."""
        self._stopped.set()

    def _configure(self, camera: VideoCapture) -> None:
        config = self._config
        # The coding first: on V4L2 it decides which sizes and rates there are.
        camera.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*config.fourcc))
        for name, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, config.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, config.height),
            (cv2.CAP_PROP_FPS, config.fps),
            (cv2.CAP_PROP_BUFFERSIZE, 1),
        ):
            if value is not None:
                camera.set(name, value)
        width, height = camera.get(cv2.CAP_PROP_FRAME_WIDTH), camera.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if config.width is not None and config.height is not None and (width, height) != (config.width, config.height):
            logger.warning(
                "%s: asked the camera for %dx%d, it gives %dx%d",
                self.source_id,
                config.width,
                config.height,
                width,
                height,
            )

    def _read(self, camera: VideoCapture) -> Iterator[Frame]:
        """Pictures until the camera stops delivering."""
        first_ns: int | None = None
        while not self._stopped.is_set():
            is_there, picture = camera.read()
            received_ns, wall_ns = time.monotonic_ns(), time.time_ns()
            if not is_there or picture is None:
                return
            self._backoff.connected(received_ns / NS_PER_SECOND)
            first_ns = received_ns if first_ns is None else first_ns
            stamp_ns = driver_stamp_ns(camera.get(cv2.CAP_PROP_POS_MSEC), received_ns)
            clock: Clock = "arrival" if stamp_ns is None else "driver"
            taken_ns = received_ns if stamp_ns is None else stamp_ns
            index = self._next_index
            self._next_index += 1
            yield Frame(
                image=np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8),
                source_id=self.source_id,
                index=index,
                pts_seconds=(taken_ns - first_ns) / NS_PER_SECOND,
                captured_ns=wall_ns_at(taken_ns, now_monotonic_ns=received_ns, now_wall_ns=wall_ns),
                clock=clock,
                received_ns=received_ns,
            )
