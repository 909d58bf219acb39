"""Close-ups: what prompts mean is searched for in enlarged windows of the image, too.

The network sees the whole image at a few hundred pixels, in which a cup on a distant table is ten pixels wide. A box or
a point tells where the object is, and so does the last frame, so that the same network can see a window around it at
its full input size.

The mask of a box is the mean of the one in the whole image and the one in the box's window. A point gets the objects of
its windows as further candidates, unless it lies in a mask that is good already. The objects of the windows of followed
targets replace what the image shows at the same place. What is found in windows becomes instances of the whole image:
logits on its grid, and corrections that restore what that grid is too coarse for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from streamseg.geometry import Letterbox, box_iou, letterbox_into, logits_in_boxes, raster_logits, sample_logits
from streamseg.segmentation.embedding import embed
from streamseg.segmentation.results import ImageInstances
from streamseg.segmentation.windows import Window, followed_windows, windows_of
from streamseg.structures.arrays import BoolArray, Float64Array, ImageArray
from streamseg.structures.instances import CORRECTION_MARGIN, Instances
from streamseg.structures.mask_samples import LOGIT_LIMIT, WIDENED_CELLS, MaskSamples
from streamseg.structures.search_regions import SearchRegions

__all__ = ["CloseUps", "SegmentImages"]

CERTAIN_SCORE: Final = 0.5
"""A point in a mask with at least this score has no windows: large objects would lose to their parts, which windows
show as wholes. On 258 held-out objects, one point and three have .567 and .566; with .7 .577 and .581, but on films-dev
a click then loses .04: the parts that it selects are not seen in the following frames, which have no windows."""
CERTAIN_IOU: Final = 0.5
"""A followed target has no window if an object with at least this IoU with its last box, and a score of
`CERTAIN_SCORE`, is found in the whole image. On the sequences of films-dev in the middle of images three times as
large, that halves the number of windows, and changes J & F by .000 (box) and -.005 (point). Scores of 0.2 and 0.35
lose what the windows gain there."""
EXPECTED_IOU: Final = 0.3
"""Minimum IoU of the objects of a window with a followed target's last box. With 0.1, J & F changes by .011 at most."""
SAME_IOU: Final = 0.5
"""IoU of boxes from which on an object of a window is the same as one of the image."""
CUT_SHARE: Final = 0.01
"""Objects nearer to a side inside the image than this share of their window may be cut, and are left out."""
OUTSIDE_LOGIT: Final = -8.0
"""Logit of a mask outside its window."""

SegmentImages = Callable[[Sequence[ImageArray], Sequence[Letterbox], Sequence[SearchRegions]], Sequence[Instances]]
"""Segments images, with corrected masks and their samples, given places in the network's input and search regions."""


