"""The newest frame of one source, and what is made of it once for all who watch."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from streamseg.pipeline import FrameResult
from streamseg.viewer.frames import Numbered

__all__ = ["Channel", "Slot", "Watcher"]


MADE_FRAMES: Final = 4
"""Of each source, so that a snapshot is of the frame that the browser shows: two on their way, one shown, one more."""
SNAPSHOT_FRAMES: Final = 2
"""So that the picture and the JSON of a snapshot are of one frame."""


class Slot:
    """Holds the newest frame of a source, and the few that may be on a screen. One thread puts; the event loop looks.

    Args:
        source_id: of the frames.
    """

    def __init__(self, source_id: str) -> None:
        self.source_id = source_id
        self.newest: Numbered | None = None
        """Replaced as a whole, so that it is read without a lock."""
        self._made: deque[FrameResult] = deque(maxlen=MADE_FRAMES)
        self._snapshots: deque[FrameResult] = deque(maxlen=SNAPSHOT_FRAMES)

    def put(self, result: FrameResult) -> None:
        """Take the place of the frame before."""
        seq = 0 if self.newest is None else self.newest.seq + 1
        self.newest = Numbered(seq, result)

    def keep(self, numbered: Numbered) -> None:
        """Remember for a while a frame that is sent to somebody."""
        self._made.append(numbered.result)

    def snapshot(self, index: int | None) -> FrameResult | None:
        """The frame of this number, or the newest; None where there is none, or not any more."""
        newest = self.newest
        known = [*self._made, *self._snapshots, *([newest.result] if newest is not None else [])]
        found = next((one for one in reversed(known) if index in (None, one.frame.index)), None)
        if found is not None and found not in self._snapshots:
            self._snapshots.append(found)
        return found


class Watcher(Protocol):
    """Somebody who is sent frames of a source."""

    def wants(self, source_id: str, seq: int) -> bool:
        """Whether this frame would be sent on at once."""
        ...

    def offer(self, source_id: str, seq: int, body: bytes) -> None:
        """Take a frame that is wanted; returns at once."""
        ...


class Channel:
    """Makes one thing of a source's newest frame, in another thread, when somebody has room for it.

    What was made stays until there is a newer frame, so that everybody gets the same bytes. All but `slot`
    and `is_wanted` belongs to the event loop.

    Args:
        slot: where the frames are.
        make: a frame's bytes; called outside the event loop, once per frame at most.
    """

    def __init__(self, slot: Slot, make: Callable[[Numbered], bytes]) -> None:
        self.slot = slot
        self.is_wanted = False
        """Whether somebody waits for a frame newer than the one that is there; read by the thread that puts."""
        self.num_made = 0
        self._make = make
        self._made: tuple[int, bytes] | None = None
        self._watchers: list[Watcher] = []
        self._woken = asyncio.Event()

    def join(self, watcher: Watcher) -> None:
        """Offer frames from now on, beginning with the newest there is."""
        if watcher not in self._watchers:
            self._watchers.append(watcher)
        self.wake()

    def leave(self, watcher: Watcher) -> None:
        """Offer nothing any more."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def wake(self) -> None:
        """Look again: there is a newer frame, or a watcher has room."""
        self._woken.set()

    async def run(self) -> None:
        """Make and offer, until cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            # Set before the slot is looked at: a frame put after that wakes this loop again.
            self.is_wanted = any(self._may_want(watcher) for watcher in self._watchers)
            newest = self.slot.newest
            if not self.is_wanted or newest is None:
                continue
            if not any(watcher.wants(self.slot.source_id, newest.seq) for watcher in self._watchers):
                continue  # it was sent to all of them; the next one is waited for
            if self._made is None or self._made[0] != newest.seq:
                self.slot.keep(newest)
                self._made = (newest.seq, await asyncio.to_thread(self._make, newest))
                self.num_made += 1
            seq, body = self._made
            for watcher in tuple(self._watchers):
                if watcher.wants(self.slot.source_id, seq):
                    watcher.offer(self.slot.source_id, seq, body)
            self.wake()  # a newer frame may have come meanwhile

    def _may_want(self, watcher: Watcher) -> bool:
        """Whether it would take a frame that is newer than any."""
        return watcher.wants(self.slot.source_id, _NEVER)


_NEVER = 1 << 62
