"""Masks of targets, carried from frame to frame."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.propagation import LabelPropagator, PropagationSettings
from streamseg.structures.feature_map import FeatureMap
from tests.support.feature_maps import TO_IMAGE, distinct_features, moved, rectangle

SIZE = (24, 40)
SCENE = distinct_features(SIZE)
BOX = (12, 8, 20, 16)
EVERY_CELL = PropagationSettings(max_tiles=100)
"""The finest grid at any size of the targets."""
rectangles = st.builds(
    lambda x, y, width, height: rectangle(x, y, x + width, y + height),
    st.integers(0, 36),
    st.integers(0, 20),
    st.integers(2, 20),
    st.integers(2, 12),
)


def propagator(*masks, features=SCENE, chosen=EVERY_CELL):
    """Returns one that has learnt the masks, by their number."""
    made = LabelPropagator(chosen)
    made.learn(features, {str(number): mask for number, mask in enumerate(masks)})
    return made


def assert_same_cells(found, expected):
    np.testing.assert_array_equal(found > 0.5, expected > 0.5)


def surfaces(mask, *, seed=0):
    """Features of two surfaces: one inside the mask, one outside."""
    rng = np.random.default_rng(seed)
    values = np.stack([mask, 1 - mask, *rng.normal(scale=0.1, size=(6, *SIZE))], axis=2).astype(np.float32)
    return FeatureMap(values / np.linalg.norm(values, axis=2, keepdims=True), TO_IMAGE)


@settings(max_examples=25)
@given(rectangles)
def test_the_same_frame_gives_the_same_mask(mask):
    assert_same_cells(propagator(mask).propagate(SCENE)["0"], mask)


@settings(max_examples=25)
@given(st.integers(-4, 4), st.integers(-4, 4))
def test_a_mask_moves_with_the_image_within_the_radius(down, right):
    x0, y0, x1, y1 = BOX
    # The search region reaches 5 cells beyond this box, and tiles to multiples of 8.
    found = propagator(rectangle(*BOX)).propagate(moved(SCENE, down, right))["0"]
    # Cells that enter at the border resemble any other cell.
    known = rectangle(right, down, 40 + min(right, 0), 24 + min(down, 0))
    assert_same_cells(found * known, rectangle(x0 + right, y0 + down, x1 + right, y1 + down))


def test_a_mask_follows_a_motion_that_goes_on():
    made, frame, box = propagator(rectangle(*BOX)), SCENE, np.array(BOX)
    for _ in range(8):
        frame, box = moved(frame, 0, 2), box + np.array([2, 0, 2, 0])
        found = made.propagate(frame)["0"]
        made.learn(frame, {"0": found})
    assert_same_cells(found * rectangle(16, 0, 40, 24), rectangle(*box))  # cells of the first frame


@settings(max_examples=10)
@given(st.lists(rectangles, min_size=1, max_size=20))
def test_many_targets_have_the_masks_that_each_has_alone(masks):
    together = propagator(*masks).propagate(moved(SCENE, 1, -1))
    for number, mask in enumerate(masks):
        alone = propagator(mask).propagate(moved(SCENE, 1, -1))
        assert ("0" in alone) == (str(number) in together)
        if "0" in alone:
            assert_same_cells(together[str(number)], alone["0"])


def test_large_targets_are_propagated_on_coarser_cells():
    mask = rectangle(0, 0, 32, 24)
    for max_tiles in (0, 100):
        found = propagator(mask, chosen=PropagationSettings(max_tiles=max_tiles)).propagate(SCENE)["0"]
        assert ((found > 0.5) == (mask > 0.5)).mean() > 0.95


def test_a_target_that_is_gone_has_no_mask_until_it_is_back():
    mask = rectangle(*BOX)
    made = propagator(mask, features=surfaces(mask))
    assert made.propagate(surfaces(np.zeros_like(mask), seed=1)) == {}
    assert list(made.propagate(surfaces(mask, seed=2))) == ["0"]


def test_an_unknown_target_starts_later():
    made = propagator(rectangle(*BOX))
    other = rectangle(30, 2, 36, 8)
    assert list(made.propagate(SCENE)) == ["0"]
    made.learn(SCENE, {"1": other})
    found = made.propagate(SCENE)
    assert sorted(found) == ["0", "1"]
    assert_same_cells(found["1"], other)
    assert_same_cells(found["0"], rectangle(*BOX))


def test_memory_keeps_the_first_frame_and_some_recent_ones():
    made = LabelPropagator(PropagationSettings(num_recent=2, max_tiles=100))
    frames = [distinct_features(SIZE, seed=seed) for seed in range(5)]
    for frame in frames:
        made.learn(frame, {"0": rectangle(*BOX)})
    for known, frame in zip([True, False, False, True, True], frames, strict=True):
        found = made.propagate(frame).get("0", np.zeros(SIZE))
        assert bool(((found > 0.5) == rectangle(*BOX)).all()) == known


def test_forgotten_targets_have_no_mask():
    made = propagator(rectangle(*BOX), rectangle(30, 2, 36, 8))
    made.retain(["1"])
    assert made.target_ids == ("1",)
    assert list(made.propagate(SCENE)) == ["1"]


@pytest.mark.parametrize(
    "features",
    [
        pytest.param(distinct_features((12, 40)), id="another-height"),
        pytest.param(distinct_features(SIZE, channels=8), id="other-channels"),
    ],
)
def test_features_of_another_shape_empty_the_memory(features):
    made = propagator(rectangle(*BOX))
    assert made.propagate(features) == {}
    assert made.target_ids == ()


def test_without_targets_features_are_not_read():
    class Unread(FeatureMap):
        @property
        def coarser(self):
            raise AssertionError

    unread = Unread(SCENE.values, TO_IMAGE)
    made = LabelPropagator()
    assert made.propagate(unread) == {}
    made.learn(unread, {})
    assert made.target_ids == ()


def test_an_empty_mask_is_not_learnt():
    made = propagator(np.zeros(SIZE, np.float32))
    assert made.target_ids == ()


def test_a_target_smaller_than_a_cell_is_the_cell_that_it_covers_most():
    mask = np.zeros(SIZE, np.float32)
    mask[4, 4], mask[4, 5] = 0.3, 0.1
    made = propagator(mask)
    assert made.target_ids == ("0",)
    assert made.propagate(SCENE) == {}  # no cell belongs to it by more than half


@pytest.mark.parametrize(
    ("name", "value"), [("radius", 0), ("num_votes", 0), ("num_recent", -1), ("max_tiles", -1), ("temperature", 0)]
)
def test_settings_have_limits(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .*, got {value}"):
        PropagationSettings(**{name: value})


def boxes_of(*boxes):
    """Boxes in cells as boxes in pixels of the image, by target number."""
    scale = np.array([TO_IMAGE.scale_x, TO_IMAGE.scale_y] * 2)
    offset = np.array([TO_IMAGE.offset_x, TO_IMAGE.offset_y] * 2)
    return {str(number): np.array(box) * scale + offset for number, box in enumerate(boxes)}


def test_targets_that_rest_have_no_masks_and_move_with_their_boxes():
    made, frame, box = propagator(rectangle(*BOX), rectangle(2, 18, 8, 22)), SCENE, np.array(BOX)
    for _ in range(6):  # farther than a search region reaches
        frame, box = moved(frame, 0, 2), box + np.array([2, 0, 2, 0])
        found = made.propagate(frame, boxes_of(box))
        assert "0" not in found
    frame, box = moved(frame, 0, 2), box + np.array([2, 0, 2, 0])
    found, expected = made.propagate(frame)["0"] > 0.5, rectangle(*box) > 0.5
    # Cells that have entered, or that are near the other target, resemble any other cell.
    assert found[expected].all()
    assert found.sum() < 1.5 * expected.sum()


def test_without_targets_in_motion_nothing_is_computed():
    made = propagator(rectangle(*BOX))
    assert made.propagate(SCENE, boxes_of(BOX)) == {}
    assert_same_cells(made.propagate(SCENE)["0"], rectangle(*BOX))


def test_targets_that_rest_still_claim_their_cells():
    made = propagator(rectangle(*BOX), rectangle(20, 8, 28, 16))
    alone, together = made.propagate(SCENE, boxes_of(BOX))["1"], made.propagate(SCENE)["1"]
    assert_same_cells(alone, together)


@pytest.mark.parametrize("max_tiles", [4, 12])
def test_targets_that_rest_take_no_fine_cells_from_others(max_tiles):
    large, small = rectangle(0, 0, 32, 24), rectangle(8, 8, 13, 13)
    chosen = PropagationSettings(max_tiles=max_tiles)
    alone = propagator(large, chosen=chosen).propagate(SCENE)["0"]
    together = propagator(large, small, chosen=chosen).propagate(SCENE, {"1": boxes_of((8, 8, 13, 13))["0"]})["0"]
    np.testing.assert_array_equal(alone, together)


def test_features_of_another_shape_start_afresh():
    made = propagator(rectangle(*BOX))
    other = distinct_features((12, 20))
    assert (made.is_ready(SCENE), made.is_ready(other)) == (True, False)
    assert made.propagate(other, boxes_of(BOX)) == {}
    assert made.target_ids == ()
