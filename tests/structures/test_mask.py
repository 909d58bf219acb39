"""Masks have the same methods wherever they come from."""

import numpy as np
import pytest
import torch

from streamseg.rle import coco_to_crop, crop_to_coco
from streamseg.segmentation import instance_masks
from streamseg.structures.grid import STRIDE_4
from streamseg.structures.instances import CORRECTION_MARGIN, Instances
from streamseg.structures.mask import CropMask, MaskSpace
from streamseg.synthetic import SceneRenderer
from streamseg.wire import decode, encode
from tests.support.messages import disc, make_message, make_object

SIZE = (48, 64)


def canvas(size=SIZE):
    """A rectangle of 8 x 12 at (16, 4), in a mask (H, W)."""
    mask = np.zeros(size, np.bool_)
    mask[4:16, 16:24] = True
    return mask


def of_instances(corrections=None):
    """The same rectangle as an instance, whose logits are positive everywhere."""
    instances = Instances(
        boxes=torch.tensor([[16.0, 4, 24, 16]]),
        scores=torch.tensor([0.9]),
        mask_logits=torch.ones(1, 12, 16),
        grid_to_image=STRIDE_4,
        image_size=SIZE,
        corrections=corrections,
    )
    return instance_masks(instances)[0]


def of_message():
    sent = make_message(make_object(np.ones((12, 8), np.bool_), 16, 4), size=SIZE)
    return decode(encode(sent)).objects[0].mask


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(of_instances, id="instances"),
        pytest.param(of_message, id="message"),
        pytest.param(lambda: CropMask.of(canvas()), id="array"),
        pytest.param(lambda: coco_to_crop(crop_to_coco(CropMask.of(canvas()), SIZE)), id="annotation"),
    ],
)
def test_masks_have_the_same_methods(make):
    mask = make()
    assert mask.space == MaskSpace(SIZE, SIZE, (1, 1, 0, 0))
    assert np.array_equal(mask(), canvas())
    assert np.array_equal(mask((24, 32)), canvas()[::2, ::2])
    assert mask((96, 128)).sum() == 4 * 96
    assert np.array_equal(mask.full(SIZE), canvas())
    assert mask.area == 96
    assert mask.centroid == (20, 10)
    assert repr(mask) == "CropMask(96 px in 8x12 at (16, 4) of 64x48)"


def test_masks_of_the_rendered_scene_have_a_space():
    mask = SceneRenderer(96, 64).truth(0).masks[0]
    assert mask().shape == (64, 96)
    assert mask().sum() == mask.area


def test_mask_with_corrections_has_a_space():
    mask = of_instances(torch.ones(1, 4, 4))
    assert mask().sum() == mask.area > 96 * (1 + CORRECTION_MARGIN)
    assert mask.centroid == pytest.approx((20, 10))


def test_mask_of_another_size_refers_to_its_image():
    instances = Instances(torch.tensor([[16.0, 4, 24, 16]]), torch.ones(1), torch.ones(1, 12, 16), STRIDE_4, SIZE)
    (mask,) = instance_masks(instances, size=(96, 128))
    assert mask.area == 4 * 96
    assert mask.centroid == (20, 10)
    assert np.array_equal(mask(), canvas())
    assert np.array_equal(mask((96, 128)), mask.full((96, 128)))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: CropMask.of(np.zeros(SIZE, np.bool_)), id="array"),
        pytest.param(lambda: coco_to_crop(crop_to_coco(CropMask.of(np.zeros(SIZE, np.bool_)), SIZE)), id="annotation"),
        pytest.param(
            lambda: instance_masks(Instances(torch.zeros(1, 4), torch.ones(1), torch.ones(1, 12, 16), STRIDE_4, SIZE))[
                0
            ],
            id="instances",
        ),
    ],
)
def test_empty_masks(make):
    mask = make()
    assert (mask.crop.shape, mask.area, mask.centroid) == ((0, 0), 0, None)
    assert mask().shape == SIZE
    assert not mask().any()


@pytest.mark.parametrize(
    ("box", "place"),
    [
        pytest.param((5, 6, 15, 9), (5, 6, 3, 10), id="inside"),
        pytest.param((0, 0, 64, 48), (0, 0, 48, 64), id="everything"),
        pytest.param((63, 47, 64, 48), (63, 47, 1, 1), id="last pixel"),
        pytest.param((5, 5, 5, 5), (0, 0, 0, 0), id="empty"),
    ],
)
def test_crop_is_tight(box, place):
    mask = np.zeros(SIZE, np.bool_)
    mask[box[1] : box[3], box[0] : box[2]] = True
    crop = CropMask.of(mask)
    assert (crop.x, crop.y, *crop.crop.shape) == place
    np.testing.assert_array_equal(crop(), mask)


def test_crop_does_not_keep_the_whole_mask():
    whole = canvas()
    mask = CropMask.of(whole)
    whole[:] = False
    assert mask.area == 96


def test_mask_without_a_space():
    mask = CropMask(disc(3), 5, 7)
    assert repr(mask) == f"CropMask({mask.area} px in 3x3 at (5, 7))"
    with pytest.raises(ValueError, match="has no mask space"):
        mask()
