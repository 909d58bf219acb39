"""The network's own boxes of the objects in prompted boxes."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from streamseg.geometry import Letterbox, box_iou, clip_boxes
from streamseg.segmentation.candidates import boxes_in_image
from streamseg.segmentation.detections import Detections

__all__ = ["own_boxes"]

MIN_IOU: Final = 0.6
"""Minimum IoU of the network's box with the prompted one; below it, it is another object, or a part of it."""


def own_boxes(found: Detections, place: Letterbox) -> Tensor | None:
    """Return the boxes (K, 4) xyxy that the network would have given the detections of one image without prompts.

    In place of a prompted box, that of the candidate with the highest score among those that fit it, because it would
    have won the suppression; empty, at 0, if none fits. Other boxes are unchanged. None without prompted boxes.

    Args:
        found: K detections.
        place: placement of the image in the network's input.
    """
    if not bool(found.is_prompted.any()):
        return None
    raw, row = found.source
    prompted, scores = found.boxes[found.is_prompted], torch.from_numpy(raw.scores[row])
    every = clip_boxes(boxes_in_image(torch.from_numpy(raw.boxes[row]), place), place.image_size)
    rated = scores * (box_iou(prompted, every) >= MIN_IOU)  # (P, A)
    best = rated.max(dim=1)
    boxes = found.boxes.clone()
    boxes[found.is_prompted] = every[best.indices] * (best.values > 0)[:, None]
    return boxes
