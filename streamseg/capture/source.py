"""What every source offers, whatever it reads from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from streamseg.structures.frame import Frame
from streamseg.telemetry import DropCounter

__all__ = ["Source"]


class Source(Protocol):
    """Delivers the pictures of one camera, file, folder or scene, once.

    A source is used by one thread, except for `stop` and for reading `drops`. Nothing is opened
    before the first step of `frames()`, and whatever was opened is closed when that iterator ends,
    is closed or raises.
    """

    source_id: str
    """Name in topics and files, as in every frame."""
    frame_id: str
    """Name of the coordinate frame, for robots; may be empty."""
    is_live: bool
    """True: the newest frame wins and old ones may be dropped; False: every frame must be used."""
    drops: DropCounter
    """Frames that this source could not or did not deliver, stage "capture". Their number is the number
    of gaps in `Frame.index`."""

    def frames(self) -> Iterator[Frame]:
        """Yield frames as they come, blocking in between; ends with the source or after `stop`.

        Raises:
            SourceError: the source cannot be opened, or broke in a way that trying again cannot mend.
        """
        ...

    def stop(self) -> None:
        """Make `frames()` end, from any thread and any number of times.

        It ends within 0.2 s, or as soon as the driver returns from a read it cannot be called out of.
        """
        ...
