import cv2
import numpy as np
import pytest
import torch

from streamseg import geometry
from streamseg.modeling.refiner import REFINER_RASTER, object_pixels, raster_grid, raster_sides, views
from streamseg.structures.instances import CORRECTION_MARGIN
from tests.support.refiners import PLACE, picture, prototypes, some_instances, trained


def test_views_lie_where_the_objects_are():
    instances = some_instances()
    height, width = PLACE.input_size
    # Maps that tell where they are, in pixels of the input.
    x = (torch.arange(width // 4) + 0.5) * 4
    y = (torch.arange(height // 4) + 0.5) * 4
    maps = torch.stack([x.expand(height // 4, -1), y[:, None].expand(-1, width // 4)])
    seen = views(instances, maps, picture(), PLACE)
    across, down = geometry.raster_points(instances.boxes, REFINER_RASTER, margin=CORRECTION_MARGIN)
    scale_x, scale_y, offset_x, offset_y = PLACE.to_image()
    wanted_x = ((across - offset_x) / scale_x)[:, None, :].expand(-1, REFINER_RASTER, -1)
    wanted_y = ((down - offset_y) / scale_y)[:, :, None].expand(-1, -1, REFINER_RASTER)
    # Beyond the outermost cell centres the maps continue as they are there.
    torch.testing.assert_close(seen.maps[:, 0], wanted_x.clamp(2, width - 2), rtol=0, atol=1e-3)
    torch.testing.assert_close(seen.maps[:, 1], wanted_y.clamp(2, height - 2), rtol=0, atol=1e-3)
    rows = torch.arange(3)[:, None, None]
    wanted = geometry.sample_logits(instances, rows, across[:, None], down[:, :, None])
    torch.testing.assert_close(seen.logits, wanted, rtol=0, atol=1e-4)
    extent = (instances.boxes[:, 2:] - instances.boxes[:, :2]).prod(dim=1).sqrt() / scale_x
    torch.testing.assert_close(seen.sides, extent, rtol=1e-3, atol=0)


def test_views_of_nothing():
    seen = views(some_instances(0), prototypes(), picture(), PLACE)
    assert seen.logits.shape == (0, REFINER_RASTER, REFINER_RASTER)
    assert seen.maps.shape == (0, 32, REFINER_RASTER, REFINER_RASTER)
    assert seen.pixels.shape == (0, REFINER_RASTER, REFINER_RASTER, 3)
    assert seen.sides.shape == (0,)


def test_the_grid_spans_the_input():
    """A box that with its margins is the whole input has cells from one border to the other."""
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
        pytest.param([100, 50, 112, 62], 1.0, id="small, of the picture itself"),
        pytest.param([100, 50, 160, 90], 1.0, id="of a half"),
        pytest.param([20, 30, 220, 170], 1.5, id="large, of an eighth"),
        pytest.param([100, 50, 101, 130], 1.0, id="thin"),
    ],
)
def test_pixels_lie_where_the_objects_are(box, tolerance):
    """On a ramp every level of the pyramid says the same."""
    height, width = 200, 240
    image = np.empty((height, width, 3), np.uint8)
    image[..., 0] = np.arange(width)[None, :]
    image[..., 1] = np.arange(height)[:, None]
    image[..., 2] = 7
    pixels = object_pixels(image, raster_sides(np.array([box], np.float32))).astype(float)
    across, down = geometry.raster_points(torch.tensor([box], dtype=torch.float32), REFINER_RASTER, margin=CORRECTION_MARGIN)
    wanted_x, wanted_y = across[0].numpy() - 0.5, down[0].numpy() - 0.5  # pixel i is centred at i + 0.5
    inside_x, inside_y = (wanted_x > 8) & (wanted_x < width - 9), (wanted_y > 8) & (wanted_y < height - 9)
    difference_x = np.abs(pixels[0, :, :, 0] - wanted_x[None, :])[:, inside_x]
    difference_y = np.abs(pixels[0, :, :, 1] - wanted_y[:, None])[inside_y]
    assert max(difference_x.max(), difference_y.max()) <= tolerance
    assert (pixels[..., 2] == 7).all()


def test_large_objects_are_seen_without_noise():
    """Single pixels of noise would say nothing about an object of 160 pixels a side: cells are means there."""
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    pixels = object_pixels(image, raster_sides(np.array([[40, 40, 52, 52], [40, 40, 200, 200]], np.float32))).astype(
        float
    )
    assert pixels[0].std() > 40
    assert pixels[1].std() < 20


@pytest.mark.parametrize("size", [(70, 84), (100, 120), (140, 168), (200, 240), (400, 480), (9, 11)], ids=str)
def test_a_smaller_picture_shows_the_same(size):
    """Whether it is a level of its own, comes after levels between, or is of no use."""
    height, width = 200, 240
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack([x, y, (x + y) // 2], axis=-1).astype(np.uint8)
    small = np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR))
    boxes = np.array([[100, 50, 112, 62], [80, 60, 130, 110], [60, 60, 150, 140], [40, 40, 200, 160]], np.float32)
    alone = object_pixels(image, raster_sides(boxes)).astype(int)
    with_small = object_pixels(image, raster_sides(boxes), small=small).astype(int)
    assert np.abs(alone - with_small).max() <= (4 if min(size) > 9 else 40)


def test_large_objects_are_seen_in_the_input():
    image = np.full((200, 240, 3), 10, np.uint8)
    small = np.full((100, 120, 3), 200, np.uint8)
    sides = raster_sides(np.array([[40, 40, 52, 52], [20, 20, 180, 180]], np.float32))
    pixels = object_pixels(image, sides, small=small)
    assert (pixels[0] == 10).all()
    assert (pixels[1] == 200).all()


def test_a_picture_smaller_than_any_level_is_seen():
    image = np.full((3, 5, 3), 9, np.uint8)
    assert (object_pixels(image, raster_sides(np.array([[0, 0, 5, 3]], np.float32))) == 9).all()


def test_projecting_first_is_the_same_as_sampling_first():
    refiner, instances = trained(), some_instances()
    sampled = views(instances, prototypes(), picture(), PLACE).maps
    projected = refiner.project(prototypes()[None])[0]
    first = views(instances, projected, picture(), PLACE).maps
    torch.testing.assert_close(first, refiner.project(sampled), rtol=1e-4, atol=1e-4)
