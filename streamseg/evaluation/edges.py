"""Edges that nobody trained: the outlines of everything found, against the boundaries that people drew.

SAM ("Segment Anything", 2023, section 7.2) and FastSAM (2023, table 2) make edge maps of masks: the gradient
of each mask's probability by Sobel, everything together, thinned along the normal. They are scored by the
Berkeley benchmark (Arbelaez et al., "Contour Detection and Hierarchical Image Segmentation", 2011).
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
import numpy.typing as npt

from streamseg.datasets.coco import LabelledImage, read_image, read_images
from streamseg.errors import DataError
from streamseg.evaluation.edge_matching import EdgeCounts, Mask, Strength, count_edges, thin
from streamseg.evaluation.truth import OnImage, SegmentFunction
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
"""The benchmark's 99 of them."""
_STEPS = np.linspace(0, 1, 101)
"""Between two thresholds precision and recall are taken to change evenly; so many places are looked at."""
NORMAL_SIGMA_PX = 1.5
"""Smoothing before the direction of a line is read off its curvature."""
VOTE_SIGMA_PX = 1.5
"""How far apart the outlines of two masks may run and still agree. Among 1, 1.5 and 2.5 on ten images."""


@dataclass(frozen=True)
class EdgeScores:
    """Scores of one data set, each 0..1."""

    num_images: int
    num_drawings: int
    """Of all annotators."""
    ods: float
    """F of precision and recall over all images at the one threshold that is best for the data set."""
    ods_threshold: float
    ois: float
    """F over all images at the threshold that is best for each."""
    average_precision: float
    """Mean of precision over recall 0, 0.01 … 1, zero where recall is not reached."""
    recall_at_half_precision: float
    """Recall where precision falls to one half (R50)."""
    precision: tuple[float, ...]
    """At `THRESHOLDS`."""
    recall: tuple[float, ...]


def edge_map(instances: Instances, *, combine: Combination = "max") -> Strength:
    """How strongly each pixel is on the outline of what was found.

    The probability of each mask, in the image's pixels, has a gradient; an instance counts with its score,
    and nothing outside its box, where no mask is.

    Args:
        instances: of one image; none gives zeros.
        combine: `max`, as published: the strongest outline at a pixel. `votes`: the outlines add up, each with
            the root of its score, within `VOTE_SIGMA_PX`; what many masks agree on is an edge, though each of
            them be doubtful. The root of the sum keeps the strengths in a range that thresholds can tell apart.

    Returns:
        float32 (H, W), not negative.
    """
    height, width = instances.image_size
    strength = np.zeros((height, width), dtype=np.float32)
    scale_x, scale_y, offset_x, offset_y = instances.grid_to_image
    logits = instances.mask_logits.numpy(force=True).astype(np.float32, copy=False)
    for row, (box, score) in enumerate(zip(instances.boxes.tolist(), instances.scores.tolist(), strict=True)):
        # Half a cell more: an outline on the edge of its box has its gradient on both sides.
        left, right = _pixels(box[0] - scale_x / 2, box[2] + scale_x / 2, width)
        top, bottom = _pixels(box[1] - scale_y / 2, box[3] + scale_y / 2, height)
        # One pixel around it for Sobel, of the image's surroundings where need be.
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


def sobel(values: Strength) -> tuple[Strength, Strength, Strength]:
    """The gradient of float32 (H, W) in values per pixel: magnitude, x and y; outside it goes on as its border."""
    x, y = (
        np.asarray(
            cv2.Sobel(values, cv2.CV_32F, dx, dy, ksize=3, scale=1 / 8, borderType=cv2.BORDER_REPLICATE), np.float32
        )
        for dx, dy in ((1, 0), (0, 1))
    )
    return np.hypot(x, y), x, y


def ridge_normals(strength: Strength) -> npt.NDArray[np.float32]:
    """The direction across the line at each pixel, (2, H, W) unit vectors (x, y): where the map bends most."""
    smooth = cv2.GaussianBlur(strength, (0, 0), NORMAL_SIGMA_PX)
    bend_xx = cv2.Sobel(smooth, cv2.CV_32F, 2, 0, ksize=5)
    bend_yy = cv2.Sobel(smooth, cv2.CV_32F, 0, 2, ksize=5)
    bend_xy = cv2.Sobel(smooth, cv2.CV_32F, 1, 1, ksize=5)
    # The axis of the curvature that is lowest, which is the most negative one on a ridge.
    angle = 0.5 * np.arctan2(2 * bend_xy, bend_xx - bend_yy) + np.pi / 2
    return np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32)


