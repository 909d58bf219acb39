"""The source of a worker without cameras: it delivers nothing, so that the run and its network stay ready."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from streamseg.capture.health import SourceHealth
from streamseg.structures.frame import Frame
from streamseg.telemetry import DropCounter

__all__ = ["Standby"]


class Standby:
    """A live source without frames, from the start to `stop`.

    A run ends with its last source, and needs one to start. With this one, it has neither beginning nor end of its
    own: a worker loads its network once, cameras come and go, and a spare worker takes over at once.

    Args:
        source_id: name in the status.
    """

    frame_id = ""
    is_live = True

    def __init__(self, source_id: str) -> None:
        self.source_id = source_id
        self.drops = DropCounter()
        self.health = SourceHealth()
        self._stopped = threading.Event()

    def frames(self) -> Iterator[Frame]:
        """Wait for `stop`."""
        self._stopped.wait()
        yield from ()

    def stop(self) -> None:
        """End `frames()`."""
        self._stopped.set()
