"""Measures of video object segmentation: region similarity J and contour accuracy F.

Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", 2016 (DAVIS). As in
their evaluation program, outlines are compared after dilating each by a disc of 0.008 diagonals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from streamseg.structures.arrays import MaskArray

__all__ = ["MeasureScores", "contour_accuracy", "outline", "region_similarity", "summarise"]

TOLERANCE = 0.008
"""Maximum distance between matching outlines, in image diagonals."""
NUM_BINS = 4
"""Number of parts a sequence is divided into; decay compares the first with the last."""


@dataclass(frozen=True)
class MeasureScores:
    """One measure over the frames of a sequence; nan if there are no frames."""

    mean: float
    recall: float
    """Share of the frames with a value above 0.5."""
    decay: float
    """Mean of the first quarter minus mean of the last quarter: the loss over time."""


def region_similarity(mask: MaskArray, truth: MaskArray) -> float:
    """Return J, the IoU of two masks (H, W); 1 if both are empty."""
    union = int(np.count_nonzero(mask | truth))
    return int(np.count_nonzero(mask & truth)) / union if union else 1.0


def contour_accuracy(mask: MaskArray, truth: MaskArray) -> float:
    """Return F, the F-measure of precision and recall of the outline pixels of two masks (H, W).

    An outline pixel matches if the other outline passes within the tolerance, rounded up to whole pixels. The
    result is 1 if neither mask has an outline and 0 if only one has.
    """
    lines, truth_lines = outline(mask), outline(truth)
    num_lines, num_truth = int(np.count_nonzero(lines)), int(np.count_nonzero(truth_lines))
    if not num_lines or not num_truth:
        return float(num_lines == num_truth)
    radius = math.ceil(TOLERANCE * math.hypot(*mask.shape))
    precision = np.count_nonzero(lines & _dilated(truth_lines, radius)) / num_lines
    recall = np.count_nonzero(truth_lines & _dilated(lines, radius)) / num_truth
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def outline(mask: MaskArray) -> MaskArray:
    """Return the pixels that differ from their right, lower or lower-right neighbour.

    The image border is not an outline.
    """
    right = np.zeros_like(mask)
    right[:, :-1] = mask[:, :-1] ^ mask[:, 1:]
    below = np.zeros_like(mask)
    below[:-1] = mask[:-1] ^ mask[1:]
    across = np.zeros_like(mask)
    across[:-1, :-1] = mask[:-1, :-1] ^ mask[1:, 1:]
    return right | below | across


def summarise(values: Sequence[float]) -> MeasureScores:
    """Return mean, recall and decay of one value per frame, as defined by DAVIS."""
    if not values:
        return MeasureScores(float("nan"), float("nan"), float("nan"))
    series = np.array(values, dtype=np.float64)
    # Adjacent quarters share a frame.
    edges = np.round(np.linspace(1, len(series), NUM_BINS + 1) + 1e-10).astype(int) - 1
    first, last = series[edges[0] : edges[1] + 1], series[edges[-2] : edges[-1] + 1]
    return MeasureScores(
        mean=float(series.mean()), recall=float((series > 0.5).mean()), decay=float(first.mean() - last.mean())
    )


def _dilated(lines: MaskArray, radius: int) -> MaskArray:
    """Return the pixels within `radius` of a line."""
    offsets = np.arange(-radius, radius + 1)
    disc = (offsets[:, None] ** 2 + offsets[None, :] ** 2 <= radius**2).astype(np.uint8)
    return np.asarray(cv2.dilate(lines.astype(np.uint8), disc)) > 0
