import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamseg.structures.instances import Instances
from streamseg.text.crops import CropStyle, object_crops
from tests.support.shapes import Shape, detect_shapes

IMAGE_SIZE = (240, 320)
RED, GREY, WHITE = (200, 0, 0), (90, 90, 90), (255, 255, 255)


def scene(*shapes):
    """Return a grey image with red shapes, and their instances."""
    image = np.full((*IMAGE_SIZE, 3), GREY, np.uint8)
    y, x = np.mgrid[: IMAGE_SIZE[0], : IMAGE_SIZE[1]] + 0.5
    for shape in shapes:
        image[shape.covers(x, y)] = RED
    return image, detect_shapes(shapes)


def crops_of(image, instances, rows=None, size=64, resize="bilinear", **style):
    rows = list(range(len(instances))) if rows is None else rows
    return object_crops(image, instances, rows, size=size, style=CropStyle(**style), resize=resize)


def is_red(crops):
    return (crops[..., 0].astype(int) - crops[..., 1] > 100).mean(axis=(1, 2))


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(Shape(160, 120, 80, 80, "rectangle"), id="square"),
        pytest.param(Shape(160, 120, 90, 30, "rectangle"), id="wide"),
        pytest.param(Shape(160, 120, 30, 90, "rectangle"), id="tall"),
        pytest.param(Shape(60, 60, 80, 80, "ellipse"), id="round"),
    ],
)
def test_object_fills_its_crop(shape):
    image, instances = scene(shape)
    long = max(shape.width, shape.height)
    share = shape.width * shape.height * (np.pi / 4 if shape.kind == "ellipse" else 1) / long**2
    (red,) = is_red(crops_of(image, instances, context=0.0, background="fill", colour=WHITE))
    assert red == pytest.approx(share, abs=0.08)
    (red,) = is_red(crops_of(image, instances, context=0.5, background="fill", colour=WHITE))
    assert red == pytest.approx(share / 4, abs=0.03)


@pytest.mark.parametrize(
    ("background", "corner"),
    [
        pytest.param("keep", GREY, id="keep"),
        pytest.param("fill", (10, 20, 30), id="fill"),
        pytest.param("dim", (34, 41, 48), id="dim"),
        pytest.param("blur", GREY, id="blur"),
    ],
)
def test_backgrounds(background, corner):
    image, instances = scene(Shape(160, 120, 80, 60))
    (crop,) = crops_of(image, instances, background=background, colour=(10, 20, 30), context=0.3)
    np.testing.assert_allclose(crop[1, 1], corner, atol=2)
    np.testing.assert_allclose(crop[32, 32], RED, atol=2)


def test_blur_hides_the_surroundings_but_not_the_object():
    image, instances = scene(Shape(160, 120, 60, 60, "rectangle"))
    image[np.indices(IMAGE_SIZE).sum(axis=0) // 8 % 2 == 0] //= 2  # stripes everywhere
    (sharp,), (blurred,) = (crops_of(image, instances, background=how, context=0.5) for how in ("keep", "blur"))
    border, middle = (slice(0, 10), slice(None)), (slice(24, 40), slice(24, 40))
    assert blurred[border].std(axis=(0, 1)).max() < sharp[border].std(axis=(0, 1)).max() / 3
    np.testing.assert_array_equal(blurred[middle], sharp[middle])


def test_square_moves_into_the_image_and_is_filled_outside():
    image, instances = scene(Shape(20, 20, 36, 36), Shape(160, 120, 300, 100))
    corner, wide = crops_of(image, instances, context=0.2, background="keep", colour=(0, 0, 250))
    is_blue = [(crop[..., 2].astype(int) - crop[..., 0] > 100).mean() for crop in (corner, wide)]
    assert is_blue[0] == 0
    assert is_blue[1] == pytest.approx(1 - 240 / 420 * (320 / 420), abs=0.05)
    assert (wide[0] == (0, 0, 250)).all()
    assert (wide[-1] == (0, 0, 250)).all()


def test_crops_follow_the_order_of_rows():
    image, instances = scene(Shape(60, 60, 50, 50), Shape(200, 120, 100, 40))
    both = crops_of(image, instances)
    np.testing.assert_array_equal(crops_of(image, instances, rows=[1, 0]), both[::-1])
    np.testing.assert_array_equal(crops_of(image, instances, rows=[1]), both[1:])


def test_no_objects():
    image = np.zeros((*IMAGE_SIZE, 3), np.uint8)
    assert crops_of(image, Instances.empty(IMAGE_SIZE)).shape == (0, 64, 64, 3)
    assert crops_of(*scene(Shape(160, 120, 80, 60)), rows=[]).shape == (0, 64, 64, 3)


def test_empty_mask_leaves_the_box_unchanged():
    image, instances = scene(Shape(160, 120, 80, 60))
    instances = Instances(
        instances.boxes, instances.scores, -instances.mask_logits.abs(), instances.grid_to_image, IMAGE_SIZE
    )
    np.testing.assert_array_equal(
        crops_of(image, instances, background="fill"), crops_of(image, instances, background="keep")
    )


def test_corrected_masks_may_extend_beyond_their_box():
    image, instances = scene(Shape(160, 120, 80, 80, "rectangle"))
    plain = crops_of(image, instances, background="fill", colour=WHITE)
    corrected = instances.corrected(torch.full((1, 8, 8), 100.0))
    grown = crops_of(image, corrected, background="fill", colour=WHITE)
    assert (grown != WHITE).any(axis=-1).mean() > 1.4 * (plain != WHITE).any(axis=-1).mean()


def test_instances_of_another_image_size_are_rejected():
    _, instances = scene(Shape(160, 120, 80, 60))
    with pytest.raises(ValueError, match="do not belong"):
        crops_of(np.zeros((100, 100, 3), np.uint8), instances)


def corner_pairs(limit):
    return st.tuples(st.floats(0, limit), st.floats(0, limit)).map(sorted)


@pytest.mark.slow
@given(corner_pairs(320), corner_pairs(240), st.sampled_from(["dim", "blur", "fill", "keep"]), st.floats(0, 2))
def test_any_box_has_a_crop(across, down, background, context):
    box = torch.tensor([[across[0], down[0], across[1], down[1]]])
    logits = detect_shapes([Shape(160, 120, 200, 200)]).mask_logits
    instances = Instances(box, torch.ones(1), logits, detect_shapes([Shape(160, 120, 9, 9)]).grid_to_image, IMAGE_SIZE)
    crops = crops_of(np.full((*IMAGE_SIZE, 3), 7, np.uint8), instances, size=32, background=background, context=context)
    assert crops.shape == (1, 32, 32, 3)
