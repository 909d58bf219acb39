"""Proposals that agree with a propagated mask."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from streamseg.propagation import Proposals, cell_shares, image_mask
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from tests.support.shapes import Shape, detect_shapes

LARGE, SMALL, FAR = (
    Shape(100, 100, 80, 60, "rectangle"),
    Shape(100, 100, 40, 30, "rectangle"),
    Shape(250, 60, 60, 60, "rectangle"),
)
SHAPES = detect_shapes([FAR, LARGE, SMALL])
CELLS = (32, 40)
"""Cells of 8 pixels, of which one row above and one below are padding; the masks' grid has cells of 4."""


def soft(shape):
    y, x = np.mgrid[: CELLS[0], : CELLS[1]] * 8.0 + 4
    return shape.covers(x, y - 8).astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "row"),
    [
        pytest.param(LARGE, 1, id="whole"),
        pytest.param(SMALL, 2, id="part"),
        pytest.param(FAR, 0, id="other"),
        pytest.param(Shape(60, 200, 40, 40, "rectangle"), -1, id="nothing-there"),
        pytest.param(Shape(0, 0, 0.1, 0.1), -1, id="empty"),
    ],
)
def test_the_proposal_with_the_best_overlap(shape, row):
    best, iou = Proposals(SHAPES).best(soft(shape))
    assert best == row
    assert iou > 0.7 if row >= 0 else iou == 0


def test_without_instances_nothing_agrees():
    assert Proposals(Instances.empty((240, 320), (60, 80))).best(soft(LARGE)) == (-1, 0.0)


def test_masks_end_at_their_boxes():
    proposals = Proposals(replace(SHAPES, mask_logits=torch.ones_like(SHAPES.mask_logits)))
    for row, box in enumerate(SHAPES.boxes.tolist()):
        rows, columns = np.nonzero(proposals.mask(row))
        ends = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(ends - proposals.to_cells(box)).max() <= 0.5


def test_coverage_is_that_of_the_union():
    proposals = Proposals(SHAPES)
    covered = proposals.coverage([0, 1], CELLS)
    assert covered.shape == CELLS
    assert covered.sum() * 64 == pytest.approx(60 * 60 + 80 * 60, rel=0.05)
    assert not proposals.coverage([], CELLS).any()


@pytest.mark.parametrize("row", range(3))
def test_coverage_of_one_mask_is_the_mean_of_its_cells(row):
    shapes = [FAR, LARGE, SMALL]
    proposals = Proposals(detect_shapes([replace(shape, x=shape.x + 4, y=shape.y - 4) for shape in shapes]))
    fine = proposals.mask(row).astype(np.float32)
    expected = fine.reshape(CELLS[0], 2, CELLS[1], 2).mean(axis=(1, 3))
    np.testing.assert_allclose(proposals.coverage([row], CELLS), expected, atol=1e-6)


def test_the_best_of_several_masks_at_once():
    softs = {str(number): soft(shape) for number, shape in enumerate([SMALL, Shape(0, 0, 0.1, 0.1), FAR, LARGE])}
    proposals = Proposals(SHAPES)
    assert proposals.best_each(softs) == {one: proposals.best(mask) for one, mask in softs.items()}
    assert proposals.best_each({}) == {}


def blurred(rng, *shape):
    """Values around 0.5, as large as the blur of 3 cells."""
    noise = rng.random(shape).astype(np.float32)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 3) * 8 - 3.6, 0, 1).astype(np.float32)


def crowd(rng, size, count):
    """`count` instances of random outlines, whose boxes reach beyond the grid of `size` (H, W)."""
    corners = rng.uniform(-20, 4 * size[1], (count, 2))
    boxes = np.concatenate((corners, corners + rng.uniform(1, 3 * size[1], (count, 2))), axis=1)
    logits = np.stack([blurred(rng, *size) - 0.5 for _ in range(count)])
    return Instances(
        boxes=torch.from_numpy(boxes).float(),
        scores=torch.ones(count),
        mask_logits=torch.from_numpy(logits),
        grid_to_image=GridTransform(4.0, 4.0, 0.0, 0.0),
        image_size=(4 * size[0], 4 * size[1]),
    )


@pytest.mark.parametrize(
    "size", [pytest.param((40, 64), id="two-cells-each"), pytest.param((39, 63), id="an-odd-grid")]
)
@pytest.mark.parametrize("seed", range(3))
def test_the_best_of_many_is_that_of_all_pairs(size, seed):
    rng = np.random.default_rng(seed)
    proposals = Proposals(crowd(rng, size, 12))
    softs = {str(number): blurred(rng, 20, 32) for number in range(5)}
    for target_id, (row, iou) in proposals.best_each(softs).items():
        inside = cv2.resize(softs[target_id], size[::-1]) > 0.5
        masks = [proposals.mask(other) for other in range(12)]
        ious = np.array([np.count_nonzero(one & inside) / np.count_nonzero(one | inside) for one in masks])
        assert [proposals.iou(other, softs[target_id]) for other in range(12)] == pytest.approx(ious)
        # Pairs whose boxes hardly overlap are not compared.
        assert (row, iou) == (ious.argmax(), pytest.approx(ious.max())) if iou > 0.3 else ious.max() < 0.6


@pytest.mark.parametrize(
    "size", [pytest.param((40, 64), id="two-cells-each"), pytest.param((39, 63), id="an-odd-grid")]
)
def test_the_coverage_of_a_soft_mask_is_that_of_its_pixels(size):
    rng = np.random.default_rng(0)
    proposals, given = Proposals(crowd(rng, size, 1)), blurred(rng, 20, 32)
    to_image = GridTransform(8.0, 8.0, 0.0, 0.0)
    pixels = cell_shares(image_mask(given, to_image, (160, 256)), to_image, (20, 32))
    covered = proposals.soft_coverage(given)
    assert np.abs(covered - pixels).mean() < 0.02
    assert (covered[pixels == 0] < 0.3).all()
    assert not proposals.soft_coverage(np.zeros((20, 32), np.float32)).any()
