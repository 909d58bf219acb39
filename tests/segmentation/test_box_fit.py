"""Masks of prompted boxes fit their boxes: nothing outside, something in each row and column, more in the middle."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from streamseg.engines.torch_engine import TorchEngine
from streamseg.geometry import letterbox, raster_logits, raster_points, sample_logits
from streamseg.segmentation import Segmenter
from streamseg.segmentation.box_fit import fit_rows, fit_to_boxes
from streamseg.segmentation.masks import instance_masks
from streamseg.structures.instances import CORRECTION_MARGIN, Instances
from streamseg.structures.mask import CropMask
from streamseg.structures.mask_samples import WIDENED_CELLS, MaskSamples
from streamseg.structures.search_regions import SearchRegions
from tests.support.networks import blobs, lively_network
from tests.support.refiners import trained_refiner

SIZE = (120, 160)
BOX = (40.0, 30.0, 100.0, 90.0)
PROMPTED = torch.tensor([True])


def instance(logits_at, box=BOX) -> Instances:
    """Return one refined instance whose logits at (x, y) of the image are given by a function."""
    place = letterbox(SIZE, 160)
    scale_x, scale_y, offset_x, offset_y = place.to_image(4)
    height, width = place.input_size[0] // 4, place.input_size[1] // 4
    x, y = np.meshgrid((np.arange(width) + 0.5) * scale_x + offset_x, (np.arange(height) + 0.5) * scale_y + offset_y)
    plain = Instances(
        boxes=torch.tensor([box]),
        scores=torch.tensor([0.5]),
        mask_logits=torch.from_numpy(np.asarray(logits_at(x, y), np.float32)[None]),
        grid_to_image=place.to_image(4),
        image_size=SIZE,
        corrections=torch.zeros(1, WIDENED_CELLS, WIDENED_CELLS),
    )
    widened = raster_logits(plain, WIDENED_CELLS, margin=CORRECTION_MARGIN).half()
    return Instances(**{**vars(plain), "samples": MaskSamples(None, widened, None)})


def fitted_mask(found: Instances) -> np.ndarray:
    (mask,) = instance_masks(fit_to_boxes(found, PROMPTED))
    return mask.full(SIZE)


def box_share(mask: np.ndarray, box=BOX) -> float:
    """Return the share of the box that the mask fills, after a check that nothing is more than a pixel outside."""
    x0, y0, x1, y1 = (round(value) for value in box)
    beside = mask.copy()
    beside[max(y0 - 1, 0) : y1 + 1, max(x0 - 1, 0) : x1 + 1] = False
    assert not beside.any()
    return float(mask[y0:y1, x0:x1].mean())


def blob(x0, y0, x1, y1, inside=5.0, outside=-5.0):
    return lambda x, y: np.where((x > x0) & (x < x1) & (y > y0) & (y < y1), inside, outside)


@pytest.mark.parametrize(
    ("logits", "low", "high"),
    [
        pytest.param(blob(0, 0, 160, 120), 0.95, 1.0, id="a mask that leaks is cut at the box"),
        pytest.param(blob(0, 0, 0, 0), 0.55, 1.0, id="an empty mask becomes the middle of the box"),
        pytest.param(blob(0, 0, 0, 0, outside=-100.0), 0.0, 0.0, id="certainly nothing stays nothing"),
        pytest.param(blob(40, 30, 70, 90), 0.5, 0.95, id="a half grows, because no column of a box is empty"),
        pytest.param(blob(110, 30, 160, 90), 0.5, 1.0, id="a mask beside the box"),
        pytest.param(lambda x, y: 5 - ((x - 70) ** 2 + (y - 60) ** 2) / 180, 0.6, 0.95, id="a disc stays one"),
    ],
)
def test_share_of_the_box(logits, low, high):
    assert low <= box_share(fitted_mask(instance(logits))) <= high


def test_every_row_and_column_has_pixels():
    mask = fitted_mask(instance(blob(50, 40, 70, 60)))[30:90, 40:100]
    assert mask.any(axis=0).mean() > 0.85
    assert mask.any(axis=1).mean() > 0.85


def test_outline_inside_the_box_stays_where_logits_are_certain():
    # An L fills every row and column, and leaves a quarter empty.
    def corner(x, y):
        return np.where((x < 70) | (y > 60), 8.0, -8.0)

    mask = fitted_mask(instance(corner))
    assert not mask[32:56, 74:98].any()
    assert mask[34:86, 44:66].all()


@pytest.mark.parametrize(
    "box",
    [
        pytest.param((40.0, 30.0, 41.0, 31.0), id="one pixel"),
        pytest.param((0.0, 0.0, 160.0, 120.0), id="the image"),
        pytest.param((150.5, 0.0, 160.0, 3.0), id="at a corner of the image"),
        pytest.param((10.0, 20.0, 10.2, 90.0), id="narrower than a pixel"),
    ],
)
def test_unusual_boxes(box):
    found = fit_to_boxes(instance(blob(0, 0, 160, 120), box), PROMPTED)
    assert found.corrections.isfinite().all()
    (mask,) = instance_masks(found)
    box_share(mask.full(SIZE), (np.floor(box[0]), np.floor(box[1]), np.ceil(box[2]), np.ceil(box[3])))


def test_samples_are_those_of_the_corrected_masks():
    found = fit_to_boxes(instance(blob(45, 40, 90, 80)), PROMPTED)
    again = raster_logits(found, WIDENED_CELLS, margin=CORRECTION_MARGIN)
    torch.testing.assert_close(found.samples.widened.float(), again, atol=0.02, rtol=0.01)


def test_other_masks_are_unchanged():
    found = instance(blob(45, 40, 90, 80))
    assert fit_to_boxes(found, torch.tensor([False])) is found
    plain = found.corrected(None)
    assert fit_to_boxes(plain, PROMPTED) is plain
    two = found[[0, 0]]
    assert isinstance(instance_masks(two)[1], CropMask)
    fitted = fit_to_boxes(two, torch.tensor([False, True]))
    before, after = instance_masks(two), instance_masks(fitted)
    assert (before[0].full(SIZE) == after[0].full(SIZE)).all()
    assert not (before[1].full(SIZE) == after[1].full(SIZE)).all()
    assert fit_to_boxes(found[[]], torch.zeros(0, dtype=torch.bool)) is not None


def test_rows_fitted_to_their_own_boxes_are_those_of_prompted_boxes():
    found = instance(blob(45, 40, 90, 80))
    (mask,) = instance_masks(fit_rows(found, found.boxes))
    # The samples of a prompted mask are in half precision.
    assert (mask.full(SIZE) != fitted_mask(found)).mean() < 1e-3


@pytest.mark.parametrize(
    "box",
    [
        pytest.param((50.0, 36.0, 94.0, 84.0), id="smaller"),
        pytest.param((36.0, 24.0, 110.0, 100.0), id="larger"),
        pytest.param((0.0, 0.0, 160.0, 120.0), id="the image"),
    ],
)
def test_rows_fitted_to_other_boxes(box):
    fitted = fit_rows(instance(blob(0, 0, 160, 120)), torch.tensor([box]))
    assert fitted.boxes.tolist() == [list(box)]
    assert fitted.corrections.isfinite().all()
    (mask,) = instance_masks(fitted)
    assert box_share(mask.full(SIZE), box) > 0.95


def test_rows_are_fitted_by_their_corrected_logits():
    corrections = torch.linspace(-3, 3, WIDENED_CELLS**2).view(1, WIDENED_CELLS, WIDENED_CELLS)
    found, box = instance(blob(45, 40, 90, 80)).corrected(corrections), torch.tensor([[44.0, 28.0, 108.0, 84.0]])
    x, y = raster_points(box, WIDENED_CELLS, margin=CORRECTION_MARGIN)
    rows = torch.zeros(1, 1, 1, dtype=torch.int64)
    logits, plain = (sample_logits(one, rows, x[:, None, :], y[:, :, None]) for one in (found, found.corrected(None)))
    moved = replace(found, boxes=box, corrections=logits - plain, samples=MaskSamples(None, logits.half(), None))
    torch.testing.assert_close(
        fit_rows(found, box).corrections, fit_to_boxes(moved, PROMPTED).corrections, atol=0.02, rtol=0.01
    )


def test_no_rows_to_fit():
    assert len(fit_rows(instance(blob(0, 0, 0, 0))[[]], torch.zeros(0, 4))) == 0


@pytest.mark.slow
def test_segmenter_fits_the_masks_of_prompted_boxes():
    image, box = blobs((96, 144), 0), (20.0, 20.0, 90.0, 70.0)
    engine = TorchEngine(lively_network(), device="cpu", half=False, imgsz=96, refiner=trained_refiner())
    segmenter = Segmenter(engine=engine, masks="sharp", max_det=8)
    (found,) = segmenter.segment_batch([image], [SearchRegions(prompted=np.array([box]))])
    is_prompted = (found.boxes == torch.tensor(box)).all(dim=1)
    assert is_prompted.sum() == 1
    prompted, others = (instance_masks(found[rows]) for rows in (is_prompted, ~is_prompted))
    # The random corrections of this refiner leave holes and stains everywhere, also beside the boxes of the others.
    inside = prompted[0].full((96, 144))[19:71, 19:91]
    assert inside.sum() == prompted[0].area > 0
    assert inside.any(axis=0).mean() > 0.85
    beside = [
        mask.x + 1 < x0 or mask.y + 1 < y0
        for mask, (x0, y0, _, _) in zip(others, found.boxes[~is_prompted].tolist(), strict=True)
        if mask.crop.size
    ]
    assert any(beside)
