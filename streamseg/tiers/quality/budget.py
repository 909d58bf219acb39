"""How many objects fit into the budget of one frame, by the measured times of encoder and decoder."""

from __future__ import annotations

from streamseg.tiers.costs import StageCosts
from streamseg.tiers.quality.decoding import TimedMasks, View

__all__ = ["FrameBudget"]


class FrameBudget:
    """The expected times of a promptable model, and a limit per frame. Not thread-safe.

    Args:
        budget_ms: maximum expected time per frame; None: no limit.
        view: input of the model: with `objects`, each object needs a run of the encoder.
    """

    def __init__(self, budget_ms: float | None, view: View) -> None:
        self._budget_ms = budget_ms
        self._view = view
        self._costs = StageCosts()

    def add(self, decoded: TimedMasks) -> None:
        """Add measured times."""
        for stage, milliseconds, units in decoded.times:
            self._costs.add(stage, milliseconds, units)

    def expected_ms(self, num_objects: int) -> float:
        """Return the expected time of one frame with so many objects, 1 or more."""
        encode, decode = self._costs.expected("encode") or 0.0, self._decode_ms(num_objects)
        num_images = num_objects if self._view == "objects" else 1
        return num_images * encode + num_objects * decode

    def num_fitting(self, num_objects: int) -> int:
        """Return how many of some objects fit into this frame; if none does, the expectations relax."""
        if self._budget_ms is None:
            return num_objects
        for count in range(num_objects, 0, -1):
            if self.expected_ms(count) <= self._budget_ms:
                return count
        self._costs.skipped("encode", *(f"decode{power}" for power in range(1, num_objects.bit_length() + 1)))
        return 0

    @property
    def never_fits(self) -> bool:
        """Whether the encoder alone exceeds the budget."""
        encode = self._costs.expected("encode")
        return self._budget_ms is not None and encode is not None and encode > self._budget_ms

    def _decode_ms(self, num_objects: int) -> float:
        """Return the expected time per object of a batch, by the nearest power of two that was measured."""
        for power in range(num_objects.bit_length(), 0, -1):
            expected = self._costs.expected(f"decode{power}")
            if expected is not None:
                return expected
        return 0.0
