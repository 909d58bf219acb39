"""Zero-shot edge detection: outlines of all objects found, compared with boundaries drawn by people.

SAM ("Segment Anything", 2023, section 7.2) and FastSAM (2023, table 2) derive edge maps from masks: the Sobel gradient
of each mask's probability, combined over all masks and thinned along the normal. Edge maps are scored by the Berkeley
benchmark (Arbelaez et al., "Contour Detection and Hierarchical Image Segmentation", 2011).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from streamseg.datasets.check import none_usable
from streamseg.datasets.coco import read_images
from streamseg.datasets.pixels import read_image
from streamseg.datasets.problems import Problem, Problems
from streamseg.errors import DataError
from streamseg.evaluation.drawings import drawing_paths, has_drawings, read_drawing
from streamseg.evaluation.edge_matching import EdgeCounts, count_edges, thin
from streamseg.evaluation.truth import OnImage, SegmentImages
from streamseg.structures.arrays import Float32Array, Float64Array, ImageArray
from streamseg.structures.instances import Instances

__all__ = [
    "THRESHOLDS",
    "Combination",
    "EdgeScores",
    "edge_map",
    "evaluate_detector",
    "evaluate_edges",
    "ridge_normals",
    "score_edges",
    "sobel",
    "suppress",
]

Combination = Literal["max", "votes"]

THRESHOLDS = np.arange(1, 100) / 100
"""The benchmark's 99 thresholds of edge strength."""
_STEPS = np.linspace(0, 1, 101)
"""Steps at which precision and recall are interpolated linearly between two thresholds."""
NORMAL_SIGMA_PX = 1.5
"""Smoothing before the direction of a line is estimated from its curvature."""
VOTE_SIGMA_PX = 1.5
"""Distance at which the outlines of two masks still agree; chosen from 1, 1.5 and 2.5 on ten images."""


@dataclass(frozen=True)
class EdgeScores:
    """Scores of one data set, each 0..1."""

    num_images: int
    num_drawings: int
    """Number of drawings, over all annotators."""
    ods: float
    """F-measure over all images at the single best threshold of the data set (optimal data set scale)."""
    ods_threshold: float
    ois: float
    """F-measure over all images at the best threshold of each image (optimal image scale)."""
    average_precision: float
    """Mean precision at recall 0, 0.01 … 1; zero if a recall is not reached."""
    recall_at_half_precision: float
    """Recall at a precision of 0.5 (R50)."""
    precision: tuple[float, ...]
    """Precision at `THRESHOLDS`; likewise for `recall`."""
    recall: tuple[float, ...]


