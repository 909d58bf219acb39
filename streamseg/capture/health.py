"""Health of one source as a state machine. Pure: the caller supplies the time (`time.monotonic_ns`).

    connecting ──frame──► live ──silence──► stalled ──frame──► live
                          live ──same image──► frozen ──change──► live
    any state ──disconnected──► waiting | denied ──frame──► live
    any state ──end──► ended | failed

Attempts do not change `waiting` and `denied`: the time in these states is that of the whole outage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from streamseg.capture.clock import NS_PER_SECOND
from streamseg.structures.arrays import ImageArray
from streamseg.structures.nv12 import Nv12Image
from streamseg.structures.source_status import SourceState, SourceStatus

__all__ = ["FROZEN_SECONDS", "SourceHealth", "UnchangedImage"]

FROZEN_SECONDS: Final = 30.0
"""Default time without any change of the image after which a source counts as frozen."""
STALL_SECONDS: Final = 1.5
"""Shortest silence that counts as a stall: consumer cameras pause for 0.4 to 0.5 s around each keyframe."""
STALL_PERIODS: Final = 4
"""A stall is also longer than this many of the source's own frame periods, because slow cameras are not stalled."""
PERIOD_SMOOTHING: Final = 0.1
"""Weight of the latest period in the mean frame period."""


class UnchangedImage:
    """Time since which the image of a source has not changed.

    Images are compared on a grid of pixels, at most `SAMPLES` times per frozen period. A difference of `TOLERANCE`
    levels is no change: an encoder repeats a still image with slightly different errors at each keyframe.

    Args:
        interval_seconds: shortest time between two comparisons.
    """

    STRIDE: Final = 4
    """Distance of the compared pixels: small enough for the digits of a clock in the image."""
    TOLERANCE: Final = 12
    """Largest difference, in levels of 0..255, that is no change."""

    def __init__(self, interval_seconds: float = 1.0) -> None:
        self._interval_ns = round(interval_seconds * NS_PER_SECOND)
        self._reference: ImageArray | None = None
        self._since_ns = 0
        self._compared_ns = 0

    def add(self, image: ImageArray | Nv12Image, now_ns: int) -> int:
        """Record an image, uint8 (H, W, 3) or on a GPU; return the time since which it has not changed, in ns."""
        if self._reference is not None and now_ns - self._compared_ns < self._interval_ns:
            return self._since_ns
        self._compared_ns = now_ns
        pixels = image.luma.cpu().numpy()[..., None] if isinstance(image, Nv12Image) else image
        sample = pixels[:: self.STRIDE, :: self.STRIDE]
        if self._reference is None or self._differs(sample, self._reference):
            self._reference, self._since_ns = sample.copy(), now_ns
        return self._since_ns

    def interrupted(self, gap_ns: int) -> None:
        """Leave out a time without images: whether they would have changed is unknown."""
        self._since_ns += gap_ns

    def _differs(self, sample: ImageArray, reference: ImageArray) -> bool:
        if sample.shape != reference.shape:
            return True
        # The difference of unsigned values, without a copy in a wider type.
        spread = np.maximum(sample, reference) - np.minimum(sample, reference)
        return bool(spread.size) and int(spread.max()) > self.TOLERANCE


@dataclass(frozen=True)
class _Phase:
    """Result of the events so far; the silence since the last frame is evaluated when the status is read."""

    state: SourceState
    since_ns: int
    error: str | None = None
    frame_ns: int = 0
    """Time of the last frame of this connection; 0 before the first."""
    period_ns: float = 0.0
    """Mean frame period; 0 before the second frame."""


