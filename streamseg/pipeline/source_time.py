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
        self._latest: tuple[Frame | None, float] = (None, 0.0)

    def at(self, frame: Frame) -> float:
        """Seconds of this frame since the source's first; frames come in order."""
        seconds = self.expected_at(frame)
        self._latest = (frame, seconds)
        return seconds

    def expected_at(self, frame: Frame) -> float:
        """What `at` would say if this frame came next; from any thread."""
        last, seconds = self._latest
        if last is None:
            return seconds
        arrived_seconds = max(frame.received_ns - last.received_ns, 0) / 1e9
        step = None
        if frame.pts_seconds is not None and last.pts_seconds is not None:
            step = frame.pts_seconds - last.pts_seconds
        return seconds + (step if step is not None and step > 0 else arrived_seconds)
