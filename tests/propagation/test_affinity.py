"""The most similar cells, and their votes."""

import numpy as np
import pytest

from streamseg.propagation.affinity import similar_cells

ONE, TWO = [1.0, 0.0], [0.0, 1.0]


def votes_of(queries, keys, *, reaches=None, num_votes=1, temperature=0.07):
    """One tile, one frame per entry of `keys`: places and weights, without the axis of the tile."""
    num_keys = sum(len(frame) for frame in keys)
    added = np.zeros((len(queries), num_keys), np.float32) if reaches is None else np.array(reaches, np.float32)
    found = similar_cells(
        np.array([queries], np.float32),
        np.array([keys], np.float32),
        added,
        num_votes=num_votes,
        temperature=temperature,
    )
    return found.places[0], found.weights[0]


@pytest.mark.parametrize(
    ("queries", "places"),
    [
        pytest.param([ONE], [0], id="first"),
        pytest.param([TWO], [1], id="second"),
        pytest.param([TWO, ONE], [1, 0], id="both-in-order"),
    ],
)
def test_the_most_similar_cell_votes(queries, places):
    found, weights = votes_of(queries, [[ONE, TWO]])
    assert found.ravel().tolist() == places
    assert weights.ravel().tolist() == [1.0] * len(queries)


def test_votes_are_weighted_by_similarity_and_each_cell_has_one():
    places, weights = votes_of([ONE], [[TWO, ONE]], num_votes=2, temperature=0.5)
    assert places.ravel().tolist() == [1, 0]
    assert weights.ravel()[0] == pytest.approx(1 / (1 + np.exp(-2)))
    assert weights.sum() == pytest.approx(1)


def test_each_frame_has_the_same_number_of_votes():
    places, weights = votes_of([ONE], [[ONE, TWO], [TWO, ONE], [TWO, TWO]])
    assert places.ravel().tolist() == [0, 1, 0]
    assert weights.ravel() == pytest.approx([0.5, 0.5, 0.0], abs=1e-5)


def test_more_votes_than_cells_are_all_of_them():
    places, weights = votes_of([ONE], [[ONE, ONE]], num_votes=50)
    assert sorted(places.ravel().tolist()) == [0, 1]
    assert weights.ravel() == pytest.approx([0.5, 0.5])


def test_cells_out_of_reach_do_not_vote():
    places, _ = votes_of([ONE], [[ONE, TWO]], reaches=[[-4, 0]])
    assert places.ravel().tolist() == [1]


def test_no_tiles():
    found = similar_cells(
        np.zeros((0, 64, 2), np.float32),
        np.zeros((0, 1, 9, 2), np.float32),
        np.zeros((64, 9), np.float32),
        num_votes=3,
        temperature=0.07,
    )
    assert found.places.shape == found.weights.shape == (0, 64, 1, 3)
