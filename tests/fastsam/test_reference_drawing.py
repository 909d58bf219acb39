"""The official program's output image: order of the masks, opacity and outlines."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg.fastsam.reference_drawing import contour_pixels, draw_reference, topmost_rows
from streamseg.fastsam.reference_selection import better_quality
from streamseg.structures.mask import CropMask
from tests.support.paths import GOLDEN as GOLDEN_FOLDER

GOLDEN = dict(np.load(GOLDEN_FOLDER / "reference" / "prompts_8.2.60.npz"))
IMAGE = np.full((40, 60, 3), 100, dtype=np.uint8)
RED, GREEN = (255, 0, 0), (0, 255, 0)


def square(x: int, y: int, side: int) -> CropMask:
    return CropMask(np.ones((side, side), dtype=np.bool_), x, y)


def whole(masks: np.ndarray) -> list[CropMask]:
    return [CropMask(mask, 0, 0) for mask in masks]


NOTHING = CropMask(np.zeros((0, 0), dtype=np.bool_), 0, 0)


def test_smallest_mask_is_on_top_and_of_equal_ones_the_first():
    large, small, twin = square(5, 5, 20), square(10, 10, 8), square(14, 14, 8)
    for order in ([large, small, twin], [small, twin, large]):
        rows = topmost_rows(order, (40, 60))
        assert order[rows[6, 6]] is large
        assert order[rows[11, 11]] is small
        assert order[rows[16, 16]] is small
        assert order[rows[20, 20]] is twin
        assert rows[30, 50] == -1


def test_topmost_rows_match_the_recorded_rows():
    masks = GOLDEN["plot/masks"]
    np.testing.assert_array_equal(topmost_rows(whole(masks), masks.shape[1:]), GOLDEN["plot/rows"])


def test_contours_match_the_recorded_contours():
    before = GOLDEN["quality/before"]
    masks = [better_quality(mask) for mask in before]
    np.testing.assert_array_equal(contour_pixels(whole(np.stack(masks)), before.shape[1:]), GOLDEN["quality/contours"])


def test_crop_has_the_outline_of_its_full_mask():
    canvas = np.zeros((40, 60), dtype=np.bool_)
    canvas[8:20, 10:30] = True
    canvas[12:16, 15:25] = False
    crop = CropMask(canvas[8:20, 10:30].copy(), 10, 8)
    drawn = contour_pixels([crop], (40, 60))
    np.testing.assert_array_equal(drawn, contour_pixels(whole(canvas[None]), (40, 60)))
    assert drawn[8, 20]
    assert drawn[12, 20]
    assert not drawn[30, 50]


def test_masks_have_60_percent_opacity():
    drawn = draw_reference(IMAGE, [square(5, 5, 20), square(10, 10, 8)], colours=[RED, GREEN])
    assert drawn[6, 6].tolist() == [193, 40, 40]
    # The mask below does not contribute.
    assert drawn[12, 12].tolist() == [40, 193, 40]
    assert drawn[35, 55].tolist() == [100, 100, 100]


def test_contours_have_80_percent_opacity_and_are_on_top():
    drawn = draw_reference(IMAGE, [square(5, 5, 20)], colours=[RED], with_contours=True)
    assert drawn[5, 12].tolist() == [39, 8, 212]
    assert drawn[15, 15].tolist() == [193, 40, 40]


def test_colours_are_fixed_per_row():
    masks = [square(5, 5, 8), square(30, 5, 8)]
    drawn = draw_reference(IMAGE, masks)
    np.testing.assert_array_equal(drawn, draw_reference(IMAGE, masks))
    assert drawn[8, 8].tolist() != drawn[8, 34].tolist()


def test_prompts_are_drawn():
    drawn = draw_reference(
        IMAGE, [], boxes=[(3, 3, 20, 20)], point_coords=[(30, 30), (45, 30), (52, 30)], point_labels=[1, 0, 7]
    )
    assert drawn[3, 10].tolist() == [0, 0, 255]
    assert drawn[30, 30].tolist() == [191, 191, 0]
    assert drawn[30, 45].tolist() == [191, 0, 191]
    assert drawn[30, 52].tolist() == [100, 100, 100]


@pytest.mark.parametrize("with_contours", [False, True])
def test_masks_of_another_size_are_stretched(with_contours: bool):
    drawn = draw_reference(IMAGE, [square(10, 5, 10)], mask_size=(20, 30), colours=[RED], with_contours=with_contours)
    inside = (drawn != IMAGE).any(axis=2)
    assert inside[12:28, 22:38].all()
    assert not inside[:8].any()
    assert not inside[:, :18].any()
    assert inside.sum() == pytest.approx(400, abs=100)


@pytest.mark.parametrize("masks", [[], [NOTHING]])
def test_nothing_to_draw_gives_a_plain_copy(masks):
    before = IMAGE.copy()
    drawn = draw_reference(IMAGE, masks, with_contours=True)
    np.testing.assert_array_equal(drawn, before)
    assert drawn is not IMAGE
    draw_reference(IMAGE, [square(5, 5, 20)])
    np.testing.assert_array_equal(IMAGE, before)
