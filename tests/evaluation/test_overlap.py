import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from streamseg.evaluation.overlap import box_ious, mask_iou, mask_ious
from streamseg.structures.mask import CropMask
from tests.support.images import crop_of, disc, rectangle

pytestmark = pytest.mark.slow

SIZE = (40, 50)
EMPTY = np.zeros(SIZE, dtype=bool)

masks = st.lists(
    st.one_of(
        st.builds(lambda x, y, radius: disc(SIZE, x, y, radius), st.floats(0, 50), st.floats(0, 40), st.floats(0, 30)),
        st.builds(
            lambda x, y, w, h: rectangle(SIZE, x, y, x + w, y + h), *[st.integers(0, 39)] * 2, *[st.integers(0, 20)] * 2
        ),
    ),
    max_size=4,
)


def runs(mask):
    return coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))


@given(masks, masks, st.data())
def test_mask_ious_equal_pycocotools(found, truth, data):
    is_crowd = np.array([data.draw(st.booleans()) for _ in truth], dtype=bool)
    own = mask_ious([crop_of(mask) for mask in found], [crop_of(mask) for mask in truth], is_crowd)
    assert own.shape == (len(found), len(truth))
    if own.size:
        expected = coco_mask.iou([runs(mask) for mask in found], [runs(mask) for mask in truth], is_crowd.tolist())
        assert own == pytest.approx(expected, abs=1e-12)


corners = st.lists(st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(0, 12)] * 2), max_size=4)


@given(corners, corners, st.data())
def test_box_ious_equal_pycocotools(found, truth, data):
    """Use boxes x, y, w, h in whole pixels, some without extent."""
    is_crowd = np.array([data.draw(st.booleans()) for _ in truth], dtype=bool)
    own = box_ious(xyxy(found), xyxy(truth), is_crowd)
    assert own.shape == (len(found), len(truth))
    if own.size:
        expected = coco_mask.iou(np.array(found, dtype=float), np.array(truth, dtype=float), is_crowd.tolist())
        assert own == pytest.approx(expected, abs=1e-12)


def xyxy(boxes):
    return np.array([(x, y, x + w, y + h) for x, y, w, h in boxes], dtype=float).reshape(-1, 4)


@pytest.mark.parametrize(
    ("one", "other", "iou"),
    [
        pytest.param(rectangle(SIZE, 0, 0, 10, 10), rectangle(SIZE, 5, 0, 15, 10), 1 / 3, id="half over half"),
        pytest.param(rectangle(SIZE, 0, 0, 10, 10), rectangle(SIZE, 10, 0, 20, 10), 0, id="side by side"),
        pytest.param(rectangle(SIZE, 0, 0, 10, 10), rectangle(SIZE, 30, 30, 40, 40), 0, id="far apart"),
        pytest.param(EMPTY, rectangle(SIZE, 0, 0, 10, 10), 0, id="one is empty"),
        pytest.param(EMPTY, EMPTY, 0, id="both are empty"),
        pytest.param(disc(SIZE, 20, 20, 9), disc(SIZE, 20, 20, 9), 1, id="the same"),
    ],
)
def test_mask_iou(one, other, iou):
    assert mask_iou(crop_of(one), crop_of(other)) == pytest.approx(iou)
    assert mask_iou(crop_of(other), crop_of(one)) == pytest.approx(iou)


def test_crop_may_be_larger_than_its_mask():
    loose = CropMask(rectangle((20, 20), 5, 5, 15, 15), 0, 0)
    assert mask_iou(loose, crop_of(rectangle(SIZE, 5, 5, 15, 15))) == 1
