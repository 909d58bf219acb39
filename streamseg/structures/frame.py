"""One image of a source, with its capture time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from streamseg.structures.arrays import ImageArray
from streamseg.structures.degradation import NO_DEGRADATION, Degradation
from streamseg.structures.nv12 import Nv12Image

if TYPE_CHECKING:
    from streamseg.structures.instances import Instances

__all__ = ["Clock", "Frame"]

Clock = Literal["camera", "driver", "arrival"]
"""Origin of the capture time: the camera's own clock (RTCP), the driver, or the arrival in this program."""


class _Pixels:
    """The attribute `image`: an image on a GPU is converted and copied to the host on first use."""

    def __get__(self, frame: Frame, owner: type[Frame]) -> ImageArray:
        image = frame.__dict__["image"]
        if isinstance(image, Nv12Image):
            image = frame.__dict__["image"] = image.to_host()
        pixels: ImageArray = image
        return pixels

    def __set__(self, frame: Frame, image: ImageArray | Nv12Image) -> None:
        frame.__dict__["image"] = image
        frame.__dict__["nv12"] = image if isinstance(image, Nv12Image) else None


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of one source."""

    image: ImageArray
    """Image (H, W, 3) RGB, 0..255. Never modified after capture. An `Nv12Image` may be passed, too, which is converted
    on first use."""
    source_id: str
    """Id of the source."""
    index: int
    """Number of the frame, counting every frame that the source delivered from 0; a gap is a drop."""
    pts_seconds: float | None
    """Time since the source's first frame, increasing; None if the source gives no time stamps."""
    captured_ns: int
    """Wall clock (ns since the Unix epoch) of the capture, according to `clock`."""
    clock: Clock
    """Origin of `captured_ns`."""
    received_ns: int
    """Monotonic clock (`time.monotonic_ns`) of the arrival in this program."""
    lag_ns: int = 0
    """Time from the capture to the arrival in ns, >= 0; 0 if the capture time is that of the arrival."""
    degradation: Degradation = NO_DEGRADATION
    """How the frame is to be processed, decided when it is taken for the network."""
    instances: Instances | None = None
    """Objects that were recorded with the frame, which then needs no network; None: the network finds them."""

    def __post_init__(self) -> None:
        if self.nv12 is not None:
            return
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(f"image must be uint8 (H, W, 3), got {self.image.dtype} {self.image.shape}")

    @property
    def nv12(self) -> Nv12Image | None:
        """The image as it was decoded, on a GPU; None if it was captured on the host."""
        device_image: Nv12Image | None = self.__dict__["nv12"]
        return device_image

    @property
    def size(self) -> tuple[int, int]:
        """Image size (H, W) in pixels."""
        if self.nv12 is not None:
            return self.nv12.size
        return self.image.shape[0], self.image.shape[1]

    def age_ns(self, now_ns: int) -> int:
        """Return the time since the capture, in ns, at a time of the monotonic clock.

        A step of the wall clock does not change it.
        """
        return now_ns - self.received_ns + self.lag_ns

    def __repr__(self) -> str:
        height, width = self.size
        return f"Frame({self.source_id!r} #{self.index}, {width}x{height}, clock={self.clock})"


Frame.image = _Pixels()  # type: ignore[assignment]  # after `dataclass`, which would take it for a default
