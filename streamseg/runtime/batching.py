"""Which frames go through the network together: pure policy, time is an argument.

A ready frame waits for other cameras only while that pays: no longer than the deadline, and only for
a camera whose next frame is due before it. A camera's period is learned by count over span, because
consumer cameras send bursts with pauses of 0.4 to 0.5 s around each key frame: an average of the gaps
would follow the burst, and waiting for whichever camera is pausing would stall all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from streamseg.config import BatchingConfig

__all__ = ["ArrivalPeriod", "Batcher", "Decision", "Waiting"]

PERIOD_WINDOW = 64
"""Arrivals that the period is taken over: several bursts of a camera that sends in bursts."""
MIN_ARRIVALS = 8
"""Fewer say nothing about a period."""
HORIZON_NS = 2_000_000_000
"""A longer silence is an interruption: what was learned before it is forgotten."""
LATENESS = 0.5
"""A frame that is late by this share of its period is not waited for any longer."""
OVERDUE_PERIODS = 2
"""A frame is too old only where its successor is overdue, so that slow cameras are not starved."""


class ArrivalPeriod:
    """Learns how often a source delivers: count over span of its last arrivals."""

    def __init__(self, *, window: int = PERIOD_WINDOW, min_arrivals: int = MIN_ARRIVALS) -> None:
        self._arrivals_ns: deque[int] = deque(maxlen=window)
        self._min_arrivals = min_arrivals

    def add(self, now_ns: int) -> None:
        """Note an arrival."""
        if self._arrivals_ns and now_ns - self._arrivals_ns[-1] > HORIZON_NS:
            self._arrivals_ns.clear()
        self._arrivals_ns.append(now_ns)

    @property
    def period_ns(self) -> float | None:
        """Mean time between two arrivals; None until enough were seen."""
        if len(self._arrivals_ns) < self._min_arrivals:
            return None
        return (self._arrivals_ns[-1] - self._arrivals_ns[0]) / (len(self._arrivals_ns) - 1)

    @property
    def next_ns(self) -> float | None:
        """When the next arrival is due; None while the period is unknown."""
        period_ns = self.period_ns
        return None if period_ns is None else self._arrivals_ns[-1] + period_ns


@dataclass(frozen=True)
class Waiting:
    """What one source that has not ended offers at the moment."""

    source_id: str
    is_live: bool
    num_ready: int = 0
    """Frames that could be taken; a live source has at most one."""
    since_ns: int = 0
    """How long it has been waiting to be served; a newer frame in the place of an older does not reset it."""
    received_ns: int = 0
    """When the first of the ready frames reached the program."""


@dataclass(frozen=True)
class Decision:
    """What to do: take, drop, or wait. All times are monotonic."""

    take: tuple[str, ...] = ()
    """Source ids, one for each frame to take; a file may occur more than once."""
    drop: tuple[str, ...] = ()
    """Live sources whose ready frame is too old to be worth the network's time."""
    wait_until_ns: int | None = None
    """Where there is nothing to take: decide again then, or at the next arrival; None: at the next arrival."""


class Batcher:
    """Decides which of the ready frames go together, and whether to wait for more.

    Live sources give one frame each. Files are always ready, never waited for and never dropped; where
    no live source is left to grow old behind them, one file may give several frames, in their order.
    With more sources than fit in a batch, those that have waited longest go first.
    """

    def __init__(self, config: BatchingConfig) -> None:
        self._max_batch = config.max_batch
        self._deadline_ns = round(config.deadline_ms * 1e6)
        self._max_age_ns = round(config.max_age_ms * 1e6)
        self._periods: dict[str, ArrivalPeriod] = {}

    def arrived(self, source_id: str, now_ns: int) -> None:
        """A live source delivered a frame, taken or not."""
        self._periods.setdefault(source_id, ArrivalPeriod()).add(now_ns)

    def ended(self, source_id: str) -> None:
        """A source will deliver no more."""
        self._periods.pop(source_id, None)

    def decide(self, sources: Sequence[Waiting], now_ns: int) -> Decision:
        """Choose among the sources that have not ended; none at all is answered with waiting."""
        drop = tuple(source.source_id for source in sources if self._is_too_old(source, now_ns))
        ready = sorted(
            (source for source in sources if source.num_ready and source.source_id not in drop),
            key=lambda source: source.since_ns,
        )
        if not ready:
            return Decision(drop=drop)
        full = tuple(self._fill(ready, several=not any(source.is_live for source in sources)))
        deadline_ns = ready[0].since_ns + self._deadline_ns
        if len(full) >= self._max_batch or now_ns >= deadline_ns:
            return Decision(take=full, drop=drop)
        given_up_ns = max(
            (self._awaited_until_ns(source, now_ns, deadline_ns) for source in sources if not source.num_ready),
            default=now_ns,
        )
        if given_up_ns <= now_ns:
            return Decision(take=full, drop=drop)
        return Decision(drop=drop, wait_until_ns=min(deadline_ns, given_up_ns))

    def _fill(self, ready: Sequence[Waiting], *, several: bool) -> Iterator[str]:
        """Source ids round by round, longest waiting first, until the batch is full."""
        num_rounds = max(source.num_ready for source in ready) if several else 1
        num_taken = 0
        for nth in range(num_rounds):
            for source in ready:
                if nth < source.num_ready and num_taken < self._max_batch:
                    num_taken += 1
                    yield source.source_id

    def _awaited_until_ns(self, source: Waiting, now_ns: int, deadline_ns: int) -> int:
        """How long to wait for a source that is not ready; `now_ns` where it is not worth waiting for."""
        period = self._periods.get(source.source_id)
        if period is None or period.next_ns is None or period.period_ns is None or period.next_ns > deadline_ns:
            return now_ns
        return round(period.next_ns + LATENESS * period.period_ns)

    def _is_too_old(self, source: Waiting, now_ns: int) -> bool:
        if not (source.is_live and source.num_ready):
            return False
        age_ns = now_ns - source.received_ns
        period = self._periods.get(source.source_id)
        period_ns = period.period_ns if period is not None else None
        return age_ns > max(self._max_age_ns, OVERDUE_PERIODS * (period_ns or 0.0))
