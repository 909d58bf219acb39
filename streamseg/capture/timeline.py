"""Time lines of sources: one monotonic time per frame, made from the stamps of a container or a camera.

Everything downstream (tracker, playback, recordings, messages) uses these times. Stamps are wrong in
known ways: they are in decoding order (B-frames in AVI), restart (joined recordings), jump for a few frames
(outliers), or are absent (raw H.264). Pure: no clock is read here.
"""

from __future__ import annotations

import statistics
from collections import Counter, deque
from collections.abc import Iterator
from itertools import pairwise
from typing import Generic, NamedTuple, TypeVar

__all__ = ["LONGEST_STEP_SECONDS", "LiveTimeline", "Timeline", "describe_mended"]

T = TypeVar("T")

LONGEST_STEP_SECONDS = 10.0
"""A larger step between two frames is checked against the frames that follow, or against the time of arrival."""
SHORTEST_STEP_SECONDS = 1e-6
"""Minimum step between two frames of a recording."""


class _Held(NamedTuple, Generic[T]):
    """A frame whose time is not decided yet."""

    item: T
    pts_seconds: float | None
    dts_seconds: float | None


class Timeline(Generic[T]):
    """Time line of a recording. Times start at 0 and increase strictly.

    A frame is held until `lookahead` later ones are known, because only they tell an outlier from a gap:

    - presentation stamps that run backwards while the decoding stamps increase are replaced by those, by
      the rule of FFmpeg's best-effort time stamps ("reordered", counted once);
    - frames whose stamps leave the time line and return are placed evenly in between ("outlier");
    - a clock that starts again continues one frame period after the last frame ("restart");
    - a gap is kept, however long, because a recording may pause; only in formats whose clocks may jump at any
      point (MPEG-TS), a step of more than `LONGEST_STEP_SECONDS` is a restart, too;
    - a frame without a stamp follows the last one after one frame period.

    Args:
        period_seconds: nominal frame period, until steps have been observed.
        has_jumps: the clock of the format may jump forward (FFmpeg's AVFMT_TS_DISCONT).
        lookahead: number of frames to wait for; 0 for no delay.
    """

    LONGEST_PERIODS = 10
    """A step of up to this many frame periods is never suspicious: slide shows have long periods."""
    UNCONFIRMED_SECONDS = 3600.0
    """A larger step before the very last frame, which nothing confirms, is an outlier."""

    def __init__(self, period_seconds: float, *, has_jumps: bool = False, lookahead: int = 4) -> None:
        self.mended = Counter[str]()
        """Number of mended discontinuities by kind: "outlier", "reordered", "restart"."""
        self._nominal_seconds = period_seconds
        self._has_jumps = has_jumps
        self._lookahead = lookahead
        self._steps = deque[float](maxlen=15)
        self._held = deque[_Held[T]]()
        self._planned = deque[float]()
        self._last_seconds: float | None = None
        self._begin_pass()

    def add(self, item: T, pts_seconds: float | None, dts_seconds: float | None = None) -> Iterator[tuple[T, float]]:
        """Add a frame in presentation order; yield the frames whose times are decided, with seconds from the start.

        Args:
            item: the frame.
            pts_seconds: its presentation stamp; None if absent.
            dts_seconds: the decoding stamp of the packet after which the decoder output it; None if absent.
        """
        self._held.append(_Held(item, pts_seconds, dts_seconds))
        while len(self._held) > self._lookahead:
            yield self._next()

    def end(self) -> Iterator[tuple[T, float]]:
        """Yield the frames still held. Frames added later continue one frame period after them."""
        while self._held:
            yield self._next()
        self._begin_pass()

    @property
    def period_seconds(self) -> float:
        """Frame period: the median of the latest steps, or the nominal one."""
        return max(statistics.median(self._steps), SHORTEST_STEP_SECONDS) if self._steps else self._nominal_seconds

    def _begin_pass(self) -> None:
        self._offset_seconds: float | None = None  # stamp minus time
        self._uses_dts = False
        self._last: _Held[T] | None = None
        self._num_faults = [0, 0]  # of presentation and decoding stamps so far

    def _next(self) -> tuple[T, float]:
        self._choose_stamps()
        seconds = self._time()
        head = self._held.popleft()
        if self._last is not None:
            for kind, faults in enumerate(_faults([self._last, head])):
                self._num_faults[kind] += faults
            step = seconds - (self._last_seconds or 0.0)
            if step <= self._longest_seconds():
                self._steps.append(step)
        self._last, self._last_seconds = head, seconds
        return head.item, seconds

    def _choose_stamps(self) -> None:
        """Change to decoding stamps as soon as they have fewer faults, including those of the held frames."""
        if self._uses_dts or self._held[0].dts_seconds is None:
            return
        window = [*self._held] if self._last is None else [self._last, *self._held]
        pts_faults, dts_faults = _faults(window)
        if pts_faults + self._num_faults[0] <= dts_faults + self._num_faults[1]:
            return
        self._uses_dts = True
        last = self._last
        if any(one.pts_seconds is not None for one in window):
            self.mended["reordered"] += 1
        self._offset_seconds = None
        if last is not None and last.dts_seconds is not None and self._last_seconds is not None:
            self._offset_seconds = last.dts_seconds - self._last_seconds
        self._planned.clear()

    def _stamp(self, held: _Held[T]) -> float | None:
        return held.dts_seconds if self._uses_dts else held.pts_seconds

    def _longest_seconds(self) -> float:
        return max(LONGEST_STEP_SECONDS, self.LONGEST_PERIODS * self.period_seconds)

    def _time(self) -> float:
        """Return the time of the first held frame."""
        if self._planned:
            return self._planned.popleft()
        stamp, last = self._stamp(self._held[0]), self._last_seconds
        following = 0.0 if last is None else last + self.period_seconds
        if stamp is None:
            return following
        if last is None or self._offset_seconds is None:
            self._offset_seconds = stamp - following
            return following
        seconds = stamp - self._offset_seconds
        if SHORTEST_STEP_SECONDS <= seconds - last <= self._longest_seconds():
            return seconds
        num_outliers, returned_seconds = self._outliers(last, self._offset_seconds)
        if num_outliers:
            self.mended["outlier"] += num_outliers
            step = (returned_seconds - last) / (num_outliers + 1)
            self._planned.extend(last + step * number for number in range(2, num_outliers + 1))
            return last + step
        is_gap = seconds - last > SHORTEST_STEP_SECONDS
        is_last = len(self._held) == 1 and self._lookahead > 0
        is_unconfirmed = is_gap and is_last and seconds - last > self.UNCONFIRMED_SECONDS
        if is_gap and not self._has_jumps and not is_unconfirmed:
            return seconds
        self.mended["outlier" if is_unconfirmed else "restart"] += 1
        self._offset_seconds = stamp - following
        return following

    def _outliers(self, last: float, offset_seconds: float) -> tuple[int, float]:
        """Return the number of held frames off the time line, and the time of the one that returns to it; else (0, 0).

        Several frames that continue each other are a restarted clock, even if it reaches the old time.
        """
        longest = self._longest_seconds()
        run = list[float]()
        for number, held in enumerate(self._held):
            stamp = self._stamp(held)
            if stamp is None:
                continue
            run.append(stamp - offset_seconds)
            if number and last + number * SHORTEST_STEP_SECONDS < run[-1] <= last + longest:
                is_clock = len(run) > 2 and all(0 < b - a <= longest for a, b in pairwise(run))
                return (0, 0.0) if is_clock else (number, run[-1])
        return 0, 0.0


