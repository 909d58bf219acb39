"""Selection of detections among the network's candidates: a score threshold, NMS, and search regions.

The network predicts a candidate at every anchor, thousands per image, and the threshold discards all but a few. Many of
the discarded ones are correct: an object that is blurred or half hidden, or a part whose whole is detected instead. A
box drawn by the user, or predicted by the tracker, justifies accepting one of them. ByteTrack (arXiv 2110.06864)
accepts low scores for known tracks after NMS; here they are selected before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from streamseg.engines import Raw
from streamseg.geometry import Letterbox, box_iou, clip_boxes, nms, nms_rows
from streamseg.structures.arrays import Float32Array, Float64Array
from streamseg.structures.search_regions import SearchRegions

__all__ = [
    "EXPECTED_IOU",
    "FOUND_IOU",
    "SelectionSettings",
    "best_fit",
    "boxes_in_image",
    "has_extent",
    "select_detections",
]

FOUND_IOU: Final = 0.4
"""An expected box with at least this IoU with a detection needs no further candidate. A moving object is detected next
to its previous position: a low-scoring candidate there belongs to the background, and would leave the track behind."""
EXPECTED_IOU: Final = 0.6
"""Minimum IoU of a candidate with the expected box it is accepted for: few objects move farther between two frames."""
AROUND_POINT: Final = 16
"""Maximum number of detections with low scores that a point adds."""
POINT_CONF: Final = 0.01
"""Score threshold, exclusive, of these detections. With 0.05 and 8 of them, the mean IoU of a point on 329 held-out
objects is .452, with these .482, without limits .492; of three points .460, .493 and .507."""
SCORE_EXPONENT: Final = 0.05
"""Exponent of the score in the fit of an anchor to a box, IoU x score^exponent: at similar IoU, the score decides."""


@dataclass(frozen=True)
class SelectionSettings:
    """Thresholds of `select_detections`."""

    conf: float
    iou: float
    max_det: int
    expected_conf: float


def select_detections(
    raw: Raw,
    row: int,
    place: Letterbox,
    *,
    conf: float,
    iou: float,
    max_det: int,
    regions: SearchRegions,
    expected_conf: float,
) -> tuple[Tensor, Tensor]:
    """Select the detections of one image of a batch.

    Args:
        raw: network output.
        row: row of the image in the batch.
        place: placement of the image in the network's input.
        conf: score threshold, exclusive.
        iou: overlap threshold: a box that overlaps a better one by more is removed. Prompted boxes take precedence
            over all others.
        max_det: maximum number of objects; objects in prompted boxes are always kept.
        regions: search regions. Around each point, the best anchors with lower scores are added. Each prompted box
            selects the anchor that fits it best, whatever its score, and is itself the box of that object. An expected
            box without a detection selects an anchor that fits it well.
        expected_conf: score threshold, exclusive, for anchors selected by expected boxes; those around points may have
            even less (`POINT_CONF`). From `conf` on, neither selects any.

    Returns:
        int64 (K,) anchors by descending score, and float32 (K, 4) boxes xyxy in pixels of the source image; K may
        be 0.
    """
    # In NumPy as far as all frames go: few values, for which each of torch's calls takes longer.
    anchors = np.flatnonzero(raw.scores[row] > conf)
    best = anchors[nms_rows(raw.boxes[row][anchors], raw.scores[row][anchors], iou, max_kept=max_det)]
    clipped = _clipped(raw.boxes[row][best], place)
    if not (len(regions.prompted) or len(regions.expected) or len(regions.points)):
        in_image = (clipped[:, 2:] > clipped[:, :2]).all(axis=1)  # boxes entirely in the padding are not objects
        return torch.from_numpy(best[in_image]), torch.from_numpy(clipped[in_image])
    scores, all_boxes = torch.from_numpy(raw.scores[row]), torch.from_numpy(raw.boxes[row])
    kept, boxes = torch.from_numpy(best), torch.from_numpy(clipped)
    if len(regions.prompted):
        prompted = clip_boxes(torch.from_numpy(regions.prompted).float(), place.image_size)
        prompted = prompted[has_extent(prompted)]
        every = clip_boxes(boxes_in_image(all_boxes, place), place.image_size)
        fitting, _ = best_fit(prompted, every, scores, 0.0)
        is_other = (box_iou(boxes, prompted) <= iou).all(dim=1) & ~torch.isin(kept, fitting)
        others = is_other.nonzero()[:, 0][: max(max_det - len(prompted), 0)]
        kept, boxes = torch.cat([fitting, kept[others]]), torch.cat([prompted, boxes[others]])
    if len(regions.expected) and len(kept) < max_det:
        more, found = _expected(regions.expected, all_boxes, scores, boxes, place, iou=iou, conf=expected_conf)
        kept, boxes = torch.cat([kept, more[: max_det - len(kept)]]), torch.cat([boxes, found[: max_det - len(kept)]])
    if len(regions.points) and len(kept) < max_det:
        low = min(expected_conf, POINT_CONF) if expected_conf < conf else conf
        more, found = _around_points(regions.points, all_boxes, scores, boxes, place, iou=iou, conf=(low, conf))
        kept, boxes = torch.cat([kept, more[: max_det - len(kept)]]), torch.cat([boxes, found[: max_det - len(kept)]])
    order = scores[kept].argsort(descending=True, stable=True)
    kept, boxes = kept[order], boxes[order]
    is_object = has_extent(boxes)
    return kept[is_object], boxes[is_object]


def _clipped(boxes: Float32Array, place: Letterbox) -> Float32Array:
    """Transform boxes (N, 4) xyxy from the network's input to the source image, and clip them to it."""
    scale_x, scale_y, offset_x, offset_y = place.to_image()
    height, width = place.image_size
    scales, offsets = np.array([[scale_x, scale_y] * 2, [offset_x, offset_y] * 2], dtype=np.float32)
    limits = np.array([width, height] * 2, dtype=np.float32)
    clipped: Float32Array = np.minimum(np.maximum(boxes * scales + offsets, 0), limits)
    return clipped


