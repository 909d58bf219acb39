import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.synthetic import SceneRenderer
from streamseg.synthetic.raster import Sprite
from streamseg.synthetic.renderer import MIN_VISIBLE_PIXELS, Placement, compose, measure
from streamseg.synthetic.shapes.registry import SHAPES, draw_shape

SIZE = (180, 320)
SCENES = [SceneRenderer(SIZE[1], SIZE[0], num_objects=12, seed=seed) for seed in range(5)]


@pytest.fixture(scope="module")
def renderer():
    return SceneRenderer(SIZE[1], SIZE[0], num_objects=10, seed=3)


def recoloured(sprite, rgb):
    """Return the sprite in a single colour, without its shadow."""
    rgba = np.dstack([(sprite.coverage.astype(np.float64) * value / 255) for value in rgb] + [sprite.coverage])
    return Sprite(np.round(rgba).astype(np.uint8), sprite.coverage, sprite.parts, sprite.outline)


@pytest.mark.slow
def test_same_seed_gives_same_images_in_any_order(renderer):
    again = SceneRenderer(SIZE[1], SIZE[0], num_objects=10, seed=3)
    backwards = {index: again.render(index) for index in (900, 40, 7, 0)}
    for index in (0, 7, 40, 900):
        np.testing.assert_array_equal(renderer.render(index), backwards[index])
        np.testing.assert_array_equal(renderer.truth(index).track_ids, again.truth(index).track_ids)
    assert not np.array_equal(SceneRenderer(SIZE[1], SIZE[0], num_objects=10, seed=4).render(0), renderer.render(0))


def test_caller_owns_the_image(renderer):
    image = renderer.render(5)
    image[:] = 0
    assert renderer.render(5).any()


def test_speed_is_independent_of_the_frame_rate():
    slow = SceneRenderer(160, 96, num_objects=4, seed=1, fps=10)
    fast = SceneRenderer(160, 96, num_objects=4, seed=1, fps=50)
    np.testing.assert_array_equal(slow.render(20), fast.render(100))


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 4), index=st.integers(0, 20_000))
def test_truth_invariants(seed, index):
    truth = SCENES[seed].truth(index)
    count = len(truth.track_ids)
    assert truth.boxes.shape == (count, 4)
    assert truth.boxes.dtype == np.float32
    assert truth.track_ids.dtype == np.int64
    assert truth.is_part.shape == (count,)
    assert len(set(truth.track_ids.tolist())) == count
    taken = np.zeros(SIZE, bool)
    whole = np.zeros(SIZE, bool)
    for mask, box, is_part in zip(truth.masks, truth.boxes, truth.is_part, strict=True):
        full = mask.full(SIZE)  # raises if the crop exceeds the image
        assert mask.area >= MIN_VISIBLE_PIXELS
        ys, xs = np.nonzero(full)
        assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        if is_part:
            assert not (full & ~whole).any(), "a part lies inside its whole"
        else:
            assert not (full & taken).any(), "objects are disjoint"
            taken |= full
            whole = full


def test_masks_are_exactly_the_pixels_drawn():
    """Each object is painted in a distinct colour; its pixels are those that the colour covers by half or more."""
    rng = np.random.default_rng(0)
    sprites = [draw_shape(SHAPES[name], 90, rng) for name in ("ring", "chair", "person", "gear")]
    for turn in range(4):
        placements = []
        for position, sprite in enumerate(sprites):
            angle = 0.7 * turn + position
            linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            matrix = np.column_stack([linear * 0.9, [60 + 55 * position + 3.3 * turn, 70.7 + 9 * position]])
            placements.append(Placement(sprite, matrix, position * 9))
        for position, placement in enumerate(placements):
            # White for the tested object, black for the objects in front of it.
            painted = [
                Placement(
                    recoloured(other.sprite, (255, 255, 255) if other is placement else (0, 0, 0)), other.matrix, 0
                )
                for other in placements[position:]
            ]
            alone = compose(np.zeros((*SIZE, 3), np.uint8), painted[:1])[..., 0] >= 128
            hidden = np.zeros(SIZE, bool)
            for other in placements[position + 1 :]:
                white = Placement(recoloured(other.sprite, (255, 255, 255)), other.matrix, 0)
                hidden |= compose(np.zeros((*SIZE, 3), np.uint8), [white])[..., 0] >= 128
            truth = measure(SIZE, placements)
            row = truth.track_ids.tolist().index(position * 9)
            np.testing.assert_array_equal(truth.masks[row].full(SIZE), alone & ~hidden)


