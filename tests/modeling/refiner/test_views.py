import cv2
import numpy as np
import pytest
import torch

from streamseg import geometry
from streamseg.modeling.refiner import REFINER_RASTER, object_pixels, object_views, raster_grid, raster_sides
from streamseg.structures.instances import CORRECTION_MARGIN
from tests.support.refiners import PLACE, random_image, random_instances, random_prototypes, trained_refiner


def test_views_are_sampled_at_the_objects():
    instances = random_instances()
    height, width = PLACE.input_size
    # Each map value is its own position, in pixels of the input.
    x = (torch.arange(width // 4) + 0.5) * 4
    y = (torch.arange(height // 4) + 0.5) * 4
    maps = torch.stack([x.expand(height // 4, -1), y[:, None].expand(-1, width // 4)])
    found = object_views(instances, maps, random_image(), PLACE)
    across, down = geometry.raster_points(instances.boxes, REFINER_RASTER, margin=CORRECTION_MARGIN)
    scale_x, scale_y, offset_x, offset_y = PLACE.to_image()
    expected_x = ((across - offset_x) / scale_x)[:, None, :].expand(-1, REFINER_RASTER, -1)
    expected_y = ((down - offset_y) / scale_y)[:, :, None].expand(-1, -1, REFINER_RASTER)
    # Beyond the outermost cell centres, border values are repeated.
    torch.testing.assert_close(found.maps[:, 0], expected_x.clamp(2, width - 2), rtol=0, atol=1e-3)
    torch.testing.assert_close(found.maps[:, 1], expected_y.clamp(2, height - 2), rtol=0, atol=1e-3)
    rows = torch.arange(3)[:, None, None]
    expected = geometry.sample_logits(instances, rows, across[:, None], down[:, :, None])
    torch.testing.assert_close(found.logits, expected, rtol=0, atol=1e-4)
    extent = (instances.boxes[:, 2:] - instances.boxes[:, :2]).prod(dim=1).sqrt() / scale_x
    torch.testing.assert_close(found.sides, extent, rtol=1e-3, atol=0)


def test_views_of_no_objects():
    found = object_views(random_instances(0), random_prototypes(), random_image(), PLACE)
    assert found.logits.shape == (0, REFINER_RASTER, REFINER_RASTER)
    assert found.maps.shape == (0, 32, REFINER_RASTER, REFINER_RASTER)
    assert found.pixels.shape == (0, REFINER_RASTER, REFINER_RASTER, 3)
    assert found.sides.shape == (0,)


def test_the_grid_spans_the_input():
    """A box that covers the whole input including its margins has cells from border to border."""
    scale_x, scale_y, offset_x, offset_y = PLACE.to_image()
    height, width = PLACE.input_size
    margin = CORRECTION_MARGIN / (1 + 2 * CORRECTION_MARGIN)
    box = np.array([[width * margin, height * margin, width * (1 - margin), height * (1 - margin)]])
    box = box * np.array([scale_x, scale_y] * 2) + np.array([offset_x, offset_y] * 2)
    grid = raster_grid(raster_sides(box.astype(np.float32), 4), PLACE)
    centres = np.array([-0.75, -0.25, 0.25, 0.75])
    np.testing.assert_allclose(grid[0, :, :, 0], np.tile(centres, (4, 1)), rtol=0, atol=1e-5)
    np.testing.assert_allclose(grid[0, :, :, 1], np.tile(centres[:, None], 4), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("box", "tolerance"),
    [
        pytest.param([100, 50, 112, 62], 1.0, id="small, from the image itself"),
        pytest.param([100, 50, 160, 90], 1.0, id="from half the size"),
        pytest.param([20, 30, 220, 170], 1.5, id="large, from an eighth of the size"),
        pytest.param([100, 50, 101, 130], 1.0, id="thin"),
    ],
)
def test_pixels_are_sampled_at_the_objects(box, tolerance):
    """On a ramp, all pyramid levels agree."""
    height, width = 200, 240
    image = np.empty((height, width, 3), np.uint8)
    image[..., 0] = np.arange(width)[None, :]
    image[..., 1] = np.arange(height)[:, None]
    image[..., 2] = 7
    pixels = object_pixels(image, raster_sides(np.array([box], np.float32))).astype(float)
    across, down = geometry.raster_points(
        torch.tensor([box], dtype=torch.float32), REFINER_RASTER, margin=CORRECTION_MARGIN
    )
    expected_x, expected_y = across[0].numpy() - 0.5, down[0].numpy() - 0.5  # pixel i is centred at i + 0.5
    inside_x, inside_y = (expected_x > 8) & (expected_x < width - 9), (expected_y > 8) & (expected_y < height - 9)
    difference_x = np.abs(pixels[0, :, :, 0] - expected_x[None, :])[:, inside_x]
    difference_y = np.abs(pixels[0, :, :, 1] - expected_y[:, None])[inside_y]
    assert max(difference_x.max(), difference_y.max()) <= tolerance
    assert (pixels[..., 2] == 7).all()


def test_large_objects_are_sampled_without_noise():
    """In an object of 160 x 160 pixels, cells average the noise of single pixels."""
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    pixels = object_pixels(image, raster_sides(np.array([[40, 40, 52, 52], [40, 40, 200, 200]], np.float32))).astype(
        float
    )
    assert pixels[0].std() > 40
    assert pixels[1].std() < 20


@pytest.mark.parametrize("size", [(70, 84), (100, 120), (140, 168), (200, 240), (400, 480), (9, 11)], ids=str)
def test_smaller_image_gives_the_same_pixels(size):
    """The smaller image is the next level, follows other levels, or is too small to be used."""
    height, width = 200, 240
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack([x, y, (x + y) // 2], axis=-1).astype(np.uint8)
    small = np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR))
    boxes = np.array([[100, 50, 112, 62], [80, 60, 130, 110], [60, 60, 150, 140], [40, 40, 200, 160]], np.float32)
    alone = object_pixels(image, raster_sides(boxes)).astype(int)
    with_small = object_pixels(image, raster_sides(boxes), small=small).astype(int)
    assert np.abs(alone - with_small).max() <= (4 if min(size) > 9 else 40)


def test_large_objects_are_sampled_from_the_input():
    image = np.full((200, 240, 3), 10, np.uint8)
    small = np.full((100, 120, 3), 200, np.uint8)
    sides = raster_sides(np.array([[40, 40, 52, 52], [20, 20, 180, 180]], np.float32))
    pixels = object_pixels(image, sides, small=small)
    assert (pixels[0] == 10).all()
    assert (pixels[1] == 200).all()


def test_image_smaller_than_any_level_is_sampled():
    image = np.full((3, 5, 3), 9, np.uint8)
    assert (object_pixels(image, raster_sides(np.array([[0, 0, 5, 3]], np.float32))) == 9).all()


def test_projection_and_sampling_commute():
    refiner, instances = trained_refiner(), random_instances()
    sampled = object_views(instances, random_prototypes(), random_image(), PLACE).maps
    projected = refiner.project(random_prototypes()[None])[0]
    first = object_views(instances, projected, random_image(), PLACE).maps
    torch.testing.assert_close(first, refiner.project(sampled), rtol=1e-4, atol=1e-4)
