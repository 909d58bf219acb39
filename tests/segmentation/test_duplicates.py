"""Scores for ranking: second outlines of one object count less, parts and neighbours as much as before."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamseg.evaluation.overlap import mask_ious
from streamseg.geometry import raster_logits
from streamseg.segmentation.duplicates import MIN_SHARE, UNCLAIMED_EXPONENT, ranking_scores
from streamseg.segmentation.masks import instance_masks
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import CORRECTION_MARGIN, Instances
from streamseg.structures.mask_samples import WIDENED_CELLS, MaskSamples

SIZE = (64, 96)
WHOLE = (8, 8, 56, 56)


def make(boxes, scores=None, cut=()):
    """Instances with masks that fill their boxes; those in `cut` fill the left half only."""
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    logits = torch.full((len(boxes), *SIZE), 5.0)
    for row in cut:
        middle = int(boxes[row, [0, 2]].mean())
        logits[row, :, middle:] = -5
    scores = torch.linspace(0.9, 0.5, len(boxes)) if scores is None else torch.tensor(scores)
    return Instances(boxes, scores, logits, GridTransform(1, 1, 0, 0), SIZE)


def shares(instances):
    return (ranking_scores(instances) / instances.scores) ** (1 / UNCLAIMED_EXPONENT)


@pytest.mark.parametrize(
    ("second", "cut", "share"),
    [
        (WHOLE, (), MIN_SHARE),
        ((8, 8, 56, 48), (), 1 / 6),
        ((20, 20, 32, 32), (), 1),  # a part
        ((56, 8, 90, 56), (), 1),  # beside it
        (WHOLE, (1,), 0.5),  # the same box, half of the mask
        ((32, 8, 80, 56), (0,), 1),  # boxes overlap, masks do not
        ((8, 8, 8, 56), (), 1),  # no extent
    ],
    ids=["equal", "nearly equal", "part", "neighbour", "half", "disjoint masks", "empty box"],
)
def test_the_share_that_no_better_mask_shows(second, cut, share):
    found = shares(make([WHOLE, second], cut=cut))
    assert found[0] == pytest.approx(1)
    assert found[1] == pytest.approx(share, abs=0.1)


def test_no_instances():
    assert ranking_scores(make([])).shape == (0,)


def test_the_better_one_keeps_its_score_in_any_order():
    boxes = [WHOLE, (8, 8, 56, 50), (60, 10, 90, 40)]
    first = ranking_scores(make(boxes, [0.5, 0.9, 0.7]))
    assert first[1:].tolist() == pytest.approx([0.9, 0.7])
    assert first[0] < 0.45
    assert ranking_scores(make(boxes[::-1], [0.7, 0.9, 0.5])).tolist() == pytest.approx(first.flip(0).tolist())


def test_of_equal_scores_the_earlier_row_is_the_better_one():
    scores = ranking_scores(make([WHOLE, WHOLE], [0.6, 0.6]))
    assert scores[0] == pytest.approx(0.6)
    assert scores[1] < 0.4


def test_samples_of_the_masks_are_used():
    instances = make([WHOLE, (8, 8, 56, 48)])
    widened = raster_logits(instances, WIDENED_CELLS, margin=CORRECTION_MARGIN).half()
    sampled = replace(instances, samples=MaskSamples(None, widened, None))
    assert torch.equal(ranking_scores(sampled), ranking_scores(instances))
    empty = replace(instances, samples=MaskSamples(None, torch.full_like(widened, -1), None))
    assert torch.equal(ranking_scores(empty), instances.scores)


@given(st.integers(0, 2**32 - 1))
def test_the_coarse_ious_are_those_of_the_pixels(seed):
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.uniform(0, 1, (6, 2, 2)), axis=1) * [60, 40] + [0, 0]
    corners[:, 1] = np.maximum(corners[:, 1], corners[:, 0] + 20)
    instances = make(corners.reshape(-1, 4))
    masks = instance_masks(instances)
    ious = np.tril(mask_ious(masks, masks, np.zeros(len(masks), bool)), -1).max(axis=1)
    found = 1 - shares(instances).numpy()
    compared = ious > 0.35  # less overlap of boxes is not compared
    assert found[compared] == pytest.approx(np.minimum(ious[compared], 1 - MIN_SHARE), abs=0.25)
    assert (found <= 1 - MIN_SHARE + 1e-6).all()
    assert (found >= -1e-6).all()
