"""How well identities are kept: IDF1, and what CLEAR MOT counts.

IDF1 (Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking",
2016) pairs each true identity with at most one predicted identity, over the whole sequence, and asks
for how many objects that pairing is right. CLEAR MOT (Bernardin and Stiefelhagen, 2008) pairs anew in
every frame, keeping the last frame's pairs where they still hold, and counts what goes wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from streamseg.errors import DataError

__all__ = ["IdentityFrame", "IdentityScores", "score_identities"]

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class IdentityFrame:
    """What is true and what was predicted in one frame."""

    truth_ids: Ids
    """int64 (N,), each once; N may be 0."""
    predicted_ids: Ids
    """int64 (M,), each identity once; M may be 0. Rows below 0 have no identity and are left out."""
    similarity: Floats
    """(N, M), 0..1: how alike the two are, such as the IoU of their masks."""

    def __post_init__(self) -> None:
        shape = (len(self.truth_ids), len(self.predicted_ids))
        if self.similarity.shape != shape:
            raise ValueError(f"similarity must have shape {shape}, got {self.similarity.shape}")
        for what, ids in (("true", self.truth_ids), ("predicted", self.predicted_ids[self.predicted_ids >= 0])):
            if len(np.unique(ids)) != len(ids):
                raise DataError(f"a {what} identity occurs twice in one frame; each may occur once")


@dataclass(frozen=True)
class IdentityScores:
    """Counts over all frames of a sequence, and the ratios that are made of them."""

    num_frames: int
    num_truth: int
    """True objects in all frames."""
    num_predicted: int
    """Predicted objects with an identity in all frames."""
    num_identity_matches: int
    """Objects that the best pairing of identities explains (IDTP)."""
    num_matches: int
    """True objects that have a predicted one, whatever its identity."""
    num_switches: int
    """Times that a true identity is followed under another predicted identity than the last one."""
    num_fragmentations: int
    """Times that a true identity is followed again after frames in which it was there and was not."""

    @property
    def num_misses(self) -> int:
        """True objects without a prediction."""
        return self.num_truth - self.num_matches

    @property
    def num_false_positives(self) -> int:
        """Predictions without a true object."""
        return self.num_predicted - self.num_matches

    @property
    def id_precision(self) -> float:
        """Share of the predictions whose identity is right; 1 without predictions."""
        return self.num_identity_matches / self.num_predicted if self.num_predicted else 1.0

    @property
    def id_recall(self) -> float:
        """Share of the true objects whose identity was found; 1 without truth."""
        return self.num_identity_matches / self.num_truth if self.num_truth else 1.0

    @property
    def idf1(self) -> float:
        """Harmonic mean of ID precision and ID recall; 1 where nothing was there and nothing predicted."""
        total = self.num_truth + self.num_predicted
        return 2 * self.num_identity_matches / total if total else 1.0

    @property
    def mota(self) -> float:
        """1 minus misses, false positives and switches per true object; may be negative, -inf without truth."""
        errors = self.num_misses + self.num_false_positives + self.num_switches
        if not self.num_truth:
            return -np.inf if errors else 1.0
        return 1 - errors / self.num_truth


def score_identities(frames: Iterable[IdentityFrame], *, threshold: float = 0.5) -> IdentityScores:
    """Judge the tracks of one sequence.

    Args:
        frames: in the order of time; none is fine.
        threshold: two objects can be the same from this similarity on.
    """
    num_frames = num_truth = num_predicted = num_matches = num_switches = num_fragmentations = 0
    shared: dict[tuple[int, int], int] = {}  # frames in which a true and a predicted identity can be the same
    last_identity: dict[int, int] = {}
    followed: dict[int, bool] = {}  # in the last frame in which the true identity was there
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
                num_fragmentations += truth_id in last_identity and not followed[truth_id]
                last_identity[truth_id] = identity
            followed[truth_id] = identity is not None
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
    truth_ids: Ids, predicted_ids: Ids, similarity: Floats, possible: npt.NDArray[np.bool_], last_pairs: dict[int, int]
) -> dict[int, int]:
    """True to predicted identities of one frame: kept ones first, then as many as possible, then the most alike."""
    kept = (
        predicted_ids[None, :] == np.array([last_pairs.get(truth_id, -1) for truth_id in truth_ids.tolist()])[:, None]
    )
    # No sum of similarities outweighs one pair more, and no number of pairs one that is kept.
    most = min(similarity.shape) + 1
    weights = np.where(possible, similarity + most + most * most * kept, 0.0)
    rows, columns = linear_sum_assignment(weights, maximize=True)
    return {
        int(truth_ids[row]): int(predicted_ids[column])
        for row, column in zip(rows, columns, strict=True)
        if possible[row, column]
    }


def _identity_matches(shared: dict[tuple[int, int], int]) -> int:
    """The most objects that one pairing of true with predicted identities explains."""
    truth = {truth_id: row for row, truth_id in enumerate(sorted({pair[0] for pair in shared}))}
    predicted = {identity: column for column, identity in enumerate(sorted({pair[1] for pair in shared}))}
    counts = np.zeros((len(truth), len(predicted)))
    for (truth_id, identity), count in shared.items():
        counts[truth[truth_id], predicted[identity]] = count
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return int(counts[rows, columns].sum())
