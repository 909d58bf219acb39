"""Configuration of the degradation under lasting overload."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from streamseg.config.sources import Section

__all__ = ["DegradationConfig"]


class DegradationConfig(Section):
    """Steps by which a live source with a `deadline_ms` costs less while the machine is too slow for it."""

    enabled: bool = True
    """False: frames that miss their deadline are dropped, and nothing else changes."""
    plain_masks: bool = True
    """First step: skip the refiner, so that masks are plain and scores are raw."""
    imgsz_scales: tuple[float, ...] = Field(default=(0.75, 0.5), max_length=8)
    """Next steps: sizes of the network's input relative to `segmentation.imgsz`, decreasing; empty: none."""
    every_nth: tuple[int, ...] = Field(default=(2, 4), max_length=8)
    """Last steps: process every n-th frame only, increasing; empty: none."""
    after_seconds: float = Field(default=2.0, gt=0, le=600)
    """Duration of an overload that causes a step."""
    recover_seconds: float = Field(default=10.0, gt=0, le=600)
    """Time at a step before a better one is tried; it doubles with each trial that fails, up to 16 times."""

    @field_validator("imgsz_scales")
    @classmethod
    def _scales_decrease(cls, scales: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0.1 <= scale < 1 for scale in scales) or list(scales) != sorted(set(scales), reverse=True):
            raise ValueError(f"must decrease, each 0.1 or more and less than 1, got {list(scales)}")
        return scales

    @field_validator("every_nth")
    @classmethod
    def _numbers_increase(cls, numbers: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 2 <= number <= 100 for number in numbers) or list(numbers) != sorted(set(numbers)):
            raise ValueError(f"must increase, each 2..100, got {list(numbers)}")
        return numbers

    @model_validator(mode="after")
    def _recovers_slower(self) -> DegradationConfig:
        if self.recover_seconds < self.after_seconds:
            raise ValueError(
                f"recover_seconds must be at least after_seconds ({self.after_seconds:g}), or the quality would "
                f"alternate; got {self.recover_seconds:g}"
            )
        return self
