"""Degradation of a source under lasting overload, and its recovery. Pure: the caller supplies the time.

The load is the time that a frame takes in this program over the time that its deadline leaves. A step to a lower
quality needs a load above 1 that lasts. A step back is a trial: it needs a load so low that the better step may fit,
and if it does not, the next trial waits twice as long. Without that, a load between two steps would alternate for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, Protocol, runtime_checkable

from streamseg.config import DegradationConfig
from streamseg.structures.degradation import NO_DEGRADATION, Degradation

__all__ = ["HEADROOM", "LONGEST_BACKOFF", "Ladder", "OffersDegradation", "degradation_steps"]

HEADROOM: Final = 0.5
"""Load below which a better step is tried: each step costs about half of the one before."""
TOLERATED_SHARE: Final = 0.1
"""Share of frames that may exceed a limit without any effect."""
MIN_FRAMES: Final = 3
"""Number of frames that decide at least, for slow cameras."""
LONGEST_BACKOFF: Final = 16
"""Longest wait for a trial, as a multiple of `recover_seconds`."""


@runtime_checkable
class OffersDegradation(Protocol):
    """A segmenter that can process single frames at lower quality."""

    def offers(self, degradation: Degradation) -> bool:
        """Return whether it can process frames so, and whether that is cheaper than without."""
        ...


class Ladder:
    """Step of one source: 0 for the configured quality, up to the cheapest one.

    Two changes are never closer than `after_seconds`, and a climb comes at least `recover_seconds` after any change.
    With a load that stays below `HEADROOM`, step 0 is reached within `LONGEST_BACKOFF * recover_seconds` per step.

    Args:
        num_steps: number of steps including step 0; 1: nothing can change.
        after_seconds: duration of an overload that causes a step.
        recover_seconds: time at a step before a better one is tried.
    """

    def __init__(self, num_steps: int, *, after_seconds: float, recover_seconds: float) -> None:
        self.step = 0
        self._num_steps = num_steps
        self._after_ns = round(after_seconds * 1e9)
        self._recover_ns = round(recover_seconds * 1e9)
        self._hold_ns = self._recover_ns
        self._changed_ns: int | None = None
        self._is_trial = False
        self._overloaded_ns: int | None = None
        self._begin()

    def observe(self, load: float, now_ns: int) -> bool:
        """Take the load of one frame, >= 0; return whether the step has changed. Times must not decrease."""
        if self._changed_ns is None:
            self._changed_ns = now_ns
        self._over.add(load > 1, now_ns)
        self._busy.add(load > HEADROOM, now_ns)
        if not self._over.is_exceeded:
            self._overloaded_ns = None
        elif self._overloaded_ns is None:
            self._overloaded_ns = now_ns
        waited_ns = now_ns - self._changed_ns
        if self._is_trial and waited_ns >= self._recover_ns:
            self._is_trial, self._hold_ns = False, self._recover_ns  # the better step holds
        has_lasted = self._overloaded_ns is not None and now_ns - self._overloaded_ns >= self._after_ns
        if has_lasted and waited_ns >= self._after_ns and self.step + 1 < self._num_steps:
            if self._is_trial:
                self._hold_ns = min(2 * self._hold_ns, LONGEST_BACKOFF * self._recover_ns)
            self._change(self.step + 1, now_ns, is_trial=False)
            return True
        if self.step and waited_ns >= self._hold_ns and self._busy.is_met:
            self._change(self.step - 1, now_ns, is_trial=True)
            return True
        return False

    def _change(self, step: int, now_ns: int, *, is_trial: bool) -> None:
        self.step, self._changed_ns, self._is_trial = step, now_ns, is_trial
        self._begin()

    def _begin(self) -> None:
        """Forget the frames of another step."""
        self._over, self._busy = _Share(self._after_ns // 2), _Share(self._recover_ns)
        self._overloaded_ns = None


class _Share:
    """Share of the recent frames that exceed a limit."""

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._frames: deque[tuple[int, bool]] = deque()
        self._num_above = 0

    def add(self, is_above: bool, now_ns: int) -> None:
        self._frames.append((now_ns, is_above))
        self._num_above += is_above
        while len(self._frames) > MIN_FRAMES and self._frames[0][0] < now_ns - self._window_ns:
            self._num_above -= self._frames.popleft()[1]

    @property
    def is_exceeded(self) -> bool:
        """Whether more frames exceed the limit than are tolerated."""
        return len(self._frames) >= MIN_FRAMES and self._num_above > TOLERATED_SHARE * len(self._frames)

    @property
    def is_met(self) -> bool:
        """Whether no more frames exceed the limit than are tolerated."""
        return len(self._frames) >= MIN_FRAMES and self._num_above <= TOLERATED_SHARE * len(self._frames)


def degradation_steps(config: DegradationConfig, segmenter: object) -> tuple[Degradation, ...]:
    """Return the steps from the configured quality to the cheapest, each one including those before.

    Args:
        config: the steps that are allowed.
        segmenter: steps that it does not offer are left out.
    """
    return tuple(_steps(config, segmenter)) if config.enabled else (NO_DEGRADATION,)


def _steps(config: DegradationConfig, segmenter: object) -> Iterator[Degradation]:
    last = NO_DEGRADATION
    yield last
    for found in _candidates(config):
        merged = replace(
            found,
            step=last.step + 1,
            plain_masks=found.plain_masks or last.plain_masks,
            imgsz_scale=min(found.imgsz_scale, last.imgsz_scale),
        )
        if found.every_nth > 1 or (isinstance(segmenter, OffersDegradation) and segmenter.offers(merged)):
            last = merged
            yield last


def _candidates(config: DegradationConfig) -> Iterator[Degradation]:
    """Yield the change of each step on its own."""
    if config.plain_masks:
        yield Degradation(plain_masks=True)
    yield from (Degradation(imgsz_scale=scale) for scale in config.imgsz_scales)
    yield from (Degradation(every_nth=number) for number in config.every_nth)
