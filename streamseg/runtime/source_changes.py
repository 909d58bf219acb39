"""Sources that come and go while a run is in progress, and the parts of the run that must know."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from streamseg.capture import Source
from streamseg.pipeline import Pipeline
from streamseg.runtime.deadlines import SourceLimits
from streamseg.runtime.sink_group import SinkGroup
from streamseg.runtime.sources import SourceGroup
from streamseg.runtime.stats_collector import StatsCollector
from streamseg.runtime.workers import FollowsSources
from streamseg.structures.source_status import SourceState

__all__ = ["SourceChanges"]

ENDED: Final[tuple[SourceState, ...]] = ("ended", "failed")


class SourceChanges:
    """Adds, replaces and removes sources of a run. Thread-safe, except for `finish`.

    Args:
        sources: the sources of the run.
        pipeline: the pipeline of the run.
        sinks: the sinks of the run.
        collector: its statistics.
        followers: sinks that must know their sources in advance.
    """

    def __init__(
        self,
        sources: SourceGroup,
        pipeline: Pipeline,
        sinks: SinkGroup,
        collector: StatsCollector,
        followers: Sequence[FollowsSources],
    ) -> None:
        self._sources = sources
        self._pipeline = pipeline
        self._sinks = sinks
        self._collector = collector
        self._followers = tuple(followers)
        self._finished: set[str] = set()

    @property
    def finished(self) -> frozenset[str]:
        """Sources that have ended and whose last frames are finished. Thread-safe."""
        return frozenset(tuple(self._finished))

    def add(self, source: Source, limits: SourceLimits) -> None:
        """Add a source.

        Raises:
            DataError: its id is in use, or the run has ended.
        """
        self._pipeline.name_frame(source.source_id, source.frame_id)
        for sink in self._followers:
            sink.add_source(source.source_id, is_live=source.is_live)
        self._finished.discard(source.source_id)
        self._sources.add(source, limits)

    def replace(self, source: Source, limits: SourceLimits) -> None:
        """Replace the source with the same id, also one that has ended or failed.

        Raises:
            DataError: it is unknown, or the run has ended.
        """
        self._pipeline.name_frame(source.source_id, source.frame_id)
        self._finished.discard(source.source_id)
        self._sources.replace(source, limits)

    def remove(self, source_id: str) -> None:
        """Remove a source; its waiting frames are dropped and counted, and its prompts become lost.

        Raises:
            DataError: it is unknown or the only one, or the run has ended.
        """
        self._sources.remove(source_id)
        self._finished.discard(source_id)

    def finish(self, source_id: str) -> None:
        """End a source after its last frame; forget it if it was removed and not added again.

        Called by the thread that writes the results.
        """
        self._pipeline.end_source(source_id)
        run = self._sources.get(source_id)
        if (
            run is not None and run.health.status(time.monotonic_ns()).state in ENDED
        ):  # not if another one has taken its place
            self._finished.add(source_id)
        if run is None:
            self._pipeline.forget_source(source_id)
            self._sinks.remove_source(source_id)
            self._collector.forget(source_id)
            for sink in self._followers:
                sink.remove_source(source_id)
