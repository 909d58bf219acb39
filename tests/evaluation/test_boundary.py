import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_cdt

from streamseg.evaluation.boundary import (
    boundary_distance_px,
    boundary_iou,
    evaluate_boundary,
    outline_band,
    score_outlines,
)
from tests.support.datasets import coco_folder, compressed
from tests.support.images import crop_of, disc, exact_instances, paint, rectangle

SIZE = (60, 80)
EMPTY = np.zeros(SIZE, dtype=bool)


def band_by_distance(mask, distance_px):
    """Pixels within the distance of a pixel outside the mask; everything beyond the image is outside."""
    return mask & (distance_transform_cdt(np.pad(mask, 1), metric="chessboard")[1:-1, 1:-1] <= distance_px)


def iou_by_distance(one, other, distance_px):
    a, b = band_by_distance(one, distance_px), band_by_distance(other, distance_px)
    return (a & b).sum() / max((a | b).sum(), 1)


def blot(rng):
    """Discs and holes, possibly cut by the image border, possibly empty."""
    mask = EMPTY.copy()
    for _ in range(3):
        mask |= disc(SIZE, rng.uniform(-5, 85), rng.uniform(-5, 65), rng.uniform(1, 25))
    return mask & ~disc(SIZE, rng.uniform(0, 80), rng.uniform(0, 60), rng.uniform(1, 15))


@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_band_equals_a_distance_transform(seed, distance_px):
    rng = np.random.default_rng(seed)
    mask, other = blot(rng), blot(rng)
    band = outline_band(crop_of(mask), distance_px).full(SIZE)
    assert np.array_equal(band, band_by_distance(mask, distance_px))
    own = boundary_iou(crop_of(mask), crop_of(other), distance_px)
    assert own == pytest.approx(iou_by_distance(mask, other, distance_px))


def test_shifted_square_by_hand():
    """A 40 x 40 square and its copy shifted by 4, in bands of 2: the bands intersect only where edges cross."""
    one, other = rectangle(SIZE, 4, 4, 44, 44), rectangle(SIZE, 8, 8, 48, 48)
    shared = 2 * 2 * 2  # where a vertical edge of one crosses a horizontal edge of the other
    band = 40 * 40 - 36 * 36
    assert boundary_iou(crop_of(one), crop_of(other), 2) == pytest.approx(shared / (2 * band - shared))


def test_thin_masks_have_the_iou_of_the_masks():
    one, other = rectangle(SIZE, 4, 4, 10, 10), rectangle(SIZE, 6, 4, 12, 10)
    assert boundary_iou(crop_of(one), crop_of(other), 3) == pytest.approx(0.5)


@pytest.mark.parametrize(("one", "other"), [(EMPTY, EMPTY), (EMPTY, disc(SIZE, 30, 30, 9))])
def test_empty_mask_has_no_outline(one, other):
    assert boundary_iou(crop_of(one), crop_of(other), 2) == 0


@pytest.mark.parametrize(
    ("size", "distance_px"),
    [
        pytest.param((480, 640), 16, id="vga"),
        pytest.param((1080, 1920), 44, id="hd"),
        pytest.param((9, 9), 1, id="tiny"),
    ],
)
def test_band_is_two_percent_of_the_diagonal(size, distance_px):
    assert boundary_distance_px(size) == distance_px


def test_means_by_size():
    scores = score_outlines(np.array([0.8, 0.6]), np.array([0.5, 0.3]), np.array([500.0, 50_000.0]))
    assert (scores.mask_iou, scores.boundary_iou, scores.num_objects) == (pytest.approx(0.7), pytest.approx(0.4), 2)
    assert scores.boundary_iou_by_size["small"] == 0.5
    assert scores.mask_iou_by_size["large"] == 0.6
    assert math.isnan(scores.boundary_iou_by_size["medium"])


# ---- data sets

SQUARE, FAR = rectangle(SIZE, 4, 4, 44, 44), disc(SIZE, 66, 46, 10)


def evaluate(path, found, truth):
    image = paint(truth, [(200, 9, 9)] * len(truth), SIZE)
    folder = coco_folder(path, [(image, [{"segmentation": compressed(mask)} for mask in truth])])
    return evaluate_boundary(lambda images: [exact_instances(found, size=SIZE)], folder)


def test_exact_masks_score_one(tmp_path):
    scores = evaluate(tmp_path, [SQUARE, FAR], [FAR, SQUARE])
    for kind in (scores.prompted, scores.best, scores.found):
        assert (kind.num_objects, kind.boundary_iou, kind.mask_iou) == (2, 1, 1)


def test_coarse_mask_has_low_boundary_iou(tmp_path):
    coarse = rectangle(SIZE, 7, 7, 41, 41)
    scores = evaluate(tmp_path, [coarse], [SQUARE, FAR])
    assert scores.num_objects == scores.best.num_objects == scores.prompted.num_objects == 2
    assert scores.found.num_objects == 1
    assert scores.found.mask_iou == pytest.approx(34**2 / 40**2)
    distance_px = boundary_distance_px(SIZE)
    assert scores.found.boundary_iou == pytest.approx(iou_by_distance(coarse, SQUARE, distance_px))
    assert scores.found.boundary_iou < 0.1
    assert scores.best.boundary_iou == scores.prompted.boundary_iou == pytest.approx(scores.found.boundary_iou / 2)
    assert scores.by_side_px["32"] == (1, scores.found.boundary_iou, scores.found.mask_iou)


def test_best_mask_need_not_have_the_best_score(tmp_path):
    scores = evaluate(tmp_path, [rectangle(SIZE, 4, 4, 44, 20), SQUARE], [SQUARE])
    assert scores.best.boundary_iou == 1


@pytest.mark.parametrize("truth", [pytest.param([], id="nothing labelled"), pytest.param([SQUARE], id="nothing found")])
def test_no_masks(tmp_path, truth):
    scores = evaluate(tmp_path, [], truth)
    assert scores.found.num_objects == 0
    assert math.isnan(scores.found.boundary_iou)
    assert scores.best.num_objects == len(truth)
    assert scores.best.boundary_iou == 0 if truth else math.isnan(scores.best.boundary_iou)
