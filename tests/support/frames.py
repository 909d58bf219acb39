"""Frames for tests."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from streamseg.structures.arrays import ImageArray
from streamseg.structures.frame import Clock, Frame


def make_frame(
    index: int = 0,
    *,
    size: tuple[int, int] = (48, 64),
    source_id: str = "camera",
    value: int | None = None,
    image: ImageArray | None = None,
    captured_ns: int | None = None,
    clock: Clock = "arrival",
    fps: float = 30.0,
) -> Frame:
    """Return a uniform frame (grey value: index modulo 256 by default); `received_ns` starts at 1 s."""
    if image is None:
        image = np.full((*size, 3), index % 256 if value is None else value, np.uint8)
    elapsed_ns = round(index / fps * 1e9)
    return Frame(
        image=image,
        source_id=source_id,
        index=index,
        pts_seconds=index / fps,
        captured_ns=1_700_000_000_000_000_000 + elapsed_ns if captured_ns is None else captured_ns,
        clock=clock,
        received_ns=1_000_000_000 + elapsed_ns,
    )


def take(frames: Iterator[Frame], count: int) -> list[Frame]:
    """Return the next `count` frames of an iterator, which stays open."""
    return [next(frames) for _ in range(count)]
