"""Close-ups: what a new prompt means is searched for in enlarged windows of the image, too.

The network sees the whole image at a few hundred pixels, in which a cup on a distant table is ten pixels wide. A box or
a point tells where the object is, so that the same network can see a window around it at its full input size. Windows
have the aspect ratio of the image, so that the network's input keeps its shape, for which engines are compiled.

The mask of a box is the mean of the one in the whole image and the one in the box's window. A point gets the objects of
its windows as further candidates, unless it lies in a mask that is good already. What is found in windows becomes
instances of the whole image: logits on its grid, and corrections that restore what that grid is too coarse for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from streamseg.geometry import Letterbox, clip_boxes, letterbox_into, logits_in_boxes, raster_logits, sample_logits
from streamseg.segmentation.candidates import has_extent
from streamseg.segmentation.embedding import embed
from streamseg.segmentation.results import ImageInstances
from streamseg.structures.arrays import BoolArray, Float64Array, ImageArray
from streamseg.structures.instances import CORRECTION_MARGIN, Instances
from streamseg.structures.mask_samples import LOGIT_LIMIT, WIDENED_CELLS, MaskSamples
from streamseg.structures.search_regions import SearchRegions

__all__ = ["CloseUps", "SegmentImages", "Window", "windows_of"]

BOX_CONTEXT: Final = 3.0
"""Size of a box's window in relation to the box. On 329 held-out objects, windows of 1.5, 2, 3 and 4.5 times the box
alone have a mean IoU of .688, .697, .706 and .708, the whole image .694, and its mean with 3 .713."""
POINT_ZOOMS: Final = (2.0, 4.0)
"""Magnifications of the windows around a point. On 193 held-out objects, none, 2, 4, both, and (2, 6) have a mean IoU
of .511, .547, .556, .570 and .554 for one point."""
CERTAIN_SCORE: Final = 0.5
"""A point in a mask with at least this score has no windows: large objects would lose to their parts, which windows
show as wholes. On 258 held-out objects, one point and three have .567 and .566; with .7 .577 and .581, but on films-dev
a click then loses .04: the parts that it selects are not seen in the following frames, which have no windows."""
MIN_ZOOM: Final = 1.25
"""Magnification below which a window shows little more than the whole image."""
MAX_ZOOM: Final = 16.0
CUT_SHARE: Final = 0.01
"""Objects nearer to a side inside the image than this share of their window may be cut, and are left out."""
OUTSIDE_LOGIT: Final = -8.0
"""Logit of a mask outside its window."""

SegmentImages = Callable[[Sequence[ImageArray], Sequence[Letterbox], Sequence[SearchRegions]], Sequence[Instances]]
"""Segments images, with corrected masks and their samples, given places in the network's input and search regions."""


@dataclass(frozen=True, eq=False)
class Window:
    """A part of an image around one prompt, in whole pixels of the image."""

    left: int
    top: int
    width: int
    height: int
    regions: SearchRegions
    """The prompt, one box or one point, in pixels of the window."""

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
        share = max((box[2] - box[0]) / width, (box[3] - box[1]) / height)
        zoom = min(1 / (share * BOX_CONTEXT), MAX_ZOOM)
        if zoom >= MIN_ZOOM and len(windows) < limit:
            windows.append(_window((box[:2] + box[2:]) / 2, zoom, image_size, SearchRegions(prompted=box[None])))
    for point in regions.points:
        is_inside = 0 <= point[0] < width and 0 <= point[1] < height
        if is_inside and len(windows) + len(POINT_ZOOMS) <= limit:
            prompt = SearchRegions(points=point[None])
            windows.extend(_window(point, zoom, image_size, prompt) for zoom in POINT_ZOOMS)
    return windows


def _window(centre: Float64Array, zoom: float, image_size: tuple[int, int], prompt: SearchRegions) -> Window:
    """Return the window around a point (2,), moved into the image, with a prompt given in pixels of the image."""
    height, width = (max(round(side / zoom), 1) for side in image_size)
    left = min(max(round(float(centre[0]) - width / 2), 0), image_size[1] - width)
    top = min(max(round(float(centre[1]) - height / 2), 0), image_size[0] - height)
    local = SearchRegions(prompt.prompted - [left, top, left, top], points=prompt.points - [left, top])
    return Window(left, top, width, height, local)


@dataclass(frozen=True, eq=False)
class CloseUps:
    """Adds what the windows of new prompts show to the instances of an image."""

    segment: SegmentImages
    limit: int
    """Maximum number of windows per image."""

    def __call__(
        self,
        instances: ImageInstances,
        regions: SearchRegions,
        image: ImageArray,
        place: Letterbox,
        prototypes: Tensor,
        input_image: ImageArray,
    ) -> ImageInstances:
        """Return the instances of an image with those of its close-ups, by descending score.

        Args:
            instances: K instances with corrected masks, as the refiner returns them; K may be 0.
            regions: the new prompts.
            image: uint8 (H, W, 3).
            place: its placement in the network's input.
            prototypes: float32 (P, Mh, Mw), of the whole image.
            input_image: uint8 (h, w, 3), the network's input.
        """
        if len(regions.points):
            regions = replace(regions, points=regions.points[~_is_certain(instances, regions.points)])
        windows = windows_of(regions, place.image_size, self.limit)
        if not windows:
            return instances
        places = [letterbox_into((one.height, one.width), place.input_size) for one in windows]
        found = self.segment([one.of(image) for one in windows], places, [one.regions for one in windows])
        parts = [instances]
        for window, inside in zip(windows, found, strict=True):
            if len(window.regions.prompted):
                parts[0] = _with_box(parts[0], window, inside)
                continue
            added = _in_image(instances, window, inside[_is_whole_at_point(window, inside, place.image_size)])
            if instances.embeddings is not None:
                added = replace(added, embeddings=embed(added.corrected(None), prototypes, input_image))
            parts.append(added)
        joined = _joined(parts)
        return joined[joined.scores.argsort(descending=True, stable=True)]


