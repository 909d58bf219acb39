"""Cameras that seem to end the workers that hold them. Pure: the caller supplies the time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["Suspects"]

MAX_LOSSES: Final = 3
WINDOW_SECONDS: Final = 600.0


class Suspects:
    """Holds back a camera whose workers were lost again and again.

    A stream that makes a decoder crash would otherwise wander through the fleet and end every worker. Cameras that
    shared a worker with it are innocent, and are distributed over different workers each time; only the common one
    is there whenever a worker is lost.
    """

    def __init__(self) -> None:
        self._losses: dict[str, list[float]] = {}

    def lost(self, cameras: Iterable[str], now: float) -> None:
        """Record the cameras of a worker that was lost at a monotonic time."""
        for camera in cameras:
            recent = [at for at in self._losses.get(camera, ()) if now - at < WINDOW_SECONDS]
            self._losses[camera] = [*recent, now]

    def at(self, now: float) -> frozenset[str]:
        """Return the cameras that lost `MAX_LOSSES` workers within `WINDOW_SECONDS`."""
        return frozenset(
            camera
            for camera, losses in self._losses.items()
            if sum(now - at < WINDOW_SECONDS for at in losses) >= MAX_LOSSES
        )

    def forget(self, camera: str) -> None:
        """Forget a camera that was removed or changed."""
        self._losses.pop(camera, None)
