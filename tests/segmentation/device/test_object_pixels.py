"""Pixels of objects on the device equal those of the refiner's inputs on the host."""

import numpy as np
import pytest
import torch

from streamseg.geometry import letterbox
from streamseg.modeling.preprocess import letterbox_images
from streamseg.modeling.refiner.views import object_pixels, raster_sides
from streamseg.segmentation.device.object_pixels import ObjectPixels
from tests.support.networks import blobs


def random_boxes(size, count=40):
    generator = np.random.default_rng(0)
    low = generator.uniform(0, 0.7, (count, 2)) * size[::-1]
    sides = np.exp(generator.uniform(np.log(4), np.log(max(size)), (count, 2)))
    return np.concatenate([low, np.minimum(low + sides, size[::-1])], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("size", "imgsz", "share"),
    [
        pytest.param((360, 640), 320, 1e-4, id="even levels"),
        pytest.param((720, 1280), 160, 1e-4, id="levels between image and input"),
        pytest.param((90, 120), 160, 1e-4, id="input larger than the image"),
        # A level of odd size has weights that are not halves.
        pytest.param((361, 641), 320, 1e-3, id="odd levels"),
        pytest.param((20, 30), 32, 1e-4, id="a single level"),
    ],
)
def test_pixels_equal_those_of_the_host(size, imgsz, share):
    place, image = letterbox(size, imgsz), blobs(size, 1)
    inputs = letterbox_images([image], [place])
    inside = inputs[0, place.top : place.top + place.scaled_size[0], place.left : place.left + place.scaled_size[1]]
    sides = raster_sides(random_boxes(size))
    expected = object_pixels(image, sides, small=inside).astype(np.float32)
    sample = ObjectPixels(place, torch.device("cpu"))
    (found,) = sample(torch.from_numpy(image[None]), torch.from_numpy(inputs), torch.from_numpy(sides)[None]).numpy()
    # Products are added in another order, so that a value between two pixels may round to the other side.
    assert np.abs(found - expected).max() <= 1
    assert (found != expected).mean() <= share
