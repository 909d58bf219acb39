"""The detections of one image, selected on the host from the network's output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from streamseg.engines import Raw
from streamseg.geometry import Letterbox, clip_boxes
from streamseg.segmentation.candidates import SelectionSettings, select_detections
from streamseg.structures.search_regions import SearchRegions

__all__ = ["Detections", "detections_of"]


@dataclass(frozen=True, eq=False)
class Detections:
    """K detections of one image by descending score, on the host; K may be 0."""

    boxes: Tensor
    """float32 (K, 4) xyxy, pixels of the source image, clipped to it."""
    scores: Tensor
    """float32 (K,), 0..1."""
    coefficients: Tensor
    """float32 (K, num_masks)."""
    is_prompted: Tensor
    """bool (K,): whether the box is a prompted one."""
    prototypes: npt.NDArray[Any]
    """float32 or float16 (num_masks, H / 4, W / 4)."""
    embeddings: npt.NDArray[Any] | None
    """float32 or float16 (E, H / 8, W / 8); None if the network predicts none."""
    source: tuple[Raw, int]
    """The network's whole output and the row of the image in it."""


def detections_of(
    raw: Raw, row: int, place: Letterbox, regions: SearchRegions, settings: SelectionSettings
) -> Detections:
    """Select the detections of row `row` of a batch, with `select_detections`."""
    anchors, boxes = select_detections(
        raw,
        row,
        place,
        conf=settings.conf,
        iou=settings.iou,
        max_det=settings.max_det,
        regions=regions,
        expected_conf=settings.expected_conf,
    )
    is_prompted = torch.zeros(len(boxes), dtype=torch.bool)
    if len(regions.prompted):
        prompted = clip_boxes(torch.from_numpy(regions.prompted).float(), place.image_size)
        is_prompted = (boxes[:, None] == prompted).all(dim=2).any(dim=1)
    rows = anchors.numpy()
    return Detections(
        boxes=boxes,
        scores=torch.from_numpy(raw.scores[row][rows]),
        coefficients=torch.from_numpy(raw.mask_coefficients[row][rows]).float(),
        is_prompted=is_prompted,
        prototypes=raw.prototypes[row],
        embeddings=None if raw.embeddings is None else raw.embeddings[row],
        source=(raw, row),
    )
