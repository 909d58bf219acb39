import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from streamseg.evaluation.prompted import (
    evaluate_prompted,
    innermost_point,
    points_in,
    score_prompt_masks,
    selected_masks,
)
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import BoxPrompt, PointPrompt
from tests.support.datasets import coco_folder, compressed
from tests.support.images import crop_of, disc, exact_instances, paint, rectangle

SIZE = (60, 80)
LEFT, RIGHT = rectangle(SIZE, 5, 5, 35, 45), disc(SIZE, 60, 30, 12)


def folder_of(path, samples, **keys):
    return coco_folder(
        path,
        [
            (
                paint(masks, [(200, 9, 9)] * len(masks), SIZE),
                [{"segmentation": compressed(one)} | keys for one in masks],
            )
            for masks in samples
        ],
    )


def segmenter_of(masks, scores=None):
    """Return a segmenter that finds these masks in every image."""
    return lambda images, regions=None: [exact_instances(masks, scores, size=SIZE) for _ in images]


# ---- points


@given(st.integers(0, 2**32 - 1))
def test_innermost_point_is_farthest_from_the_border(seed):
    """Compare with SciPy's distance transform on the whole image; everything beyond it is outside the mask."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(SIZE, dtype=bool)
    for _ in range(3):
        mask |= disc(SIZE, rng.uniform(0, 80), rng.uniform(0, 60), rng.uniform(1, 25))
    if not mask.any():
        return
    x, y = innermost_point(crop_of(mask))
    distance = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    assert distance[int(y), int(x)] == pytest.approx(distance.max(), abs=1e-3)
    assert (x % 1, y % 1) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("mask", "point"),
    [
        pytest.param(rectangle(SIZE, 10, 20, 21, 31), (15.5, 25.5), id="a square"),
        pytest.param(rectangle(SIZE, 7, 9, 8, 10), (7.5, 9.5), id="one pixel"),
        pytest.param(rectangle(SIZE, 0, 0, 80, 60), (29.5, 29.5), id="the full image"),
    ],
)
def test_innermost_points_by_hand(mask, point):
    assert innermost_point(crop_of(mask)) == point


def test_innermost_point_of_a_ring_is_on_the_ring():
    ring = disc(SIZE, 30, 30, 20) & ~disc(SIZE, 30, 30, 14)
    x, y = innermost_point(crop_of(ring))
    assert ring[int(y), int(x)]
    assert np.hypot(x - 30, y - 30) == pytest.approx(17, abs=1)


def test_points_lie_inside_and_differ():
    points = points_in(crop_of(RIGHT), 3, np.random.default_rng(0))
    assert len(set(points)) == 3
    assert points[0] == innermost_point(crop_of(RIGHT))
    assert all(RIGHT[int(y), int(x)] for x, y in points)
    assert points == points_in(crop_of(RIGHT), 3, np.random.default_rng(0))
    assert points != points_in(crop_of(RIGHT), 3, np.random.default_rng(1))


def test_one_pixel_mask_repeats_its_point():
    assert set(points_in(crop_of(rectangle(SIZE, 7, 9, 8, 10)), 3, np.random.default_rng(0))) == {(7.5, 9.5)}


def test_empty_mask_has_no_point():
    with pytest.raises(ValueError, match="empty mask"):
        innermost_point(CropMask(np.zeros((0, 0), dtype=bool), 0, 0))


# ---- selected masks


def test_masks_are_in_the_order_of_the_prompts():
    instances = exact_instances([LEFT, RIGHT], size=SIZE)
    found = selected_masks(
        instances,
        [BoxPrompt("b", (48, 18, 72, 42)), PointPrompt("p", ((20.5, 20.5),), (1,)), BoxPrompt("n", (70, 50, 79, 59))],
    )
    assert [None if mask is None else mask.area for mask in found] == [RIGHT.sum(), LEFT.sum(), None]


def test_no_instances_select_nothing():
    assert selected_masks(exact_instances([], size=SIZE), [BoxPrompt("b", (1, 1, 9, 9))]) == [None]


def test_prompt_without_mask_counts_as_zero():
    scores = score_prompt_masks(np.array([0.8, np.nan, 0.4]), np.array([100.0, 100.0, 5000.0]))
    assert scores.mean_iou == pytest.approx(0.4)
    assert scores.mean_iou_answered == pytest.approx(0.6)
    assert scores.share_answered == pytest.approx(2 / 3)
    assert scores.mean_iou_by_size["small"] == pytest.approx(0.4)
    assert scores.mean_iou_by_size["medium"] == pytest.approx(0.4)
    assert math.isnan(scores.mean_iou_by_size["large"])
    assert (scores.share_above["0.40"], scores.share_above["0.50"]) == (pytest.approx(2 / 3), pytest.approx(1 / 3))


# ---- data sets


def test_exact_masks_score_one(tmp_path):
    scores = evaluate_prompted(segmenter_of([LEFT, RIGHT]), folder_of(tmp_path, [[LEFT, RIGHT], [RIGHT]]))
    assert (scores.num_images, scores.num_objects) == (2, 3)
    guided = (scores.guided_box, scores.guided_one_point, scores.guided_three_points)
    for kind in (scores.box, scores.one_point, scores.three_points, *guided):
        assert kind.mean_iou == kind.share_answered == 1


def test_low_scores_are_selected_by_boxes_but_not_by_points(tmp_path):
    scores = evaluate_prompted(segmenter_of([LEFT, RIGHT], [0.9, 0.03]), folder_of(tmp_path, [[LEFT, RIGHT]]))
    assert scores.box.mean_iou == 1
    assert scores.one_point.mean_iou == scores.one_point.share_answered == 0.5


def test_partial_mask_by_hand(tmp_path):
    """Select the upper 30 x 25 of 30 x 40 pixels by box and by point: IoU 25 / 40."""
    half = rectangle(SIZE, 5, 5, 35, 30)
    scores = evaluate_prompted(segmenter_of([half]), folder_of(tmp_path, [[LEFT]]))
    assert scores.box.mean_iou == scores.one_point.mean_iou == pytest.approx(25 / 40)


def test_boxes_come_from_the_file(tmp_path):
    """A labelled box away from its mask selects the object at the box."""
    scores = evaluate_prompted(segmenter_of([LEFT, RIGHT]), folder_of(tmp_path, [[LEFT]], bbox=[48, 18, 24, 24]))
    assert scores.box.share_answered == 1
    assert scores.box.mean_iou == 0
    assert scores.one_point.mean_iou == 1


def test_box_without_extent_is_replaced_by_that_of_the_mask(tmp_path):
    scores = evaluate_prompted(segmenter_of([LEFT]), folder_of(tmp_path, [[LEFT]], bbox=[5, 5, 0, 0]))
    assert scores.box.mean_iou == 1


def test_no_objects_to_prompt(tmp_path):
    scores = evaluate_prompted(segmenter_of([LEFT]), folder_of(tmp_path, [[]]))
    assert (scores.num_images, scores.num_objects) == (1, 0)
    assert math.isnan(scores.box.mean_iou)
    assert math.isnan(scores.three_points.share_answered)


def test_crowds_are_not_prompted(tmp_path):
    assert evaluate_prompted(segmenter_of([LEFT]), folder_of(tmp_path, [[LEFT]], iscrowd=1)).num_objects == 0


# ---- search regions


class RegionSegmenter:
    """Find nothing without regions, a mask that fills it in each prompted box, and a square around each point."""

    def __init__(self):
        self.num_prompts = []

    def __call__(self, images, regions=None):
        if regions is None:
            return [exact_instances([], size=SIZE) for _ in images]
        self.num_prompts += [len(one.prompted) + len(one.points) for one in regions]
        rectangles = [[rectangle(SIZE, *map(int, box)) for box in one.prompted] for one in regions]
        squares = [
            [rectangle(SIZE, int(x) - 5, int(y) - 5, int(x) + 5, int(y) + 5) for x, y in one.points] for one in regions
        ]
        return [exact_instances(filled + around, size=SIZE) for filled, around in zip(rectangles, squares, strict=True)]


def test_prompts_are_passed_as_search_regions_one_at_a_time(tmp_path):
    segment = RegionSegmenter()
    scores = evaluate_prompted(segment, folder_of(tmp_path, [[LEFT, RIGHT]]))
    assert (scores.box.mean_iou, scores.box.share_answered) == (0, 0)
    assert scores.guided_box.mean_iou == pytest.approx(scores.filled_box.mean_iou)
    assert scores.guided_box.share_answered == 1
    assert scores.one_point.mean_iou == 0
    squares = (100 / LEFT.sum() + 100 / RIGHT.sum()) / 2
    assert scores.guided_one_point.mean_iou == pytest.approx(squares)
    assert scores.guided_three_points.mean_iou == pytest.approx(squares)
    assert segment.num_prompts == [1] * 4


def test_search_regions_have_a_segmenter_of_their_own(tmp_path):
    scores = evaluate_prompted(segmenter_of([]), folder_of(tmp_path, [[LEFT]]), guided=segmenter_of([LEFT]))
    assert (scores.box.mean_iou, scores.one_point.mean_iou) == (0, 0)
    assert (scores.guided_box.mean_iou, scores.guided_one_point.mean_iou) == (1, 1)


def test_segmenter_that_ignores_search_regions(tmp_path):
    scores = evaluate_prompted(segmenter_of([]), folder_of(tmp_path, [[RIGHT]]))
    assert scores.guided_box.share_answered == scores.box.share_answered == 0
    rows, columns = np.nonzero(RIGHT)
    box_area = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    assert scores.filled_box.mean_iou == pytest.approx(RIGHT.sum() / box_area)
