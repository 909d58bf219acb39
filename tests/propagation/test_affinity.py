"""Labels of cells by their most similar cells."""

import pytest
import torch

from streamseg.propagation.affinity import propagate_labels

ONE, TWO = [1.0, 0.0], [0.0, 1.0]


def labels_of(queries, keys, labels, known=None, *, num_neighbours=1, temperature=0.07):
    """One tile, one frame per entry of `keys`."""
    labels = torch.tensor(labels)
    known = torch.ones(labels.shape[0], labels.shape[2], dtype=torch.bool) if known is None else torch.tensor(known)
    found = propagate_labels(
        torch.tensor([queries]),
        torch.tensor([keys]),
        labels[None],
        known[None],
        num_neighbours=num_neighbours,
        temperature=temperature,
    )
    return found[0]


@pytest.mark.parametrize(
    ("queries", "labels"),
    [
        pytest.param([ONE], [[1.0]], id="first"),
        pytest.param([TWO], [[0.0]], id="second"),
        pytest.param([TWO, ONE], [[0.0], [1.0]], id="both-in-order"),
    ],
)
def test_a_cell_takes_the_label_of_the_most_similar_one(queries, labels):
    assert labels_of(queries, [[ONE, TWO]], [[[1.0], [0.0]]]).tolist() == labels


def test_neighbours_are_weighted_by_similarity():
    found = labels_of([ONE], [[ONE, TWO]], [[[1.0], [0.0]]], num_neighbours=2, temperature=0.5)
    assert found.item() == pytest.approx(1 / (1 + torch.tensor(-2.0).exp().item()))


def test_more_neighbours_than_cells_are_all_of_them():
    assert labels_of([ONE], [[ONE, ONE]], [[[1.0], [0.0]]], num_neighbours=50).item() == pytest.approx(0.5)


def test_frames_that_do_not_know_a_target_do_not_count_for_it():
    keys, labels = [[ONE], [ONE]], [[[1.0, 0.0]], [[0.0, 1.0]]]
    found = labels_of([ONE], keys, labels, [[True, False], [False, True]], num_neighbours=2)
    assert found.tolist() == [[1.0, 1.0]]


def test_a_target_that_no_neighbour_knows_has_no_cell():
    assert labels_of([ONE], [[ONE]], [[[1.0, 0.0]]], [[True, False]]).tolist() == [[1.0, 0.0]]


def test_no_tiles_and_no_targets():
    empty = propagate_labels(
        torch.zeros(0, 64, 2),
        torch.zeros(0, 1, 9, 2),
        torch.zeros(0, 1, 9, 3),
        torch.zeros(0, 1, 3, dtype=torch.bool),
        num_neighbours=7,
        temperature=0.07,
    )
    assert empty.shape == (0, 64, 3)
