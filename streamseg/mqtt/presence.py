"""Is a followed object there? Seen, lost and back, with the place and the time of the last change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from streamseg.structures.message import Message, PromptStatus

__all__ = ["PRESENCES", "Presence", "PresenceBook", "PresenceState"]

PresenceState = Literal["unknown", "seen", "lost", "back"]
"""Presence of an object.

unknown   no object has matched the prompt yet
seen      it is visible
lost      it was visible, and has not been for `lost_after_ns`
back      it is visible again after it was lost
"""

PRESENCES: Final[tuple[PresenceState, ...]] = get_args(PresenceState)


@dataclass(frozen=True)
class Presence:
    """Presence of the object of one prompt in the images of one source."""

    state: PresenceState = "unknown"
    since_ns: int | None = None
    """Capture time (ns since the Unix epoch) of the frame with which the state began: for `lost`, of the last frame in
    which the object was visible. None: no frame yet."""
    visible_ns: int | None = None
    """Capture time of the last frame in which the object was visible; None: never."""
    confidence: float = 0.0
    """Confidence that the visible object is the intended one, 0..1; 0 while it is not visible."""
    track_id: int = -1
    centroid: tuple[float, float] | None = None
    """Centroid (x, y) of the last visible mask, as fractions of the image's width and height, 0..1; None: never
    visible."""
    box: tuple[float, float, float, float] | None = None
    """Box xyxy of the last visible mask, as fractions of the image's width and height."""

    @property
    def is_visible(self) -> bool:
        """Whether the object counts as present."""
        return self.state in ("seen", "back")


class PresenceBook:
    """Presences by (source id, prompt id), updated frame by frame.

    An object that disappears for less than `lost_after_ns`, as behind a passer-by, stays present.

    Args:
        lost_after_ns: time without the object after which it is lost.
    """

    def __init__(self, lost_after_ns: int) -> None:
        self._lost_after_ns = lost_after_ns
        self._presences: dict[str, dict[str, Presence]] = {}

    def update(self, message: Message) -> None:
        """Take the prompts of one frame. Prompts that are no longer in force are forgotten."""
        before = self._presences.get(message.source_id, {})
        self._presences[message.source_id] = {
            status.prompt_id: self._next(before.get(status.prompt_id, Presence()), status, message)
            for status in message.prompts
        }

    def forget(self, source_id: str) -> None:
        """Forget a source that was removed."""
        self._presences.pop(source_id, None)

    def snapshot(self) -> dict[str, dict[str, Presence]]:
        """Return the presences by source id and prompt id; every source that has delivered a frame is a key."""
        return {source_id: dict(presences) for source_id, presences in self._presences.items()}

    def _next(self, before: Presence, status: PromptStatus, message: Message) -> Presence:
        now = message.captured_ns
        found = message.of(status.prompt_id)
        if status.state in ("bound", "reacquired") and found:
            height, width = message.image_size
            (x, y), (x0, y0, x1, y1) = found[0].centroid, found[0].box
            state: PresenceState = before.state if before.is_visible else "seen"
            if before.state == "lost":
                state = "back"
            return Presence(
                state=state,
                since_ns=before.since_ns if state == before.state else now,
                visible_ns=now,
                confidence=status.confidence,
                track_id=status.track_id,
                centroid=(_share(x, width), _share(y, height)),
                box=(_share(x0, width), _share(y0, height), _share(x1, width), _share(y1, height)),
            )
        if before.is_visible:
            assert before.visible_ns is not None  # set with every visible frame
            # A clock that is set back must not keep a lost object for an hour.
            if 0 <= now - before.visible_ns < self._lost_after_ns:
                return before
            return replace(before, state="lost", since_ns=before.visible_ns, confidence=0.0)
        return before if before.since_ns is not None else replace(before, since_ns=now)


def _share(position: float, size: int) -> float:
    return round(min(max(position / size, 0.0), 1.0), 4)
