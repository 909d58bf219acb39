"""What a person or a program asks for, and what answers it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from streamseg.errors import DataError
from streamseg.structures.message import CropMask, PromptStatus

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
"""Of a text prompt. The text encoders of CLIP's family read 77 tokens or fewer."""


@dataclass(frozen=True, kw_only=True)
class _Prompt:
    """What all prompts have."""

    source_id: str | None = None
    """The source that is asked; None: every source, each for itself."""


@dataclass(frozen=True)
class EverythingPrompt(_Prompt):
    """Every instance."""

    prompt_id: str = "everything"


@dataclass(frozen=True, kw_only=True)
class _LocatedPrompt(_Prompt):
    """What prompts have that mean a place in a picture."""

    frame_index: int | None = None
    """`Frame.index` of the picture that the sender saw; None: the next one to come."""
    follow: bool = True
    """Stay with the object that answered; False: the place is asked about anew in every frame."""
    step: int = 0
    """Which of the objects that could be meant, as `prompting.candidates` orders them: 0 is the one that answers by
    itself, 1 the next (of points: the next larger, from part to whole), and after the last one the first again."""


@dataclass(frozen=True)
class PointPrompt(_LocatedPrompt):
    """The object at some points: it holds every foreground point and no background point.

    `point_coords` are (P, 2) x, y in continuous pixels of the source image, `point_labels` (P,)
    with 1 for foreground and 0 for background (the labels of segment-anything).
    """

    prompt_id: str
    point_coords: tuple[tuple[float, float], ...]
    point_labels: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.point_coords:
            raise DataError(f"prompt {self.prompt_id!r} has no points; give at least one [x, y]")
        if any(len(point) != 2 or not all(map(math.isfinite, point)) for point in self.point_coords):
            raise DataError(f"prompt {self.prompt_id!r}: each point is a finite [x, y], got {self.point_coords}")
        if len(self.point_labels) != len(self.point_coords):
            raise DataError(
                f"prompt {self.prompt_id!r} has {len(self.point_coords)} points and"
                f" {len(self.point_labels)} labels; give one label per point"
            )
        if any(label not in (0, 1) for label in self.point_labels):
            raise DataError(
                f"prompt {self.prompt_id!r}: labels are 1 (foreground) or 0 (background), got {self.point_labels}"
            )


@dataclass(frozen=True)
class BoxPrompt(_LocatedPrompt):
    """The object that fills a box: xyxy, continuous pixels of the source image."""

    prompt_id: str
    box: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        if len(self.box) != 4 or not all(map(math.isfinite, self.box)):
            raise DataError(f"prompt {self.prompt_id!r}: a box is four finite numbers x0, y0, x1, y1, got {self.box}")
        x0, y0, x1, y1 = self.box
        if x1 <= x0 or y1 <= y0:
            raise DataError(f"prompt {self.prompt_id!r}: a box needs x0 < x1 and y0 < y1, got {self.box}")


@dataclass(frozen=True)
class MaskPrompt(_LocatedPrompt):
    """The object whose mask is most like a given one, in pixels of the source image."""

    prompt_id: str
    mask: CropMask
    image_size: tuple[int, int] | None = None
    """(H, W) of the picture that it was drawn on, so that another size is noticed; None: not said."""

    def __post_init__(self) -> None:
        if not self.mask.area:
            raise DataError(f"prompt {self.prompt_id!r} has an empty mask; give one with at least one pixel")


@dataclass(frozen=True)
class TextPrompt(_Prompt):
    """Every object that is better described by this text than by the other texts asked for, or by none of them."""

    prompt_id: str
    text: str

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise DataError(f"prompt {self.prompt_id!r} has an empty text; describe an object, such as 'a red cup'")
        if len(self.text) > MAX_TEXT_CHARACTERS:
            raise DataError(
                f"prompt {self.prompt_id!r} has a text of {len(self.text)} characters; at most {MAX_TEXT_CHARACTERS}"
                " are allowed"
            )


SpatialPrompt = PointPrompt | BoxPrompt | MaskPrompt
"""Prompts that mean one object at a place, which they can follow."""

Prompt = EverythingPrompt | SpatialPrompt | TextPrompt


@dataclass(frozen=True)
class Selection:
    """What answers one prompt: rows of the Instances it was asked of; no row is an answer, too."""

    prompt_id: str
    rows: tuple[int, ...]
    """Indices into the rows of the instances, best first; with a `mask`, those that it was painted from."""
    scores: tuple[float, ...]
    """How well each row answers, 0..1, one per row."""
    mask: CropMask | None = None
    """One mask that answers in place of the rows, as the reference merges several; in its mask space."""
    status: PromptStatus | None = None
    """How a prompt that means certain objects stands; None for what nothing follows, such as everything."""
