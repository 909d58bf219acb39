"""Masks and the causes of differing pixels, compared with the reference: see golden/reference/README.md."""

import numpy as np
import pytest

from tests.golden.reference import scripted
from tests.support.fidelity import LAST_WITH_PROMPTER, OFFICIAL, PRESENT, VERSIONS, predictions
from tests.support.fidelity_masks import (
    box_difference,
    full_masks,
    golden_masks,
    mask_difference,
    mask_ious,
    network_mask_difference,
    scene_instances,
    stretched_iou,
)

MEAN_IOU = 0.995
"""Minimum mean IoU with the reference's masks if its rules are exact to a pixel or two."""

ALIKE = [
    *((name, "native", version) for name in ("hd_720", "exact_fit") for version in VERSIONS),
    ("photo", "native", PRESENT),
    *((name, "plain", PRESENT) for name in ("hd_720", "exact_fit", "enlarged_half", "photo")),
]
"""Scenes whose padding the release crops exactly and that are not dominated by objects of a few pixels."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind", "version"), ALIKE)
def test_masks_match_the_reference(name, kind, version):
    assert mask_difference(name, kind, version).mean_iou >= MEAN_IOU


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["native", "plain"])
@pytest.mark.parametrize("name", scripted.MASK_SCENES)
def test_every_differing_pixel_has_a_known_cause(name, kind, version):
    difference = mask_difference(name, kind, version)
    # A logit that is zero up to rounding may have either sign.
    assert difference.unexplained <= 1e-5 * difference.num_pixels


@pytest.mark.slow
@pytest.mark.parametrize("version", [OFFICIAL, PRESENT])
@pytest.mark.parametrize("name", ["s_wide", "x_square"])
def test_masks_of_the_networks_objects_differ_only_by_known_causes(name, version):
    difference = network_mask_difference(predictions(name)["folded"], name, version)
    assert difference.num_pixels > 100_000
    # These logits come from the networks and differ in their last digits.
    assert difference.unexplained <= 2e-4 * difference.num_pixels
    if version == PRESENT:
        assert difference.mean_iou > 0.985


def test_padding_in_whole_cells_shifts_masks_in_older_releases():
    # 333 x 500 in 448 x 640 leaves 2.75 cells of padding above; 2 are cropped.
    older, present = (mask_difference("photo", "native", version) for version in (LAST_WITH_PROMPTER, PRESENT))
    assert older.causes["padding in whole cells"] > 50 * present.causes["padding in whole cells"]
    assert older.mean_iou < 0.95


def test_cropping_before_upsampling_lets_masks_leave_their_boxes():
    scene = scripted.mask_scene("exact_fit")
    x0, y0, x1, y1 = scene.boxes.T[:, :, None, None]
    rows, columns = np.indices(scene.input_size)
    outside = (columns < x0 - 1) | (columns > x1 + 1) | (rows < y0 - 1) | (rows > y1 + 1)
    leaked = {version: int((golden_masks(scene, "plain", version) & outside).sum()) for version in VERSIONS}
    ours = full_masks(scene_instances(scene, "plain", PRESENT))
    assert leaked[LAST_WITH_PROMPTER] > 1000
    assert leaked[PRESENT] == 0
    assert not (ours & outside).any()


def test_plain_masks_stretched_with_their_padding_miss_their_objects():
    # The official program draws these masks without its option for masks at image size.
    assert stretched_iou("hd_720", OFFICIAL) < 0.85
    assert stretched_iou("exact_fit", OFFICIAL) > 0.95


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", scripted.MASK_SCENES)
def test_boxes_in_the_image_are_within_a_pixel_of_the_input(name, version):
    # The reference uses one gain for both axes and computes the padding from unrounded sizes.
    difference, pixel = box_difference(name, version)
    assert difference <= pixel


def test_mask_ious_of_empty_masks():
    empty, full = np.zeros((1, 2, 2), np.bool_), np.ones((1, 2, 2), np.bool_)
    assert mask_ious(empty, empty).tolist() == [1.0]
    assert mask_ious(empty, full).tolist() == [0.0]
