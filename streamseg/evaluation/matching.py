"""Which proposals of an image find which objects: COCO's greedy matching, for all thresholds and sizes at once.

Lin et al., "Microsoft COCO: Common Objects in Context", 2014, in the form of its evaluation program: in the
order of their scores, each proposal takes the object that it overlaps most and that is still free. Objects
that do not count (crowds, and objects of another size than asked for) are taken only where nothing that
counts is left; a proposal that takes one does not count either. A crowd is never used up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamseg.evaluation.truth import SIZES

__all__ = ["FALSE", "IGNORED", "NEVER", "RANGES", "THRESHOLDS", "TRUE", "ImageMatches", "match_image"]

Floats = npt.NDArray[np.float64]

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""IoU from which a proposal can find an object, (T,)."""
RANGES = {"all": (0.0, 1e10), **SIZES}
"""Areas in pixels of the objects that count, R of them."""

FALSE, TRUE, IGNORED = 0, 1, 2
"""A proposal that finds nothing, one that finds an object, and one that does not count."""
NEVER = np.iinfo(np.int32).max
"""The rank of the proposal that finds an object which none does."""


@dataclass(frozen=True, eq=False)
class ImageMatches:
    """What D proposals of one image found of its G objects, by R ranges of area and T thresholds."""

    scores: Floats
    """(D,), descending."""
    outcomes: npt.NDArray[np.uint8]
    """(R, T, D): FALSE, TRUE or IGNORED."""
    ranks: npt.NDArray[np.int32]
    """(R, T, G): the place, from 0, of the proposal that found the object, or NEVER."""
    counts: npt.NDArray[np.bool_]
    """(R, G): objects that are to be found."""


def match_image(
    ious: Floats,
    scores: Floats,
    areas: Floats,
    truth_areas: Floats,
    is_crowd: npt.NDArray[np.bool_],
    *,
    max_proposals: int = 1000,
) -> ImageMatches:
    """Match the proposals of one image; D and G may be 0.

    Args:
        ious: (D, G), see `overlap`.
        scores: (D,) in any order; equal ones keep their order.
        areas: (D,) pixels; a proposal that finds nothing does not count where its area is out of the range.
        truth_areas: (G,) pixels.
        is_crowd: (G,).
        max_proposals: the best so many are matched.
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
    # What remains to be taken; a proposal may exceed the last threshold by rounding alone.
    is_free = np.ones((*shape, len(truth_areas)), dtype=np.bool_)
    thresholds = np.minimum(THRESHOLDS, 1 - 1e-10)[:, None]  # (T, 1)
    relevant = np.flatnonzero((ious >= thresholds[0]).any(axis=1)) if ious.size else ()
    places = np.ogrid[: shape[0], : shape[1]]
    for rank in relevant:
        row = ious[rank]
        # Few objects reach the lowest threshold: the others need not be looked at.
        near = np.flatnonzero(row >= thresholds[0])[::-1]  # of equals, COCO takes the last
        overlap = row[near]
        possible = is_free[:, :, near] & (overlap >= thresholds)  # (R, T, N)
        # Whatever counts comes before what does not, however much better that fits.
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
