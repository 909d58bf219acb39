"""Prompts, and the instances selected by a prompt."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from streamseg.errors import DataError, counted
from streamseg.structures.mask import CropMask
from streamseg.structures.message import PromptStatus

__all__ = [
    "BoxPrompt",
    "EverythingPrompt",
    "MaskPrompt",
    "PointPrompt",
    "Prompt",
    "Selection",
    "SpatialPrompt",
    "TextPrompt",
]

MAX_TEXT_CHARACTERS: Final = 256
"""Maximum length of a text prompt. Text encoders of the CLIP family read at most 77 tokens."""


@dataclass(frozen=True, kw_only=True)
class _Prompt:
    """Fields of all prompts."""

    source_id: str | None = None
    """Source that the prompt applies to; None: every source, independently."""


@dataclass(frozen=True)
class EverythingPrompt(_Prompt):
    """Every instance."""

    prompt_id: str = "everything"


@dataclass(frozen=True, kw_only=True)
class _SpatialPrompt(_Prompt):
    """Fields of prompts that refer to a place in an image."""

    frame_index: int | None = None
    """`Frame.index` of the frame that the sender saw; None: the next frame."""
    follow: bool = True
    """Track the matched object; False: evaluate the prompt at its place anew in every frame."""
    step: int = 0
    """Number of the selected hypothesis, in the order of `prompting.hypotheses`: 0 is the default match, 1 the next one
    (for points: the next larger one, from part to whole); wraps around after the last."""


@dataclass(frozen=True)
class PointPrompt(_SpatialPrompt):
    """The object that contains every foreground point and no background point.

    `point_coords` are (P, 2) x, y in continuous pixels of the source image; `point_labels` are (P,), 1 for foreground
    and 0 for background, as in segment-anything.
    """

    prompt_id: str
    point_coords: tuple[tuple[float, float], ...]
    point_labels: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.point_coords:
            raise DataError(f"prompt {self.prompt_id!r} has no points; give at least one [x, y]")
        if any(len(point) != 2 or not all(map(math.isfinite, point)) for point in self.point_coords):
            raise DataError(f"prompt {self.prompt_id!r}: each point must be a finite [x, y], got {self.point_coords}")
        if len(self.point_labels) != len(self.point_coords):
            raise DataError(
                f"prompt {self.prompt_id!r} has {counted(len(self.point_coords), 'point')} and"
                f" {counted(len(self.point_labels), 'label')}; give one label per point"
            )
        if any(label not in (0, 1) for label in self.point_labels):
            raise DataError(
                f"prompt {self.prompt_id!r}: labels must be 1 (foreground) or 0 (background), got {self.point_labels}"
            )


@dataclass(frozen=True)
class BoxPrompt(_SpatialPrompt):
    """The object that fills a box, xyxy in continuous pixels of the source image."""

    prompt_id: str
    box: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        if len(self.box) != 4 or not all(map(math.isfinite, self.box)):
            raise DataError(
                f"prompt {self.prompt_id!r}: a box must be four finite numbers x0, y0, x1, y1, got {self.box}"
            )
        x0, y0, x1, y1 = self.box
        if x1 <= x0 or y1 <= y0:
            raise DataError(f"prompt {self.prompt_id!r}: a box must satisfy x0 < x1 and y0 < y1, got {self.box}")


@dataclass(frozen=True)
class MaskPrompt(_SpatialPrompt):
    """The object whose mask is most similar to a given one, in pixels of the source image."""

    prompt_id: str
    mask: CropMask
    image_size: tuple[int, int] | None = None
    """Size (H, W) of the image that the mask was drawn on, to detect another size; None: unknown."""

    def __post_init__(self) -> None:
        if not self.mask.area:
            raise DataError(f"prompt {self.prompt_id!r} has an empty mask; give one with at least one pixel")


@dataclass(frozen=True)
class TextPrompt(_Prompt):
    """Every object that this text describes better than the other text prompts and than "none of these"."""

    prompt_id: str
    text: str

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise DataError(f"prompt {self.prompt_id!r} has an empty text; describe an object, e.g. 'a red cup'")
        if len(self.text) > MAX_TEXT_CHARACTERS:
            raise DataError(
                f"prompt {self.prompt_id!r} has a text of {len(self.text)} characters; at most {MAX_TEXT_CHARACTERS}"
                " are allowed"
            )


SpatialPrompt = PointPrompt | BoxPrompt | MaskPrompt
"""Prompts that target one object at a place and can follow it."""

Prompt = EverythingPrompt | SpatialPrompt | TextPrompt


@dataclass(frozen=True)
class Selection:
    """The instances that match one prompt; may be empty."""

    prompt_id: str
    rows: tuple[int, ...]
    """Row indices of the matching instances, best first; with a `mask`, the rows that it was merged from."""
    scores: tuple[float, ...]
    """Match quality per row, 0..1."""
    mask: CropMask | None = None
    """One mask in place of the rows, in its mask space: merged from several in FastSAM mode, or propagated."""
    status: PromptStatus | None = None
    """Status of a prompt that targets specific objects; None if nothing is followed, e.g. for everything."""
    fit_box: tuple[float, float, float, float] | None = None
    """Box (xyxy, pixels of the image) of the object in the only row, which its mask is to be fitted to; None for the
    mask as it is."""
