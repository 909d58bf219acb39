"""The sources of a run: their threads and health, and changes while it runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from streamseg.capture import Source
from streamseg.capture.health import SourceHealth
from streamseg.capture.source import CapturesOnDemand, ReportsHealth
from streamseg.errors import DataError, SourceError
from streamseg.runtime.deadlines import NO_LIMITS, SourceLimits
from streamseg.runtime.frame_queue import Feed, FrameQueue
from streamseg.runtime.workers import Worker, capture
from streamseg.structures.source_status import SourceState, SourceStatus

__all__ = ["SourceGroup", "SourceRun"]

logger = logging.getLogger(__name__)

LOGGED_HERE: frozenset[SourceState] = frozenset({"live", "stalled", "frozen"})
"""States whose beginning is logged here; sources log their connections and errors themselves."""

MAX_DESCRIBED = 8
"""Maximum number of sources in one line."""


@dataclass(eq=False)
class SourceRun:
    """One source of a run, from its addition to its removal."""

    source: Source
    health: SourceHealth
    feed: Feed
    worker: Worker | None = None
    """Its thread; None before the start."""
    error: SourceError | None = None
    """The error that ended it."""
    failed_ns: int = 0
    """Monotonic time of that error."""
    logged: SourceState = "connecting"
    """State that was logged last."""


class SourceGroup:
    """All sources of a run, one thread each. Thread-safe.

    Args:
        sources: the first ones; their ids must differ.
        frames: the queue that receives their frames; it has the same sources.
    """

    def __init__(self, sources: Sequence[Source], frames: FrameQueue) -> None:
        self._frames = frames
        self._runs = {source.source_id: self._run_of(source) for source in sources}
        self._lock = threading.Lock()
        self._is_started = self._is_stopped = False
        self._workers: list[Worker] = []

    @property
    def ids(self) -> tuple[str, ...]:
        """Source ids, in the order of their addition."""
        return tuple(self._runs)

    @property
    def runs(self) -> tuple[SourceRun, ...]:
        """The sources, in the order of their addition."""
        return tuple(self._runs.values())

    def get(self, source_id: str) -> SourceRun | None:
        """Return a source; None if it was removed or is unknown."""
        return self._runs.get(source_id)

    @property
    def any_live(self) -> bool:
        """Whether any source is live."""
        return any(run.source.is_live for run in self.runs)

    @property
    def any_delivered(self) -> bool:
        """Whether any source has delivered a frame."""
        return any(run.health.num_connections for run in self.runs)

    def describe(self, now_ns: int) -> str:
        """Return the states of the first sources, and their errors, in one line."""
        found = [
            f"{source_id}: {status.state}{f' ({status.error})' if status.error is not None else ''}"
            for source_id, status in self.statuses(now_ns).items()
        ]
        return ", ".join([*found[:MAX_DESCRIBED], *(["…"] if len(found) > MAX_DESCRIBED else [])])

    @property
    def errors(self) -> tuple[SourceError, ...]:
        """Errors of the sources that have failed, in the order of the failures."""
        failed = sorted((run for run in self.runs if run.error is not None), key=lambda run: run.failed_ns)
        return tuple(run.error for run in failed if run.error is not None)

    @property
    def workers(self) -> tuple[Worker, ...]:
        """The threads, also of removed sources that have not ended yet."""
        with self._lock:
            self._workers = [worker for worker in self._workers if worker.is_alive()]
            return tuple(self._workers)

    def statuses(self, now_ns: int) -> dict[str, SourceStatus]:
        """Return the status of each source at a monotonic time."""
        return {run.source.source_id: run.health.status(now_ns) for run in self.runs}

    def start(self) -> None:
        """Start the threads."""
        with self._lock:
            self._is_started = True
            for run in self.runs:
                self._start(run)

    def stop(self) -> None:
        """Stop all sources; idempotent."""
        with self._lock:
            self._is_stopped = True
            for run in self.runs:
                run.source.stop()

    def add(self, source: Source, limits: SourceLimits = NO_LIMITS) -> None:
        """Add a source to a run in progress.

        Raises:
            DataError: its id is in use, or the run has ended.
        """
        with self._lock:
            self._check_running()
            if source.source_id in self._runs:
                raise DataError(f"there is a source {source.source_id!r}; choose another id, or remove it first")
            try:
                self._frames.add_source(source.source_id, is_live=source.is_live, limits=limits)
            except ValueError as error:
                raise DataError(f"cannot add the source {source.source_id!r}: {error}") from error
            self._begin(source)

    def remove(self, source_id: str) -> None:
        """Remove a source; its waiting frames are dropped and counted, and its thread ends by itself.

        Raises:
            DataError: it is unknown or the only one, or the run has ended.
        """
        with self._lock:
            self._check_running()
            run = self._known(source_id)
            if len(self._runs) == 1:
                raise DataError(f"{source_id!r} is the only source, and a run needs one; add another one first")
            del self._runs[source_id]
            self._frames.remove_source(source_id)
            run.source.stop()

    def replace(self, source: Source, limits: SourceLimits = NO_LIMITS) -> None:
        """Replace the source with the same id, also one that has ended.

        Raises:
            DataError: it is unknown, or the run has ended.
        """
        with self._lock:
            self._check_running()
            run = self._known(source.source_id)
            try:
                self._frames.replace_source(source.source_id, is_live=source.is_live, limits=limits)
            except ValueError as error:
                raise DataError(f"cannot restart the source {source.source_id!r}: {error}") from error
            run.source.stop()
            self._begin(source)

    def log_changes(self, now_ns: int) -> None:
        """Log the states that have begun since the last call: stalled, frozen, and live again."""
        for run in self.runs:
            status = run.health.status(now_ns)
            before, run.logged = run.logged, status.state
            if status.state == before or status.state not in LOGGED_HERE:
                continue
            source_id = run.source.source_id
            extra = {"source": source_id}
            if status.state == "stalled":
                logger.warning("%s: stalled, no frame for %.1f s", source_id, status.seconds, extra=extra)
            elif status.state == "frozen":
                logger.warning("%s: frozen, the same image for %.0f s", source_id, status.seconds, extra=extra)
            elif before != "connecting" or status.error is not None:
                logger.warning("%s: live again", source_id, extra=extra)

    def _begin(self, source: Source) -> None:
        run = self._runs[source.source_id] = self._run_of(source)
        if self._is_started:
            self._start(run)

    def _run_of(self, source: Source) -> SourceRun:
        health = source.health if isinstance(source, ReportsHealth) else SourceHealth(is_live=source.is_live)
        return SourceRun(source, health, self._frames.feed(source.source_id))

    def _start(self, run: SourceRun) -> None:
        run.health.connecting(time.monotonic_ns())
        if isinstance(run.source, CapturesOnDemand):
            run.source.unwanted = partial(_unwanted, run)
        run.worker = Worker(
            f"capture {run.source.source_id}",
            partial(capture, run.source, run.feed, run.health),
            closing=[partial(self._end, run)],
            report=partial(self._fail, run),
        )
        # Those that have ended hold their sources: decoders and images.
        self._workers = [*(worker for worker in self._workers if worker.is_alive()), run.worker]
        run.worker.start()

    def _end(self, run: SourceRun) -> None:
        run.health.ended(time.monotonic_ns())
        run.feed.end()

    def _fail(self, run: SourceRun, error: BaseException) -> None:
        """End one source with an error; an error caused by stopping ends nothing."""
        source_id = run.source.source_id
        if isinstance(error, SourceError):
            failure = error
        else:
            failure = SourceError(f"source {source_id} failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
        with self._lock:
            is_current = self._runs.get(source_id) is run
            if is_current and len(self._runs) > 1:  # an only source's error is raised and need not be reported twice
                logger.error("%s", failure)
            if is_current and not self._is_stopped:
                run.error, run.failed_ns = failure, time.monotonic_ns()
                run.health.failed(str(failure), run.failed_ns)

    def _known(self, source_id: str) -> SourceRun:
        run = self._runs.get(source_id)
        if run is None:
            raise DataError(f"no source {source_id[:64]!r}; sources are {', '.join(self._runs)}")
        return run

    def _check_running(self) -> None:
        if self._is_stopped:
            raise DataError("the run has ended")


def _unwanted(run: SourceRun) -> str | None:
    """Return the reason why a frame of a source need not be decoded; that it arrived is reported in any case."""
    reason = run.feed.unwanted()
    if reason is not None:
        run.health.skipped(time.monotonic_ns())
    return reason