def test_image_differs_from_the_background_only_at_objects_and_shadows(renderer):
    """Outside all masks the image equals the background, except for soft edges and darker shadows."""
    index = 40
    background = SceneRenderer(SIZE[1], SIZE[0], num_objects=0, seed=3).render(0)
    image, truth = renderer.render(index), renderer.truth(index)
    covered = np.zeros(SIZE, np.uint8)
    for mask in truth.masks:
        covered |= mask.full(SIZE).astype(np.uint8)
    outside = cv2.dilate(covered, np.ones((5, 5), np.uint8)) == 0
    difference = (image.astype(int) - background)[outside]
    # An object that is just entering has too few visible pixels to be in the truth.
    assert np.count_nonzero((difference > 1).any(axis=1)) < MIN_VISIBLE_PIXELS
    assert np.count_nonzero((difference < -1).any(axis=1)) < 0.05 * outside.sum()
    changed = np.abs(image.astype(int) - background).max(axis=2) > 8
    assert np.count_nonzero(changed & (covered > 0)) > 0.9 * covered.sum(), "objects differ from the background"


def test_sprite_returns_with_a_new_identity():
    renderer = SceneRenderer(320, 180, num_objects=4, seed=3)
    sprites: dict[int, set[int]] = {}
    for index in range(0, 1800, 15):
        truth = renderer.truth(index)
        assert len(set(truth.sprite_ids.tolist())) == len(truth.sprite_ids), "all visible sprites are different"
        for track_id, sprite_id in zip(truth.track_ids.tolist(), truth.sprite_ids.tolist(), strict=True):
            sprites.setdefault(track_id, set()).add(sprite_id)
    assert all(len(ids) == 1 for ids in sprites.values())
    assert len(set().union(*sprites.values())) < len(sprites)


def test_identities_are_never_reused(renderer):
    """Each identity is visible during one trajectory only, and a returning object gets a new one."""
    spans: dict[int, list[int]] = {}
    for index in range(0, 30 * 60, 15):
        for track_id in renderer.truth(index).track_ids.tolist():
            spans.setdefault(track_id, []).append(index)
    longest = max(seen[-1] - seen[0] for seen in spans.values())
    assert longest <= 14 * 30, "no identity lasts longer than the longest trajectory"
    assert len(spans) > 3 * len(renderer.truth(0).track_ids), "objects leave and new ones enter"


@pytest.mark.slow
@pytest.mark.parametrize(
    "num_objects", [pytest.param(0, id="none"), pytest.param(1, id="one"), pytest.param(60, id="crowd")]
)
def test_number_of_objects(num_objects):
    scene = SceneRenderer(320, 180, num_objects=num_objects, seed=0)
    present = [np.count_nonzero(~scene.truth(index).is_part) for index in range(0, 900, 90)]
    assert max(present) <= num_objects
    assert np.mean(present) >= 0.4 * num_objects
    assert scene.truth(0).boxes.shape[1] == 4
    assert scene.render(0).shape == (180, 320, 3)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"width": 8, "height": 64}, id="too narrow"),
        pytest.param({"width": 64, "height": 64, "num_objects": -1}, id="negative count"),
        pytest.param({"width": 64, "height": 64, "fps": 0}, id="zero fps"),
    ],
)
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match="a scene needs"):
        SceneRenderer(**arguments)


def test_negative_index(renderer):
    with pytest.raises(ValueError, match="start at 0, got -1"):
        renderer.render(-1)
