"""The newest frame of one source, encoded once for all watchers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from streamseg.pipeline import FrameResult
from streamseg.viewer.frames import NumberedFrame

__all__ = ["SENT_FRAMES", "Channel", "Listener", "Slot", "Watcher"]


SENT_FRAMES: Final = 4
"""Number of sent frames kept per source, so that a snapshot shows the frame displayed by the browser: two in flight,
one displayed, one more."""
SNAPSHOT_FRAMES: Final = 2
"""Number of snapshot frames kept per source, so that the image and the JSON of a snapshot are of one frame."""


class Slot:
    """Holds the newest frame of a source, and the few that browsers may display. One thread puts; the event loop reads.

    Args:
        source_id: source of the frames.
    """

    def __init__(self, source_id: str) -> None:
        self.source_id = source_id
        self.newest: NumberedFrame | None = None
        """Newest frame; replaced as a whole, so that it is read without a lock."""
        self._sent: deque[FrameResult] = deque(maxlen=SENT_FRAMES)
        self._snapshots: deque[FrameResult] = deque(maxlen=SNAPSHOT_FRAMES)

    def put(self, result: FrameResult) -> None:
        """Replace the newest frame."""
        seq = 0 if self.newest is None else self.newest.seq + 1
        self.newest = NumberedFrame(seq, result)

    def keep(self, frame: NumberedFrame) -> None:
        """Keep a frame that is sent to a browser for a while."""
        self._sent.append(frame.result)

    def snapshot(self, index: int | None) -> FrameResult | None:
        """Return the frame with this index, or the newest; None if it is unknown or no longer kept."""
        newest = self.newest
        known = [*self._sent, *self._snapshots, *([newest.result] if newest is not None else [])]
        found = next((one for one in reversed(known) if index in (None, one.frame.index)), None)
        if found is not None and found not in self._snapshots:
            self._snapshots.append(found)
        return found


class Watcher(Protocol):
    """A receiver of frames."""

    def end(self) -> None:
        """No more frames follow, because the source was removed; returns at once."""
        ...

    def wants(self, source_id: str, seq: int) -> bool:
        """Return whether this frame would be sent at once."""
        ...

    def offer(self, source_id: str, seq: int, body: bytes) -> None:
        """Accept a wanted frame; returns at once."""
        ...


class Listener(Protocol):
    """A connected page, which is notified of changes."""

    def notify(self, kind: str, text: str) -> None:
        """Send a text soon, in place of a waiting one of the same kind; returns at once."""
        ...

    def forget(self, source_id: str) -> None:
        """Send no more frames of a source that was removed."""
        ...

    async def close(self) -> None:
        """Close the connection because the server stops."""
        ...


class Channel:
    """Encodes a source's newest frame, in another thread, as soon as a watcher has room for it.

    The result is kept until there is a newer frame, so that every watcher receives the same bytes. Everything except
    `slot` and `is_wanted` belongs to the event loop.

    Args:
        slot: holds the frames.
        encode: returns a frame's bytes; called outside the event loop, at most once per frame.
    """

    def __init__(self, slot: Slot, encode: Callable[[NumberedFrame], bytes]) -> None:
        self.slot = slot
        self.is_wanted = False
        """Whether a watcher waits for a frame newer than the present one; read by the thread that puts."""
        self._encode = encode
        self._encoded: tuple[int, bytes] | None = None
        self._watchers: list[Watcher] = []
        self._woken = asyncio.Event()

    def join(self, watcher: Watcher) -> None:
        """Add a watcher; it is offered frames from now on, starting with the newest present one."""
        if watcher not in self._watchers:
            self._watchers.append(watcher)
        self.wake()

    def leave(self, watcher: Watcher) -> None:
        """Remove a watcher."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def wake(self) -> None:
        """Wake `run`: a newer frame is available or a watcher has room."""
        self._woken.set()

    def end(self) -> None:
        """Notify all watchers that no more frames follow."""
        for watcher in self._watchers:
            watcher.end()

    async def run(self) -> None:
        """Encode and offer frames until cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            # Set before the slot is read: a frame put after that wakes this loop again.
            self.is_wanted = any(self._wants_newer(watcher) for watcher in self._watchers)
            newest = self.slot.newest
            if not self.is_wanted or newest is None:
                continue
            if not any(watcher.wants(self.slot.source_id, newest.seq) for watcher in self._watchers):
                continue  # all watchers have it; wait for the next one
            if self._encoded is None or self._encoded[0] != newest.seq:
                self.slot.keep(newest)
                self._encoded = (newest.seq, await asyncio.to_thread(self._encode, newest))
            seq, body = self._encoded
            for watcher in tuple(self._watchers):
                if watcher.wants(self.slot.source_id, seq):
                    watcher.offer(self.slot.source_id, seq, body)
            self.wake()  # a newer frame may have arrived in the meantime

    def _wants_newer(self, watcher: Watcher) -> bool:
        """Return whether the watcher would accept a frame that is newer than any."""
        return watcher.wants(self.slot.source_id, _NEVER)


_NEVER = 1 << 62
