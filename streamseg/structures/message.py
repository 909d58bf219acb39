"""What a subscriber gets: one frame's objects, with numpy only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from streamseg.structures.frame import Clock

__all__ = ["CropMask", "Message", "MessageObject", "PromptState", "PromptStatus"]

PromptState = Literal["bound", "lost", "reacquired", "none"]
"""How a prompt stands in one frame.

bound        its object is seen; identity answers
lost         it had an object, which is not seen; the prompt waits for it
reacquired   its object went and was found again under another identity, by motion, shape and looks
none         nothing has answered it yet
"""


@dataclass(frozen=True, eq=False)
class CropMask:
    """A binary mask that is stored inside its integer box only."""

    crop: npt.NDArray[np.bool_]
    """bool (h, w); everything outside is background. (0, 0) where the mask is empty."""
    x: int
    """Left column of the crop in the mask space."""
    y: int
    """Top row of the crop in the mask space."""

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
