"""HOTA compared with a direct implementation of its definition."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.evaluation.hota import ALPHAS, score_hota
from streamseg.evaluation.identity import IdentityFrame


def frame(truth, predicted, similarity=None):
    if similarity is None:
        similarity = np.zeros((len(truth), len(predicted)))
        for index in range(min(len(truth), len(predicted))):
            similarity[index, index] = 1.0
    return IdentityFrame(np.array(truth, np.int64), np.array(predicted, np.int64), np.array(similarity, np.float64))


def brute_force(frames):
    """HOTA, DetA, AssA and LocA pair by pair, trying every assignment of a frame."""

    def frames_with(identity, which):
        return sum(identity in getattr(one, which).tolist() for one in frames)

    truth_ids = sorted({one for f in frames for one in f.truth_ids.tolist()})
    predicted_ids = sorted({one for f in frames for one in f.predicted_ids.tolist()})
    agreement = {}
    for truth_id, identity in itertools.product(truth_ids, predicted_ids):
        soft = 0.0
        for f in frames:
            if truth_id in f.truth_ids.tolist() and identity in f.predicted_ids.tolist():
                row, column = f.truth_ids.tolist().index(truth_id), f.predicted_ids.tolist().index(identity)
                value = f.similarity[row, column]
                union = f.similarity[row].sum() + f.similarity[:, column].sum() - value
                soft += value / union if union > 0 else 0.0
        both = frames_with(truth_id, "truth_ids") + frames_with(identity, "predicted_ids")
        agreement[truth_id, identity] = soft / (both - soft)

    assigned = []  # (frame, truth id, predicted id, similarity)
    for number, f in enumerate(frames):
        truth, predicted = f.truth_ids.tolist(), f.predicted_ids.tolist()
        small, large = sorted((range(len(truth)), range(len(predicted))), key=len)
        best, best_pairs = -1.0, []
        for chosen in itertools.permutations(large, len(small)):
            pairs = [
                (one, other) if len(truth) <= len(predicted) else (other, one)
                for one, other in zip(small, chosen, strict=True)
            ]
            value = sum(agreement[truth[row], predicted[column]] * f.similarity[row, column] for row, column in pairs)
            if value > best + 1e-12:
                best, best_pairs = value, pairs
        assigned += [(number, truth[row], predicted[column], f.similarity[row, column]) for row, column in best_pairs]

    rows = []
    total = sum(len(f.truth_ids) + len(f.predicted_ids) for f in frames)
    for alpha in ALPHAS:
        pairs = [one for one in assigned if one[3] >= alpha - 1e-12]
        detection = len(pairs) / (total - len(pairs))
        association = []
        for _, truth_id, identity, _ in pairs:
            shared = sum(one[1:3] == (truth_id, identity) for one in pairs)
            missed = frames_with(truth_id, "truth_ids") - shared
            wrong = frames_with(identity, "predicted_ids") - shared
            association.append(shared / (shared + missed + wrong))
        ass = float(np.mean(association)) if pairs else 0.0
        loc = float(np.mean([one[3] for one in pairs])) if pairs else 1.0
        rows.append((np.sqrt(detection * ass), detection, ass, loc))
    return np.mean(rows, axis=0)


# frames, (HOTA, DetA, AssA)
TABLE = [
    pytest.param([frame([1, 2], [7, 8])] * 4, (1, 1, 1), id="perfect"),
    pytest.param([frame([1], [])] * 4, (0, 0, 0), id="all missed"),
    pytest.param([frame([], [7])] * 4, (0, 0, 0), id="no true object"),
    # Every object is found; each of the 4 + 4 pairs shares 4 of 8 frames with its true identity.
    pytest.param([frame([1], [7])] * 4 + [frame([1], [8])] * 4, (np.sqrt(0.5), 1, 0.5), id="one switch in the middle"),
    # Found in half of the frames: DetA 4 / 8; the identity is kept in 4 of 8 frames.
    pytest.param([frame([1], [7])] * 4 + [frame([1], [])] * 4, (0.5, 0.5, 0.5), id="lost half-way"),
    pytest.param([frame([1], [7, 9])] * 2, (np.sqrt(0.5), 0.5, 1), id="a false positive beside it"),
    pytest.param([frame([1], [-1]), frame([1], [7])], (0.5, 0.5, 0.5), id="tentative is no identity"),
    pytest.param([], (1, 1, 1), id="no frame"),
    pytest.param([frame([], [])] * 3, (1, 1, 1), id="nothing there and nothing predicted"),
]


@pytest.mark.parametrize(("frames", "expected"), TABLE)
def test_by_hand(frames, expected):
    scores = score_hota(frames)
    assert (scores.hota, scores.detection_accuracy, scores.association_accuracy) == pytest.approx(expected)


def test_pairs_count_up_to_their_similarity():
    scores = score_hota([frame([1], [7], [[0.6]])] * 3)
    assert [value == 1 for value in scores.hota_at] == [True] * 12 + [False] * 7
    assert scores.hota == pytest.approx(12 / 19)
    assert scores.localisation_accuracy == pytest.approx((12 * 0.6 + 7) / 19)


def test_lasting_identity_wins_if_similarities_are_nearly_equal():
    """In the last frame 8 is slightly more similar, but 7 has been object 1 in all earlier frames."""
    frames = [frame([1], [7])] * 5 + [frame([1], [7, 8], [[0.8, 0.85]])]
    at_half = score_hota(frames).hota_at[9]
    assert at_half == pytest.approx(np.sqrt(6 / 7))


ids = st.lists(st.integers(0, 3), max_size=4, unique=True)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(shapes=st.lists(st.tuples(ids, ids), min_size=1, max_size=5), seed=st.integers(0, 2**16))
def test_scores_equal_the_definition(shapes, seed):
    rng = np.random.default_rng(seed)
    frames = [frame(truth, predicted, rng.random((len(truth), len(predicted)))) for truth, predicted in shapes]
    if not any(len(one.truth_ids) + len(one.predicted_ids) for one in frames):
        return
    scores = score_hota(frames)
    given_scores = (
        scores.hota,
        scores.detection_accuracy,
        scores.association_accuracy,
        scores.localisation_accuracy,
    )
    assert given_scores == pytest.approx(tuple(brute_force(frames)))
