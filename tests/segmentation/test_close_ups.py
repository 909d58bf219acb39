"""Close-ups, with a segmenter of images that finds bright discs exactly, as a network of infinite resolution would."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from streamseg.evaluation.overlap import mask_iou
from streamseg.geometry import letterbox, raster_logits
from streamseg.segmentation.close_ups import CERTAIN_SCORE, CloseUps
from streamseg.segmentation.masks import instance_masks
from streamseg.segmentation.results import ImageInstances
from streamseg.segmentation.windows import POINT_ZOOMS
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import CORRECTION_MARGIN
from streamseg.structures.mask_samples import WIDENED_CELLS, MaskSamples
from streamseg.structures.search_regions import SearchRegions
from tests.support.images import crop_of, disc, paint

SIZE = (240, 320)
BRIGHT = (250, 240, 10)
PLACE = letterbox(SIZE, 64)
PROTOTYPES = torch.zeros(4, *(side // 4 for side in PLACE.input_size))
INPUT = np.zeros((*PLACE.input_size, 3), np.uint8)
SMALL, LARGE = disc(SIZE, 60, 50, 8), disc(SIZE, 220, 130, 70)
FOUND_SCORE = 0.8


def boxes(*rows):
    return SearchRegions(prompted=np.array(rows, np.float64).reshape(-1, 4))


def points(*rows):
    return SearchRegions(points=np.array(rows, np.float64).reshape(-1, 2))


def followed(*rows):
    return SearchRegions(followed=np.array(rows, np.float64).reshape(-1, 4))


def instances_of(logits, rows, scores, *, to_image, size):
    """Return instances with these logits (K, h, w) and boxes, corrections of 0, and samples."""
    count = len(rows)
    plain = ImageInstances(
        boxes=torch.tensor(rows, dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor(scores, dtype=torch.float32),
        mask_logits=torch.as_tensor(np.asarray(logits), dtype=torch.float32).reshape(count, *np.shape(logits)[-2:]),
        corrections=torch.zeros(count, WIDENED_CELLS, WIDENED_CELLS),
        grid_to_image=to_image,
        image_size=size,
    )
    return with_samples(plain)


def with_samples(instances):
    widened = raster_logits(instances, WIDENED_CELLS, margin=CORRECTION_MARGIN)
    return replace(instances, samples=MaskSamples(None, widened.half(), None))


class ExactSegmenter:
    """Finds each bright disc of an image, with its tight box; those in a prompted box have that box."""

    def __init__(self):
        self.sizes = []
        self.input_sizes = []

    def __call__(self, images, places, regions):
        self.sizes += [image.shape[:2] for image in images]
        self.input_sizes += [place.input_size for place in places]
        return [self._found(image, one) for image, one in zip(images, regions, strict=True)]

    def _found(self, image, regions):
        is_bright = (image[..., 0] > 200).astype(np.uint8)
        count, labels, statistics, _ = cv2.connectedComponentsWithStats(is_bright, connectivity=4)
        masks = [labels == label for label in range(1, count)]
        tight = [(x, y, x + w, y + h) for x, y, w, h, _ in statistics[1:]]
        if len(regions.prompted):
            masks, tight = [is_bright.astype(bool)], [tuple(regions.prompted[0])]
        logits = np.stack([np.where(mask, 6.0, -6.0) for mask in masks]) if masks else np.zeros((0, *image.shape[:2]))
        return instances_of(
            logits, tight, [FOUND_SCORE] * len(masks), to_image=GridTransform(1, 1, 0, 0), size=image.shape[:2]
        )


def coarse(rows, scores, logit=-1.0):
    """Return instances of the whole image whose masks are blank."""
    grid = np.full((len(rows), *PROTOTYPES.shape[1:]), logit)
    return instances_of(grid, rows, scores, to_image=PLACE.to_image(4), size=SIZE)


def close_up(instances, regions, masks, *, limit=8, followed_limit=1):
    """Return the instances with their close-ups of an image of bright discs, and the segmenter of the windows."""
    segment = ExactSegmenter()
    image = paint(masks, [BRIGHT] * len(masks), SIZE)
    return CloseUps(segment, limit, followed_limit)(instances, regions, image, PLACE, PROTOTYPES, INPUT), segment


# ---- windows


def test_windows_have_the_shape_of_the_networks_input():
    regions = SearchRegions(boxes([100, 100, 140, 130]).prompted, points=points([33, 44]).points)
    _, segment = close_up(coarse([[100, 100, 140, 130]], [0.3]), regions, [SMALL])
    assert segment.sizes == [(90, 120), (120, 160), (60, 80)]
    assert set(segment.input_sizes) == {PLACE.input_size}


# ---- boxes


def test_mask_of_a_box_is_the_mean_of_both():
    """The blank mask of the whole image has logits of -1 there, the exact one 6 and -6."""
    drawn = [52, 42, 68, 58]
    before = coarse([drawn, [200, 100, 240, 140]], [0.3, 0.2])
    found, _ = close_up(before, boxes(drawn), [SMALL])
    assert found.scores.tolist() == pytest.approx([FOUND_SCORE, 0.2])
    assert mask_iou(instance_masks(found)[0], crop_of(SMALL)) > 0.85
    widened = raster_logits(found, WIDENED_CELLS, margin=CORRECTION_MARGIN)
    assert widened[0].max() == pytest.approx((6 - 1) / 2, abs=0.01)
    assert widened[0].min() == pytest.approx((-6 - 1) / 2, abs=0.01)
    assert torch.equal(widened[1], raster_logits(before, WIDENED_CELLS, margin=CORRECTION_MARGIN)[1])
    assert found.samples.widened.float().numpy() == pytest.approx(widened.numpy(), abs=0.01)


def test_better_score_of_a_box_changes_the_order():
    drawn = [52, 42, 68, 58]
    found, _ = close_up(coarse([[200, 100, 240, 140], drawn], [0.6, 0.3]), boxes(drawn), [SMALL])
    assert found.boxes.tolist() == [drawn, [200, 100, 240, 140]]
    assert found.scores.tolist() == pytest.approx([FOUND_SCORE, 0.6])


def test_box_without_a_row_changes_nothing():
    before = coarse([[200, 100, 240, 140]], [0.6])
    found, segment = close_up(before, boxes([52, 42, 68, 58]), [SMALL])
    assert len(segment.sizes) == 1
    assert torch.equal(found.scores, before.scores)
    assert torch.equal(found.corrections, before.corrections)


# ---- points


def test_point_adds_the_objects_that_contain_it():
    before = coarse([[200, 100, 240, 140]], [0.9])
    found, _ = close_up(before, points([60, 50]), [SMALL, LARGE])
    assert found.scores.tolist() == pytest.approx([0.9] + [FOUND_SCORE] * len(POINT_ZOOMS))
    assert found.boxes[1:].tolist() == [[52, 42, 68, 58]] * len(POINT_ZOOMS)
    for mask in instance_masks(found)[1:]:
        assert mask_iou(mask, crop_of(SMALL)) > 0.85
    assert torch.equal(found.mask_logits[0], before.mask_logits[0])
    widened = raster_logits(found, WIDENED_CELLS, margin=CORRECTION_MARGIN)
    assert found.samples.widened.float().numpy() == pytest.approx(widened.numpy(), abs=0.01)


@pytest.mark.parametrize(
    ("point", "masks", "num_added"),
    [
        pytest.param((60, 50), [SMALL], 2, id="whole in both windows"),
        pytest.param((60, 70), [SMALL], 0, id="next to the object"),
        pytest.param((220, 130), [LARGE], 0, id="cut by both windows"),
        pytest.param((160, 120), [disc(SIZE, 160, 120, 40)], 1, id="cut by the smaller window"),
        pytest.param((4, 4), [disc(SIZE, 0, 0, 12)], 2, id="at the border of the image"),
        pytest.param((60, 50), [], 0, id="nothing there"),
    ],
)
def test_what_a_point_adds(point, masks, num_added):
    found, _ = close_up(coarse([], []), points(point), masks)
    assert len(found) == num_added


@pytest.mark.parametrize(
    ("score", "logit", "box", "num_windows"),
    [
        pytest.param(CERTAIN_SCORE, 1.0, [40, 30, 90, 80], 0, id="in a good mask"),
        pytest.param(CERTAIN_SCORE - 0.01, 1.0, [40, 30, 90, 80], 2, id="in a doubtful one"),
        pytest.param(CERTAIN_SCORE, -1.0, [40, 30, 90, 80], 2, id="in the box of one"),
        pytest.param(CERTAIN_SCORE, 1.0, [100, 30, 150, 80], 2, id="elsewhere"),
    ],
)
def test_points_in_good_masks_need_no_windows(score, logit, box, num_windows):
    before = coarse([box], [score], logit)
    found, segment = close_up(before, points([60, 50]), [SMALL])
    assert len(segment.sizes) == num_windows
    assert (found is before) == (num_windows == 0)


def test_embeddings_and_own_boxes_have_a_row_for_each_object():
    before = coarse([[200, 100, 240, 140]], [0.9])
    before = replace(before, embeddings=torch.ones(1, 100 + len(PROTOTYPES)), own_boxes=before.boxes)
    found, _ = close_up(before, points([60, 50]), [SMALL])
    assert found.embeddings.shape == (3, 100 + len(PROTOTYPES))
    assert torch.equal(found.own_boxes, found.boxes)
    assert found.embeddings[1:].norm(dim=1).tolist() == pytest.approx([1, 1])


# ---- followed targets

BOX = [52, 42, 68, 58]
"""Tight box of `SMALL`."""
FAR = [200, 100, 240, 140]


def test_what_only_the_window_of_a_followed_target_shows_is_added():
    before = coarse([FAR], [0.9])
    found, _ = close_up(before, followed(BOX), [SMALL])
    assert found.boxes.tolist() == [FAR, BOX]
    assert found.scores.tolist() == pytest.approx([0.9, FOUND_SCORE])
    assert mask_iou(instance_masks(found)[1], crop_of(SMALL)) > 0.85


@pytest.mark.parametrize("score", [0.2, 0.45])
def test_what_both_show_has_the_mask_of_the_window(score):
    before = coarse([[52, 44, 70, 58], FAR], [score, 0.1])
    before = replace(before, embeddings=torch.eye(2, 100 + len(PROTOTYPES)), own_boxes=before.boxes)
    found, _ = close_up(before, followed(BOX), [SMALL])
    assert found.boxes.tolist() == [BOX, FAR]
    assert found.own_boxes.tolist() == [BOX, FAR]
    assert found.scores.tolist() == pytest.approx([FOUND_SCORE, 0.1])
    assert torch.equal(found.embeddings, before.embeddings)
    assert mask_iou(instance_masks(found)[0], crop_of(SMALL)) > 0.85
    widened = raster_logits(found, WIDENED_CELLS, margin=CORRECTION_MARGIN)
    assert found.samples.widened.float().numpy() == pytest.approx(widened.numpy(), abs=0.01)


def test_of_two_outlines_in_the_image_one_is_replaced():
    before = coarse([[52, 44, 70, 58], [53, 42, 68, 59]], [0.45, 0.4])
    found, _ = close_up(before, followed(BOX), [SMALL])
    assert len(found) == 2
    assert found.boxes.tolist()[0] == BOX
    assert found.scores.tolist() == pytest.approx([FOUND_SCORE, 0.45])


def test_better_score_of_the_image_is_kept():
    before = coarse([[52, 42, 70, 66]], [0.95])  # IoU with the last box below one half
    found, _ = close_up(before, followed([46, 42, 62, 58]), [SMALL])
    assert found.boxes.tolist() == [BOX]
    assert found.scores.tolist() == pytest.approx([0.95])


@pytest.mark.parametrize(
    ("last", "masks", "num_added"),
    [
        pytest.param(BOX, [SMALL], 1, id="where it was"),
        pytest.param([58, 42, 74, 58], [SMALL], 1, id="it has moved"),
        pytest.param([64, 50, 80, 66], [SMALL], 0, id="something else, beside it"),
        pytest.param(BOX, [disc(SIZE, 60, 50, 30)], 0, id="cut by the window"),
        pytest.param(BOX, [], 0, id="nothing there"),
    ],
)
def test_what_a_followed_target_adds(last, masks, num_added):
    found, segment = close_up(coarse([], []), followed(last), masks)
    assert len(segment.sizes) == 1
    assert len(found) == num_added


def test_all_targets_in_a_window_are_found_in_it():
    other = disc(SIZE, 78, 56, 6)
    found, segment = close_up(coarse([], []), followed(BOX, [72, 50, 84, 62], FAR), [SMALL, other])
    assert len(segment.sizes) == 1
    assert sorted(found.boxes.tolist()) == [BOX, [72, 50, 84, 62]]


@pytest.mark.parametrize(
    ("score", "box", "num_windows"),
    [
        pytest.param(CERTAIN_SCORE, [53, 42, 68, 58], 0, id="found well"),
        pytest.param(CERTAIN_SCORE - 0.01, [53, 42, 68, 58], 1, id="found, but doubtful"),
        pytest.param(CERTAIN_SCORE, [60, 42, 76, 58], 1, id="something else beside it"),
    ],
)
def test_targets_found_well_need_no_window(score, box, num_windows):
    before = coarse([box], [score])
    found, segment = close_up(before, followed(BOX), [])
    assert len(segment.sizes) == num_windows
    assert (found is before) == (num_windows == 0)


@pytest.mark.parametrize(
    ("regions", "limit", "followed_limit", "place", "expected"),
    [
        pytest.param(SearchRegions(), 8, 1, PLACE, False, id="no regions"),
        pytest.param(SearchRegions(expected=np.array([BOX], np.float64)), 8, 1, PLACE, False, id="a tracked object"),
        pytest.param(boxes(BOX), 8, 0, PLACE, True, id="a new box"),
        pytest.param(points([1, 1]), 8, 0, PLACE, True, id="a new point"),
        pytest.param(boxes(BOX), 0, 1, PLACE, False, id="a new box, off"),
        pytest.param(followed(BOX), 0, 1, PLACE, True, id="a followed target"),
        pytest.param(followed(BOX), 8, 0, PLACE, False, id="a followed target, off"),
        pytest.param(followed(BOX), 8, 1, letterbox(SIZE, 320), False, id="an image seen at its full size"),
    ],
)
def test_which_regions_may_have_windows(regions, limit, followed_limit, place, expected):
    assert CloseUps(ExactSegmenter(), limit, followed_limit).may_apply(regions, place) == expected
