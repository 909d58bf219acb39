"""Runs the calls of a tier; a tier that fails is switched off, and the run goes on without it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from streamseg.redaction import redact
from streamseg.tiers.contract import TierName, TierReport

__all__ = ["TierGuard"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_ERROR_CHARACTERS = 300


class TierGuard:
    """State and counts of one tier. One thread calls it at a time; any thread reads the report.

    Args:
        tier: name of the tier.
        model: name of its model, as configured.
    """

    def __init__(self, tier: TierName, model: str) -> None:
        self._tier = tier
        self._model = model
        self._error: str | None = None
        self._counts: Counter[str] = Counter()

    @property
    def is_working(self) -> bool:
        """Whether no call has failed so far."""
        return self._error is None

    def call(self, work: Callable[[], T]) -> T | None:
        """Return the result of some work; None if it fails, or if any work failed before.

        Every exception counts, because those of the engines have no common type: running out of memory, for example, is
        a MemoryError, a RuntimeError or a type of ONNX Runtime. The first one is logged, with its traceback at the
        level debug.
        """
        if self._error is not None:
            return None
        try:
            return work()
        except Exception as error:
            self.fail(error)
            return None

    def fail(self, error: BaseException) -> None:
        """Switch the tier off because of an error, and log it once."""
        if self._error is not None:
            return
        lines = redact(str(error)).strip().splitlines()
        text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        self._error = text[:MAX_ERROR_CHARACTERS]
        logger.error("%s tier: %s failed; the run goes on without it: %s", self._tier, self._model, self._error)
        logger.debug("%s tier", self._tier, exc_info=error)

    def count(self, outcome: str, num_objects: int = 1) -> None:
        """Count objects by outcome."""
        if num_objects:
            self._counts[outcome] += num_objects

    def report(self) -> TierReport:
        """Return the state and the counts so far; thread-safe."""
        is_working = self._error is None
        return TierReport(
            self._tier, self._model, "working" if is_working else "failed", self._error, dict(self._counts)
        )
