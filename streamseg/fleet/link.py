"""The connection to one worker: a thread that exchanges heartbeats with it, and starts it again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from streamseg.capture.source import Backoff
from streamseg.errors import StreamsegError
from streamseg.fleet.report import PromptReply, WorkerReport
from streamseg.resources import Resource

__all__ = ["Link", "Order", "RemoteWorker", "Unavailable"]

logger = logging.getLogger(__name__)

Sections = Sequence[Mapping[str, Any]]
Order: TypeAlias = tuple[tuple[str, int] | None, Sections | None, tuple[int, Sections] | None]
"""Arguments of `CameraWorker.exchange`: the last report heard, and cameras and prompts if they have changed."""
JOIN_SECONDS: Final = 5.0


class Unavailable(StreamsegError, OSError):
    """A worker that cannot be reached now, and comes back by itself."""


class RemoteWorker(Protocol):
    """A `CameraWorker` elsewhere: in a process, or on another machine."""

    def exchange(self, order: Order, timeout_seconds: float) -> Mapping[str, Any]:
        """Call `CameraWorker.exchange` with an order.

        Raises:
            Unavailable: it does not answer now; try again.
            StreamsegError: it is of no more use; create another one.
        """
        ...

    def kill(self) -> None:
        """End it by force, and a pending `exchange` with it. Thread-safe and idempotent."""
        ...

    def close(self) -> bool:
        """End it. Idempotent.

        Returns:
            Whether it has certainly ended; False: it may run on, out of reach, until its lease ends.
        """
        ...


class Link(Resource):
    """Keeps one worker alive and informed, in a thread of its own.

    Args:
        name: name of the worker.
        create: creates the worker; its StreamsegError is logged, and creation tried again.
        heartbeat_seconds: time between two exchanges.
        lost_seconds: time limit for an exchange, and time that a worker may hold cameras out of reach.
        start_seconds: time limit for the first exchange, which waits until the network is ready.
    """

    def __init__(
        self,
        name: str,
        create: Callable[[], RemoteWorker],
        *,
        heartbeat_seconds: float,
        lost_seconds: float,
        start_seconds: float,
    ) -> None:
        self.name = name
        self._create = create
        self._heartbeat_seconds = heartbeat_seconds
        self._lost_seconds = lost_seconds
        self._start_seconds = start_seconds
        self._changed = threading.Condition()
        self._wanted: tuple[Mapping[str, Any], ...] = ()
        self._prompts: tuple[int, Sections] = (0, ())
        """Revision and JSON of the prompts; 0: those of the configuration, which a worker has from its start."""
        self._has_news = False
        self._is_closing = False
        self._worker: RemoteWorker | None = None
        self._report: WorkerReport | None = None
        self._reported_at = 0.0
        self._is_away = False
        """Whether the last exchange failed, and the end of the process is not certain."""
        self.num_starts = 0
        """Number of workers created so far."""
        self.error: str | None = None
        """Last error of the worker; None if there was none since its last report."""
        self._thread = threading.Thread(target=self._run, name=f"streamseg link {name}", daemon=True)
        self._thread.start()

    def report(self, now: float, max_seconds: float) -> WorkerReport | None:
        """Return the last report if it is not older than `max_seconds` at a monotonic time; else None.

        With None, the worker is lost, and `want` is forgotten: its cameras go to others, and the next process must not
        open them as well.
        """
        with self._changed:
            if self._report is None or now - self._reported_at > max_seconds:
                self._wanted = ()
                return None
            return self._report

    @property
    def was_ready(self) -> bool:
        """Whether the worker has reported since it was last created or killed, and can be reached."""
        with self._changed:
            return self._report is not None and not self._is_away

    def want(self, sections: Sections) -> None:
        """Let the worker hold exactly these cameras from its next exchange on, which follows at once on a change."""
        with self._changed:
            if tuple(sections) != self._wanted:
                self._wanted, self._has_news = tuple(sections), True
                self._changed.notify_all()

    def want_prompts(self, revision: int, prompts: Sections) -> None:
        """Let the worker have these prompts from its next exchange on, which follows at once."""
        with self._changed:
            self._prompts, self._has_news = (revision, prompts), True
            self._changed.notify_all()

    def prompts_reply(self, revision: int, seconds: float) -> PromptReply | None:
        """Wait for the worker's reply to prompts; None: there is none within `seconds`."""
        with self._changed:
            has_reply = self._changed.wait_for(
                lambda: self._report is not None and self._report.prompts.revision >= revision, seconds
            )
            return self._report.prompts if has_reply and self._report is not None else None

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
                    self._is_away, self.error = True, str(error)
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
            self._exchange(worker, backoff)
        finally:
            with self._changed:
                self._worker = None
            if worker.close():
                with self._changed:
                    self._report = None  # its cameras need not wait for the end of its lease

    def _exchange(self, worker: RemoteWorker, backoff: Backoff) -> None:
        heard: tuple[str, int] | None = None
        is_accepted = False
        held: Sections = ()
        revision = 0
        timeout_seconds, away_since = self._start_seconds, None
        while not self._is_closing:
            with self._changed:
                wanted, prompts, self._has_news = self._wanted, self._prompts, False
            cameras = wanted if is_accepted and held != wanted else None
            news = prompts if is_accepted and prompts[0] != revision else None
            try:
                report = WorkerReport.from_json(worker.exchange((heard, cameras, news), timeout_seconds))
            except Unavailable as error:
                with self._changed:
                    self._is_away, self.error = True, str(error)
                away_since = time.monotonic() if away_since is None else away_since
                if time.monotonic() - away_since > self._start_seconds:
                    raise
                self._wait(self._heartbeat_seconds)
                timeout_seconds = self._start_seconds
                continue
            timeout_seconds, away_since = self._lost_seconds, None
            if heard is None or heard[0] != report.incarnation:
                # Another process behind the same worker, or another lease: it has forgotten its cameras.
                held, revision, is_accepted = (), 0, False
            else:
                held = () if report.refused else held if cameras is None else cameras
                revision = revision if news is None else news[0]
            heard = (report.incarnation, report.number)
            self._accept(report, is_first=not is_accepted)
            is_accepted = self._report is report
            backoff.connected(time.monotonic())
            self._wait(self._heartbeat_seconds)

    def _accept(self, report: WorkerReport, *, is_first: bool) -> None:
        """Keep a report, unless the process before, out of reach, may still hold its cameras."""
        with self._changed:
            now, before = time.monotonic(), self._report
            is_another = before is not None and before.process != report.process
            if is_another and now - self._reported_at <= self._lost_seconds:
                return
            self._report, self._reported_at, self._is_away, self.error = report, now, False, None
            self._has_news = self._has_news or is_first
            self._changed.notify_all()

    def _wait(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closing or self._has_news, seconds)
