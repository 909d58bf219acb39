"""Numbers the pictures of a source and accounts for the missing ones."""

from __future__ import annotations

from streamseg.telemetry import DropCounter

__all__ = ["Numbering"]


class Numbering:
    """Gives out frame indices, so that each gap in them is one counted drop."""

    def __init__(self, drops: DropCounter, *, vid_stride: int = 1) -> None:
        self._drops = drops
        self._vid_stride = vid_stride
        self._num_pictures = 0
        self._next_index = 0

    def take(self) -> int | None:
        """The index of the next picture; None where the stride passes over it."""
        position = self._num_pictures
        self._num_pictures += 1
        if position % self._vid_stride:
            return None
        index = self._next_index
        self._next_index += 1
        return index

    def drop(self, reason: str) -> None:
        """The next picture is lost; one that the stride passes over anyway is no loss."""
        if self.take() is not None:
            self._drops.count("capture", reason)
