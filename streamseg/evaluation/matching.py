"""Match the proposals of an image with its objects: COCO's greedy matching, for all thresholds and sizes at once.

Lin et al., "Microsoft COCO: Common Objects in Context", 2014, as in its evaluation program: in descending order of
score, each proposal takes the free object with the highest overlap. Objects that do not count (crowds, and objects
outside the requested size range) are taken only if no counting object is left; a proposal that takes one does not count
either. A crowd can be taken any number of times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamseg.evaluation.truth import SIZES
from streamseg.structures.arrays import BoolArray, Float64Array

__all__ = ["FALSE", "IGNORED", "NEVER", "RANGES", "THRESHOLDS", "TRUE", "ImageMatches", "match_image"]


THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""Minimum IoU of a match, (T,)."""
RANGES = {"all": (0.0, 1e10), **SIZES}
"""R ranges of area, in pixels, of the objects that count."""

FALSE, TRUE, IGNORED = 0, 1, 2
"""Outcomes of a proposal: it finds nothing, it finds an object, it does not count."""
NEVER = np.iinfo(np.int32).max
"""Rank for objects that no proposal finds."""


@dataclass(frozen=True, eq=False)
class ImageMatches:
    """Matches of D proposals of one image with its G objects, for R ranges of area and T thresholds."""

    scores: Float64Array
    """(D,) scores in descending order."""
    outcomes: npt.NDArray[np.uint8]
    """(R, T, D): FALSE, TRUE or IGNORED."""
    ranks: npt.NDArray[np.int32]
    """(R, T, G): rank, from 0, of the proposal that found the object, or NEVER."""
    counts: BoolArray
    """(R, G): whether the object counts, i.e. should be found."""


def match_image(
    ious: Float64Array,
    scores: Float64Array,
    areas: Float64Array,
    truth_areas: Float64Array,
    is_crowd: BoolArray,
    *,
    max_proposals: int = 1000,
) -> ImageMatches:
    """Match the proposals of one image; D and G may be 0.

    Args:
        ious: IoU (D, G), see `overlap`.
        scores: (D,) in any order; ties keep their order.
        areas: (D,) pixels; a proposal that finds nothing does not count if its area is outside the range.
        truth_areas: (G,) pixels.
        is_crowd: (G,).
        max_proposals: number of best-scoring proposals to match.
    """
    order = np.argsort(-scores, kind="stable")[:max_proposals]
    ious, scores, areas = ious[order], scores[order], areas[order]
    bounds = np.array(list(RANGES.values()))  # (R, 2)
    is_out = (truth_areas < bounds[:, :1]) | (truth_areas > bounds[:, 1:])  # (R, G)
    counts = ~(is_crowd | is_out)
    shape = (len(bounds), len(THRESHOLDS))
    outcomes = np.full((*shape, len(scores)), FALSE, dtype=np.uint8)
    outcomes[:] = np.where((areas < bounds[:, :1]) | (areas > bounds[:, 1:]), IGNORED, FALSE)[:, None]
    ranks = np.full((*shape, len(truth_areas)), NEVER, dtype=np.int32)
    # Objects still free; thresholds are capped because a proposal may reach 1 only up to rounding.
    is_free = np.ones((*shape, len(truth_areas)), dtype=np.bool_)
    thresholds = np.minimum(THRESHOLDS, 1 - 1e-10)[:, None]  # (T, 1)
    relevant = np.flatnonzero((ious >= thresholds[0]).any(axis=1)) if ious.size else ()
    places = np.ogrid[: shape[0], : shape[1]]
    for rank in relevant:
        row = ious[rank]
        # Few objects reach the lowest threshold; skip the others.
        near = np.flatnonzero(row >= thresholds[0])[::-1]  # COCO resolves ties in favour of the last
        overlap = row[near]
        possible = is_free[:, :, near] & (overlap >= thresholds)  # (R, T, N)
        # Objects that count take precedence over those that do not, regardless of overlap.
        is_wanted = possible & counts[:, None, near]
        eligible = np.where(is_wanted.any(axis=2, keepdims=True), is_wanted, possible)
        best = np.where(eligible, overlap, -1.0).argmax(axis=2)  # (R, T)
        taken = eligible[(*places, best)]
        chosen = near[best]
        finds = taken & counts[places[0], chosen]
        outcomes[:, :, rank][taken] = IGNORED
        outcomes[:, :, rank][finds] = TRUE
        rows, columns = np.nonzero(taken)
        objects = chosen[rows, columns]
        is_free[rows, columns, objects] = is_crowd[objects]
        rows, columns = np.nonzero(finds)
        ranks[rows, columns, chosen[rows, columns]] = rank
    return ImageMatches(scores, outcomes, ranks, counts)
