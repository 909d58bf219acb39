"""What a subscriber gets: one frame's objects, with numpy only."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import floor
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from streamseg.structures.frame import Clock

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CropMask", "MaskSpace", "Message", "MessageObject", "PromptState", "PromptStatus"]

PromptState = Literal["bound", "lost", "reacquired", "none"]
"""How a prompt stands in one frame.

bound        its object is seen, or what that is a part of, with half the confidence; identity answers
lost         it had an object, which is not seen; the prompt waits for it
reacquired   its object went and was found again under another identity, by motion, shape and looks
none         nothing has answered it yet
"""


ROUNDING = 1e-6
"""Cells: a pixel whose centre lies on the border of two belongs to the later one, however the floats fell."""


class MaskSpace(NamedTuple):
    """What the pixels of a mask are in the picture that it belongs to."""

    size: tuple[int, int]
    """(H, W) of the mask space."""
    image_size: tuple[int, int]
    """(H, W) of the source image."""
    to_image: tuple[float, float, float, float]
    """(scale_x, scale_y, offset_x, offset_y): x_image = scale_x * x_mask + offset_x, continuous coordinates."""


@dataclass(frozen=True, eq=False)
class CropMask:
    """A binary mask that is stored inside its integer box only.

    That of a message's object tells itself at any size of the picture: `mask(message.image_size)`.
    """

    crop: npt.NDArray[np.bool_]
    """bool (h, w); everything outside is background. (0, 0) where the mask is empty."""
    x: int
    """Left column of the crop in the mask space."""
    y: int
    """Top row of the crop in the mask space."""
    space: MaskSpace | None = None
    """Where it lies in its picture; None: not known, as of masks that no message holds."""

    def __call__(self, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """The mask over the whole picture, bool (H, W), with the picture at a `size` (H, W) of any shape.

        Nearest neighbour: a pixel is inside where the mask holds its centre. At the size of the mask
        space that is the mask itself, pixel by pixel. An empty mask is all background.

        Raises:
            ValueError: the mask does not know its space, or a size is negative.
        """
        if min(size) < 0:
            raise ValueError(f"a size is (H, W) of at least 0 pixels, got {size}")
        canvas = np.zeros(size, dtype=np.bool_)
        self.paint(canvas)
        return canvas

    def paint(self, canvas: npt.NDArray[np.bool_]) -> None:
        """Write what `mask(size)` returns into a canvas of background, bool (H, W).

        Raises:
            ValueError: the mask does not know its space.
        """
        space = self._known_space()
        scale_x, scale_y, offset_x, offset_y = space.to_image
        crop_height, crop_width = self.crop.shape
        columns, x = _cells(canvas.shape[1], space.image_size[1], scale_x, offset_x, self.x, crop_width)
        rows, y = _cells(canvas.shape[0], space.image_size[0], scale_y, offset_y, self.y, crop_height)
        if not len(rows) or not len(columns):
            return
        # Where the picture is at the mask's own scale, as it usually is, nothing needs to be looked up.
        is_plain = _is_all(rows, crop_height) and _is_all(columns, crop_width)
        inside = self.crop if is_plain else self.crop[rows][:, columns]
        canvas[y : y + len(rows), x : x + len(columns)] = inside

    @property
    def centroid(self) -> tuple[float, float] | None:
        """(x, y), the mean of its pixels in continuous pixels of the source image; None where the mask is empty.

        That of a ring lies outside the ring.

        Raises:
            ValueError: the mask does not know its space.
        """
        scale_x, scale_y, offset_x, offset_y = self._known_space().to_image
        by_column: npt.NDArray[np.int64] = np.sum(self.crop, axis=0, dtype=np.int64)
        by_row: npt.NDArray[np.int64] = np.sum(self.crop, axis=1, dtype=np.int64)
        num_pixels = int(by_row.sum())
        if not num_pixels:
            return None
        x = self.x + 0.5 + float(by_column @ np.arange(len(by_column))) / num_pixels
        y = self.y + 0.5 + float(by_row @ np.arange(len(by_row))) / num_pixels
        return scale_x * x + offset_x, scale_y * y + offset_y

    @property
    def area(self) -> int:
        """Number of pixels inside."""
        return int(np.count_nonzero(self.crop))

    def full(self, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """The mask on a canvas of `size` (H, W); raises ValueError where the crop does not fit on it."""
        height, width = size
        crop_height, crop_width = self.crop.shape
        if self.x < 0 or self.y < 0 or self.x + crop_width > width or self.y + crop_height > height:
            raise ValueError(
                f"a crop of {crop_width}x{crop_height} at ({self.x}, {self.y}) lies outside {width}x{height}"
            )
        canvas = np.zeros(size, dtype=np.bool_)
        canvas[self.y : self.y + crop_height, self.x : self.x + crop_width] = self.crop
        return canvas

    def _known_space(self) -> MaskSpace:
        if self.space is None:
            raise ValueError("this mask does not know its place in a picture; `full` puts it into its mask space")
        return self.space


def _cells(
    num_pixels: int, image_length: int, scale: float, offset: float, start: int, length: int
) -> tuple[npt.NDArray[np.intp], int]:
    """Along one axis: which cell of the crop each pixel shows, of those that show any, and the first such pixel."""
    if not num_pixels or not length or not image_length:
        return np.zeros(0, dtype=np.intp), 0
    if not scale > 0:
        raise ValueError(f"a mask space has a scale above 0, got {scale:g}")
    pixel = image_length / num_pixels
    # Only the pixels near the crop are looked at; one more on each side, whatever the rounding.
    first = floor(min(max((start * scale + offset) / pixel - 1, 0), num_pixels))
    end = floor(min(max(((start + length) * scale + offset) / pixel + 2, 0), num_pixels))
    cells = ((np.arange(first, end) + 0.5) * pixel - offset) / scale + (ROUNDING - start)
    bounds = np.searchsorted(cells, (0, length))
    return cells[bounds[0] : bounds[1]].astype(np.intp), first + int(bounds[0])


def _is_all(cells: npt.NDArray[np.intp], length: int) -> bool:
    """Whether these, which lie in 0..length-1 and never fall, are all of them."""
    return len(cells) == length and cells[0] == 0 and bool((cells[1:] > cells[:-1]).all())


@dataclass(frozen=True, eq=False)
class MessageObject:
    """One object of a frame."""

    track_id: int
    """Stable identity, -1 while tentative, and for a mask that was merged from several instances."""
    prompt_ids: tuple[str, ...]
    """The prompts that it answers."""
    box: tuple[float, float, float, float]
    """xyxy, continuous pixels of the source image."""
    score: float
    """0..1."""
    mask: CropMask
    """In the mask space, which is the source image unless the message says otherwise."""
    area: int = 0
    """Pixels of the mask, in the mask space."""
    label: str | None = None
    """Name of the class, where something named one."""

    @property
    def centroid(self) -> tuple[float, float]:
        """(x, y) of the mask's centre of mass, in continuous pixels of the source image.

        Where the mask is empty, or does not know its place in the picture, the middle of the box.
        """
        centre = self.mask.centroid if self.mask.space is not None else None
        return centre or ((self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2)


@dataclass(frozen=True)
class PromptStatus:
    """How one prompt stands in one frame."""

    prompt_id: str
    state: PromptState
    confidence: float = 0.0
    """0..1: that the object is still the one that was meant; 0 while it is lost, or where there is none."""
    track_id: int = -1
    """Identity of the object that answers; of a lost one, its last; -1 while it has none, and for texts."""


@dataclass(frozen=True, eq=False)
class Message:
    """What is published for one frame. Holds no torch tensor and no socket."""

    source_id: str
    frame_index: int
    """`Frame.index`: counts what the source delivered."""
    captured_ns: int
    """Wall clock (ns since the Unix epoch) when the picture was taken."""
    clock: Clock
    age_ms: float
    """Age of the picture when the message was made."""
    image_size: tuple[int, int]
    """(H, W) of the source image."""
    mask_size: tuple[int, int]
    """(H, W) of the mask space. Equals `image_size` unless masks were asked for at another size."""
    mask_to_image: tuple[float, float, float, float]
    """(scale_x, scale_y, offset_x, offset_y): x_image = scale_x * x_mask + offset_x, continuous coordinates."""
    objects: tuple[MessageObject, ...]
    pts_seconds: float | None = None
    frame_id: str = ""
    """Name of the coordinate frame, for robots (ROS `header.frame_id`)."""
    prompts: tuple[PromptStatus, ...] = ()
    """The prompts that mean certain objects of this source, whether anything answers them or not."""
    drops: dict[str, dict[str, int]] = field(default_factory=dict)
    """Frames dropped so far, by stage and reason: {"capture": {"newer_frame": 3}}."""
    jpeg: bytes | None = None
    """The picture, where somebody subscribed to it."""
    epoch: str = ""
    """Identifies one run of the publisher; `seq` restarts with it. Set by the publisher."""
    seq: int = -1
    """Counts the messages of this source within the epoch. Set by the publisher."""

    @property
    def mask_space(self) -> MaskSpace:
        """What the masks' pixels are in the picture."""
        return MaskSpace(self.mask_size, self.image_size, self.mask_to_image)

    def of(self, prompt_id: str) -> tuple[MessageObject, ...]:
        """The objects that answer a prompt, best first; none where nothing does, or there is no such prompt."""
        return tuple(found for found in self.objects if prompt_id in found.prompt_ids)

    def prompt(self, prompt_id: str) -> PromptStatus | None:
        """How a prompt stands that means certain objects; None where this source is not asked it, or not yet."""
        return next((status for status in self.prompts if status.prompt_id == prompt_id), None)

    def to_supervision(self, *, classes: Sequence[str] | None = None) -> Any:
        """The objects as `supervision.Detections`, with masks at the size of the source image.

        Args:
            classes: labels by class id, see `conversion.detection_arrays`.

        Raises:
            DataError: supervision is not installed.
        """
        from streamseg.structures.conversion import to_supervision

        return to_supervision(self, classes=classes)
