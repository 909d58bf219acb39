"""Masks from runs equal those that the host computes from logits."""

import numpy as np
import pytest
import torch

from streamseg.geometry import letterbox
from streamseg.segmentation.device.mask_runs import MaskRuns, crops_from_runs
from streamseg.segmentation.masks import instance_masks
from streamseg.segmentation.resampling import axis_of
from streamseg.structures.instances import Instances
from streamseg.structures.mask import MaskSpace

CPU = torch.device("cpu")


def scene(size, imgsz, count, seed):
    """Return random objects: smooth logits, boxes from tiny to the whole image."""
    place = letterbox(size, imgsz)
    generator = torch.Generator().manual_seed(seed)
    grid = place.input_size[0] // 4, place.input_size[1] // 4
    coarse = torch.randn(count, 1, 4, 5, generator=generator)
    logits = torch.nn.functional.interpolate(coarse, grid, mode="bicubic")[:, 0] * 5
    limits = torch.tensor([size[1], size[0]], dtype=torch.float32)
    low = torch.rand(count, 2, generator=generator) * 0.8 * limits
    high = torch.minimum(low + torch.rand(count, 2, generator=generator) ** 3 * limits + 1, limits)
    if count > 1:
        low[0], high[0] = torch.zeros(2), limits
        high[1] = low[1]  # no extent
    boxes = torch.cat([low, high], dim=1)
    return Instances(boxes, torch.ones(count), logits.contiguous(), place.to_image(4), size)


def on_device(instances, *, rows, num_pixels=1 << 20, num_changes=1 << 14):
    """Return the masks, or None if they do not fit."""
    count, grid = len(instances), instances.mask_logits.shape[1:]
    runs = MaskRuns(
        instances.image_size,
        instances.grid_to_image,
        tuple(grid),
        num_pixels=num_pixels,
        num_changes=num_changes,
        device=CPU,
    )

    def padded(values):  # the objects are the second image of a batch
        result = torch.zeros(2, rows, *values.shape[1:])
        result[1, :count] = values
        return result

    corrections = None if instances.corrections is None else padded(instances.corrections)
    valid = padded(torch.ones(count)) > 0
    found = runs(padded(instances.boxes), valid, padded(instances.mask_logits), corrections)
    assert int(found.counts[0]) == 0
    if int(found.counts[1]) > num_changes:
        return None
    (height, width), to_image = instances.image_size, instances.grid_to_image
    return crops_from_runs(
        found.changes[1, : int(found.counts[1])].numpy(),
        instances.boxes.double().numpy(),
        axis_of(width, width, grid[1], to_image.scale_x, to_image.offset_x),
        axis_of(height, height, grid[0], to_image.scale_y, to_image.offset_y),
        MaskSpace.of(instances.image_size),
        is_corrected=corrections is not None,
    )


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize(
    ("size", "imgsz"),
    [
        pytest.param((180, 320), 160, id="whole pixels per cell"),
        pytest.param((97, 143), 96, id="fractions"),
        pytest.param((60, 200), 320, id="cells smaller than pixels"),
    ],
)
@pytest.mark.parametrize("count", [0, 1, 12])
def test_masks_equal_those_of_the_host(size, imgsz, count, corrected):
    instances = scene(size, imgsz, count, seed=count)
    if corrected:
        coarse = torch.randn(count, 24, 24, generator=torch.Generator().manual_seed(5))
        instances = instances.corrected(coarse * 2)
    found, expected = on_device(instances, rows=16), instance_masks(instances)
    assert len(found) == count
    different = 0
    for one, other in zip(found, expected, strict=True):
        assert (one.x, one.y, one.crop.shape, one.space) == (other.x, other.y, other.crop.shape, other.space)
        different += int((one.crop != other.crop).sum())
    # Interpolated in another order, logits differ by rounding: a pixel may flip where they are almost zero.
    assert different <= 1e-5 * size[0] * size[1] * max(count, 1)


@pytest.mark.parametrize(
    ("capacities", "fits"),
    [
        pytest.param({}, True, id="fits"),
        pytest.param({"num_pixels": 1000}, False, id="too many pixels"),
        pytest.param({"num_changes": 10}, False, id="too many changes"),
    ],
)
def test_what_does_not_fit_is_reported(capacities, fits):
    assert (on_device(scene((97, 143), 96, 12, 0), rows=16, **capacities) is not None) is fits


def test_full_mask_has_two_changes():
    instances = scene((64, 64), 64, 1, 0)
    whole = Instances(
        torch.tensor([[0.0, 0, 64, 64]]), torch.ones(1), torch.ones(1, 16, 16), instances.grid_to_image, (64, 64)
    )
    (mask,) = on_device(whole, rows=1)
    assert mask.area == 64 * 64
    assert np.array_equal(mask.crop, np.ones((64, 64), bool))
