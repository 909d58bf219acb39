"""Statistics of a run, made up."""

from __future__ import annotations

from typing import Any

from streamseg.runtime import Ages, RunStats, SourceStats
from streamseg.runtime.sink_health import SinkStats

__all__ = ["run_stats", "sink_stats", "source_stats"]


def source_stats(source_id: str = "cam0", **changes: Any) -> SourceStats:
    """A source that has been live for a minute."""
    values: dict[str, Any] = {
        "state": "live",
        "error": None,
        "num_frames": 1800,
        "silent_seconds": 0.03,
        "fps": 30.0,
        "ages": Ages(20.0, 30.0, 40.0),
        "clock": "camera",
        "num_objects": 7,
        "drops": {"mailbox": {"newer_frame": 3}},
        "state_seconds": 60.0,
        "num_connections": 1,
    }
    return SourceStats(source_id=source_id, **{**values, **changes})


def sink_stats(name: str = "messages", **changes: Any) -> SinkStats:
    """A sink that works."""
    values: dict[str, Any] = {"state": "ok", "error": None, "state_seconds": 60.0, "num_written": 1800, "drops": {}}
    return SinkStats(name=name, **{**values, **changes})


def run_stats(*sources: SourceStats, **changes: Any) -> RunStats:
    """A run of these sources."""
    values: dict[str, Any] = {
        "seconds": 60.0,
        "num_frames": sum(source.num_frames for source in sources),
        "fps": 30.0,
        "recent_fps": 30.0,
        "ages": Ages(20.0, 30.0, 40.0),
        "num_objects": sum(source.num_objects for source in sources),
        "drops": {},
        "stages_ms": {},
        "is_paused": False,
        "sources": sources,
    }
    return RunStats(**{**values, **changes})
