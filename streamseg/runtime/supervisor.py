"""Starts the threads, watches them, and ends them: the run as a whole."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType

from streamseg.capture import Source
from streamseg.config import BatchingConfig
from streamseg.errors import SourceError
from streamseg.pipeline import FrameResult, Pipeline
from streamseg.runtime.batching import Batcher
from streamseg.runtime.figures import RunStats
from streamseg.runtime.handover import SlotQueue
from streamseg.runtime.mailbox import FrameQueue
from streamseg.runtime.stats import Ledger
from streamseg.runtime.workers import Segmented, Sink, Worker, capture, finish, segment
from streamseg.structures.message import PromptStatus

__all__ = ["Runtime"]

logger = logging.getLogger(__name__)

STOP_SECONDS = 0.9
"""After a stop or an error, threads that have not ended by then are left behind."""
FLUSH_SECONDS = 5.0
"""The same for the thread that closes the sinks: a file that is not closed is a file that is lost."""


class Runtime:
    """Moves frames from sources through a pipeline to sinks, once.

    One thread for each source, one for the network, one for everything after it. Live sources have a
    mailbox of one place, where the newest frame wins; files wait for their turn and lose nothing. A
    source that fails ends alone; any other error ends the run, and the first is raised by `run`.

    Args:
        sources: with different ids.
        pipeline: used by this run alone.
        sinks: get every result; closed when the run ends, or by leaving the context if it never started.
        batching: which frames go together.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        pipeline: Pipeline,
        sinks: Sequence[Sink] = (),
        *,
        batching: BatchingConfig | None = None,
    ) -> None:
        self.pipeline = pipeline
        self._sources = {source.source_id: source for source in sources}
        if len(self._sources) < len(sources):
            raise ValueError(f"source ids must differ, got {[source.source_id for source in sources]}")
        self._sinks = tuple(sinks)
        self._intake = FrameQueue(
            {source.source_id: source.is_live for source in sources},
            Batcher(batching if batching is not None else BatchingConfig()),
        )
        self._ledger = Ledger(self._sources, self._intake, self._sinks, pipeline.timer)
        self._handover: SlotQueue[Segmented] = SlotQueue()
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._workers: list[Worker] = []
        self._is_flushed = False
        self._stopped_at: float | None = None
        self._started_ns = self._ended_ns = 0

    def __enter__(self) -> Runtime:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._started_ns:
            for sink in self._sinks:
                sink.close()

    def run(
        self,
        on_figures: Callable[[RunStats], None] | None = None,
        *,
        interval_seconds: float = 1.0,
        duration_seconds: float | None = None,
    ) -> RunStats:
        """Run until every source has ended, `stop` is called, or something fails.

        Args:
            on_figures: called in this thread at every interval.
            interval_seconds: time between two calls.
            duration_seconds: stop after so long; None: no limit.

        Returns:
            The figures of the whole run.

        Raises:
            SourceError: every source failed; this is the first one's.
            KeyboardInterrupt: after everything was stopped and flushed; `figures` still answers.
            BaseException: whatever the segmenter, the tracker or a sink raised first.
        """
        if self._started_ns:
            raise RuntimeError("a Runtime runs once; make another one")
        self._started_ns = time.monotonic_ns()
        try:
            self._start()
            self._wait(on_figures, interval_seconds, duration_seconds)
        finally:
            self._shut_down()
            if self._error is not None:
                raise self._error
        errors = self._ledger.errors
        if len(errors) == len(self._sources):
            raise errors[0]
        return self.figures()

    def stop(self) -> None:
        """End the run from any thread, any number of times; what was finished is flushed."""
        with self._changed:
            if self._stopped_at is None:
                self._stopped_at = time.monotonic()
            self._changed.notify_all()
        self._intake.close()
        self._handover.close()
        for source in self._sources.values():
            source.stop()

    def pause(self) -> None:
        """Publish nothing until `resume`; live frames are dropped and counted, files wait, identities stay."""
        self._intake.pause()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._intake.resume()

    def step(self) -> bool:
        """Let one frame of each source through a pause; False where there is none. It does not wait for them."""
        return self._intake.step()

    @property
    def source_ids(self) -> tuple[str, ...]:
        """The sources, in their order."""
        return tuple(self._sources)

    @property
    def prompt_statuses(self) -> dict[str, tuple[PromptStatus, ...]]:
        """How the prompts stood in the latest frame of each source that gave one."""
        return self._ledger.prompt_statuses

    def figures(self) -> RunStats:
        """How the run is doing; from any thread."""
        now_ns = self._ended_ns or time.monotonic_ns()
        seconds = (now_ns - self._started_ns) / 1e9 if self._started_ns else 0.0
        return self._ledger.figures(now_ns, seconds=seconds)

    def _start(self) -> None:
        finishing = partial(
            finish, self._handover, self.pipeline, self._sinks, drops_of=self._ledger.drops_of, finished=self._finished
        )
        closing = [self._handover.close, *(sink.close for sink in self._sinks), self._flushed]
        self._workers = [
            Worker("finish", finishing, closing=closing, report=self._fail),
            Worker(
                "segment",
                partial(segment, self._intake, self.pipeline, self._handover),
                closing=[self._handover.close],
                report=self._fail,
            ),
            *(
                Worker(
                    f"capture {source_id}",
                    partial(capture, source, self._intake),
                    closing=[partial(self._end_source, source_id)],
                    report=partial(self._fail_source, source_id),
                )
                for source_id, source in self._sources.items()
            ),
        ]
        for worker in self._workers:
            worker.start()

    def _wait(
        self, on_figures: Callable[[RunStats], None] | None, interval_seconds: float, duration_seconds: float | None
    ) -> None:
        """Wait for the end, or for a stop; call back in between."""
        started = time.monotonic()
        stop_at = started + duration_seconds if duration_seconds is not None else float("inf")
        call_at = started + interval_seconds if on_figures is not None else float("inf")
        while True:
            with self._changed:
                now = time.monotonic()
                # Bounded also where nothing is due, because not every platform interrupts an endless wait.
                timeout = max(min(stop_at, call_at, now + 3600.0) - now, 0.0)
                if self._changed.wait_for(lambda: self._is_flushed or self._stopped_at is not None, timeout):
                    return
            now = time.monotonic()
            if now >= stop_at:
                return
            if on_figures is not None and now >= call_at:
                on_figures(self.figures())
                # A callback that took long is not called twice in a row to make up for it.
                call_at = max(call_at + interval_seconds, time.monotonic())

    def _shut_down(self) -> None:
        """End all threads, the one that flushes first; those that do not end in time are left behind."""
        self.stop()
        stopped_at = self._stopped_at if self._stopped_at is not None else time.monotonic()
        with self._changed:
            self._changed.wait_for(lambda: self._is_flushed, max(stopped_at + FLUSH_SECONDS - time.monotonic(), 0.0))
        for worker in self._workers:
            if worker.ident is None:
                continue  # the platform had no thread left for it
            worker.join(max(stopped_at + STOP_SECONDS - time.monotonic(), 0.0))
            if worker.is_alive():
                logger.warning("the thread %r did not end in time and is left behind", worker.name)
        self._ended_ns = time.monotonic_ns()

    def _finished(self, result: FrameResult) -> None:
        self._ledger.finished(result, time.monotonic_ns())

    def _flushed(self) -> None:
        with self._changed:
            self._is_flushed = True
            self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        """An error that ends the run; the first one is kept."""
        with self._changed:
            is_first = self._error is None
            if is_first:
                self._error = error
        if is_first:
            self.stop()
        else:
            logger.error("while stopping: %s: %s", type(error).__name__, error)

    def _fail_source(self, source_id: str, error: BaseException) -> None:
        """An error that ends one source."""
        if isinstance(error, SourceError):
            failure = error
        else:
            failure = SourceError(f"source {source_id} failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
        if len(self._sources) > 1:  # that of an only source is raised, and need not be told twice
            logger.error("%s", failure)
        with self._changed:
            # What breaks because it was stopped did not end the run.
            if self._stopped_at is None:
                self._ledger.failed(source_id, failure)

    def _end_source(self, source_id: str) -> None:
        with self._changed:
            self._ledger.ended(source_id)
        self._intake.end(source_id)