def edge_map(instances: Instances, *, combine: Combination = "max") -> Float32Array:
    """Return the outline strength of each pixel.

    The strength is the gradient of each mask's probability in image pixels, weighted by the instance's score. Pixels
    outside an instance's box are ignored, because the mask ends there.

    Args:
        instances: instances of one image; without instances the result is zero.
        combine: `max`, as published: the strongest outline at a pixel. `votes`: the sum of the outlines, each weighted
            by the root of its score, within `VOTE_SIGMA_PX`; an outline shared by many masks is an edge even if each
            mask is uncertain. The root of the sum keeps the strengths in a range that the thresholds can separate.

    Returns:
        Float32Array, float32 (H, W), non-negative.
    """
    height, width = instances.image_size
    strength = np.zeros((height, width), dtype=np.float32)
    scale_x, scale_y, offset_x, offset_y = instances.grid_to_image
    logits = instances.mask_logits.numpy(force=True).astype(np.float32, copy=False)
    for row, (box, score) in enumerate(zip(instances.boxes.tolist(), instances.scores.tolist(), strict=True)):
        # A margin of half a cell: an outline on the edge of its box has a gradient on both sides.
        left, right = _pixels(box[0] - scale_x / 2, box[2] + scale_x / 2, width)
        top, bottom = _pixels(box[1] - scale_y / 2, box[3] + scale_y / 2, height)
        # One more pixel on each side for Sobel, beyond the image border if necessary.
        place = np.array(
            [
                [1 / scale_x, 0, (left - 0.5 - offset_x) / scale_x - 0.5],
                [0, 1 / scale_y, (top - 0.5 - offset_y) / scale_y - 0.5],
            ]
        )
        sampled = cv2.warpAffine(
            logits[row],
            place,
            (right - left + 2, bottom - top + 2),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        probability = (1 / (1 + np.exp(-np.clip(sampled, -30, 30)))).astype(np.float32)
        gradient = sobel(probability)[0][1:-1, 1:-1]
        window = strength[top:bottom, left:right]
        window[:] = np.maximum(window, score * gradient) if combine == "max" else window + np.sqrt(score) * gradient
    return strength if combine == "max" else np.sqrt(cv2.GaussianBlur(strength, (0, 0), VOTE_SIGMA_PX))


def sobel(values: Float32Array) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Return the gradient of float32 (H, W) in values per pixel: magnitude, x and y; the border is replicated."""
    x, y = (
        np.asarray(
            cv2.Sobel(values, cv2.CV_32F, dx, dy, ksize=3, scale=1 / 8, borderType=cv2.BORDER_REPLICATE), np.float32
        )
        for dx, dy in ((1, 0), (0, 1))
    )
    return np.hypot(x, y), x, y


def ridge_normals(strength: Float32Array) -> Float32Array:
    """Return unit vectors (x, y) across the line at each pixel, (2, H, W): the direction of strongest curvature."""
    smooth = cv2.GaussianBlur(strength, (0, 0), NORMAL_SIGMA_PX)
    bend_xx = cv2.Sobel(smooth, cv2.CV_32F, 2, 0, ksize=5)
    bend_yy = cv2.Sobel(smooth, cv2.CV_32F, 0, 2, ksize=5)
    bend_xy = cv2.Sobel(smooth, cv2.CV_32F, 1, 1, ksize=5)
    # The axis of lowest curvature, which is the most negative one on a ridge.
    angle = 0.5 * np.arctan2(2 * bend_xy, bend_xx - bend_yy) + np.pi / 2
    return np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32)


def suppress(strength: Float32Array, normals: Float32Array) -> Float32Array:
    """Reduce an edge map to lines one pixel wide: suppress non-maxima along the normals, then thin.

    Args:
        strength: float32 (H, W), non-negative.
        normals: (2, H, W) unit vectors (x, y) across the lines; their sign does not matter.
    """
    y, x = np.indices(strength.shape, dtype=np.float32)
    ahead, behind = (
        cv2.remap(
            strength, x + sign * normals[0], y + sign * normals[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        for sign in (1, -1)
    )
    # One side may be equal; otherwise a line between two pixels would lose both.
    peaks = (strength > 0) & (strength >= ahead) & (strength >= behind) & ((strength > ahead) | (strength > behind))
    return np.where(thin(peaks), strength, 0).astype(np.float32)


def evaluate_edges(
    segment: SegmentImages,
    folder: Path,
    *,
    combine: Combination = "max",
    limit: int | None = None,
    on_image: OnImage = lambda done, total: None,
    problems: Problems | None = None,
) -> EdgeScores:
    """Score the outlines of a segmenter's objects as edges.

    Args:
        segment: the segmenter; it should keep many objects at a low score.
        folder: see `evaluate_detector`.
        combine: see `edge_map`.
        limit: maximum number of images, taken from the start; None for all.
        on_image: progress callback.
        problems: collects the images that are skipped; None refuses a folder with any.

    Raises:
        DataError: the folder is missing or invalid, or contains no usable image; or `problems` is None, and an image or
            drawing is unusable.
    """

    def detect(image: ImageArray) -> Float32Array:
        strength = edge_map(segment([image])[0], combine=combine)
        return suppress(strength, ridge_normals(strength))

    return evaluate_detector(detect, folder, limit=limit, on_image=on_image, problems=problems)


def evaluate_detector(
    detect: Callable[[ImageArray], Float32Array],
    folder: Path,
    *,
    limit: int | None = None,
    on_image: OnImage = lambda done, total: None,
    problems: Problems | None = None,
) -> EdgeScores:
    """Score an edge detector.

    Each edge map is scaled to 0..1 by its own maximum, as in SAM's evaluation.

    Args:
        detect: maps an image (H, W, 3) RGB to the strength of thin lines, float (H, W), non-negative.
        folder: a folder with `instances.json`, `images/NAME.*`, and `gt/NAME_0.png`, `gt/NAME_1.png` …, the boundary
            pixels (non-zero) drawn by each annotator.
        limit: maximum number of images, taken from the start; None for all.
        on_image: progress callback.
        problems: collects the images that are skipped; None refuses a folder with any.

    Raises:
        DataError: the folder is missing or invalid, or contains no usable image; or `problems` is None, and an image or
            drawing is unusable.
    """
    found = Problems() if problems is None else problems
    listed = [labelled for labelled in read_images(folder, found)[:limit] if has_drawings(labelled, folder, found)]
    if problems is None:
        found.refuse()
    counts, num_drawings = [], 0
    for position, labelled in enumerate(listed):
        try:
            drawings = [read_drawing(path, labelled.size) for path in drawing_paths(labelled, folder)]
            image = read_image(labelled)
        except DataError as error:
            if problems is None:
                raise
            problems.add(Problem("image", labelled.path, str(error), str(labelled.id)))
        else:
            strength = detect(image)
            counts.append(count_edges(strength / max(float(strength.max()), 1e-12), drawings, THRESHOLDS))
            num_drawings += len(drawings)
        on_image(position + 1, len(listed))
    if not counts:
        raise none_usable(folder, found)
    return score_edges(counts, num_drawings=num_drawings)


def score_edges(counts: Sequence[EdgeCounts], *, num_drawings: int) -> EdgeScores:
    """Compute the benchmark's scores from the counts of at least one image."""
    total = reduce(add, counts)
    ods, ods_threshold = _best(total)
    best = [one.at(int(np.argmax(_f_measure(one.precision, one.recall)))) for one in counts]
    at_best = reduce(add, best)
    return EdgeScores(
        num_images=len(counts),
        num_drawings=num_drawings,
        ods=ods,
        ods_threshold=ods_threshold,
        ois=float(_f_measure(at_best.precision, at_best.recall)[0]),
        average_precision=_average_precision(total),
        recall_at_half_precision=_recall_at(total, 0.5),
        precision=tuple(total.precision.tolist()),
        recall=tuple(total.recall.tolist()),
    )


def _best(counts: EdgeCounts) -> tuple[float, float]:
    """Return the highest F-measure and its threshold, interpolating between thresholds."""
    lower, upper = np.arange(len(THRESHOLDS) - 1), np.arange(1, len(THRESHOLDS))
    precision, recall, threshold = (
        values[lower, None] * (1 - _STEPS) + values[upper, None] * _STEPS
        for values in (counts.precision, counts.recall, THRESHOLDS)
    )
    f_measure = _f_measure(precision, recall)
    place = np.unravel_index(np.argmax(f_measure), f_measure.shape)
    return float(f_measure[place]), float(threshold[place])


def _average_precision(counts: EdgeCounts) -> float:
    """Return the area under precision over recall, linear between thresholds and 0 beyond the first and last one."""
    recall, first = np.unique(counts.recall, return_index=True)
    if len(recall) < 2:
        return 0.0
    precision = np.interp(_STEPS, recall, counts.precision[first], left=0.0, right=0.0)
    return float(precision.sum() * 0.01)


def _recall_at(counts: EdgeCounts, level: float) -> float:
    """Return the recall at a level of precision; the highest recall if precision never falls to that level."""
    precision, first = np.unique(counts.precision, return_index=True)
    return float(np.interp(max(precision[0], level), precision, counts.recall[first], right=0.0))


def _f_measure(precision: Float64Array, recall: Float64Array) -> Float64Array:
    return 2 * precision * recall / np.maximum(precision + recall, 1e-12)


def _pixels(low: float, high: float, size: int) -> tuple[int, int]:
    """Return the range (first, stop) of the pixels whose centres lie between two edges."""
    return max(int(np.ceil(low - 0.5)), 0), min(int(np.ceil(high - 0.5)), size)