def _expected(
    expected: Float64Array,
    all_boxes: Tensor,
    scores: Tensor,
    found: Tensor,
    place: Letterbox,
    *,
    iou: float,
    conf: float,
) -> tuple[Tensor, Tensor]:
    """Select anchors (N,) and their boxes (N, 4) in the source image for expected boxes without a detection."""
    missing = clip_boxes(torch.from_numpy(expected).float(), place.image_size)
    if len(found):
        missing = missing[box_iou(missing, found).max(dim=1).values < FOUND_IOU]
    anchors = (scores > conf).nonzero()[:, 0]
    if not len(missing) or not len(anchors):
        return torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4)
    boxes = clip_boxes(boxes_in_image(all_boxes[anchors], place), place.image_size)
    best, fits = best_fit(missing, boxes, scores[anchors], EXPECTED_IOU)
    best = torch.from_numpy(np.unique(best[fits].numpy()))  # several expected boxes may select the same anchor
    best = best[nms(boxes[best], scores[anchors[best]], iou)]
    return anchors[best], boxes[best]


def _around_points(
    points: Float64Array,
    all_boxes: Tensor,
    scores: Tensor,
    found: Tensor,
    place: Letterbox,
    *,
    iou: float,
    conf: tuple[float, float],
) -> tuple[Tensor, Tensor]:
    """Select anchors (N,) with a score in the range `conf` and their boxes (N, 4), which contain a point.

    At most `AROUND_POINT` per point, the best ones, without those that overlap a detection or a better one.
    """
    anchors = ((scores > conf[0]) & (scores <= conf[1])).nonzero()[:, 0]
    boxes = clip_boxes(boxes_in_image(all_boxes[anchors], place), place.image_size)
    chosen = [torch.zeros(0, dtype=torch.int64)]
    for x, y in points.tolist():
        rows = ((boxes[:, 0] <= x) & (x <= boxes[:, 2]) & (boxes[:, 1] <= y) & (y <= boxes[:, 3])).nonzero()[:, 0]
        if len(rows) and len(found):
            rows = rows[(box_iou(boxes[rows], found) <= iou).all(dim=1)]
        chosen.append(rows[nms(boxes[rows], scores[anchors[rows]], iou, max_kept=AROUND_POINT)])
    best = torch.from_numpy(np.unique(torch.cat(chosen).numpy()))  # several points may select the same anchor
    best = best[nms(boxes[best], scores[anchors[best]], iou)]
    return anchors[best], boxes[best]


def best_fit(
    targets: Tensor,
    boxes: Tensor,
    scores: Tensor,
    min_iou: float,
    *,
    overlaps: Callable[[Tensor, Tensor], Tensor] = box_iou,
) -> tuple[Tensor, Tensor]:
    """Return, per target box (..., N, 4), the row of `boxes` (..., A, 4) that fits best, and whether it fits at all.

    `overlaps` computes the IoU of two sets of boxes.
    """
    overlap = overlaps(targets, boxes)  # (..., N, A)
    fit = overlap * scores.clamp(min=1e-6)[..., None, :] ** SCORE_EXPONENT * (overlap >= min_iou)
    best = fit.max(dim=-1)
    return best.indices, best.values > 0


def has_extent(boxes: Tensor) -> Tensor:
    """Return, per box (..., 4), whether its width and height are positive."""
    return (boxes[..., 2:] > boxes[..., :2]).all(dim=-1)


def boxes_in_image(boxes: Tensor, place: Letterbox) -> Tensor:
    """Transform boxes (..., 4) xyxy from the network's input to the source image."""
    scale_x, scale_y, offset_x, offset_y = place.to_image()
    return boxes * boxes.new_tensor([scale_x, scale_y] * 2) + boxes.new_tensor([offset_x, offset_y] * 2)
