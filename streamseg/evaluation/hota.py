"""Higher order tracking accuracy (HOTA): detection and association, weighted equally.

Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", 2021. As in their evaluation
program, objects are matched once per frame for all localisation thresholds. The matching maximises similarity weighted
by the agreement of the two identities over the whole sequence; at each threshold, sufficiently similar pairs count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from streamseg.evaluation.identity import IdentityFrame
from streamseg.structures.arrays import IndexArray

__all__ = ["ALPHAS", "HotaScores", "score_hota"]


ALPHAS = np.arange(1, 20) / 20
"""Similarity thresholds at which a pair counts, 0.05 to 0.95."""
_ROUNDING = np.finfo(np.float64).eps


@dataclass(frozen=True)
class HotaScores:
    """Means over `ALPHAS`, each 0..1; 1 if there are neither objects nor predictions."""

    hota: float
    """Mean of the geometric means of detection and association accuracy."""
    detection_accuracy: float
    """Pairs divided by all true or predicted objects (DetA)."""
    association_accuracy: float
    """Mean over pairs of the frames shared by both identities, divided by all frames of either (AssA)."""
    localisation_accuracy: float
    """Mean similarity of the pairs (LocA); 1 at thresholds without pairs."""
    hota_at: tuple[float, ...]
    """HOTA at each of `ALPHAS`."""


def score_hota(frames: Sequence[IdentityFrame]) -> HotaScores:
    """Score the tracks of a sequence; predictions with an identity below 0 are ignored.

    Sequences with disjoint identities may be concatenated; the scores then cover all of them.
    """
    truth = _positions(np.concatenate([np.zeros(0, np.int64), *(frame.truth_ids for frame in frames)]))
    predicted = _positions(np.concatenate([np.zeros(0, np.int64), *(_ids(frame) for frame in frames)]))
    rows = [np.array([truth[one] for one in frame.truth_ids.tolist()], dtype=np.intp) for frame in frames]
    columns = [np.array([predicted[one] for one in _ids(frame).tolist()], dtype=np.intp) for frame in frames]
    similarities = [frame.similarity[:, frame.predicted_ids >= 0] for frame in frames]
    num_frames_of_truth = np.bincount(np.concatenate([np.zeros(0, np.intp), *rows]), minlength=len(truth))
    num_frames_of_predicted = np.bincount(np.concatenate([np.zeros(0, np.intp), *columns]), minlength=len(predicted))
    either = num_frames_of_truth[:, None] + num_frames_of_predicted[None, :]

    possible = np.zeros((len(truth), len(predicted)))
    for row, column, similarity in zip(rows, columns, similarities, strict=True):
        # Competing objects reduce the weight of a pair.
        union = similarity.sum(axis=0)[None, :] + similarity.sum(axis=1)[:, None] - similarity
        possible[np.ix_(row, column)] += np.divide(
            similarity, union, out=np.zeros_like(similarity), where=union > _ROUNDING
        )
    agreement = possible / np.maximum(either - possible, _ROUNDING)

    shared = np.zeros((len(ALPHAS), len(truth), len(predicted)))
    similarity_sum = np.zeros(len(ALPHAS))
    for row, column, similarity in zip(rows, columns, similarities, strict=True):
        paired = linear_sum_assignment(agreement[np.ix_(row, column)] * similarity, maximize=True)
        alike = similarity[paired]
        counts = alike[None, :] >= ALPHAS[:, None] - _ROUNDING  # (A, pairs)
        # A pair occurs once per frame, so plain indexing accumulates correctly.
        shared[:, row[paired[0]], column[paired[1]]] += counts
        similarity_sum += (counts * alike).sum(axis=1)

    num_pairs = shared.sum(axis=(1, 2))  # (A,)
    num_objects = num_frames_of_truth.sum() + num_frames_of_predicted.sum() - num_pairs
    association = shared * (shared / np.maximum(either - shared, 1))
    if not len(truth) and not len(predicted):
        return HotaScores(1.0, 1.0, 1.0, 1.0, (1.0,) * len(ALPHAS))
    detection_accuracy = num_pairs / num_objects
    association_accuracy = association.sum(axis=(1, 2)) / np.maximum(num_pairs, 1)
    hota = np.sqrt(detection_accuracy * association_accuracy)
    localisation = np.where(num_pairs > 0, similarity_sum / np.maximum(num_pairs, 1), 1.0)
    return HotaScores(
        hota=float(hota.mean()),
        detection_accuracy=float(detection_accuracy.mean()),
        association_accuracy=float(association_accuracy.mean()),
        localisation_accuracy=float(localisation.mean()),
        hota_at=tuple(hota.tolist()),
    )


def _ids(frame: IdentityFrame) -> IndexArray:
    return frame.predicted_ids[frame.predicted_ids >= 0]


def _positions(ids: IndexArray) -> dict[int, int]:
    return {identity: position for position, identity in enumerate(np.unique(ids).tolist())}
