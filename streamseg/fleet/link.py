"""The connection to one worker: a thread that exchanges heartbeats with it, and starts it again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from streamseg.capture.source import Backoff
from streamseg.errors import StreamsegError
from streamseg.fleet.report import WorkerReport
from streamseg.resources import Resource

__all__ = ["Link", "RemoteWorker", "Unavailable"]

logger = logging.getLogger(__name__)

Sections = Sequence[Mapping[str, Any]]
JOIN_SECONDS: Final = 5.0


class Unavailable(StreamsegError, OSError):
    """A worker that cannot be reached now, and comes back by itself."""


class RemoteWorker(Protocol):
    """A `CameraWorker` elsewhere: in a process, or on another machine."""

    def exchange(self, cameras: Sections | None, timeout_seconds: float) -> Mapping[str, Any]:
        """Call `CameraWorker.exchange`.

        Raises:
            Unavailable: it does not answer now; try again.
            StreamsegError: it is of no more use; create another one.
        """
        ...

    def kill(self) -> None:
        """End it by force, and a pending `exchange` with it. Thread-safe and idempotent."""
        ...

    def close(self) -> None:
        """End it. Idempotent."""
        ...


class Link(Resource):
    """Keeps one worker alive and informed, in a thread of its own.

    Args:
        name: name of the worker.
        create: creates the worker; its StreamsegError is logged, and creation tried again.
        heartbeat_seconds: time between two exchanges.
        reply_seconds: time limit for an exchange.
        start_seconds: time limit for the first exchange, which waits until the network is ready.
    """

    def __init__(
        self,
        name: str,
        create: Callable[[], RemoteWorker],
        *,
        heartbeat_seconds: float,
        reply_seconds: float,
        start_seconds: float,
    ) -> None:
        self.name = name
        self._create = create
        self._heartbeat_seconds = heartbeat_seconds
        self._reply_seconds = reply_seconds
        self._start_seconds = start_seconds
        self._changed = threading.Condition()
        self._wanted: tuple[Mapping[str, Any], ...] = ()
        self._has_news = False
        self._is_closing = False
        self._worker: RemoteWorker | None = None
        self._report: WorkerReport | None = None
        self._reported_at = 0.0
        self.num_starts = 0
        """Number of workers created so far."""
        self.error: str | None = None
        """Last error of the worker; None if there was none since its last report."""
        self._thread = threading.Thread(target=self._run, name=f"streamseg link {name}", daemon=True)
        self._thread.start()

    def report(self, now: float, max_seconds: float) -> WorkerReport | None:
        """Return the last report if it is not older than `max_seconds` at a monotonic time; else None."""
        with self._changed:
            return self._report if now - self._reported_at <= max_seconds else None

    @property
    def was_ready(self) -> bool:
        """Whether the worker has reported since it was last created or killed."""
        with self._changed:
            return self._report is not None

    def want(self, sections: Sections) -> None:
        """Let the worker hold exactly these cameras from its next exchange on, which follows at once on a change."""
        with self._changed:
            if tuple(sections) != self._wanted:
                self._wanted, self._has_news = tuple(sections), True
                self._changed.notify_all()

    def kill(self) -> None:
        """End a worker that does not answer, so that another one is created."""
        with self._changed:
            worker, self._report = self._worker, None
        if worker is not None:
            worker.kill()

    def begin_closing(self) -> None:
        """Let the worker and the thread end, without waiting for them."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()

    def close(self) -> None:
        """End the worker and the thread. Idempotent."""
        self.begin_closing()
        self._thread.join(JOIN_SECONDS)
        if self._thread.is_alive():
            self.kill()
            self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        backoff = Backoff(longest_seconds=30.0)
        while not self._is_closing:
            try:
                self._serve(backoff)
            except StreamsegError as error:
                with self._changed:
                    self._report = None
                    self.error = str(error)
                if not self._is_closing:
                    seconds = backoff.failed(time.monotonic())
                    logger.error("worker %s: %s; started again in %.1f s", self.name, error, seconds)
                    self._wait(seconds)

    def _serve(self, backoff: Backoff) -> None:
        """Create the worker and exchange heartbeats with it until the end, or until it fails."""
        self.num_starts += 1
        worker = self._create()
        with self._changed:
            self._worker = worker
        try:
            known: tuple[str, tuple[Mapping[str, Any], ...]] | None = None
            timeout_seconds, unavailable_since = self._start_seconds, None
            while not self._is_closing:
                with self._changed:
                    wanted, self._has_news = self._wanted, False
                # Another process behind the same worker, after a restart by Ray, has forgotten its cameras.
                has_all = known is not None and known[1] == wanted
                try:
                    report = WorkerReport.from_json(worker.exchange(None if has_all else wanted, timeout_seconds))
                except Unavailable as error:
                    # It has lost its cameras, which need not wait for `lost_seconds`.
                    with self._changed:
                        self._report, self.error = None, str(error)
                    unavailable_since = time.monotonic() if unavailable_since is None else unavailable_since
                    if time.monotonic() - unavailable_since > self._start_seconds:
                        raise
                    self._wait(self._heartbeat_seconds)
                    timeout_seconds = self._start_seconds
                    continue
                unavailable_since = None
                is_another = known is not None and known[0] != report.incarnation
                known = (report.incarnation, () if is_another or report.refused else wanted)
                with self._changed:
                    self._report, self._reported_at, self.error = report, time.monotonic(), None
                    self._has_news = self._has_news or is_another
                backoff.connected(time.monotonic())
                timeout_seconds = self._reply_seconds
                self._wait(self._heartbeat_seconds)
        finally:
            with self._changed:
                self._worker = None
            worker.close()

    def _wait(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closing or self._has_news, seconds)
