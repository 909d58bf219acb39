"""Propagated masks at the size of the image."""

import numpy as np
import pytest

from streamseg.propagation import cell_shares, enlarged, image_mask, mask_iou
from streamseg.structures.grid import GridTransform
from streamseg.structures.mask import CropMask, MaskSpace
from tests.support.feature_maps import rectangle

EIGHT = GridTransform(8.0, 8.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("soft", "transform", "image_size", "box"),
    [
        pytest.param(rectangle(2, 1, 4, 3), EIGHT, (192, 320), (16, 8, 32, 24), id="cells-to-pixels"),
        pytest.param(rectangle(0, 0, 40, 24), EIGHT, (192, 320), (0, 0, 320, 192), id="everything"),
        pytest.param(rectangle(38, 0, 40, 2), EIGHT, (192, 320), (304, 0, 320, 16), id="at-the-border"),
        pytest.param(
            rectangle(2, 1, 4, 3), GridTransform(16.0, 8.0, -16.0, 0.0), (192, 600), (16, 8, 48, 24), id="padding"
        ),
        pytest.param(rectangle(0, 0, 1, 1), GridTransform(8.0, 8.0, -16.0, 0.0), (192, 300), None, id="in-padding"),
        pytest.param(rectangle(0, 0, 0, 0), EIGHT, (192, 320), None, id="empty"),
    ],
)
def test_a_mask_covers_the_pixels_of_its_cells(soft, transform, image_size, box):
    mask = image_mask(soft, transform, image_size)
    assert mask.space == MaskSpace.of(image_size)
    expected = np.zeros(image_size, bool)
    if box is not None:
        expected[box[1] : box[3], box[0] : box[2]] = True
    # Interpolation rounds off a tenth of a cell at each corner, in whole pixels.
    assert np.count_nonzero(mask() ^ expected) <= 4 * 0.125 * transform.scale_x * transform.scale_y
    if box is None:
        assert mask.crop.shape == (0, 0)


def test_outlines_lie_between_cell_centres():
    soft = np.zeros((1, 4), np.float32)
    soft[0] = [1.0, 0.75, 0.25, 0.0]
    assert image_mask(soft, EIGHT, (8, 32))().any(axis=0).tolist() == [True] * 16 + [False] * 16


def full(box, size=(192, 320)):
    """The mask of the pixels in a box."""
    mask = np.zeros(size, bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return CropMask.of(mask)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        pytest.param((16, 8, 32, 24), rectangle(2, 1, 4, 3), id="whole-cells"),
        pytest.param((16, 8, 20, 16), rectangle(2, 1, 3, 2) / 2, id="half-a-cell"),
        pytest.param((0, 0, 0, 0), rectangle(0, 0, 0, 0), id="empty"),
    ],
)
def test_shares_of_cells_that_a_mask_covers(box, expected):
    shares = cell_shares(full(box), EIGHT, (24, 40))
    np.testing.assert_allclose(shares, expected, atol=0.13)  # four samples per side


def test_an_enlarged_mask_covers_the_same_area():
    fine = enlarged(rectangle(2, 1, 4, 3), (48, 80))
    assert fine.shape == (48, 80)
    np.testing.assert_array_equal(fine > 0.5, rectangle(4, 2, 8, 6, (48, 80)) > 0.5)


@pytest.mark.parametrize(
    ("first", "second", "iou"),
    [
        pytest.param((16, 8, 32, 24), (16, 8, 32, 24), 1.0, id="equal"),
        pytest.param((16, 8, 32, 24), (24, 8, 40, 24), 1 / 3, id="half-shared"),
        pytest.param((16, 8, 32, 24), (16, 8, 24, 24), 0.5, id="inside"),
        pytest.param((16, 8, 32, 24), (100, 100, 120, 120), 0.0, id="apart"),
        pytest.param((0, 0, 0, 0), (16, 8, 32, 24), 0.0, id="empty"),
        pytest.param((0, 0, 0, 0), (0, 0, 0, 0), 0.0, id="both-empty"),
    ],
)
def test_iou_of_masks_in_crops(first, second, iou):
    assert mask_iou(full(first), full(second)) == pytest.approx(iou)


def test_several_masks_are_enlarged_as_each_alone():
    masks = [rectangle(2, 1, 4, 3), rectangle(0, 0, 40, 24), rectangle(5, 5, 6, 9) / 2]
    for chosen in (masks[:1], masks, masks * 60):
        together = enlarged(np.stack(chosen, axis=2), (48, 80))
        assert together.shape == (48, 80, len(chosen))
        np.testing.assert_array_equal(together[..., -1], enlarged(chosen[-1], (48, 80)))