class LiveTimeline:
    """Time line of a live source: stamps as long as the time of arrival confirms them.

    A stamp that does not advance, or advances much more than the time of arrival, is a discontinuity: a camera that
    restarted, or an outlier. The time of arrival bridges it, so that nothing must be held back.
    """

    def __init__(self) -> None:
        self.mended = Counter[str]()
        """Number of bridged discontinuities by kind: "restart" (backwards) or "jump" (forwards)."""
        self._last: tuple[float | None, int] | None = None
        self._seconds = 0.0
        self._has_stamps = False

    def at(self, pts_seconds: float | None, received_ns: int) -> float | None:
        """Return the seconds of a frame since the first one; None as long as the camera gives no stamps.

        Args:
            pts_seconds: the stamp on the camera's clock; None if absent.
            received_ns: monotonic time of arrival in ns.
        """
        last, self._last = self._last, (pts_seconds, received_ns)
        self._has_stamps |= pts_seconds is not None
        if last is None:
            return 0.0 if self._has_stamps else None
        last_pts_seconds, last_received_ns = last
        arrived_seconds = max(received_ns - last_received_ns, 0) / 1e9
        step = arrived_seconds
        if pts_seconds is not None and last_pts_seconds is not None:
            step = pts_seconds - last_pts_seconds
            if step <= 0 or step - arrived_seconds > LONGEST_STEP_SECONDS:
                if step:
                    self.mended["restart" if step < 0 else "jump"] += 1
                step = arrived_seconds
        self._seconds += step
        return self._seconds if self._has_stamps else None

    def reconnected(self) -> None:
        """Report a new connection, whose stamps start afresh."""
        if self._last is not None:
            self._last = (None, self._last[1])


def describe_mended(mended: Counter[str]) -> str:
    """Return the counts as text: "3 discontinuities of the time stamps mended (outlier 2, restart 1)"."""
    kinds = ", ".join(f"{kind} {num}" for kind, num in sorted(mended.items()))
    noun = "discontinuity" if mended.total() == 1 else "discontinuities"
    return f"{mended.total()} {noun} of the time stamps mended ({kinds})"


def _faults(frames: list[_Held[T]]) -> tuple[int, int]:
    """Return how many presentation and decoding stamps do not advance; no presentation stamp is a fault, too.

    The last frames of a decoder have no decoding stamp.
    """
    pts_faults = dts_faults = 0
    for a, b in pairwise(frames):
        if b.pts_seconds is None:
            pts_faults += b.dts_seconds is not None
        elif a.pts_seconds is not None:
            pts_faults += b.pts_seconds <= a.pts_seconds
        if a.dts_seconds is not None and b.dts_seconds is not None:
            dts_faults += b.dts_seconds <= a.dts_seconds
    return pts_faults, dts_faults
