"""How well one object is followed through a film: region similarity J and contour accuracy F.

Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", 2016 (DAVIS). As in
their evaluation program, outlines are compared after growing each by a disc of 0.008 diagonals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["MeasureScores", "contour_accuracy", "outline", "region_similarity", "summarise"]

Mask = npt.NDArray[np.bool_]

TOLERANCE = 0.008
"""Greatest distance of outlines that agree, in diagonals of the picture."""
NUM_BINS = 4
"""Parts of a film that the decay compares the first and the last of."""


@dataclass(frozen=True)
class MeasureScores:
    """One measure over the frames of a film; nan without frames."""

    mean: float
    recall: float
    """Share of the frames above one half."""
    decay: float
    """Mean of the first quarter minus mean of the last: what is lost over time."""


def region_similarity(mask: Mask, truth: Mask) -> float:
    """J: the IoU of two masks (H, W); 1 where both are empty."""
    union = int(np.count_nonzero(mask | truth))
    return int(np.count_nonzero(mask & truth)) / union if union else 1.0


def contour_accuracy(mask: Mask, truth: Mask) -> float:
    """F: the F-measure of precision and recall of the pixels on the outline of two masks (H, W).

    A pixel agrees where the other outline passes within the tolerance, rounded up to whole pixels. 1 where
    neither has an outline, 0 where only one has.
    """
    lines, truth_lines = outline(mask), outline(truth)
    num_lines, num_truth = int(np.count_nonzero(lines)), int(np.count_nonzero(truth_lines))
    if not num_lines or not num_truth:
        return float(num_lines == num_truth)
    reach = math.ceil(TOLERANCE * math.hypot(*mask.shape))
    precision = np.count_nonzero(lines & _grown(truth_lines, reach)) / num_lines
    recall = np.count_nonzero(truth_lines & _grown(lines, reach)) / num_truth
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def outline(mask: Mask) -> Mask:
    """Pixels that differ from the one to the right, the one below, or the one below to the right.

    The border of the picture is no outline.
    """
    right = np.zeros_like(mask)
    right[:, :-1] = mask[:, :-1] ^ mask[:, 1:]
    below = np.zeros_like(mask)
    below[:-1] = mask[:-1] ^ mask[1:]
    across = np.zeros_like(mask)
    across[:-1, :-1] = mask[:-1, :-1] ^ mask[1:, 1:]
    return right | below | across


def summarise(values: Sequence[float]) -> MeasureScores:
    """Mean, recall and decay of one value per frame, as DAVIS has them."""
    if not values:
        return MeasureScores(float("nan"), float("nan"), float("nan"))
    series = np.array(values, dtype=np.float64)
    # Neighbouring quarters share a frame.
    edges = np.round(np.linspace(1, len(series), NUM_BINS + 1) + 1e-10).astype(int) - 1
    first, last = series[edges[0] : edges[1] + 1], series[edges[-2] : edges[-1] + 1]
    return MeasureScores(
        mean=float(series.mean()), recall=float((series > 0.5).mean()), decay=float(first.mean() - last.mean())
    )


def _grown(lines: Mask, reach: int) -> Mask:
    """Pixels no farther than `reach` from a line."""
    offsets = np.arange(-reach, reach + 1)
    disc = (offsets[:, None] ** 2 + offsets[None, :] ** 2 <= reach**2).astype(np.uint8)
    return np.asarray(cv2.dilate(lines.astype(np.uint8), disc)) > 0
