"""Who was seen beside whom: two that were seen at once are two objects."""

from __future__ import annotations

from collections.abc import Set
from typing import Final

__all__ = ["Coexistence"]

FORGET_SECONDS: Final = 60.0
"""An identity that was not seen for so long is let go of; trackers give none up for less than its `max_lost_seconds`,
and no identity twice."""


class Coexistence:
    """For each identity of one source, the identities that were seen in the same frame as it, at any time."""

    def __init__(self) -> None:
        self._met: dict[int, set[int]] = {}
        self._last_seen: dict[int, float] = {}
        self._present: frozenset[int] = frozenset()

    def update(self, track_ids: Set[int], time_seconds: float) -> None:
        """Take in one frame, in which these were seen."""
        present = frozenset(track_ids)
        arrived = present - self._present
        for identity in arrived:
            # Those that stayed have met each other before: only what arrives is met anew.
            self._met.setdefault(identity, set()).update(present)
            for other in present:
                self._met.setdefault(other, set()).add(identity)
        for identity in self._present - present:
            self._last_seen[identity] = time_seconds
        for identity in arrived:
            self._last_seen.pop(identity, None)
        self._present = present
        if self._last_seen:
            self._forget(time_seconds)

    def met(self, track_id: int) -> Set[int]:
        """All that were seen beside it, itself included; none for one that is not known."""
        return self._met.get(track_id, frozenset())

    def _forget(self, time_seconds: float) -> None:
        # In the order in which they went, as dictionaries keep it.
        for identity, gone_seconds in list(self._last_seen.items()):
            if time_seconds - gone_seconds < FORGET_SECONDS:
                return
            del self._last_seen[identity]
            for other in self._met.pop(identity):
                if other != identity and other in self._met:
                    self._met[other].discard(identity)
