"""Identity scores of sequences counted by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.errors import DataError
from streamseg.evaluation.identity import IdentityFrame, score_identities

Pairs = Sequence[tuple[int | None, int | None]]
"""One frame: (true, predicted) identities of overlapping objects; None if one of them is missing."""


def frame(pairs: Pairs) -> IdentityFrame:
    truth = [truth_id for truth_id, _ in pairs if truth_id is not None]
    predicted = [identity for _, identity in pairs if identity is not None]
    similarity = np.zeros((len(truth), len(predicted)))
    for truth_id, identity in pairs:
        if truth_id is not None and identity is not None:
            similarity[truth.index(truth_id), predicted.index(identity)] = 0.9
    return IdentityFrame(np.array(truth, np.int64), np.array(predicted, np.int64), similarity)


# name, frames, (idf1, precision, recall), (misses, false positives, switches, fragmentations), mota
TABLE = [
    pytest.param([[(1, 7), (2, 8)]] * 4, (1, 1, 1), (0, 0, 0, 0), 1, id="perfect"),
    # Six of ten frames under the matched identity: IDTP 6, IDFP 4, IDFN 4.
    pytest.param([[(1, 7)]] * 6 + [[(1, 8)]] * 4, (0.6, 0.6, 0.6), (0, 0, 1, 0), 0.9, id="one switch"),
    # Both objects keep their own identity in 3 of 4 frames.
    pytest.param(
        [[(1, 7), (2, 8)]] * 3 + [[(1, 8), (2, 7)]], (0.75, 0.75, 0.75), (0, 0, 2, 0), 0.75, id="two swap at the end"
    ),
    pytest.param([[(1, None)]] * 5, (0, 1, 0), (5, 0, 0, 0), 0, id="all missed"),
    pytest.param([[(None, 7)]] * 5, (0, 0, 1), (0, 5, 0, 0), -np.inf, id="no truth"),
    pytest.param([[]] * 5, (1, 1, 1), (0, 0, 0, 0), 1, id="nothing there and nothing predicted"),
    pytest.param([], (1, 1, 1), (0, 0, 0, 0), 1, id="no frame"),
    # IDTP 4 of 6 true and 4 predicted.
    pytest.param(
        [[(1, 7)]] * 2 + [[(1, None)]] * 2 + [[(1, 7)]] * 2, (0.8, 1, 4 / 6), (2, 0, 0, 1), 4 / 6, id="interrupted"
    ),
    pytest.param(
        [[(1, 7)]] * 2 + [[]] * 2 + [[(1, 7)]] * 2, (1, 1, 1), (0, 0, 0, 0), 1, id="absence is no interruption"
    ),
    pytest.param(
        [[(1, 7)]] * 2 + [[(1, None)]] + [[(1, 8)]] * 3,
        (6 / 11, 0.6, 0.5),
        (1, 0, 1, 1),
        4 / 6,
        id="found under a new identity",
    ),
    # One identity for two consecutive objects: it matches only one of them.
    pytest.param([[(1, 7)]] * 3 + [[(2, 7)]] * 2, (0.6, 0.6, 0.6), (0, 0, 0, 0), 1, id="one identity for two objects"),
    pytest.param([[(1, 7), (None, 9)]] * 2, (4 / 6, 0.5, 1), (0, 2, 0, 0), 0, id="a false positive beside it"),
    pytest.param([[(1, -1)]] * 2 + [[(1, 7)]] * 2, (4 / 6, 1, 0.5), (2, 0, 0, 0), 0.5, id="tentative is no identity"),
    pytest.param([[(1, 0)]] * 2, (1, 1, 1), (0, 0, 0, 0), 1, id="zero is an identity"),
]


@pytest.mark.parametrize(("frames", "identity", "counts", "mota"), TABLE)
def test_scores(frames, identity, counts, mota):
    scores = score_identities(frame(pairs) for pairs in frames)
    assert (scores.idf1, scores.id_precision, scores.id_recall) == pytest.approx(identity)
    assert (
        scores.num_misses,
        scores.num_false_positives,
        scores.num_switches,
        scores.num_fragmentations,
    ) == counts
    assert scores.mota == pytest.approx(mota)
    assert scores.num_frames == len(frames)


def alone(similarity: Sequence[Sequence[float]], truth: Sequence[int] = (1, 2), predicted: Sequence[int] = (7, 8)):
    return IdentityFrame(np.array(truth), np.array(predicted), np.array(similarity, np.float64))


def test_valid_pair_is_kept_despite_a_more_similar_one():
    frames = [alone([[0.9, 0.0], [0.0, 0.9]]), alone([[0.6, 0.9], [0.9, 0.6]])]
    assert score_identities(frames).num_switches == 0


def test_invalid_pair_is_not_kept():
    frames = [alone([[0.9, 0.0], [0.0, 0.9]]), alone([[0.4, 0.9], [0.9, 0.4]])]
    assert score_identities(frames).num_switches == 2


def test_number_of_pairs_comes_before_similarity():
    scores = score_identities([alone([[1.0, 0.5], [0.5, 0.0]])])
    assert scores.num_matches == 2


@pytest.mark.parametrize(("similarity", "num_matches"), [(0.5, 1), (0.49, 0)])
def test_threshold_is_inclusive(similarity, num_matches):
    assert score_identities([alone([[similarity]], (1,), (7,))]).num_matches == num_matches


@pytest.mark.parametrize(("truth", "predicted", "which"), [((1, 1), (7, 8), "true"), ((1, 2), (7, 7), "predicted")])
def test_duplicate_identity_is_rejected(truth, predicted, which):
    with pytest.raises(DataError, match=f"a {which} identity occurs twice"):
        alone(np.zeros((2, 2)), truth, predicted)


def test_tentative_rows_may_be_duplicated():
    assert score_identities([alone(np.zeros((2, 2)), predicted=(-1, -1))]).num_predicted == 0


def test_similarity_of_wrong_shape():
    with pytest.raises(ValueError, match=r"similarity must have shape \(2, 2\), got \(1, 2\)"):
        alone(np.zeros((1, 2)))


ids = st.lists(st.integers(0, 4), max_size=4, unique=True)


@pytest.mark.slow
@given(
    frames=st.lists(st.tuples(ids, ids), max_size=6),
    names=st.permutations(range(10, 15)),
    seed=st.integers(0, 2**16),
)
def test_names_of_identities_do_not_matter(frames, names, seed):
    rng = np.random.default_rng(seed)
    given_frames = [
        IdentityFrame(
            np.array(truth, np.int64), np.array(predicted, np.int64), rng.random((len(truth), len(predicted)))
        )
        for truth, predicted in frames
    ]
    renamed = [
        IdentityFrame(
            one.truth_ids, np.array([names[identity] for identity in one.predicted_ids], np.int64), one.similarity
        )
        for one in given_frames
    ]
    scores = score_identities(given_frames)
    assert scores == score_identities(renamed)
    assert 0 <= scores.idf1 <= 1
    assert scores.num_identity_matches <= min(scores.num_truth, scores.num_predicted)
    # Neither kind of match bounds the other: a kept pair may prevent two other pairs of its frame.
    assert scores.num_matches <= min(scores.num_truth, scores.num_predicted)
