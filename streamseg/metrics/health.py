"""Liveness and readiness of a run, from its statistics. Pure.

Alive: a restart would not help. A camera that is away is no reason for one; frames that arrive and are not finished
are. Ready: a source delivers, and its frames are finished.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streamseg.runtime import RunStats, SourceStats

__all__ = ["STUCK_SECONDS", "Health", "liveness", "readiness"]

STUCK_SECONDS: Final = 60.0
"""Time without a finished frame after which a source that delivers frames counts as stuck."""
FIRST_FRAME_SECONDS: Final = 300.0
"""The same before the first frame: TensorRT compiles for minutes."""


@dataclass(frozen=True)
class Health:
    """Answer to one health check."""

    is_ok: bool
    reason: str
    """One line."""


def liveness(stats: RunStats | None) -> Health:
    """Return whether frames that arrive are finished; `stats`: None before the start of the run, which is alive."""
    if stats is None:
        return Health(True, "starting")
    stuck = [] if stats.is_paused else [source.source_id for source in stats.sources if _is_stuck(source)]
    if stuck:
        return Health(False, f"frames arrive and are not finished: {', '.join(stuck)}")
    return Health(True, "ok")


def readiness(stats: RunStats | None) -> Health:
    """Return whether a source delivers finished frames; `stats`: None before the start of the run."""
    alive = liveness(stats)
    if stats is None:
        return Health(False, "starting")
    if not alive.is_ok:
        return alive
    if not any(source.num_frames and source.state in ("live", "frozen", "ended") for source in stats.sources):
        states = ", ".join(f"{source.source_id} {source.state}" for source in stats.sources)
        return Health(False, f"no source delivers: {states}")
    return Health(True, "ok")


def _is_stuck(source: SourceStats) -> bool:
    if source.state not in ("live", "frozen"):
        return False
    if source.silent_seconds is None:
        return source.state_seconds > FIRST_FRAME_SECONDS
    # A source that has just returned has finished no frame since its loss.
    return min(source.silent_seconds, source.state_seconds) > STUCK_SECONDS
