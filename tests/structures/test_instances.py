"""Instances as a sequence: length, rows, iteration, repr."""

import numpy as np
import pytest
import torch

from streamseg.structures.grid import STRIDE_4
from streamseg.structures.instances import Instances


def make(scores, size=(48, 64)):
    """Return instances whose row i has the box [i, i, i + 8, i + 8], logits and corrections of i."""
    count = len(scores)
    ranks = torch.arange(count, dtype=torch.float32)
    return Instances(
        boxes=ranks[:, None] + torch.tensor([0.0, 0, 8, 8]),
        scores=torch.tensor(scores, dtype=torch.float32),
        mask_logits=ranks[:, None, None].expand(count, 12, 16),
        grid_to_image=STRIDE_4,
        image_size=size,
        corrections=ranks[:, None, None].expand(count, 3, 3),
        embeddings=ranks[:, None].expand(count, 2),
    )


FOUR = make([0.9, 0.8, 0.7, 0.6])


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(1, [1], id="number"),
        pytest.param(-1, [3], id="number from the end"),
        pytest.param(np.int64(2), [2], id="NumPy number"),
        pytest.param(torch.tensor(2), [2], id="torch number"),
        pytest.param(slice(1, 3), [1, 2], id="slice"),
        pytest.param(slice(None, None, 2), [0, 2], id="steps"),
        pytest.param(slice(None, None, -1), [3, 2, 1, 0], id="backwards"),
        pytest.param(slice(2, 0, -1), [2, 1], id="part backwards"),
        pytest.param(slice(9, None), [], id="slice past the end"),
        pytest.param([2, 0], [2, 0], id="list"),
        pytest.param([-1, 0], [3, 0], id="list from the end"),
        pytest.param([], [], id="empty list"),
        pytest.param([True, False, True, False], [0, 2], id="list of bools"),
        pytest.param(np.array([3, 1], np.uint8), [3, 1], id="array"),
        pytest.param(np.array([]), [], id="empty array"),
        pytest.param(np.array([False, True, False, True]), [1, 3], id="mask"),
        pytest.param(FOUR.scores > 0.75, [0, 1], id="torch mask"),
        pytest.param(torch.tensor([1, 2]), [1, 2], id="torch indices"),
    ],
)
def test_rows(rows, expected):
    found = FOUR[rows]
    assert found.boxes[:, 0].tolist() == expected
    assert found.scores.tolist() == [FOUR.scores[row] for row in expected]
    for values in (found.mask_logits[:, 0, 0], found.corrections[:, 0, 0], found.embeddings[:, 0]):
        assert values.tolist() == expected
    assert found.image_size == FOUR.image_size


@pytest.mark.parametrize("row", [4, -5])
def test_missing_row(row):
    with pytest.raises(IndexError, match=f"row {row} does not exist, there are 4"):
        FOUR[row]


@pytest.mark.parametrize("rows", [[True, False], np.zeros(5, np.bool_)], ids=["too short", "too long"])
def test_mask_of_another_length(rows):
    with pytest.raises(IndexError):
        FOUR[rows]


def test_text_is_no_row():
    with pytest.raises(TypeError):
        FOUR["1"]


def test_iterates_over_single_rows():
    assert [(len(one), float(one.boxes[0, 0])) for one in FOUR] == [(1, 0), (1, 1), (1, 2), (1, 3)]
    assert list(make([])) == []


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        pytest.param([], "Instances(0 objects in 64x48)", id="none"),
        pytest.param([0.5], "Instances(1 object in 64x48, scores 0.50..0.50)", id="one"),
        pytest.param([0.934, 0.3], "Instances(2 objects in 64x48, scores 0.93..0.30)", id="two"),
    ],
)
def test_repr(scores, text):
    assert repr(make(scores)) == text
