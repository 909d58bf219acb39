"""Source of the frames that a node receives."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Final

from streamseg.structures.arrays import ImageArray
from streamseg.structures.frame import Frame
from streamseg.telemetry import DropCounter

__all__ = ["RosImages"]

LONGEST_GAP_NS: Final = 10 * 10**9
"""Stamps that jump by more, or backwards, belong to another clock, such as that of a bag which starts again."""


class RosImages:
    """Live source of one image topic: the newest frame wins, others are counted as drops.

    Frames have the stamps of their messages. The age of a frame counts from its stamp, or from its arrival if the stamp
    is older than `LONGEST_GAP_NS`, as in a bag that is played.

    Args:
        source_id: id of the source.
        frame_id: name of the coordinate frame; "" for that of the messages.
    """

    is_live = True

    def __init__(self, source_id: str, frame_id: str = "") -> None:
        self.source_id = source_id
        self.frame_id = frame_id
        self.drops = DropCounter()
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._is_stopped = False
        self._num_frames = 0
        self._seconds = 0.0
        self._last: tuple[int, int] | None = None
        """Stamp and arrival (monotonic) of the last frame, in ns."""

    def offer(self, image: ImageArray, captured_ns: int) -> None:
        """Deliver an image; it replaces one that nobody has taken yet.

        Args:
            image: uint8 (H, W, 3) RGB; must not be modified afterwards.
            captured_ns: its stamp, in ns since the Unix epoch or of the robot's clock; 0: none, the arrival counts.
        """
        received_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        stamp = captured_ns if captured_ns > 0 else wall_ns
        lag_ns = wall_ns - stamp
        with self._changed:
            self._seconds += self._step_ns(stamp, received_ns) / 1e9
            if self._newest is not None:
                self.drops.count("capture", "newer_frame")
            self._newest = Frame(
                image=image,
                source_id=self.source_id,
                index=self._num_frames,
                pts_seconds=self._seconds,
                captured_ns=stamp,
                clock="driver" if captured_ns > 0 else "arrival",
                received_ns=received_ns,
                lag_ns=lag_ns if 0 <= lag_ns <= LONGEST_GAP_NS else 0,
            )
            self._num_frames += 1
            self._changed.notify_all()

    def frames(self) -> Iterator[Frame]:
        """Yield the newest frame whenever there is one, until `stop`."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_stopped or self._newest is not None)
                if self._is_stopped:
                    return
                frame, self._newest = self._newest, None
            if frame is not None:
                yield frame

    def stop(self) -> None:
        """End `frames()`."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def _step_ns(self, stamp: int, received_ns: int) -> int:
        """Return the time since the previous frame: by stamps, or by arrival if they jump."""
        last, self._last = self._last, (stamp, received_ns)
        if last is None:
            return 0
        step = stamp - last[0]
        return step if 0 < step <= LONGEST_GAP_NS else max(received_ns - last[1], 1)
