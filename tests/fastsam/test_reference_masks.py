"""FastSAM's boxes and masks: by hand, against a direct implementation, and against the recorded results."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from streamseg.fastsam.reference_masks import (
    as_reference,
    native_masks,
    plain_masks,
    plain_size,
    snap_full_image,
    stacked,
)
from streamseg.geometry import Letterbox, clip_boxes, letterbox
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from tests.golden.reference import scripted
from tests.support.paths import GOLDEN as GOLDEN_FOLDER

GOLDEN = GOLDEN_FOLDER / "reference"
PROMPTS = dict(np.load(GOLDEN / "prompts_8.2.60.npz"))
MASKS = dict(np.load(GOLDEN / "masks_8.2.60.npz"))
FORMER = dict(np.load(GOLDEN / "masks_8.0.120.npz"))

SCENES = sorted(scripted.MASK_SCENES)
UNPADDED = GridTransform(4, 4, 0, 0)


def instances_of(logits, boxes, image_size, grid_to_image=UNPADDED) -> Instances:
    boxes = torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Instances(boxes, torch.ones(len(boxes)), torch.as_tensor(logits), grid_to_image, image_size)


def scene(name: str, *, clipped: bool = True) -> Instances:
    """Return a scripted scene as a segmenter would; optionally without clipping its boxes at the image border."""
    script = scripted.mask_scene(name)
    (height, width), (input_height, input_width) = script.image_size, script.input_size
    gain = min(input_height / height, input_width / width)
    scaled = (round(height * gain), round(width * gain))
    top, left = (round((whole - part) / 2 - 0.1) for whole, part in zip(script.input_size, scaled, strict=True))
    place = Letterbox(script.image_size, scaled, script.input_size, top, left)
    scale_x, scale_y, offset_x, offset_y = place.to_image()
    boxes = torch.from_numpy(script.boxes)
    boxes = boxes * torch.tensor([scale_x, scale_y] * 2) + torch.tensor([offset_x, offset_y] * 2)
    boxes = clip_boxes(boxes, script.image_size) if clipped else boxes
    prototypes = torch.from_numpy(script.prototypes)
    logits = torch.mm(torch.from_numpy(script.coefficients), prototypes.flatten(1)).view(-1, *prototypes.shape[1:])
    return instances_of(logits, boxes, script.image_size, place.to_image(4))


def golden(archive, key: str, size: tuple[int, int], num_masks: int) -> np.ndarray:
    bits = np.unpackbits(archive[key], count=num_masks * size[0] * size[1])
    return bits.reshape(num_masks, *size).astype(np.bool_)


def mask_ious(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    union = (ours | theirs).sum(axis=(1, 2))
    return np.where(union == 0, 1.0, (ours & theirs).sum(axis=(1, 2)) / np.maximum(union, 1))


# ---- the full-image rule


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        pytest.param((50, 50, 90, 70), (50, 50, 90, 70), id="far from the border"),
        pytest.param((19.9, 20, 90, 70), (0, 20, 90, 70), id="one edge within 20 pixels, one at 20"),
        pytest.param((50, 50, 180, 80.5), (50, 50, 180, 100), id="the far edges likewise"),
        pytest.param((50, 50, 180.5, 80), (50, 50, 200, 80), id="at 20 they do not move"),
        pytest.param((19, 19, 181, 81), (0, 0, 200, 100), id="the whole by its edges"),
        pytest.param((0, 0, 200, 80), (0, 0, 200, 80), id="80 % is not the whole"),
        pytest.param((20, 0, 200, 100), (20, 0, 200, 100), id="90 % is not more than 90 %"),
        pytest.param((20, 0, 400, 100), (20, 0, 200, 100), id="the part beyond the border does not count"),
        pytest.param((-9, -9, 300, 300), (0, 0, 200, 100), id="larger than the image"),
    ],
)
def test_edges_snap_to_the_border_and_large_boxes_become_the_whole(box, expected):
    before = torch.tensor([box], dtype=torch.float32)
    given = before.clone()
    assert snap_full_image(given, (100, 200)).tolist() == [list(map(float, expected))]
    assert torch.equal(given, before)


def test_more_than_ninety_percent_becomes_the_whole():
    assert snap_full_image(torch.tensor([[21.0, 0.0, 400.0, 200.0]]), (200, 400)).tolist() == [[0, 0, 400, 200]]


def test_no_boxes():
    assert snap_full_image(torch.zeros((0, 4)), (100, 200)).shape == (0, 4)


@pytest.mark.parametrize("case", sorted(scripted.FULL_IMAGE_CASES))
def test_snapped_boxes_match_the_recorded_boxes(case):
    size = tuple(PROMPTS["full_image/size"].tolist())
    snapped = snap_full_image(torch.from_numpy(PROMPTS[f"full_image/{case}/before"]), size)
    if f"full_image/{case}/raises" in PROMPTS:
        # The reference raises; here every box that fills the image becomes the whole.
        assert snapped.tolist() == [[0, 0, 320, 200], [0, 0, 320, 200], [60, 60, 90, 90]]
    else:
        np.testing.assert_allclose(snapped.numpy(), PROMPTS[f"full_image/{case}/after"], atol=1e-4)


# ---- boxes


def test_snapping_is_in_pixels_of_the_network_input():
    # An image of twice the size of the input: 20 pixels of the input are 40 of the image.
    place = letterbox((480, 640), 320)
    logits = torch.zeros((2, place.input_size[0] // 4, place.input_size[1] // 4))
    found = instances_of(logits, [[39, 50, 200, 200], [41, 50, 200, 200]], (480, 640), place.to_image(4))
    boxes = as_reference(found).boxes
    assert boxes[:, 0].tolist() == pytest.approx([0, 41])
    torch.testing.assert_close(boxes[:, 1:], found.boxes[:, 1:])


def test_border_of_the_input_includes_the_padding():
    # 5 pixels of padding above: an edge 13 pixels inside the image is 18 from the border of the input.
    place = letterbox((333, 500), 500)
    assert (place.top, place.input_size) == (5, (352, 512))
    logits = torch.zeros((2, place.input_size[0] // 4, place.input_size[1] // 4))
    found = instances_of(logits, [[100, 13, 300, 200], [100, 16, 300, 200]], (333, 500), place.to_image(4))
    assert as_reference(found).boxes[:, 1].tolist() == pytest.approx([0, 16], abs=0.5)


def test_edge_at_the_border_of_the_image_stays_there():
    place = letterbox((1001, 3003), 320)
    logits = torch.zeros((1, place.input_size[0] // 4, place.input_size[1] // 4))
    found = instances_of(logits, [[0, 0, 1500, 1001]], (1001, 3003), place.to_image(4))
    assert as_reference(found).boxes[0].tolist() == pytest.approx([0, 0, 1500, 1001], abs=0.01)


@pytest.mark.parametrize("name", SCENES)
def test_scaled_boxes_match_the_recorded_boxes(name):
    found = scene(name)
    # Away from the border no edge snaps.
    input_height, input_width = plain_size(found)
    scripted_boxes = torch.from_numpy(scripted.mask_scene(name).boxes)
    far = (scripted_boxes[:, :2] >= 20).all(1) & (scripted_boxes[:, 2] <= input_width - 20)
    far &= scripted_boxes[:, 3] <= input_height - 20
    boxes = as_reference(found).boxes
    np.testing.assert_allclose(boxes[far].numpy(), MASKS[f"{name}/boxes"][far.numpy()], atol=1e-3)
    assert far.any() or name == "tiny"


# ---- masks, by hand


def test_masks_are_cropped_by_pixel_indices_not_centres():
    found = instances_of(torch.ones((1, 8, 8)), [[2.2, 3.0, 9.8, 10.0]], (32, 32))
    (mask,) = native_masks(found)
    assert (mask.x, mask.y, mask.crop.shape) == (3, 3, (7, 7))


def test_plain_mask_leaks_out_of_its_box():
    found = instances_of(torch.ones((1, 8, 8)), [[8, 8, 16, 16]], (32, 32))
    (mask,) = plain_masks(found)
    whole = mask.full((32, 32))
    assert whole[8:16, 8:16].all()
    assert whole.sum() > 64
    assert whole[:4].sum() == whole[20:].sum() == whole[:, :4].sum() == 0


def test_padding_is_removed_in_whole_cells():
    # 2.5 cells of padding above and below: 2 are removed above, and 2.5 below.
    logits = torch.full((1, 13, 16), -1.0)
    logits[0, 2] = 1.0
    found = instances_of(logits, [[0, 0, 64, 32]], (32, 64))
    (mask,) = native_masks(found)
    assert mask.full((32, 64))[:2].all()


@pytest.mark.parametrize("make", [native_masks, plain_masks])
@pytest.mark.parametrize(
    ("boxes", "logit"),
    [
        pytest.param([[5, 5, 5, 20]], 1.0, id="a box without area"),
        pytest.param([[5, 5, 20, 20]], 0.0, id="zero is outside"),
        pytest.param([[40, 40, 60, 60]], 1.0, id="a box beyond the image"),
        pytest.param([[4.2, 4.2, 4.9, 4.9]], 1.0, id="a box between two indices"),
    ],
)
def test_empty_masks(make, boxes, logit):
    (mask,) = make(instances_of(torch.full((1, 8, 8), logit), boxes, (32, 32)))
    assert (mask.area, mask.crop.shape, mask.x, mask.y) == (0, (0, 0), 0, 0)


@pytest.mark.parametrize("make", [native_masks, plain_masks])
def test_without_objects_there_are_no_masks(make):
    empty = Instances.empty((32, 48), (8, 12))
    assert make(empty) == []
    assert len(as_reference(empty)) == 0
    assert stacked([], (32, 48)).shape == (0, 32, 48)


# ---- masks, against a direct implementation and the recorded masks


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_computing_inside_the_boxes_loses_nothing(name):
    found = as_reference(scene(name))
    height, width = found.image_size
    gain = min(found.mask_logits.shape[1] / height, found.mask_logits.shape[2] / width)
    pad_x = (found.mask_logits.shape[2] - width * gain) / 2
    pad_y = (found.mask_logits.shape[1] - height * gain) / 2
    columns = slice(int(pad_x), int(found.mask_logits.shape[2] - pad_x))
    rows = slice(int(pad_y), int(found.mask_logits.shape[1] - pad_y))
    upsampled = functional.interpolate(
        found.mask_logits[None, :, rows, columns], (height, width), mode="bilinear", align_corners=False
    )[0]
    x, y = torch.arange(width)[None, None, :], torch.arange(height)[None, :, None]
    x0, y0, x1, y1 = found.boxes[:, :, None, None].unbind(1)
    inside = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
    differ = stacked(native_masks(found), (height, width)) != (inside & (upsampled > 0)).numpy()
    assert (upsampled.abs().numpy()[differ] < 1e-4).all()


@pytest.mark.parametrize("name", SCENES)
def test_native_masks_match_the_recorded_masks(name):
    found = scene(name)
    found = replace(found, boxes=torch.from_numpy(MASKS[f"{name}/boxes"]))
    theirs = golden(MASKS, f"{name}/native", found.image_size, len(found))
    ours = stacked(native_masks(found), found.image_size)
    assert (ours != theirs).sum() <= 2
    assert theirs.sum() > 100


@pytest.mark.parametrize("name", SCENES)
def test_plain_masks_match_the_recorded_masks(name):
    found = scene(name, clipped=False)
    theirs = golden(MASKS, f"{name}/plain", plain_size(found), len(found))
    assert (stacked(plain_masks(found), plain_size(found)) != theirs).sum() <= 2
    # With boxes clipped at the border of the image, only pixels in the padding are lost.
    clipped = scene(name)
    left, top = -clipped.grid_to_image.offset_x, -clipped.grid_to_image.offset_y
    left, top = (round(offset / scale * 4) for offset, scale in zip((left, top), clipped.grid_to_image, strict=False))
    rows = slice(top + 4, plain_size(clipped)[0] - top - 5)
    columns = slice(left + 4, plain_size(clipped)[1] - left - 5)
    ours = stacked(plain_masks(clipped), plain_size(clipped))
    assert (ours[:, rows, columns] != theirs[:, rows, columns]).sum() <= 2


def test_masks_before_june_2024_were_made_with_a_sigmoid():
    worst = min(
        mask_ious(
            stacked(native_masks(replace(found, boxes=torch.from_numpy(FORMER[f"{name}/boxes"]))), found.image_size),
            golden(FORMER, f"{name}/native", found.image_size, len(found)),
        ).mean()
        for name in SCENES
        for found in [scene(name)]
    )
    assert 0.97 < worst < 1
