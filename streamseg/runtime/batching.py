"""Policy that decides which frames go through the network together. Pure: the caller supplies the time.

A ready frame waits for other cameras only while that pays: no longer than the deadline, and only for
a camera whose next frame is due before it. A camera's period is its time span over its number of
arrivals, because consumer cameras send bursts with pauses of 0.4 to 0.5 s around each key frame: an
average of the gaps would follow the burst, and waiting for whichever camera is pausing would stall
all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from streamseg.config import BatchingConfig
from streamseg.runtime.deadlines import NO_LIMITS, Deadlines, SourceLimits

__all__ = ["GPU_BATCH", "ArrivalPeriod", "Batcher", "Decision", "MailboxState"]

GPU_BATCH = 8
"""Maximum number of frames per batch, if the configuration leaves it open; on a CPU it is 1."""
PERIOD_WINDOW = 64
"""Number of arrivals behind the period: several bursts of a camera that sends in bursts."""
MIN_ARRIVALS = 8
"""Minimum number of arrivals for an estimate of the period."""
HORIZON_NS = 2_000_000_000
"""A longer gap is an interruption: earlier arrivals are discarded."""
LATENESS = 0.5
"""A frame that is late by more than this fraction of its period is no longer waited for."""


class ArrivalPeriod:
    """Estimates the period of a source from the time span of its latest arrivals."""

    def __init__(self, *, window: int = PERIOD_WINDOW, min_arrivals: int = MIN_ARRIVALS) -> None:
        self._arrivals_ns: deque[int] = deque(maxlen=window)
        self._min_arrivals = min_arrivals

    def add(self, now_ns: int) -> None:
        """Record an arrival."""
        if self._arrivals_ns and now_ns - self._arrivals_ns[-1] > HORIZON_NS:
            self._arrivals_ns.clear()
        self._arrivals_ns.append(now_ns)

    @property
    def period_ns(self) -> float | None:
        """Mean time between two arrivals, in ns; None until enough arrivals were recorded."""
        if len(self._arrivals_ns) < self._min_arrivals:
            return None
        return (self._arrivals_ns[-1] - self._arrivals_ns[0]) / (len(self._arrivals_ns) - 1)

    @property
    def next_ns(self) -> float | None:
        """Expected time of the next arrival, in ns; None while the period is unknown."""
        period_ns = self.period_ns
        return None if period_ns is None else self._arrivals_ns[-1] + period_ns


@dataclass(frozen=True)
class MailboxState:
    """State of one source's mailbox; the source has not ended, or still has frames there."""

    source_id: str
    is_live: bool
    num_ready: int = 0
    """Number of frames that can be taken; at most one for a live source."""
    since_ns: int = 0
    """Time since which the source waits to be served; a newer frame that replaces an older one does not reset it."""
    received_ns: int = 0
    """Time at which the program received the first of the ready frames."""
    lag_ns: int = 0
    """Time from the capture of that frame to its arrival."""
    limits: SourceLimits = NO_LIMITS
    served_ns: int | None = None
    """Time at which the last frame of a live source was taken; None: `since_ns` decides whose turn it is."""


@dataclass(frozen=True)
class Decision:
    """Frames to take and to drop, or the time to wait. All times are monotonic."""

    take: tuple[str, ...] = ()
    """Source ids, one for each frame to take; a file may occur more than once."""
    drop: tuple[str, ...] = ()
    """Ids of live sources whose ready frame is too old to be worth the network's time."""
    wait_until_ns: int | None = None
    """If nothing is taken: time of the next decision, unless a frame arrives earlier; None: wait for an arrival."""


