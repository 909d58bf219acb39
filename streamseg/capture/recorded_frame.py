"""One frame of a recording, before its image is decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamseg.structures.arrays import ImageArray
from streamseg.structures.frame import Clock

if TYPE_CHECKING:
    from streamseg.structures.instances import Instances

__all__ = ["RecordedFrame"]


@dataclass(frozen=True, eq=False)
class RecordedFrame:
    """A frame with its original index and times."""

    frame_index: int
    captured_ns: int
    clock: Clock
    pts_seconds: float | None
    image: Callable[[], ImageArray]
    """Decodes the image, uint8 (H, W, 3) RGB."""
    instances: Callable[[], Instances] | None = None
    """Returns the recorded objects; None if they were not requested."""
