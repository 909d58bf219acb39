"""Close-ups, with a segmenter of images that finds bright discs exactly, as a network of infinite resolution would."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamseg.evaluation.overlap import mask_iou
from streamseg.geometry import letterbox, raster_logits
from streamseg.segmentation.close_ups import CERTAIN_SCORE, POINT_ZOOMS, CloseUps, windows_of
from streamseg.segmentation.masks import instance_masks
from streamseg.segmentation.results import ImageInstances
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import CORRECTION_MARGIN
from streamseg.structures.mask_samples import WIDENED_CELLS, MaskSamples
from streamseg.structures.search_regions import NO_REGIONS, SearchRegions
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


def close_up(instances, regions, masks, *, limit=8):
    """Return the instances with their close-ups of an image of bright discs, and the segmenter of the windows."""
    segment = ExactSegmenter()
    image = paint(masks, [BRIGHT] * len(masks), SIZE)
    return CloseUps(segment, limit)(instances, regions, image, PLACE, PROTOTYPES, INPUT), segment


# ---- windows


@pytest.mark.parametrize(
    ("regions", "limit", "expected"),
    [
        pytest.param(NO_REGIONS, 8, [], id="no prompts"),
        pytest.param(
            boxes([100, 100, 140, 130]), 8, [(60, 70, 120, 90)], id="three times the box, as wide as the image"
        ),
        pytest.param(boxes([0, 0, 40, 30]), 8, [(0, 0, 120, 90)], id="moved into the image"),
        pytest.param(boxes([0, 0, 4, 3]), 8, [(0, 0, 20, 15)], id="enlarged 16 times at most"),
        pytest.param(boxes([300, 230, 900, 900]), 8, [(260, 195, 60, 45)], id="a box beyond the image is clipped"),
        pytest.param(boxes([10, 10, 200, 200]), 8, [], id="most of the image"),
        pytest.param(boxes([400, 300, 500, 400], [9, 9, 9, 20]), 8, [], id="outside, without extent"),
        pytest.param(points([160, 120]), 8, [(80, 60, 160, 120), (120, 90, 80, 60)], id="a point in the middle"),
        pytest.param(points([319.9, 0]), 8, [(160, 0, 160, 120), (240, 0, 80, 60)], id="a point in a corner"),
        pytest.param(points([320, 10], [-1, 10]), 8, [], id="points outside"),
        pytest.param(points([160, 120]), 1, [], id="all windows of a point, or none"),
        pytest.param(boxes([0, 0, 40, 30], [0, 0, 4, 3]), 1, [(0, 0, 120, 90)], id="no more than the limit"),
        pytest.param(boxes([0, 0, 40, 30]), 0, [], id="a limit of 0"),
    ],
)
def test_windows(regions, limit, expected):
    found = windows_of(regions, SIZE, limit)
    assert [(one.left, one.top, one.width, one.height) for one in found] == expected


@given(
    st.tuples(st.integers(1, 2000), st.integers(1, 2000)),
    st.lists(st.tuples(*[st.floats(-100, 2100)] * 2), max_size=4),
    st.lists(st.tuples(*[st.floats(-100, 2100)] * 4), max_size=4),
)
def test_windows_lie_in_the_image_and_contain_their_prompts(size, places, rectangles):
    regions = SearchRegions(np.array(rectangles).reshape(-1, 4), points=np.array(places).reshape(-1, 2))
    image = np.zeros((*size, 3), np.uint8)
    for window in windows_of(regions, size, 1000):
        assert window.of(image).shape == (window.height, window.width, 3)
        for x, y in window.regions.points:
            assert 0 <= x <= window.width
            assert 0 <= y <= window.height
        for x0, y0, x1, y1 in window.regions.prompted:
            assert 0 <= x0 < x1 <= window.width
            assert 0 <= y0 < y1 <= window.height


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
