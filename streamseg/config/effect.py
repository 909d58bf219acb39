"""Configuration section of the effects for people who watch."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from streamseg.config.sources import Section

__all__ = ["EffectConfig", "EffectKind"]

EffectKind = Literal["cutout", "blur", "highlight"]
"""cutout     the prompted objects on another background
blur       the prompted objects on their blurred background
highlight  the prompted objects in colour, everything else dimmed and grey
"""


class EffectConfig(Section):
    """Effect on the images that people watch: the page, videos, the virtual webcam, imagezmq."""

    kind: EffectKind | None = None
    """cutout, blur or highlight; None: no effect. With cutout and blur, everything but the prompted objects is hidden,
    also while they are lost and while there is no prompt."""
    background: str | None = Field(default=None, min_length=1, max_length=4096)
    """Background of cutout: a colour, #RRGGBB, or the path of an image; None: green, #00b140, which programs for video
    can replace."""
    blur: float = Field(default=0.03, ge=0.005, le=0.2)
    """Standard deviation of the blur, as a fraction of the image's short side."""
    hold_s: float = Field(default=0.5, ge=0, le=10)
    """Time in which an object that is lost fades out; what is behind it stays hidden."""

    @field_validator("background")
    @classmethod
    def _check_background(cls, background: str | None) -> str | None:
        if background is not None and background.startswith("#") and not re.fullmatch(r"#[0-9a-fA-F]{6}", background):
            raise ValueError(
                f"{background[:40]!r} is no colour; write #RRGGBB, such as #00b140, or the path of an image"
            )
        return background
