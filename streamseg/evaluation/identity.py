"""Identity preservation: IDF1 and the counts of CLEAR MOT.

IDF1 (Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking", 2016) matches each
true identity with at most one predicted identity over the whole sequence and counts the objects explained by that
matching. CLEAR MOT (Bernardin and Stiefelhagen, 2008) matches anew in every frame, keeping the last frame's pairs while
they remain valid, and counts errors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from streamseg.errors import DataError
from streamseg.structures.arrays import BoolArray, Float64Array, IndexArray

__all__ = ["IdentityFrame", "IdentityScores", "score_identities"]


@dataclass(frozen=True, eq=False)
class IdentityFrame:
    """True and predicted identities of one frame."""

    truth_ids: IndexArray
    """int64 (N,), unique; N may be 0."""
    predicted_ids: IndexArray
    """int64 (M,), unique; M may be 0. Rows below 0 have no identity and are ignored."""
    similarity: Float64Array
    """(N, M) similarities 0..1, such as the IoU of masks."""

    def __post_init__(self) -> None:
        shape = (len(self.truth_ids), len(self.predicted_ids))
        if self.similarity.shape != shape:
            raise ValueError(f"similarity must have shape {shape}, got {self.similarity.shape}")
        for kind, ids in (("true", self.truth_ids), ("predicted", self.predicted_ids[self.predicted_ids >= 0])):
            if len(np.unique(ids)) != len(ids):
                raise DataError(f"a {kind} identity occurs twice in one frame; identities must be unique")


@dataclass(frozen=True)
class IdentityScores:
    """Counts over all frames of a sequence, and ratios of these counts."""

    num_frames: int
    num_truth: int
    """Number of true objects, summed over frames."""
    num_predicted: int
    """Number of predicted objects with an identity, summed over frames."""
    num_identity_matches: int
    """Number of objects explained by the best matching of identities (IDTP)."""
    num_matches: int
    """Number of true objects matched with a prediction of any identity."""
    num_switches: int
    """Number of times a true identity is matched with a different predicted identity than before."""
    num_fragmentations: int
    """Number of times a true identity is matched again after frames in which it was present but not matched."""

    @property
    def num_misses(self) -> int:
        """Number of true objects without a prediction."""
        return self.num_truth - self.num_matches

    @property
    def num_false_positives(self) -> int:
        """Number of predictions without a true object."""
        return self.num_predicted - self.num_matches

    @property
    def id_precision(self) -> float:
        """Share of the predictions with the right identity; 1 if there are no predictions."""
        return self.num_identity_matches / self.num_predicted if self.num_predicted else 1.0

    @property
    def id_recall(self) -> float:
        """Share of the true objects whose identity was found; 1 if there are no true objects."""
        return self.num_identity_matches / self.num_truth if self.num_truth else 1.0

    @property
    def idf1(self) -> float:
        """Harmonic mean of ID precision and ID recall; 1 if there are neither objects nor predictions."""
        total = self.num_truth + self.num_predicted
        return 2 * self.num_identity_matches / total if total else 1.0

    @property
    def mota(self) -> float:
        """1 minus errors (misses, false positives, switches) per true object; may be negative.

        -inf if there are errors but no true objects.
        """
        errors = self.num_misses + self.num_false_positives + self.num_switches
        if not self.num_truth:
            return -np.inf if errors else 1.0
        return 1 - errors / self.num_truth


def score_identities(frames: Iterable[IdentityFrame], *, threshold: float = 0.5) -> IdentityScores:
    """Score the tracks of one sequence.

    Args:
        frames: frames in temporal order; may be empty.
        threshold: minimum similarity of two objects that can be matched.
    """
    num_frames = num_truth = num_predicted = num_matches = num_switches = num_fragmentations = 0
    shared: dict[tuple[int, int], int] = {}  # number of frames in which a true and a predicted identity can be matched
    last_identity: dict[int, int] = {}
    matched: dict[int, bool] = {}  # whether it was matched when the true identity was last present
    last_pairs: dict[int, int] = {}
    for frame in frames:
        num_frames += 1
        has_identity = frame.predicted_ids >= 0
        truth_ids, predicted_ids = frame.truth_ids, frame.predicted_ids[has_identity]
        similarity = frame.similarity[:, has_identity]
        possible = similarity >= threshold
        num_truth += len(truth_ids)
        num_predicted += len(predicted_ids)
        for row, column in np.argwhere(possible).tolist():
            pair = (int(truth_ids[row]), int(predicted_ids[column]))
            shared[pair] = shared.get(pair, 0) + 1

        pairs = _pairs(truth_ids, predicted_ids, similarity, possible, last_pairs)
        num_matches += len(pairs)
        for truth_id in truth_ids.tolist():
            identity = pairs.get(truth_id)
            if identity is not None:
                num_switches += last_identity.get(truth_id, identity) != identity
                num_fragmentations += truth_id in last_identity and not matched[truth_id]
                last_identity[truth_id] = identity
            matched[truth_id] = identity is not None
        last_pairs = pairs
    return IdentityScores(
        num_frames=num_frames,
        num_truth=num_truth,
        num_predicted=num_predicted,
        num_identity_matches=_identity_matches(shared),
        num_matches=num_matches,
        num_switches=num_switches,
        num_fragmentations=num_fragmentations,
    )


def _pairs(
    truth_ids: IndexArray,
    predicted_ids: IndexArray,
    similarity: Float64Array,
    possible: BoolArray,
    last_pairs: dict[int, int],
) -> dict[int, int]:
    """Match true with predicted identities of one frame.

    Pairs of the last frame come first, then the largest number of pairs, then the highest similarity.
    """
    kept = (
        predicted_ids[None, :] == np.array([last_pairs.get(truth_id, -1) for truth_id in truth_ids.tolist()])[:, None]
    )
    # No sum of similarities outweighs an additional pair, and no number of new pairs outweighs a kept one.
    most = min(similarity.shape) + 1
    weights = np.where(possible, similarity + most + most * most * kept, 0.0)
    rows, columns = linear_sum_assignment(weights, maximize=True)
    return {
        int(truth_ids[row]): int(predicted_ids[column])
        for row, column in zip(rows, columns, strict=True)
        if possible[row, column]
    }


def _identity_matches(shared: dict[tuple[int, int], int]) -> int:
    """Return the largest number of objects explained by one matching of true with predicted identities."""
    truth = {truth_id: row for row, truth_id in enumerate(sorted({pair[0] for pair in shared}))}
    predicted = {identity: column for column, identity in enumerate(sorted({pair[1] for pair in shared}))}
    counts = np.zeros((len(truth), len(predicted)))
    for (truth_id, identity), count in shared.items():
        counts[truth[truth_id], predicted[identity]] = count
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return int(counts[rows, columns].sum())
