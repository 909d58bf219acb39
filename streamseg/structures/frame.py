"""One picture and when it was taken."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Clock", "Frame"]

Clock = Literal["camera", "driver", "arrival"]
"""Who said when the picture was taken: the camera's own clock (RTCP), the driver, or our arrival time."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of one source."""

    image: npt.NDArray[np.uint8]
    """(H, W, 3) RGB, 0..255. Nobody writes into it after capture."""
    source_id: str
    """Which source it came from."""
    index: int
    """Counts every picture the source delivered, from 0; a gap between two frames is a drop."""
    pts_seconds: float | None
    """Presentation time in the stream, from its start; None where the container has none."""
    captured_ns: int
    """Wall clock (ns since the Unix epoch) when the picture was taken, as told by `clock`."""
    clock: Clock
    """Where `captured_ns` comes from."""
    received_ns: int
    """Monotonic clock (`time.monotonic_ns`) when the frame reached this program."""

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(f"image must be uint8 (H, W, 3), got {self.image.dtype} {self.image.shape}")

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.image.shape[0], self.image.shape[1]

    def __repr__(self) -> str:
        height, width = self.size
        return f"Frame({self.source_id!r} #{self.index}, {width}x{height}, clock={self.clock})"