class SourceHealth:
    """State of one source, from its events. One thread reports events; any thread reads the status.

    Args:
        is_live: False for files, which wait for their reader: they are neither stalled nor frozen.
        frozen_seconds: time without a change of the image after which the source is frozen; None: never.
    """

    SAMPLES: Final = 10
    """Number of comparisons of the image per `frozen_seconds`."""

    def __init__(self, *, is_live: bool = True, frozen_seconds: float | None = FROZEN_SECONDS) -> None:
        self._is_live = is_live
        self._frozen_ns = None if frozen_seconds is None else round(frozen_seconds * NS_PER_SECOND)
        self._unchanged = UnchangedImage(min(1.0, (frozen_seconds or 0.0) / self.SAMPLES))
        self._phase = _Phase("connecting", 0)
        self._heard_ns = 0
        """Time of the last frame of any connection; 0 before the first."""
        self._num_connections = 0

    @property
    def num_connections(self) -> int:
        """Number of connections so far that delivered a frame."""
        return self._num_connections

    def connecting(self, now_ns: int) -> None:
        """Report an attempt to open the source."""
        state = self._phase.state
        self._enter(state if state in ("waiting", "denied") else "connecting", now_ns, frame_ns=0)

    def received(self, image: ImageArray | Nv12Image, now_ns: int) -> None:
        """Report a frame with its image, uint8 (H, W, 3) or on a GPU."""
        phase = self._phase
        state, _ = self._state_at(phase, now_ns)
        period_ns = phase.period_ns
        if self._heard_ns and (not phase.frame_ns or state == "stalled"):
            self._unchanged.interrupted(now_ns - self._heard_ns)
        self._heard_ns = now_ns
        if not phase.frame_ns:
            self._num_connections += 1
        else:
            period_ns = self._period_at(phase, now_ns)
        unchanged_ns = self._unchanged.add(image, now_ns)
        if self._is_live and self._frozen_ns is not None and now_ns - unchanged_ns >= self._frozen_ns:
            self._phase = replace(phase, state="frozen", since_ns=unchanged_ns, frame_ns=now_ns, period_ns=period_ns)
        else:
            since_ns = phase.since_ns if state == "live" else now_ns
            self._phase = replace(phase, state="live", since_ns=since_ns, frame_ns=now_ns, period_ns=period_ns)

    def skipped(self, now_ns: int) -> None:
        """Report a frame that arrived and was not decoded."""
        phase = self._phase
        if phase.frame_ns and phase.state in ("live", "frozen"):
            self._heard_ns = now_ns
            self._phase = replace(phase, frame_ns=now_ns, period_ns=self._period_at(phase, now_ns))

    def _period_at(self, phase: _Phase, now_ns: int) -> float:
        """Return the mean frame period with a frame that arrives now."""
        # A stall counts as little as its threshold, or the next one would be noticed late; slow cameras converge.
        gap_ns = min(now_ns - phase.frame_ns, _longest_silence_ns(phase))
        return phase.period_ns + (PERIOD_SMOOTHING if phase.period_ns else 1.0) * (gap_ns - phase.period_ns)

    def disconnected(self, error: str, now_ns: int, *, is_denied: bool = False) -> None:
        """Report a lost or failed connection, with its error in one line; another attempt follows."""
        self._enter("denied" if is_denied else "waiting", now_ns, error=error)

    def ended(self, now_ns: int) -> None:
        """Report the end; a source that has failed stays `failed`."""
        if self._phase.state != "failed":
            self._enter("ended", now_ns)

    def failed(self, error: str, now_ns: int) -> None:
        """Report the error, in one line, that ends the source."""
        self._enter("failed", now_ns, error=error)

    def status(self, now_ns: int) -> SourceStatus:
        """Return the status at a time not before that of the last event."""
        phase = self._phase  # replaced as a whole, so that it is read without a lock
        state, since_ns = self._state_at(phase, now_ns)
        return SourceStatus(state, max(now_ns - since_ns, 0) / NS_PER_SECOND if since_ns else 0.0, phase.error)

    def _state_at(self, phase: _Phase, now_ns: int) -> tuple[SourceState, int]:
        """Return the state, and the time since which, with the silence since the last frame."""
        is_delivering = self._is_live and phase.state in ("live", "frozen")
        if is_delivering and now_ns - phase.frame_ns > _longest_silence_ns(phase):
            return "stalled", phase.frame_ns
        return phase.state, phase.since_ns

    def _enter(self, state: SourceState, now_ns: int, *, error: str | None = None, frame_ns: int | None = None) -> None:
        phase = self._phase
        self._phase = replace(
            phase,
            state=state,
            since_ns=phase.since_ns if state == phase.state and phase.since_ns else now_ns,
            error=phase.error if error is None else error,
            frame_ns=phase.frame_ns if frame_ns is None else frame_ns,
        )


def _longest_silence_ns(phase: _Phase) -> float:
    return max(STALL_SECONDS * NS_PER_SECOND, STALL_PERIODS * phase.period_ns)
