import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from streamseg.geometry import letterbox, sample_logits
from streamseg.segmentation.masks import instance_masks
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import CORRECTION_MARGIN, Instances
from streamseg.structures.mask import CropMask

TIE = 1e-4
"""Logits this close to zero may fall on either side, because float32 sums in a different order."""


UNPADDED = GridTransform(4, 4, 0, 0)


def instances_of(logits, boxes, image_size, grid_to_image):
    boxes = torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Instances(boxes, torch.ones(len(boxes)), logits, grid_to_image, image_size)


def full_frame_masks(instances, size):
    """Compute masks the straightforward way: all logits on the full frame, cropped to the boxes, then > 0.

    Returns bool (K, H, W), and bool (K, H, W) of pixels that are too close to call.
    """
    height, width = size
    image_height, image_width = instances.image_size
    t = instances.grid_to_image
    # Continuous image coordinates of the centres of output pixels.
    x = (torch.arange(width, dtype=torch.float64) + 0.5) * image_width / width
    y = (torch.arange(height, dtype=torch.float64) + 0.5) * image_height / height
    logits, columns, rows = content(instances)
    grid_x = ((x - t.offset_x) / t.scale_x - columns) / logits.shape[2] * 2 - 1
    grid_y = ((y - t.offset_y) / t.scale_y - rows) / logits.shape[1] * 2 - 1
    grid = torch.stack(torch.meshgrid(grid_x, grid_y, indexing="xy"), dim=-1)
    sampled = functional.grid_sample(
        logits[None].double(), grid[None], mode="bilinear", padding_mode="border", align_corners=False
    )[0]
    boxes = instances.boxes.double()
    half_x, half_y = t.scale_x / 2, t.scale_y / 2
    snapped = torch.stack(
        [
            torch.where(boxes[:, 0] <= half_x, 0, boxes[:, 0]),
            torch.where(boxes[:, 1] <= half_y, 0, boxes[:, 1]),
            torch.where(boxes[:, 2] >= image_width - half_x, image_width, boxes[:, 2]),
            torch.where(boxes[:, 3] >= image_height - half_y, image_height, boxes[:, 3]),
        ],
        dim=1,
    )[:, :, None, None]
    x, y = x + 1e-6 * image_width / width, y + 1e-6 * image_height / height  # a centre on the low edge is inside
    inside = (x >= snapped[:, 0]) & (x < snapped[:, 2]) & (y[:, None] >= snapped[:, 1]) & (y[:, None] < snapped[:, 3])
    return inside & (sampled > 0), inside & (sampled.abs() < TIE)


def content(instances):
    """Return the cells whose centres lie in the image, and the column and row of the first one."""
    t, (height, width) = instances.grid_to_image, instances.image_size
    kept = []
    for cells, cell, offset, extent in (
        (instances.mask_logits.shape[1], t.scale_y, t.offset_y, height),
        (instances.mask_logits.shape[2], t.scale_x, t.offset_x, width),
    ):
        centres = [(index + 0.5) * cell + offset for index in range(cells)]
        inside = [index for index, centre in enumerate(centres) if -1e-5 <= centre <= extent + 1e-5]
        kept.append(inside or [min(int((extent / 2 - offset) / cell), cells - 1)])
    rows, columns = kept
    return instances.mask_logits[:, rows][:, :, columns], columns[0], rows[0]


def assert_same(instances, size=None):
    masks = instance_masks(instances, size=size)
    size = size or instances.image_size
    expected, ties = full_frame_masks(instances, size)
    for mask, wanted, tie in zip(masks, expected.numpy(), ties.numpy(), strict=True):
        assert mask.crop.dtype == np.bool_
        assert mask.crop.any() or mask.crop.shape == (0, 0)
        np.testing.assert_array_equal(mask.full(size) | tie, wanted | tie)


@st.composite
def random_instances(draw):
    """Draw random logits on the grid of a letterboxed image, and boxes anywhere, including across the border."""
    image_size = draw(st.tuples(st.integers(1, 150), st.integers(1, 150)))
    box = letterbox(image_size, draw(st.sampled_from([32, 64, 96, 160])))
    grid_size = (box.input_size[0] // 4, box.input_size[1] // 4)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    num_objects = draw(st.integers(0, 3))
    height, width = image_size
    corners = rng.uniform(-0.2, 1.2, size=(num_objects, 2, 2)) * (width, height)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).clip(0, [width, height] * 2)
    logits = torch.from_numpy(rng.standard_normal((num_objects, *grid_size), dtype=np.float32))
    return instances_of(logits, boxes, image_size, box.to_image(4))


