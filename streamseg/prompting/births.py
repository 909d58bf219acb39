"""When identities began: what is older than the loss of an object is another one."""

from __future__ import annotations

from collections.abc import Set
from typing import Final

__all__ = ["Births"]

FORGET_SECONDS: Final = 60.0
"""An identity that was not seen for so long is let go of; trackers give none up for less than its `max_lost_seconds`,
and no identity twice."""
SWEEP_SECONDS: Final = 10.0
"""Every so often they are looked through for those."""


class Births:
    """When each identity of one source was seen first."""

    def __init__(self) -> None:
        self._began: dict[int, float] = {}
        self._present: frozenset[int] = frozenset()
        self._last_seen: dict[int, float] = {}
        self._swept_seconds = 0.0

    def __len__(self) -> int:
        return len(self._began)

    def update(self, track_ids: Set[int], time_seconds: float) -> None:
        """Take in one frame, in which these were seen."""
        present = frozenset(track_ids)
        for identity in present - self._present:
            self._began.setdefault(identity, time_seconds)
            self._last_seen.pop(identity, None)
        for identity in self._present - present:
            self._last_seen[identity] = time_seconds
        self._present = present
        if time_seconds - self._swept_seconds >= SWEEP_SECONDS:
            self._sweep(time_seconds)

    def since(self, time_seconds: float) -> frozenset[int]:
        """Of the identities in the newest frame those that began after this."""
        return frozenset(identity for identity in self._present if self._began[identity] > time_seconds)

    def _sweep(self, time_seconds: float) -> None:
        self._swept_seconds = time_seconds
        gone = [one for one, seconds in self._last_seen.items() if time_seconds - seconds >= FORGET_SECONDS]
        for identity in gone:
            del self._last_seen[identity], self._began[identity]
