"""Which of the network's answers are objects: a threshold and NMS, and a closer look where a guide points.

The network answers at every anchor, thousands in a picture, and the threshold drops all but a few. Among those that
it drops are many right ones: an object that is blurred, half hidden, or a part whose whole is found instead. Where
something is known from elsewhere, that a user drew a box there, or that an object must be near, one of them is taken
after all. ByteTrack (arXiv 2110.06864) takes low scores for known tracks after NMS; here they are looked up before it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from streamseg.engines import Raw
from streamseg.geometry import Letterbox, box_iou, clip_boxes, nms
from streamseg.structures.search_regions import Boxes, SearchRegions

__all__ = ["select_detections"]

FOUND_IOU: Final = 0.4
"""An expected box that overlaps what is found by as much is no reason to look for more. What moves is found beside the
place where it was: a low answer there is of what lies behind it, and who takes it stays behind."""
EXPECTED_IOU: Final = 0.6
"""What is found at an expected box overlaps it at least by as much: between two frames little moves by more."""
SCORE_EXPONENT: Final = 0.05
"""Of anchors that fit a box about as well, the one that looks most like an object is taken: IoU x score^exponent."""


def select_detections(
    raw: Raw,
    row: int,
    place: Letterbox,
    *,
    conf: float,
    iou: float,
    max_det: int,
    guide: SearchRegions,
    expected_conf: float,
) -> tuple[Tensor, Tensor]:
    """The objects of one picture of a batch.

    Args:
        raw: the network's answer.
        row: of the picture.
        place: how it lies in the network's input.
        conf: objects score more than this.
        iou: boxes that overlap a better one by more than this are removed; a prompted box is better than any other.
        max_det: the most objects, but for those in prompted boxes, of which all stay.
        guide: where to look more closely. Each of the prompted boxes is answered by the anchor that fits it best,
            however low its score, and keeps its place; for an expected box where nothing is found, an anchor is taken
            that fits it well.
        expected_conf: what is taken for an expected box scores more than this.

    Returns:
        int64 (K,) anchors by descending score, and float32 (K, 4) boxes xyxy in pixels of the source image; K may
        be 0.
    """
    scores = torch.from_numpy(raw.scores[row])
    anchors = torch.from_numpy(np.flatnonzero(raw.scores[row] > conf))
    all_boxes = torch.from_numpy(raw.boxes[row])
    kept = anchors[nms(all_boxes[anchors], scores[anchors], iou, max_kept=max_det)]
    boxes = clip_boxes(_to_image(all_boxes[kept], place), place.image_size)
    if len(guide.prompted):
        asked = clip_boxes(torch.from_numpy(guide.prompted).float(), place.image_size)
        asked = asked[_is_solid(asked)]
        every = clip_boxes(_to_image(all_boxes, place), place.image_size)
        fitting, _ = _best(asked, every, scores, 0.0)
        is_other = (box_iou(boxes, asked) <= iou).all(dim=1) & ~torch.isin(kept, fitting)
        others = is_other.nonzero()[:, 0][: max(max_det - len(asked), 0)]
        kept, boxes = torch.cat([fitting, kept[others]]), torch.cat([asked, boxes[others]])
    if len(guide.expected) and len(kept) < max_det:
        more, found = _expected(guide.expected, all_boxes, scores, boxes, place, iou=iou, conf=expected_conf)
        kept, boxes = torch.cat([kept, more[: max_det - len(kept)]]), torch.cat([boxes, found[: max_det - len(kept)]])
    if len(guide.prompted) or len(guide.expected):
        order = scores[kept].argsort(descending=True, stable=True)
        kept, boxes = kept[order], boxes[order]
    solid = _is_solid(boxes)  # what lies in the padding alone is no object
    return kept[solid], boxes[solid]


def _expected(
    expected: Boxes, all_boxes: Tensor, scores: Tensor, found: Tensor, place: Letterbox, *, iou: float, conf: float
) -> tuple[Tensor, Tensor]:
    """Anchors (N,) and their boxes (N, 4) in the source image, for those expected boxes where nothing is found."""
    wanted = clip_boxes(torch.from_numpy(expected).float(), place.image_size)
    if len(found):
        wanted = wanted[box_iou(wanted, found).max(dim=1).values < FOUND_IOU]
    anchors = (scores > conf).nonzero()[:, 0]
    if not len(wanted) or not len(anchors):
        return torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4)
    boxes = clip_boxes(_to_image(all_boxes[anchors], place), place.image_size)
    best, fits = _best(wanted, boxes, scores[anchors], EXPECTED_IOU)
    best = torch.from_numpy(np.unique(best[fits].numpy()))  # several may be expected in one place
    best = best[nms(boxes[best], scores[anchors[best]], iou)]
    return anchors[best], boxes[best]


def _best(wanted: Tensor, boxes: Tensor, scores: Tensor, least_iou: float) -> tuple[Tensor, Tensor]:
    """For each of the wanted boxes (N, 4) the row of `boxes` (A, 4) that fits best, and whether it fits at all."""
    overlap = box_iou(wanted, boxes)  # (N, A)
    fit = overlap * scores.clamp(min=1e-6) ** SCORE_EXPONENT * (overlap >= least_iou)
    best = fit.max(dim=1)
    return best.indices, best.values > 0


def _is_solid(boxes: Tensor) -> Tensor:
    """Which of the boxes (N, 4) have an extent."""
    return (boxes[:, 2:] > boxes[:, :2]).all(dim=1)


def _to_image(boxes: Tensor, place: Letterbox) -> Tensor:
    """Boxes (..., 4) xyxy from the network's input to the source image."""
    scale_x, scale_y, offset_x, offset_y = place.to_image()
    return boxes * boxes.new_tensor([scale_x, scale_y] * 2) + boxes.new_tensor([offset_x, offset_y] * 2)
