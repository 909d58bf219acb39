"""The rendered scene as a source of frames."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from streamseg.capture.clock import NS_PER_SECOND, wall_ns_at
from streamseg.capture.source import Unwanted, wanted
from streamseg.config import SceneSource
from streamseg.structures.frame import Frame
from streamseg.synthetic import SceneRenderer
from streamseg.telemetry import DropCounter

__all__ = ["RenderedScene", "newest_due"]


def newest_due(next_index: int, elapsed_seconds: float, fps: float) -> int:
    """Return the index of the frame to deliver next: `next_index`, or a later one that is already due."""
    return max(next_index, int(elapsed_seconds * fps))


class RenderedScene:
    """Source that delivers a rendered scene in real time like a camera, or as fast as it is read.

    `Frame.index` is the index in the scene: `renderer.truth(frame.index)` is the ground truth. A live
    scene knows when each frame was due, and reports that time with the clock "driver"; it renders only wanted frames.
    """

    def __init__(self, config: SceneSource) -> None:
        self.source_id = config.id
        self.frame_id = config.frame_id
        self.is_live = config.mode == "live"
        self.drops = DropCounter()
        self.unwanted: Unwanted = wanted
        self.renderer = SceneRenderer(
            config.width, config.height, num_objects=config.num_objects, seed=config.seed, fps=config.fps
        )
        self._fps = config.fps
        self._num_frames = config.num_frames
        self._stopped = threading.Event()

    def frames(self) -> Iterator[Frame]:
        """Yield frames until `num_frames` of the scene are over or `stop` is called."""
        started_ns = time.monotonic_ns()
        next_index = 0
        while not self._stopped.is_set():
            index = next_index
            if self.is_live:
                index = newest_due(next_index, (time.monotonic_ns() - started_ns) / NS_PER_SECOND, self._fps)
            if self._num_frames is not None:
                index = min(index, self._num_frames)
            if index > next_index:
                self.drops.count("capture", "late", index - next_index)
            if index == self._num_frames:
                return
            due_ns = started_ns + round(index / self._fps * NS_PER_SECOND)
            next_index = index + 1
            if self.is_live and self._stopped.wait(max(due_ns - time.monotonic_ns(), 0) / NS_PER_SECOND):
                return
            reason = self.unwanted() if self.is_live else None
            if reason is None:
                yield self._frame(index, due_ns)
            else:
                self.drops.count("capture", reason)

    def stop(self) -> None:
        """End `frames()` immediately."""
        self._stopped.set()

    def _frame(self, index: int, due_ns: int) -> Frame:
        image = self.renderer.render(index)
        received_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        return Frame(
            image=image,
            source_id=self.source_id,
            index=index,
            pts_seconds=index / self._fps,
            captured_ns=wall_ns_at(due_ns, now_monotonic_ns=received_ns, now_wall_ns=wall_ns)
            if self.is_live
            else wall_ns,
            clock="driver" if self.is_live else "arrival",
            received_ns=received_ns,
        )
