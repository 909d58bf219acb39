"""Deadlines of live sources: prediction by measured durations, and the reduction of quality under lasting overload.

Pure: the caller supplies the time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from streamseg.config import BatchingConfig, DegradationConfig
from streamseg.runtime.ladder import Ladder
from streamseg.structures.degradation import NO_DEGRADATION, Degradation

__all__ = ["NO_LIMITS", "Deadlines", "SourceLimits"]

logger = logging.getLogger(__name__)

OVERDUE_PERIODS = 2
"""A frame is too old only if its successor is overdue, so that slow cameras are not starved."""
ATTEMPT_NS = 1_000_000_000
"""A source whose frames seem hopeless gets one attempt in this time, or the estimate behind it would never change."""
DURATION_SMOOTHING = 0.1
"""Weight of the latest frame in the mean duration from the mailbox to the message."""


@dataclass(frozen=True)
class SourceLimits:
    """Limits of a live source."""

    deadline_ns: int | None = None
    """Maximum age of a frame when its message is published; None: `max_age_ms` of the batching."""
    min_period_ns: int = 0
    """Shortest time between two frames that are processed."""
    weight: float = 1.0
    """Share of the network's time relative to other sources, if not every frame can be processed."""


NO_LIMITS = SourceLimits()


class Deadlines:
    """Decides which frames are too late, and how much quality a source with a deadline gets.

    Args:
        batching: the age limit of sources without a deadline.
        steps: steps of reduced quality from the configured one on, see `ladder.degradation_steps`.
        degradation: durations of the steps.
    """

    def __init__(
        self,
        batching: BatchingConfig,
        *,
        steps: Sequence[Degradation] = (NO_DEGRADATION,),
        degradation: DegradationConfig | None = None,
    ) -> None:
        self._max_age_ns = round(batching.max_age_ms * 1e6)
        self._steps = tuple(steps)
        self._degradation = degradation if degradation is not None else DegradationConfig()
        self._durations_ns: dict[str, float] = {}
        """Mean duration from the mailbox to the message at the present step, by source id."""
        self._attempts_ns: dict[str, int] = {}
        """Time of the last frame that was taken, by source id."""
        self._ladders: dict[str, Ladder] = {}

    def degradation(self, source_id: str) -> Degradation:
        """Return how the next frame of a source is to be processed."""
        ladder = self._ladders.get(source_id)
        return NO_DEGRADATION if ladder is None else self._steps[ladder.step]

    def taken(self, source_ids: Iterable[str], now_ns: int) -> None:
        """Record that frames of these sources were taken."""
        self._attempts_ns.update(dict.fromkeys(source_ids, now_ns))

    def will_miss(self, source_id: str, waited_ns: float, lag_ns: float, limits: SourceLimits, now_ns: int) -> bool:
        """Return whether the waiting frame of a source with a deadline is not worth the network's time.

        Args:
            source_id: the source.
            waited_ns: time since the arrival of the frame.
            lag_ns: time from its capture to its arrival.
            limits: those of the source; without a deadline, no frame is hopeless.
            now_ns: the time.
        """
        if limits.deadline_ns is None:
            return False
        expected_ns = waited_ns + self._durations_ns.get(source_id, 0.0)
        last_attempt_ns = self._attempts_ns.get(source_id, now_ns - ATTEMPT_NS)
        if expected_ns + lag_ns <= limits.deadline_ns or now_ns - last_attempt_ns >= ATTEMPT_NS:
            return False
        self._observe(source_id, expected_ns, lag_ns, limits.deadline_ns, now_ns)
        return True

    def finished(
        self,
        source_id: str,
        degradation: Degradation,
        *,
        taken_ns: int,
        received_ns: int,
        lag_ns: int,
        limits: SourceLimits,
        now_ns: int,
    ) -> None:
        """Record a frame whose message has been made.

        Args:
            source_id: the source.
            degradation: how the frame was processed; a frame of an earlier step says nothing about the present one.
            taken_ns: time at which it was taken from its mailbox.
            received_ns: time of its arrival.
            lag_ns: time from its capture to its arrival.
            limits: those of the source.
            now_ns: the time.
        """
        if degradation.step != self.degradation(source_id).step:
            return
        mean_ns = self._durations_ns.get(source_id)
        duration_ns = now_ns - taken_ns
        self._durations_ns[source_id] = (
            duration_ns if mean_ns is None else mean_ns + DURATION_SMOOTHING * (duration_ns - mean_ns)
        )
        if limits.deadline_ns is not None:
            self._observe(source_id, now_ns - received_ns, lag_ns, limits.deadline_ns, now_ns)

    def is_too_late(
        self, source_id: str, waited_ns: float, age_ns: float, limits: SourceLimits, *, period_ns: float
    ) -> bool:
        """Return whether a frame of a live source is too old to be published.

        Args:
            source_id: the source.
            waited_ns: time since the arrival.
            age_ns: time since the capture.
            limits: those of the source. Without a deadline, a frame is too old only if its successor is overdue, and
                if it took much longer than others do: a slow machine must not fall silent.
            period_ns: mean time between two frames of the source; 0 if unknown.
        """
        if limits.deadline_ns is not None:
            return age_ns > limits.deadline_ns
        usual_ns = max(period_ns, self._durations_ns.get(source_id, 0.0))
        return waited_ns > max(self._max_age_ns, OVERDUE_PERIODS * usual_ns)

    def end_source(self, source_id: str) -> None:
        """Discard the state of a source that delivers no more frames."""
        self._durations_ns.pop(source_id, None)
        self._attempts_ns.pop(source_id, None)
        self._ladders.pop(source_id, None)

    def _observe(self, source_id: str, processing_ns: float, lag_ns: float, deadline_ns: int, now_ns: int) -> None:
        """Let the ladder of a source see one frame; log a change."""
        left_ns = deadline_ns - lag_ns
        if left_ns <= 0 or len(self._steps) == 1:
            return  # too late on arrival: no step here could help
        ladder = self._ladders.get(source_id)
        if ladder is None:
            seconds = self._degradation
            ladder = self._ladders[source_id] = Ladder(
                len(self._steps), after_seconds=seconds.after_seconds, recover_seconds=seconds.recover_seconds
            )
        if not ladder.observe(max(processing_ns, 0) / left_ns, now_ns):
            return
        # The next frames are taken without a prediction, and make a new one.
        self._durations_ns.pop(source_id, None)
        self._attempts_ns.pop(source_id, None)
        step = self._steps[ladder.step]
        logger.warning(
            "%s: quality step %d of %d (%s) for its deadline of %.0f ms",
            source_id,
            step.step,
            len(self._steps) - 1,
            step,
            deadline_ns / 1e6,
            extra={"source": source_id},
        )
