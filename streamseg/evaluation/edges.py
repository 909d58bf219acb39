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

import numpy as np

from streamseg.datasets.check import none_usable
from streamseg.datasets.coco import read_images
from streamseg.datasets.pixels import read_image
from streamseg.datasets.problems import Problem, Problems
from streamseg.errors import DataError
from streamseg.evaluation.drawings import drawing_paths, has_drawings, read_drawing
from streamseg.evaluation.edge_maps import Combination, edge_map, ridge_normals, suppress
from streamseg.evaluation.edge_matching import EdgeCounts, count_edges
from streamseg.evaluation.truth import OnImage, SegmentImages
from streamseg.structures.arrays import Float32Array, Float64Array, ImageArray

__all__ = ["THRESHOLDS", "EdgeScores", "evaluate_detector", "evaluate_edges", "score_edges"]

THRESHOLDS = np.arange(1, 100) / 100
"""The benchmark's 99 thresholds of edge strength."""
_STEPS = np.linspace(0, 1, 101)
"""Steps at which precision and recall are interpolated linearly between two thresholds."""


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
