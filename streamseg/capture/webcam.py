"""A local camera, through OpenCV."""

from __future__ import annotations

import logging
import platform
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import cv2
import numpy as np

from streamseg.capture.clock import NS_PER_SECOND, driver_stamp_ns, wall_ns_at
from streamseg.capture.health import SourceHealth
from streamseg.capture.source import Backoff
from streamseg.capture.timeline import LiveTimeline
from streamseg.config import WebcamSource
from streamseg.errors import SourceError
from streamseg.imaging import quiet_opencv
from streamseg.structures.frame import Clock, Frame
from streamseg.telemetry import DropCounter

__all__ = ["VideoCapture", "Webcam"]

logger = logging.getLogger(__name__)


HINT = (
    "; check that it is plugged in, not used by another program, and that access is allowed, or try another index "
    "(0, 1, 2 …)"
)


class VideoCapture(Protocol):
    """The part of `cv2.VideoCapture` that is used."""

    def isOpened(self) -> bool:
        """Return whether the camera was opened."""
        ...

    def set(self, propId: int, value: float) -> bool:
        """Request a property value; the driver may choose another one."""
        ...

    def get(self, propId: int) -> float:
        """Return a property value, 0 if the driver does not support the property."""
        ...

    def read(self) -> tuple[bool, Any]:
        """Wait for the next image: (True, BGR) or (False, None)."""
        ...

    def release(self) -> None:
        """Close the camera."""
        ...


# The system's default backend may take minutes to open a camera (MSMF) or ignore the settings.
BACKENDS = {"Linux": cv2.CAP_V4L2, "Windows": cv2.CAP_DSHOW, "Darwin": cv2.CAP_AVFOUNDATION}


def _open_camera(device: int | str) -> VideoCapture:
    with quiet_opencv():
        return cv2.VideoCapture(device, BACKENDS.get(platform.system(), cv2.CAP_ANY))


class Webcam:
    """Source that delivers the frames of a camera, and waits for its return if it is unplugged.

    It requests encoded images (MJPG), because raw images of any useful size exceed the bandwidth of USB,
    and a driver queue of one image, because each additional image adds one frame of latency. If
    the driver stamps images with the monotonic clock (as V4L2 does), the stamp is the capture time.
    """

    def __init__(
        self,
        config: WebcamSource,
        *,
        open_camera: Callable[[int | str], VideoCapture] = _open_camera,
        gives_up: bool = True,
    ) -> None:
        """Create a source; `frames()` opens the camera.

        Args:
            config: the device and the requested settings.
            open_camera: opens a device by index or path.
            gives_up: a camera that cannot be opened at first, or never delivers a frame, is an error; False: it is
                retried until the source is stopped.
        """
        self.source_id = config.id
        self.frame_id = config.frame_id
        self.is_live = True
        self.drops = DropCounter()
        self._config = config
        self._open_camera = open_camera
        self._stopped = threading.Event()
        self._backoff = Backoff(longest_seconds=1.0, random=random.random)
        self._gives_up = gives_up
        self.health = SourceHealth(frozen_seconds=config.frozen_seconds)
        self._timeline = LiveTimeline()
        self._next_index = 0

    def frames(self) -> Iterator[Frame]:
        """Yield frames until `stop`.

        Raises:
            SourceError: the camera cannot be opened, or never delivers a frame.
        """
        was_logged = False
        while not self._stopped.is_set():
            self.health.connecting(time.monotonic_ns())
            num_before = self._next_index
            camera = self._open_camera(self._config.device)
            try:
                if camera.isOpened():
                    self._configure(camera)
                    yield from self._read(camera)
            finally:
                camera.release()
            if self._stopped.is_set():
                return
            if self._gives_up and not self._next_index:
                raise SourceError(f"{self._problem()}{HINT}")
            now_ns = time.monotonic_ns()
            delay_seconds = self._backoff.failed(now_ns / NS_PER_SECOND)
            self.health.disconnected(self._problem(), now_ns)
            if not was_logged or self._next_index > num_before:  # once per interruption
                was_logged = True
                logger.warning(
                    "%s: %s, trying again%s",
                    self.source_id,
                    self._problem(),
                    "" if self._next_index else HINT,
                    extra={"source": self.source_id},
                )
            self._stopped.wait(delay_seconds)

    def _problem(self) -> str:
        if self._next_index:
            return f"no frame from the camera {self._config.device!r}"
        return f"the camera {self._config.device!r} cannot be opened or delivers no frame"

    @property
    def mended(self) -> Counter[str]:
        """Number of discontinuities of the time stamps that were bridged so far, by kind."""
        return self._timeline.mended.copy()

    def stop(self) -> None:
        """End `frames()`: immediately between two attempts, otherwise at the driver's next image."""
        self._stopped.set()

    def _configure(self, camera: VideoCapture) -> None:
        config = self._config
        # The encoding comes first: on V4L2 it determines the available sizes and rates.
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
                "%s: requested %dx%d from the camera, it delivers %dx%d",
                self.source_id,
                config.width,
                config.height,
                width,
                height,
            )

    def _read(self, camera: VideoCapture) -> Iterator[Frame]:
        """Yield frames until the camera stops delivering."""
        self._timeline.reconnected()
        while not self._stopped.is_set():
            is_valid, image = camera.read()
            received_ns, wall_ns = time.monotonic_ns(), time.time_ns()
            if not is_valid or image is None:
                return
            self._backoff.connected(received_ns / NS_PER_SECOND)
            stamp_ns = driver_stamp_ns(camera.get(cv2.CAP_PROP_POS_MSEC), received_ns)
            clock: Clock = "arrival" if stamp_ns is None else "driver"
            captured_monotonic_ns = received_ns if stamp_ns is None else stamp_ns
            index = self._next_index
            self._next_index += 1
            yield Frame(
                image=np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8),
                source_id=self.source_id,
                index=index,
                pts_seconds=self._timeline.at(captured_monotonic_ns / NS_PER_SECOND, received_ns),
                captured_ns=wall_ns_at(captured_monotonic_ns, now_monotonic_ns=received_ns, now_wall_ns=wall_ns),
                clock=clock,
                received_ns=received_ns,
                lag_ns=received_ns - captured_monotonic_ns,
            )