@dataclass(frozen=True, eq=False)
class CloseUps:
    """Adds what the windows of prompts show to the instances of an image."""

    segment: SegmentImages
    limit: int
    """Maximum number of windows of new prompts per image."""
    followed_limit: int = 0
    """Maximum number of windows of followed targets per image."""

    def may_apply(self, regions: SearchRegions, place: Letterbox) -> bool:
        """Return whether these search regions may have windows."""
        is_new = self.limit > 0 and (len(regions.prompted) > 0 or len(regions.points) > 0)
        return is_new or bool(followed_windows(regions.followed, place, self.followed_limit))

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
            regions: the new prompts and the followed targets.
            image: uint8 (H, W, 3).
            place: its placement in the network's input.
            prototypes: float32 (P, Mh, Mw), of the whole image.
            input_image: uint8 (h, w, 3), the network's input.
        """
        if not self.may_apply(regions, place):
            return instances  # most frames
        if len(regions.points):
            regions = replace(regions, points=regions.points[~_is_certain(instances, regions.points)])
        windows = windows_of(regions, place.image_size, self.limit)
        uncertain = regions.followed[~_is_found(instances, regions.followed)]
        windows += followed_windows(uncertain, place, self.followed_limit)
        if not windows:
            return instances
        places = [letterbox_into((one.height, one.width), place.input_size) for one in windows]
        found = self.segment([one.of(image) for one in windows], places, [one.regions for one in windows])
        whole, added = instances, list[ImageInstances]()
        for window, inside in zip(windows, found, strict=True):
            if len(window.regions.prompted):
                whole = _with_box(whole, window, inside)
                continue
            candidates = inside[~_is_cut(window, inside, place.image_size)]
            if len(window.regions.points):
                new = _in_image(instances, window, candidates[_contain(candidates, window.regions.points)[:, 0]])
            else:
                whole, new = _with_followed(whole, _in_image(instances, window, _near_expected(window, candidates)))
            if instances.embeddings is not None:
                new = replace(new, embeddings=embed(new.corrected(None), prototypes, input_image))
            added.append(new)
        joined = _joined([whole, *added])
        return joined[joined.scores.argsort(descending=True, stable=True)]


def _is_certain(instances: Instances, points: Float64Array) -> BoolArray:
    """Return which of N points (N, 2) lie in a good mask: bool (N,)."""
    good = instances[instances.scores >= CERTAIN_SCORE]
    return _contain(good, points).any(dim=0).numpy()


def _contain(instances: Instances, points: Float64Array) -> Tensor:
    """Return which masks contain which of N points (N, 2): bool (K, N)."""
    x, y = torch.from_numpy(points).float().T
    return logits_in_boxes(instances, torch.arange(len(instances))[:, None], x, y) > 0


def _is_found(instances: Instances, followed: Float64Array) -> BoolArray:
    """Return which of the last boxes of followed targets (F, 4) have a good mask in the whole image: bool (F,)."""
    good = instances.boxes[instances.scores >= CERTAIN_SCORE]
    overlaps = box_iou(torch.from_numpy(followed).float(), good)
    return (overlaps >= CERTAIN_IOU).any(dim=1).numpy()


def _is_cut(window: Window, found: Instances, image_size: tuple[int, int]) -> Tensor:
    """Return which objects of a window may be cut by its sides: bool (K,)."""
    height, width = image_size
    x0, y0, x1, y1 = found.boxes.unbind(dim=1)
    margin_x, margin_y = CUT_SHARE * window.width, CUT_SHARE * window.height
    is_cut = (x0 < margin_x) & (window.left > 0)
    is_cut |= (y0 < margin_y) & (window.top > 0)
    is_cut |= (x1 > window.width - margin_x) & (window.left + window.width < width)
    is_cut |= (y1 > window.height - margin_y) & (window.top + window.height < height)
    return is_cut


def _near_expected(window: Window, found: Instances) -> Instances:
    """Return the objects of a window that are where its followed targets were."""
    overlaps = box_iou(found.boxes, torch.from_numpy(window.regions.expected).float())
    return found[(overlaps >= EXPECTED_IOU).any(dim=1)]


def _with_followed(instances: ImageInstances, found: ImageInstances) -> tuple[ImageInstances, ImageInstances]:
    """Return the instances with the masks of a window where both show an object, and what only the window shows.

    Args:
        instances: K instances of the image.
        found: N objects of a window, by descending score, as `_in_image` returns them.
    """
    overlaps, rows, places, new = box_iou(found.boxes, instances.boxes), list[int](), list[int](), list[int]()
    for row, of_row in enumerate(overlaps.tolist()):
        best = max(range(len(of_row)), key=of_row.__getitem__, default=-1)
        if best >= 0 and of_row[best] >= SAME_IOU and best not in places:
            rows.append(row)
            places.append(best)
        else:
            new.append(row)
    if rows:
        instances = _with_rows(instances, places, found[torch.tensor(rows)])
    return instances, found[torch.tensor(new, dtype=torch.int64)]


def _with_rows(instances: ImageInstances, places: Sequence[int], found: ImageInstances) -> ImageInstances:
    """Return the instances with other masks and boxes, the higher score of both, and their own embeddings in rows."""
    at = torch.tensor(places)

    def put(values: Tensor, others: Tensor) -> Tensor:
        return values.index_copy(0, at, others)

    own_boxes = None
    if instances.own_boxes is not None and found.own_boxes is not None:
        own_boxes = put(instances.own_boxes, found.own_boxes)
    return replace(
        instances,
        boxes=put(instances.boxes, found.boxes),
        scores=put(instances.scores, torch.maximum(instances.scores[at], found.scores)),
        mask_logits=put(instances.mask_logits, found.mask_logits),
        corrections=put(_corrections(instances), _corrections(found)),
        own_boxes=own_boxes,
        samples=_samples(put(_widened(instances), _widened(found))),
    )


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