class Batcher:
    """Decides which ready frames form a batch, and whether to wait for more.

    Live sources contribute one frame each. Files are always ready, never waited for and never dropped;
    if no live source is open, whose frames would grow old behind them, one file may contribute several frames,
    in order. If there are more sources than fit in a batch, those go first that were served the longest ago; a weight
    makes a source's waiting time count more.
    """

    def __init__(self, config: BatchingConfig, deadlines: Deadlines | None = None) -> None:
        self.deadlines = deadlines if deadlines is not None else Deadlines(config)
        self._max_batch = config.max_batch if config.max_batch is not None else GPU_BATCH
        self._deadline_ns = round(config.deadline_ms * 1e6)
        self._periods: dict[str, ArrivalPeriod] = {}

    def record_arrival(self, source_id: str, now_ns: int) -> None:
        """Record that a live source delivered a frame, whether or not it will be taken."""
        self._periods.setdefault(source_id, ArrivalPeriod()).add(now_ns)

    def period_ns(self, source_id: str) -> float | None:
        """Return the mean time between two frames of a live source, in ns; None until enough have arrived."""
        period = self._periods.get(source_id)
        return None if period is None else period.period_ns

    def end_source(self, source_id: str) -> None:
        """Discard the state of a source that delivers no more frames."""
        self._periods.pop(source_id, None)
        self.deadlines.end_source(source_id)

    def decide(self, sources: Sequence[MailboxState], now_ns: int) -> Decision:
        """Decide for all open sources. With no source, the decision is to wait."""
        drop = tuple(source.source_id for source in sources if self._is_too_old(source, now_ns))
        ready = sorted(
            (source for source in sources if source.num_ready and source.source_id not in drop),
            key=lambda source: (_served_ns(source) - now_ns) * source.limits.weight,
        )
        if not ready:
            return Decision(drop=drop)
        full = tuple(self._fill(ready, several=not any(source.is_live for source in sources)))
        deadline_ns = min(source.since_ns for source in ready) + self._deadline_ns
        if len(full) >= self._max_batch or now_ns >= deadline_ns:
            return self._take(full, drop, now_ns)
        given_up_ns = max(
            (self._awaited_until_ns(source, now_ns, deadline_ns) for source in sources if not source.num_ready),
            default=now_ns,
        )
        if given_up_ns <= now_ns:
            return self._take(full, drop, now_ns)
        return Decision(drop=drop, wait_until_ns=min(deadline_ns, given_up_ns))

    def _fill(self, ready: Sequence[MailboxState], *, several: bool) -> Iterator[str]:
        """Yield source ids round by round, longest waiting first, until the batch is full."""
        num_rounds = max(source.num_ready for source in ready) if several else 1
        num_taken = 0
        for nth in range(num_rounds):
            for source in ready:
                if nth < source.num_ready and num_taken < self._max_batch:
                    num_taken += 1
                    yield source.source_id

    def _awaited_until_ns(self, source: MailboxState, now_ns: int, deadline_ns: int) -> int:
        """Return the time until which to wait for a source that is not ready; `now_ns` if waiting does not pay."""
        period = self._periods.get(source.source_id)
        if period is None or period.next_ns is None or period.period_ns is None or period.next_ns > deadline_ns:
            return now_ns
        return round(period.next_ns + LATENESS * period.period_ns)

    def _take(self, source_ids: tuple[str, ...], drop: tuple[str, ...], now_ns: int) -> Decision:
        self.deadlines.taken(source_ids, now_ns)
        return Decision(take=source_ids, drop=drop)

    def _is_too_old(self, source: MailboxState, now_ns: int) -> bool:
        """Return whether the ready frame of a live source is not worth the network's time."""
        if not (source.is_live and source.num_ready):
            return False
        waited_ns = now_ns - source.received_ns
        if source.limits.deadline_ns is None:
            return self.is_too_late(source.source_id, waited_ns, waited_ns + source.lag_ns, source.limits)
        return self.deadlines.will_miss(source.source_id, waited_ns, source.lag_ns, source.limits, now_ns)

    def is_too_late(self, source_id: str, waited_ns: float, age_ns: float, limits: SourceLimits) -> bool:
        """Return whether a frame of a live source is too old to be published, see `Deadlines`."""
        period_ns = self.period_ns(source_id) or 0.0
        return self.deadlines.is_too_late(source_id, waited_ns, age_ns, limits, period_ns=period_ns)


def _served_ns(source: MailboxState) -> int:
    return source.since_ns if source.served_ns is None else source.served_ns
