"""State of one source, as reported to operators and subscribers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

__all__ = ["AWAY_STATES", "SOURCE_STATES", "SourceState", "SourceStatus"]

SourceState = Literal["connecting", "live", "stalled", "frozen", "waiting", "denied", "ended", "failed"]
"""State of a source.

connecting   it is being opened, and no frame has arrived yet
live         it delivers frames
stalled      it is connected, but no frame arrives
frozen       it delivers frames, but the image does not change
waiting      there is no connection; attempts follow one another
denied       it rejects the connection (user, password, path) or sends no video; attempts are rare
ended        it delivers no more frames: the end of a file, or removed
failed       an error ended it
"""

SOURCE_STATES: Final[tuple[SourceState, ...]] = get_args(SourceState)
AWAY_STATES: Final[frozenset[SourceState]] = frozenset({"connecting", "waiting", "denied", "failed"})
"""States without a present image: the objects of the latest message say nothing about now."""


@dataclass(frozen=True)
class SourceStatus:
    """State of one source at one moment."""

    state: SourceState
    seconds: float = 0.0
    """Time in this state, in seconds."""
    error: str | None = None
    """Last error in one line without secrets, also after a recovery; None if there was none."""
