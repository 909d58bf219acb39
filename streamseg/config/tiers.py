"""Configuration of the tiers: better models for the few objects that somebody chose."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from streamseg.config.sources import Section

__all__ = ["DEVICE_PATTERN", "Device", "FollowConfig", "QualityConfig", "device_name"]

DEVICE_PATTERN = r"^(auto|cpu|cuda(:\d+)?)$"


def device_name(value: Any) -> Any:
    """Return `cuda:0` for the number 0, also as text; other values are unchanged."""
    is_number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return f"cuda:{value}" if is_number or (isinstance(value, str) and value.isdecimal()) else value


Device = Annotated[str, BeforeValidator(device_name)]


class QualityConfig(Section):
    """Masks of chosen objects from a promptable model of SAM's family."""

    model: str | None = Field(default=None, min_length=1, max_length=4096)
    """Name of a model, such as `mobile-sam`, or a folder; None: off. Names: `streamseg weights list`."""
    objects: Literal["prompted", "all"] = "prompted"
    """prompted: objects that match points, a box, a mask or a text; all: every published object, the prompted first."""
    every: int = Field(default=1, ge=1, le=1000)
    """Use the model in every n-th frame of a source only."""
    budget_ms: float = Field(default=20.0, gt=0, le=60000)
    """Maximum time that the tier adds to a frame; what is expected to take longer keeps its mask."""
    view: Literal["frame", "objects"] = "frame"
    """Input of the model: frame: the whole image, once; objects: the surroundings of each object, enlarged, which costs
    as many runs of the encoder as there are objects."""
    device: Device = Field(default="auto", pattern=DEVICE_PATTERN)


class FollowConfig(Section):
    """Following with the memory of a video model, such as SAM 2's."""

    model: str | None = Field(default=None, min_length=1, max_length=4096)
    """Name of a model, such as `sam2.1-tiny` or `edgetam`, or a folder; None: off, the built-in tracker follows."""
    objects: int = Field(default=8, ge=1, le=64)
    """Maximum number of followed objects per source with a memory; the built-in tracker follows the others."""
    budget_ms: float = Field(default=20.0, gt=0, le=60000)
    """Maximum time that the tier adds to a frame; what is expected to take longer is followed by the built-in tracker.
    """
    device: Device = Field(default="auto", pattern=DEVICE_PATTERN)
