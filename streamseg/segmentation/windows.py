"""Windows of an image that the network sees enlarged: around new prompts, and around small targets that are followed.

Windows have the aspect ratio of the image, so that the network's input keeps its shape, for which engines are compiled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from streamseg.geometry import Letterbox, clip_boxes
from streamseg.segmentation.candidates import has_extent
from streamseg.structures.arrays import Float64Array, ImageArray
from streamseg.structures.search_regions import SearchRegions

__all__ = ["Window", "followed_windows", "windows_of"]

BOX_CONTEXT: Final = 3.0
"""Size of a box's window in relation to the box. On 329 held-out objects, windows of 1.5, 2, 3 and 4.5 times the box
alone have a mean IoU of .688, .697, .706 and .708, the whole image .694, and its mean with 3 .713."""
POINT_ZOOMS: Final = (2.0, 4.0)
"""Magnifications of the windows around a point. On 193 held-out objects, none, 2, 4, both, and (2, 6) have a mean IoU
of .511, .547, .556, .570 and .554 for one point."""
MIN_ZOOM: Final = 1.25
"""Magnification below which a window shows little more than the whole image."""
MAX_ZOOM: Final = 16.0
MAX_FOLLOWED_SIDE: Final = 32.0
"""Longest side of a followed target, in pixels of the network's input, that has a window. On the sequences of films-dev
in the middle of images three times as large, J & F gains .009, .007 and .010 for a box with 64, 48 and 32, and .055,
.056 and .047 for a click; six times as large, .210 and .199, .122 and .119 with 64 and 32. Less is less work."""
MAX_FOLLOWED_SCALE: Final = 0.5
"""Size of the network's input in relation to the image above which a window shows nothing new."""


@dataclass(frozen=True, eq=False)
class Window:
    """A part of an image around one prompt, in whole pixels of the image."""

    left: int
    top: int
    width: int
    height: int
    regions: SearchRegions
    """What the window is for, one prompted box, one point, or expected boxes, in pixels of the window."""

    @property
    def corner(self) -> Tensor:
        """What to add to boxes in the window to get boxes in the image, float32 (4,)."""
        return torch.tensor([self.left, self.top, self.left, self.top], dtype=torch.float32)

    def of(self, image: ImageArray) -> ImageArray:
        """Return the pixels (height, width, 3) of an image (H, W, 3), as contiguous memory."""
        pixels = image[self.top : self.top + self.height, self.left : self.left + self.width]
        return np.ascontiguousarray(pixels)


def windows_of(regions: SearchRegions, image_size: tuple[int, int], limit: int) -> list[Window]:
    """Return the windows of prompted boxes, then of points, at most `limit`; a point has all of its windows, or none.

    Boxes without extent in the image have no window, nor have those that fill most of it, and points outside.
    """
    height, width = image_size
    windows: list[Window] = []
    boxes = clip_boxes(torch.from_numpy(regions.prompted).float(), image_size)
    for box in boxes[has_extent(boxes)].double().numpy():
        window = _around(box, image_size, SearchRegions(prompted=box[None]))
        if window is not None and len(windows) < limit:
            windows.append(window)
    for point in regions.points:
        is_inside = 0 <= point[0] < width and 0 <= point[1] < height
        if is_inside and len(windows) + len(POINT_ZOOMS) <= limit:
            prompt = SearchRegions(points=point[None])
            windows.extend(_window(point, zoom, image_size, prompt) for zoom in POINT_ZOOMS)
    return windows


def followed_windows(followed: Float64Array, place: Letterbox, limit: int) -> list[Window]:
    """Return windows of followed targets whose boxes (F, 4) are small in the network's input, at most `limit`.

    The first ones have windows of their own; what lies in one of these has none. Images that the network sees at nearly
    their full size have no windows.
    """
    windows: list[Window] = []
    scale = max(place.input_size) / max(place.image_size)
    if not len(followed) or scale > MAX_FOLLOWED_SCALE or not limit:
        return windows
    clipped = clip_boxes(torch.from_numpy(followed), place.image_size)
    boxes: Float64Array = clipped[has_extent(clipped)].numpy()
    waiting = boxes[(boxes[:, 2:] - boxes[:, :2]).max(axis=1) * scale <= MAX_FOLLOWED_SIDE]
    while len(waiting) and len(windows) < limit:
        window = _around(waiting[0], place.image_size, SearchRegions(expected=waiting))
        if window is None:
            waiting = waiting[1:]
            continue
        local = window.regions.expected
        is_inside = (local[:, :2] >= 0).all(axis=1) & (local[:, 2:] <= [window.width, window.height]).all(axis=1)
        windows.append(replace(window, regions=SearchRegions(expected=local[is_inside])))
        waiting = waiting[~is_inside]
    return windows


def _around(box: Float64Array, image_size: tuple[int, int], prompt: SearchRegions) -> Window | None:
    """Return the window around a box (4,) in the image; None if it would show little more than the whole image."""
    height, width = image_size
    share = max((box[2] - box[0]) / width, (box[3] - box[1]) / height)
    zoom = min(1 / (share * BOX_CONTEXT), MAX_ZOOM)
    return _window((box[:2] + box[2:]) / 2, zoom, image_size, prompt) if zoom >= MIN_ZOOM else None


def _window(centre: Float64Array, zoom: float, image_size: tuple[int, int], prompt: SearchRegions) -> Window:
    """Return the window around a point (2,), moved into the image, with a prompt given in pixels of the image."""
    height, width = (max(round(side / zoom), 1) for side in image_size)
    left = min(max(round(float(centre[0]) - width / 2), 0), image_size[1] - width)
    top = min(max(round(float(centre[1]) - height / 2), 0), image_size[0] - height)
    corner = [left, top, left, top]
    local = SearchRegions(prompt.prompted - corner, prompt.expected - corner, prompt.points - [left, top])
    return Window(left, top, width, height, local)
