"""One sink in its own thread: a slow, hung or failing sink delays and ends nothing else."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from streamseg.errors import counted
from streamseg.pipeline import FrameResult
from streamseg.runtime.sink_health import SinkHealth, SinkStats, may_pass
from streamseg.runtime.sink_slot import ResultSlot, SinkPolicy
from streamseg.runtime.workers import Sink
from streamseg.telemetry import DropCounter, StageTimer

__all__ = ["SinkRunner"]

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 0.4
"""Time after a stop in which waiting results are still written; the rest of the stop is for closing."""
STOP_SECONDS = 0.8
"""Time after a stop until a sink that has not closed is abandoned."""
ABANDON_SECONDS = 5.0
"""Duration of a write after which the end of a run no longer waits for it."""


class SinkRunner:
    """Thread of one sink, with a slot of waiting results and the sink's health.

    Args:
        sink: written to and closed by the thread only.
        policy: name and slot of the sink.
        timer: measures each write, under the name of the policy.
        clock: monotonic time in seconds.
    """

    def __init__(
        self, sink: Sink, policy: SinkPolicy, *, timer: StageTimer, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = policy.name
        self._sink = sink
        self._timer = timer
        self._clock = clock
        self._slot = ResultSlot(policy)
        self._health = SinkHealth(clock())
        self._changed = threading.Condition()
        self._drops = DropCounter()
        self._num_written = 0
        self._is_ending = self._has_ended = False
        self._stopped_at: float | None = None
        self._logged_state = self._health.state(clock())
        # A daemon, because a thread that is stuck in a write must not keep the program from exiting.
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def offer(self, result: FrameResult, *, wait_seconds: float = 0.0) -> None:
        """Hand over a result, which is dropped and counted if the sink cannot take it. Never raises.

        Args:
            result: the next result of its source.
            wait_seconds: how long to wait for room while the sink works; 0 for live sources.
        """
        source_id = result.frame.source_id
        with self._changed:
            if wait_seconds > 0:
                self._changed.wait_for(
                    lambda: self._is_leaving or not self._slot.is_full(source_id) or not self._is_ok(), wait_seconds
                )
            now = self._clock()
            if self._is_ending or self._has_ended:
                self._drops.count(source_id, "stopped")
            elif not self._health.accepts(now):
                self._drops.count(source_id, "unavailable")
            else:
                dropped = self._slot.put(result)
                if dropped is not None:
                    self._drops.count(source_id, "slot_full")
            self._changed.notify_all()
            self._log_state(now)

    def end(self) -> None:
        """Accept no more results; those in the slot are written, then the sink is closed."""
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()

    def stop(self) -> None:
        """End within a second, also without `end`; results not written by then are dropped and counted. Idempotent."""
        with self._changed:
            if self._stopped_at is None:
                self._stopped_at = self._clock()
            self._changed.notify_all()

    def wait(self) -> None:
        """Wait until the sink is closed. It is abandoned if a write hangs, or `STOP_SECONDS` after a stop."""
        with self._changed:
            while not self._has_ended:
                now = self._clock()
                limits = [now + 1.0]
                if self._stopped_at is not None:
                    limits.append(self._stopped_at + STOP_SECONDS)
                elif hung_seconds := self._health.hung_seconds(now):
                    limits.append(now - hung_seconds + ABANDON_SECONDS)
                if min(limits) <= now:
                    logger.warning("%s: did not close in time and was abandoned", self.name)
                    return
                self._changed.wait(min(limits) - now)

    def stats(self) -> SinkStats:
        """Return state and statistics. Thread-safe."""
        with self._changed:
            now = self._clock()
            error = self._health.error(now)
            return SinkStats(
                name=self.name,
                state=self._health.state(now),
                error=_one_line(error) if error is not None else None,
                state_seconds=self._health.state_seconds(now),
                num_written=self._num_written,
                drops=self._drops.snapshot(),
                trouble_seconds=self._health.trouble_seconds(now),
            )

    @property
    def has_ended(self) -> bool:
        """Whether the sink is closed and the thread has nothing more to do."""
        return self._has_ended

    @property
    def error(self) -> BaseException | None:
        """Error from which the sink has not recovered; None in the state ok."""
        with self._changed:
            return self._health.error(self._clock())

    @property
    def _is_leaving(self) -> bool:
        return self._is_ending or self._stopped_at is not None

    def _is_ok(self) -> bool:
        return self._health.state(self._clock()) == "ok"

    def _run(self) -> None:
        while (result := self._take()) is not None:
            self._call(lambda result=result: self._sink.write(result), is_write=True)  # type: ignore[misc]
        self._call(self._sink.close, is_write=False)
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def _take(self) -> FrameResult | None:
        """Wait for the next result; None once the sink is to be closed."""
        with self._changed:
            while not (self._is_ending or len(self._slot) or self._is_drained(self._clock())):
                self._changed.wait(DRAIN_SECONDS if self._stopped_at is not None else None)
            now = self._clock()
            if self._is_drained(now):
                self._is_ending = True
                self._drop_waiting("stopped")
            result = self._slot.take()
            self._health.begin(now)
            self._changed.notify_all()
            return result

    def _is_drained(self, now: float) -> bool:
        """Return whether the time for results after a stop is over."""
        return self._stopped_at is not None and now >= self._stopped_at + DRAIN_SECONDS

    def _call(self, call: Callable[[], None], *, is_write: bool) -> None:
        """Write or close, and record how it ended."""
        started = self._clock()
        error: BaseException | None = None
        try:
            call()
        except BaseException as raised:  # kept in the health, and raised at the end of the run
            error = raised
        with self._changed:
            now = self._clock()
            if error is not None:
                if not may_pass(error):
                    logger.error("%s: a fault of this sink ends it", self.name, exc_info=error)
                self._health.fail(error, now)
                self._drop_waiting("unavailable")
            elif is_write:
                self._health.end(now)
                self._num_written += 1
                self._timer.add(self.name, (now - started) * 1000)
            else:
                self._health.closed()
            self._changed.notify_all()
            self._log_state(now)

    def _drop_waiting(self, reason: str) -> None:
        for dropped in self._slot.clear():
            self._drops.count(dropped.frame.source_id, reason)

    def _log_state(self, now: float) -> None:
        """Log a change of the state, once. The caller holds the lock."""
        state = self._health.state(now)
        if state == self._logged_state:
            return
        self._logged_state = state
        error = self._health.error(now)
        if error is None:
            num_missing = sum(sum(reasons.values()) for reasons in self._drops.snapshot().values())
            logger.warning("%s: writes again; not written so far: %s", self.name, counted(num_missing, "frame"))
        else:
            logger.warning("%s: %s: %s", self.name, state, _one_line(error))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