def _is_certain(instances: Instances, points: Float64Array) -> BoolArray:
    """Return which of N points (N, 2) lie in a good mask: bool (N,)."""
    good = instances[instances.scores >= CERTAIN_SCORE]
    return _contain(good, points).any(dim=0).numpy()


def _contain(instances: Instances, points: Float64Array) -> Tensor:
    """Return which masks contain which of N points (N, 2): bool (K, N)."""
    x, y = torch.from_numpy(points).float().T
    return logits_in_boxes(instances, torch.arange(len(instances))[:, None], x, y) > 0


def _is_whole_at_point(window: Window, found: Instances, image_size: tuple[int, int]) -> Tensor:
    """Return which objects of a window contain its point and are not cut by its sides: bool (K,)."""
    height, width = image_size
    x0, y0, x1, y1 = found.boxes.unbind(dim=1)
    margin_x, margin_y = CUT_SHARE * window.width, CUT_SHARE * window.height
    is_cut = (x0 < margin_x) & (window.left > 0)
    is_cut |= (y0 < margin_y) & (window.top > 0)
    is_cut |= (x1 > window.width - margin_x) & (window.left + window.width < width)
    is_cut |= (y1 > window.height - margin_y) & (window.top + window.height < height)
    return _contain(found, window.regions.points)[:, 0] & ~is_cut


def _with_box(instances: ImageInstances, window: Window, found: Instances) -> ImageInstances:
    """Return the instances with a prompted box's mask as the mean of both, and its score in the window."""
    prompted = torch.from_numpy(window.regions.prompted).float()
    here = (instances.boxes - window.corner == prompted).all(dim=1).nonzero()[:1, 0]
    there = (found.boxes == prompted).all(dim=1).nonzero()[:1, 0]
    if not len(here) or not len(there):
        return instances  # a better box has removed it, or there was no space for it
    corrections, widened, scores = (
        _corrections(instances).clone(),
        _widened(instances).clone(),
        instances.scores.clone(),
    )
    change = (_widened(found[there]) - widened[here]) / 2
    corrections[here] += change
    widened[here] += change
    scores[here] = found.scores[there]
    return replace(instances, corrections=corrections, samples=_samples(widened), scores=scores)


def _in_image(instances: ImageInstances, window: Window, found: Instances) -> ImageInstances:
    """Return objects of a window as objects of the image, on the grid of its instances, without embeddings."""
    to_image, (rows, columns) = instances.grid_to_image, instances.mask_logits.shape[1:]
    x = to_image.scale_x * (torch.arange(columns) + 0.5) + to_image.offset_x - window.left
    y = to_image.scale_y * (torch.arange(rows) + 0.5) + to_image.offset_y - window.top
    logits = sample_logits(found, torch.arange(len(found))[:, None, None], x, y[:, None])
    is_inside = ((y >= 0) & (y < window.height))[:, None] & (x >= 0) & (x < window.width)
    plain = replace(
        instances[:0],
        boxes=found.boxes + window.corner,
        scores=found.scores,
        mask_logits=logits.masked_fill(~is_inside, OUTSIDE_LOGIT),
        corrections=None,
        embeddings=None,
        own_boxes=None if instances.own_boxes is None else found.boxes + window.corner,
    )
    widened = _widened(found)
    corrections = widened - raster_logits(plain, WIDENED_CELLS, margin=CORRECTION_MARGIN)
    return replace(plain, corrections=corrections, samples=_samples(widened))


def _joined(parts: Sequence[ImageInstances]) -> ImageInstances:
    """Return the rows of several instances of one image as one."""
    first = parts[0]
    if len(parts) == 1:
        return first
    return replace(
        first,
        corrections=torch.cat([_corrections(one) for one in parts]),
        boxes=torch.cat([one.boxes for one in parts]),
        scores=torch.cat([one.scores for one in parts]),
        mask_logits=torch.cat([one.mask_logits for one in parts]),
        embeddings=_rows([one.embeddings for one in parts]),
        own_boxes=_rows([one.own_boxes for one in parts]),
        samples=_samples(torch.cat([_widened(one) for one in parts])),
    )


def _rows(values: Sequence[Tensor | None]) -> Tensor | None:
    """Return optional values of all rows; None if they were not computed."""
    present = [one for one in values if one is not None]
    return torch.cat(present) if len(present) == len(values) else None


def _corrections(instances: Instances) -> Tensor:
    """Return the corrections (K, R, R) of instances; 0 for those without any."""
    if instances.corrections is not None:
        return instances.corrections
    return torch.zeros(len(instances), WIDENED_CELLS, WIDENED_CELLS)


def _widened(instances: Instances) -> Tensor:
    """Return the logits (K, R, R) on the rasters of corrections, float32."""
    return raster_logits(instances, WIDENED_CELLS, margin=CORRECTION_MARGIN)


def _samples(widened: Tensor) -> MaskSamples:
    return MaskSamples(None, widened.clamp(-LOGIT_LIMIT, LOGIT_LIMIT).half(), None)