def suppress(strength: Strength, normals: npt.NDArray[np.float32]) -> Strength:
    """Lines of one pixel: what is no maximum along its normal becomes 0, and so does what thinning takes away.

    Args:
        strength: float32 (H, W), not negative.
        normals: (2, H, W) unit vectors (x, y) across the lines; their sign does not matter.
    """
    y, x = np.indices(strength.shape, dtype=np.float32)
    ahead, behind = (
        cv2.remap(
            strength, x + sign * normals[0], y + sign * normals[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        for sign in (1, -1)
    )
    # One side may be equal, or a line between two pixels would lose both.
    peaks = (strength > 0) & (strength >= ahead) & (strength >= behind) & ((strength > ahead) | (strength > behind))
    return np.where(thin(peaks), strength, 0).astype(np.float32)


def evaluate_edges(
    segment: SegmentFunction,
    folder: Path,
    *,
    combine: Combination = "max",
    limit: int | None = None,
    on_image: OnImage = lambda done, total: None,
) -> EdgeScores:
    """Score the outlines of what a segmenter finds.

    Args:
        segment: images to Instances; many of them, at a low score.
        folder: as for `evaluate_detector`.
        combine: as for `edge_map`.
        limit: the most images to use, the first ones; None for all.
        on_image: called with how many are done, and of how many.

    Raises:
        DataError: the folder is missing, broken or empty, or an image is unreadable.
    """

    def detect(image: npt.NDArray[np.uint8]) -> Strength:
        strength = edge_map(segment([image])[0], combine=combine)
        return suppress(strength, ridge_normals(strength))

    return evaluate_detector(detect, folder, limit=limit, on_image=on_image)


def evaluate_detector(
    detect: Callable[[npt.NDArray[np.uint8]], Strength],
    folder: Path,
    *,
    limit: int | None = None,
    on_image: OnImage = lambda done, total: None,
) -> EdgeScores:
    """Score any edge detector.

    Each map is scaled to the range 0..1 by its own maximum, as SAM's are.

    Args:
        detect: an image (H, W, 3) RGB to thin lines of some strength, float (H, W), not negative.
        folder: with `instances.json`, `images/NAME.*`, and `gt/NAME_0.png`, `gt/NAME_1.png` …, the boundary
            pixels (not 0) that each annotator drew.
        limit: the most images to use, the first ones; None for all.
        on_image: called with how many are done, and of how many.

    Raises:
        DataError: the folder is missing, broken or empty, or an image is unreadable.
    """
    labelled_images = read_images(folder)[:limit]
    paths = [_drawing_paths(labelled, folder) for labelled in labelled_images]
    counts = []
    for position, labelled in enumerate(labelled_images):
        drawings = [_read_drawing(path, labelled.size) for path in paths[position]]
        strength = detect(read_image(labelled))
        counts.append(count_edges(strength / max(float(strength.max()), 1e-12), drawings, THRESHOLDS))
        on_image(position + 1, len(labelled_images))
    return score_edges(counts, num_drawings=sum(map(len, paths)))


def score_edges(counts: Sequence[EdgeCounts], *, num_drawings: int) -> EdgeScores:
    """The benchmark's figures of images, at least one."""
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
    """The highest F, and its threshold, between thresholds, too."""
    lower, upper = np.arange(len(THRESHOLDS) - 1), np.arange(1, len(THRESHOLDS))
    precision, recall, threshold = (
        values[lower, None] * (1 - _STEPS) + values[upper, None] * _STEPS
        for values in (counts.precision, counts.recall, THRESHOLDS)
    )
    f_measure = _f_measure(precision, recall)
    place = np.unravel_index(np.argmax(f_measure), f_measure.shape)
    return float(f_measure[place]), float(threshold[place])


def _average_precision(counts: EdgeCounts) -> float:
    """Precision over recall, straight between thresholds; what lies beyond the first and the last one is 0."""
    recall, first = np.unique(counts.recall, return_index=True)
    if len(recall) < 2:
        return 0.0
    precision = np.interp(_STEPS, recall, counts.precision[first], left=0.0, right=0.0)
    return float(precision.sum() * 0.01)


def _recall_at(counts: EdgeCounts, level: float) -> float:
    """Recall where precision comes to a level; the highest there is where it never falls so low."""
    precision, first = np.unique(counts.precision, return_index=True)
    return float(np.interp(max(precision[0], level), precision, counts.recall[first], right=0.0))


def _f_measure(precision: npt.NDArray[np.float64], recall: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 2 * precision * recall / np.maximum(precision + recall, 1e-12)


def _pixels(low: float, high: float, size: int) -> tuple[int, int]:
    """First and stop of the pixels whose centres lie between two edges."""
    return max(int(np.ceil(low - 0.5)), 0), min(int(np.ceil(high - 0.5)), size)


def _drawing_paths(labelled: LabelledImage, folder: Path) -> list[Path]:
    paths = sorted((folder / "gt").glob(f"{labelled.path.stem}_*.png"))
    if not paths:
        raise DataError(f"{folder / 'gt'} holds no drawing {labelled.path.stem}_0.png of {labelled.path.name}")
    return paths


def _read_drawing(path: Path, size: tuple[int, int]) -> Mask:
    drawing = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if drawing is None or drawing.shape != size:
        found = "unreadable" if drawing is None else f"{drawing.shape[1]}x{drawing.shape[0]}"
        raise DataError(f"{path} is {found}; the image is {size[1]}x{size[0]}, and so must be what is drawn on it")
    return np.asarray(drawing) > 0
