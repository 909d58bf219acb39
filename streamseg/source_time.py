"""The time of a source, as trackers need it."""

from __future__ import annotations

from streamseg.structures.frame import Frame

__all__ = ["SourceTime"]


class SourceTime:
    """Seconds of one source that never run backwards.

    Presentation times are exact, but start again when a camera comes back or a file is repeated; the
    time that really passed bridges such a step. A source without them goes by arrival.
    """

    def __init__(self) -> None:
        self._last: Frame | None = None
        self._seconds = 0.0

    def at(self, frame: Frame) -> float:
        """Seconds of this frame since the source's first; frames come in order."""
        if self._last is not None:
            arrived_seconds = max(frame.received_ns - self._last.received_ns, 0) / 1e9
            step = None
            if frame.pts_seconds is not None and self._last.pts_seconds is not None:
                step = frame.pts_seconds - self._last.pts_seconds
            self._seconds += step if step is not None and step > 0 else arrived_seconds
        self._last = frame
        return self._seconds
