"""Reduced quality of a frame, on a machine that is too slow for the deadline of its source. Requires no package."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NO_DEGRADATION", "Degradation"]


@dataclass(frozen=True)
class Degradation:
    """One step of the ladder of a source: what a frame gets in place of the configured quality."""

    step: int = 0
    """Number of the step; 0: the configured quality. Greater steps cost less."""
    plain_masks: bool = False
    """Masks from prototypes alone, and raw scores: the refiner is skipped."""
    imgsz_scale: float = 1.0
    """Size of the network's input relative to the configured one, above 0 and at most 1."""
    every_nth: int = 1
    """Only every n-th frame of the source is processed."""

    @property
    def is_cheaper(self) -> bool:
        """Whether the segmentation of a single frame costs less."""
        return self.plain_masks or self.imgsz_scale != 1

    def __str__(self) -> str:
        parts = [
            *(["plain masks"] if self.plain_masks else []),
            *([f"imgsz x {self.imgsz_scale:g}"] if self.imgsz_scale != 1 else []),
            *([f"one frame in {self.every_nth}"] if self.every_nth > 1 else []),
        ]
        return ", ".join(parts) or "full quality"


NO_DEGRADATION = Degradation()