@pytest.mark.slow
@given(random_instances())
@settings(max_examples=200, deadline=None)
def test_masks_equal_full_frame_masks(instances):
    assert_same(instances)


@pytest.mark.slow
@given(random_instances(), st.tuples(st.integers(1, 200), st.integers(1, 200)))
@settings(max_examples=100, deadline=None)
def test_masks_equal_full_frame_masks_at_any_output_size(instances, size):
    assert_same(instances, size)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("image_size", "imgsz"),
    [
        pytest.param((720, 1280), 640, id="720p: 8 pixels per cell, 3 cells of padding"),
        pytest.param((1080, 1920), 640, id="1080p: 12 pixels per cell"),
        pytest.param((480, 640), 640, id="640x480: no padding"),
        pytest.param((480, 854), 640, id="854x480: uneven scale"),
        pytest.param((427, 640), 320, id="odd height, padding of a fraction of a cell"),
        pytest.param((100, 37), 640, id="enlarged: less than a pixel per cell"),
    ],
)
def test_common_sizes(image_size, imgsz):
    rng = np.random.default_rng(3)
    box = letterbox(image_size, imgsz)
    coarse = torch.from_numpy(rng.standard_normal((4, 1, 12, 12), dtype=np.float32))
    grid_size = (box.input_size[0] // 4, box.input_size[1] // 4)
    logits = functional.interpolate(coarse, grid_size, mode="bicubic")[:, 0]
    height, width = image_size
    boxes = [
        [0, 0, width, height],
        [0.3 * width, 0.2 * height, 0.61 * width, 0.57 * height],
        [0.9 * width, 0.8 * height, width, height],
        [0.5 * width, 0, 0.5 * width + 1.3, height],
    ]
    instances = instances_of(logits, boxes, image_size, box.to_image(4))
    assert_same(instances)
    assert_same(instances, (max(height // 4, 1), max(width // 4, 1)))


@pytest.mark.parametrize("image_size", [(720, 1280), (427, 640), (333, 77), (5, 400), (1, 1)])
def test_object_that_fills_the_image_has_an_all_true_mask(image_size):
    # Logits in the padding do not belong to the object, and must not pull its mask away from the border.
    box = letterbox(image_size, 320)
    grid_size = (box.input_size[0] // 4, box.input_size[1] // 4)
    logits = torch.full((1, *grid_size), -50.0)
    top, left = box.top // 4, box.left // 4
    bottom = math.ceil((box.top + box.scaled_size[0]) / 4)
    right = math.ceil((box.left + box.scaled_size[1]) / 4)
    logits[0, top:bottom, left:right] = 1.0
    height, width = image_size
    cell_x, cell_y = box.to_image(4).scale_x, box.to_image(4).scale_y
    inner = [cell_x * 0.4, cell_y * 0.4, width - cell_x * 0.4, height - cell_y * 0.4]
    for edges in ([0, 0, width, height], inner):
        (mask,) = instance_masks(instances_of(logits, edges, image_size, box.to_image(4)))
        assert (mask.x, mask.y) == (0, 0)
        assert mask.crop.shape == image_size
        assert mask.crop.all()


def test_edge_farther_than_half_a_cell_from_the_border_stays():
    logits = torch.ones(1, 8, 8)
    edges = [2.1, 2.1, 29.4, 29.4]
    (mask,) = instance_masks(instances_of(logits, edges, (32, 32), UNPADDED))
    assert (mask.x, mask.y, mask.crop.shape) == (2, 2, (27, 27))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        pytest.param([10, 20, 14, 22], (10, 20, (2, 4)), id="whole pixels"),
        pytest.param([10.5, 20.5, 13.5, 21.5], (10, 20, (1, 3)), id="centre on the low edge is inside"),
        pytest.param([10.6, 20.6, 14.4, 22.4], (11, 21, (1, 3)), id="covered centre decides"),
        pytest.param([10.6, 20.6, 11.4, 22.4], (0, 0, (0, 0)), id="between two centres"),
        pytest.param([10, 20, 10, 30], (0, 0, (0, 0)), id="no width"),
        pytest.param([14, 22, 10, 20], (0, 0, (0, 0)), id="inverted"),
        pytest.param([64, 0, 64, 48], (0, 0, (0, 0)), id="on the right border, no width"),
    ],
)
def test_pixels_inside_a_box(box, expected):
    instances = instances_of(torch.ones(1, 12, 16), box, (48, 64), UNPADDED)
    (mask,) = instance_masks(instances)
    assert (mask.x, mask.y, mask.crop.shape) == expected


def test_logits_below_zero_give_an_empty_crop():
    instances = instances_of(-torch.ones(1, 12, 16), [3, 3, 40, 40], (48, 64), UNPADDED)
    (mask,) = instance_masks(instances)
    assert mask.crop.shape == (0, 0)
    assert mask.area == 0


def test_rows_are_selected_in_the_given_order():
    instances = instances_of(
        torch.ones(3, 12, 16),
        [[10, 10, 20, 20], [20, 20, 30, 30], [30, 30, 40, 40]],
        (48, 64),
        UNPADDED,
    )
    for rows in ([2, 0], torch.tensor([2, 0])):
        assert [mask.x for mask in instance_masks(instances, rows)] == [30, 10]
    assert [mask.x for mask in instance_masks(instances, torch.tensor([False, True, False]))] == [20]
    assert [mask.x for mask in instance_masks(instances, [0, 1, 2])] == [10, 20, 30]
    assert [mask.x for mask in instance_masks(instances[:2], [False, True])] == [20]
    assert instance_masks(instances, []) == []


def test_no_instances_give_no_masks():
    assert instance_masks(Instances.empty((48, 64))) == []


def test_half_precision_logits_are_accepted():
    instances = instances_of(torch.ones(1, 12, 16, dtype=torch.float16), [8, 8, 16, 16], (48, 64), UNPADDED)
    assert instance_masks(instances)[0].area == 64


def test_output_without_pixels_is_rejected():
    with pytest.raises(ValueError, match=r"at least one pixel"):
        instance_masks(Instances.empty((48, 64)), size=(0, 64))


# ---- with corrections


def corrected_instances(seed, image_size=(120, 200)):
    generator = torch.Generator().manual_seed(seed)
    height, width = image_size
    corner = torch.rand((4, 2), generator=generator) * torch.tensor([width * 0.6, height * 0.6])
    boxes = torch.cat([corner, corner + 4 + torch.rand((4, 2), generator=generator) * 60], dim=1)
    boxes = torch.minimum(boxes, torch.tensor([width, height, width, height]).float())
    logits = torch.randn((4, height // 4, width // 4), generator=generator)
    corrections = torch.randn((4, 12, 12), generator=generator) * 2
    return instances_of(logits, boxes, image_size, UNPADDED).corrected(corrections)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [(120, 200), (60, 100), (173, 211)], ids=["image size", "half", "odd"])
def test_corrections_are_added_within_their_margin(seed, size):
    instances = corrected_instances(seed)
    x = (torch.arange(size[1]) + 0.5) * 200 / size[1]
    y = (torch.arange(size[0]) + 0.5) * 120 / size[0]
    for row, mask in enumerate(instance_masks(instances, size=size)):
        x0, y0, x1, y1 = instances.boxes[row].tolist()
        margin_x, margin_y = CORRECTION_MARGIN * (x1 - x0), CORRECTION_MARGIN * (y1 - y0)
        low_x, high_x = snapped(x0 - margin_x, x1 + margin_x, 200)
        low_y, high_y = snapped(y0 - margin_y, y1 + margin_y, 120)
        inside = ((x >= low_x) & (x < high_x))[None, :] & ((y >= low_y) & (y < high_y))[:, None]
        # Check every pixel with an independent computation; large cells are displaced.
        edges = [(x0 - margin_x, low_x, x1 + margin_x, high_x, 200 / size[1], size[1])]
        edges.append((y0 - margin_y, low_y, y1 + margin_y, high_y, 120 / size[0], size[0]))
        placed = on_whole_pixels(instances, size) if all(has_large_cells(*edge) for edge in edges) else instances
        logits = sample_logits(placed, torch.tensor(row), x[None, :], y[:, None])
        expected = (inside & (logits > 0)).numpy()
        found = np.zeros(size, dtype=bool)
        found[mask.y : mask.y + mask.crop.shape[0], mask.x : mask.x + mask.crop.shape[1]] = mask.crop
        unsure = (logits.abs() < 1e-3).numpy()
        assert not ((found != expected) & ~unsure).any()


def has_large_cells(low, low_attracted, high, high_attracted, pixel, num_pixels, raster=12):
    """Return whether, along one axis, cells are at least three output pixels wide and extend as far as the mask."""

    def first_beyond(edge):
        return math.ceil(edge / pixel - 0.5)

    begin, end = first_beyond(low), first_beyond(high)
    reaches = begin <= max(first_beyond(low_attracted), 0) and end >= min(first_beyond(high_attracted), num_pixels)
    return reaches and end - begin >= 3 * raster


def on_whole_pixels(instances, size):
    """Move the boxes by up to half a pixel, so that their corrections begin and end at whole output pixels."""
    pixel = torch.tensor([instances.image_size[1] / size[1], instances.image_size[0] / size[0]])
    low, high = instances.boxes[:, :2], instances.boxes[:, 2:]
    margin = CORRECTION_MARGIN * (high - low)
    low, high = ((edge / pixel).round() * pixel for edge in (low - margin, high + margin))
    margin = (high - low) * CORRECTION_MARGIN / (1 + 2 * CORRECTION_MARGIN)
    return replace(instances, boxes=torch.cat([low + margin, high - margin], dim=1))


@pytest.mark.parametrize(
    ("box", "is_moved"),
    [
        pytest.param([40.3, 30.4, 100.6, 90.7], True, id="large"),
        pytest.param([40.3, 30.4, 60.6, 50.7], False, id="small"),
        pytest.param([40.3, 30.4, 100.6, 50.7], False, id="small in one direction"),
        pytest.param([10.3, 30.4, 70.6, 90.7], False, id="moved to the border"),
    ],
)
def test_only_corrections_with_large_cells_are_displaced(box, is_moved):
    generator = torch.Generator().manual_seed(1)
    corrections = torch.randn((1, 12, 12), generator=generator)
    instances = instances_of(torch.zeros(1, 30, 50), box, (120, 200), UNPADDED).corrected(corrections)
    (mask,) = instance_masks(instances)
    x = mask.x + torch.arange(mask.crop.shape[1]) + 0.5
    y = mask.y + torch.arange(mask.crop.shape[0]) + 0.5
    exact = sample_logits(instances, torch.tensor(0), x[None, :], y[:, None])
    assert bool((((exact > 0).numpy() != mask.crop) & (exact.abs() > 1e-3).numpy()).any()) == is_moved


def snapped(low, high, extent):
    """Move edges within half a cell of the border to it."""
    return 0 if low <= 2 else low, extent if high >= extent - 2 else high


def test_half_precision_corrections_are_accepted():
    instances = corrected_instances(0)
    in_half = instances.corrected(instances.corrections.half())
    for mask, other in zip(instance_masks(instances), instance_masks(in_half), strict=True):
        assert abs(mask.area - other.area) <= 0.02 * max(mask.area, 100)


@pytest.mark.parametrize("size", [(120, 200), (720, 1200), (90, 177)])
@pytest.mark.parametrize("is_corrected", [True, False])
def test_masks_do_not_depend_on_the_other_rows(size, is_corrected):
    """Masks of several sizes are computed in the same memory, one after the other."""
    instances = corrected_instances(7)
    if not is_corrected:
        instances = instances.corrected(None)
    together = instance_masks(instances, size=size)
    for row, mask in enumerate(together):
        (alone,) = instance_masks(instances, [row], size=size)
        assert (alone.x, alone.y) == (mask.x, mask.y)
        np.testing.assert_array_equal(alone.crop, mask.crop)


@pytest.mark.parametrize("size", [None, (720, 1200), (90, 177)])
@pytest.mark.parametrize("is_corrected", [True, False])
def test_masks_as_pixels_equal_those_of_run_lengths(size, is_corrected):
    corrected = corrected_instances(8)
    empty = instances_of(-torch.ones(1, 30, 50), [3, 3, 40, 40], (120, 200), UNPADDED).corrected(torch.zeros(1, 12, 12))
    for instances in (corrected, empty, corrected[:0]):
        chosen = instances if is_corrected else instances.corrected(None)
        found, expected = instance_masks(chosen, size=size, as_pixels=True), instance_masks(chosen, size=size)
        for mask, other in zip(found, expected, strict=True):
            assert type(mask) is CropMask
            assert (mask.x, mask.y, mask.space, mask.area) == (other.x, other.y, other.space, other.area)
            assert mask.crop.dtype == np.bool_
            assert mask.crop.flags.c_contiguous
            np.testing.assert_array_equal(mask.crop, other.crop)
            assert mask.crop.view(np.uint8).max(initial=0) <= 1  # valid bools
