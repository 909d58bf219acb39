"""`check`: results on the device against those of the CPU, before anything is timed."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu.cases import CONF, Case, scene_images, seeded_network
from benchmarks.gpu.modes import is_cuda, open_engine, segmenter_of
from benchmarks.gpu.workers import Request
from streamseg.geometry import letterbox
from streamseg.modeling.decoding import DecodedPredictions
from streamseg.modeling.network import Network
from streamseg.modeling.preprocess import letterbox_images
from streamseg.segmentation import instance_masks
from streamseg.segmentation.results import ImageInstances

__all__ = ["check", "compare", "half_differences", "network_inputs"]

BOX_LIMIT_PX, SCORE_LIMIT, MASK_LIMIT = 0.05, 2e-3, 2e-3
"""Largest differences from the CPU in float32: boxes, scores, and the share of pixels of masks."""

UNMATCHED_LIMIT: Final = 0.02
"""Share of objects that only one side may have. Scores of random weights lie close to each other: a difference in the
last digits exchanges objects at the thresholds."""

HALF_SCORE_LIMIT, HALF_BOX_LIMIT_PX = 0.02, 2.0
"""Differences of half precision from float32 that 99 % of the candidates keep; see `TorchEngine`."""

HALF_SHARE: Final = 99
"""Percentile for these limits."""


def check(request: Request) -> dict[str, Any]:
    """Compare `engine: device` in float32, with graphs, with the host's path on the CPU; and half precision with it."""
    case, device = request.measurement.case, request.device
    if is_cuda(device):
        torch.set_num_threads(os.cpu_count() or 1)  # earlier measurements have left one thread
    network = seeded_network(case, request.num_objects)
    images = scene_images(case.batch)
    with segmenter_of(open_engine(case, "torch", "cpu", network, half=False).engine, request.num_objects) as segmenter:
        expected = segmenter(images)
    with segmenter_of(open_engine(case, "graph", device, network, half=False).engine, request.num_objects) as segmenter:
        for _ in range(3):  # eager, captured, replayed
            found = segmenter(images)
    values = compare(expected, found)
    if is_cuda(device):
        halves = _predicted(case, network, device, half=True), _predicted(case, network, device, half=False)
        values |= {"half": half_differences(*halves)}
    return values


def compare(expected: Sequence[ImageInstances], found: Sequence[ImageInstances]) -> dict[str, Any]:
    """Return the differences of two results for the same images, and whether they count as equal.

    Objects are matched one to one by their boxes and scores, because a difference in the last digits of a score
    changes the order.
    """
    boxes: list[float] = []
    scores: list[float] = []
    pixels: list[float] = []
    unmatched = surplus = 0
    for one, other in zip(expected, found, strict=True):
        masks, others = ([mask() for mask in instance_masks(side)] for side in (one, other))
        free = set(range(len(other)))
        for row in range(len(one)):
            gaps = {column: float((one.boxes[row] - other.boxes[column]).abs().max()) for column in free}
            same = [column for column, gap in gaps.items() if gap <= BOX_LIMIT_PX]
            if not same:
                unmatched += 1
                continue
            column = min(same, key=lambda number: abs(float(one.scores[row] - other.scores[number])))
            free.discard(column)
            boxes.append(gaps[column])
            scores.append(abs(float(one.scores[row] - other.scores[column])))
            pixels.append(float(np.mean(masks[row] != others[column])))
        surplus += len(free)
    total = sum(map(len, expected))
    share = max(unmatched, surplus) / total if total else math.inf
    worst, differing = max(scores, default=0.0), float(np.mean(pixels or 0.0))
    return {
        "objects": [total, sum(map(len, found))],
        "unmatched_share": round(share, 4) if math.isfinite(share) else None,
        "boxes_px": max(boxes, default=0.0),
        "scores": worst,
        "mask_pixels": differing,
        "is_equal": share <= UNMATCHED_LIMIT and worst <= SCORE_LIMIT and differing <= MASK_LIMIT,
    }


def half_differences(half: DecodedPredictions, full: DecodedPredictions) -> dict[str, Any]:
    """Return how far half precision is from float32, over the anchors above the threshold in float32.

    None in place of values that are not finite: there is no such anchor, or half precision gave none.
    """
    chosen = full.scores > CONF
    scores = _percentile((half.scores - full.scores).abs()[chosen])
    boxes = _percentile((half.boxes - full.boxes).abs().amax(dim=-1)[chosen])
    is_close = scores <= HALF_SCORE_LIMIT and boxes <= HALF_BOX_LIMIT_PX  # False for NaN
    scores_p99, boxes_px_p99 = (value if math.isfinite(value) else None for value in (scores, boxes))
    return {"scores_p99": scores_p99, "boxes_px_p99": boxes_px_p99, "is_close": is_close}


def network_inputs(case: Case, device: str) -> Tensor:
    """Return the letterboxed images of a case, uint8 (B, H, W, 3) on the device."""
    images = scene_images(case.batch)
    pixels = letterbox_images(images, [letterbox(image.shape[:2], case.imgsz) for image in images])
    return torch.from_numpy(pixels).to(device)


@torch.inference_mode()
def _predicted(case: Case, network: Network, device: str, *, half: bool) -> DecodedPredictions:
    engine = open_engine(case, "eager", device, network, half=half).engine
    decoded: DecodedPredictions = engine.predict(network_inputs(case, device))  # type: ignore[attr-defined]
    engine.close()
    return decoded


def _percentile(values: Tensor) -> float:
    return float(np.percentile(values.float().cpu().numpy(), HALF_SHARE)) if len(values) else math.nan
