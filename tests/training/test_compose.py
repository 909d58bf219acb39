from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamseg.datasets.samples import Sample
from streamseg.errors import ConfigError
from streamseg.training.compose import MAX_OBJECTS, ComposeSettings, compose
from tests.support.images import disc, labelled, paint, rectangle

PLAIN = ComposeSettings(mosaic=0, paste=0, part_share=0, photometric=0)
"""A single image, cropped, scaled and flipped."""

PASTED = replace(PLAIN, paste=1, max_pasted=2)

HUES = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 0.5, 0), (0, 1, 0.5), (0.5, 0, 1))
"""Colours that stay distinct when a pasted object is darkened or brightened; the first three even when blended."""


class Hues:
    """Draws images with one object each, all of different hues.

    Args:
        seed: seed of the shapes.
        crowds: whether the objects are crowds.
    """

    def __init__(self, seed: int, *, crowds: bool = False) -> None:
        self._rng = np.random.default_rng(seed)
        self._crowds = crowds
        self.num_drawn = 0

    def __call__(self, rng: np.random.Generator) -> Sample:
        size = (int(self._rng.integers(40, 160)), int(self._rng.integers(40, 160)))
        x, y = self._rng.uniform(0, 1, 2) * (size[1], size[0])
        extent = self._rng.uniform(0.1, 0.6) * min(size)
        if self._rng.random() < 0.5:
            mask = disc(size, x, y, extent)
        else:
            left, top = max(int(x - extent), 0), max(int(y - extent), 0)
            mask = rectangle(size, left, top, int(x + extent) + 1, int(y + extent / 3) + 1)
        hue = HUES[self.num_drawn]
        self.num_drawn += 1
        image = paint([mask], [tuple(round(180 * part) for part in hue)], size)
        return Sample(image, (labelled(mask, is_crowd=self._crowds),))


def where_hue(image, hue):
    """Return the pixels (S, S) of a hue at any brightness."""
    brightest = image.max(axis=2, keepdims=True).astype(float)
    return (brightest[..., 0] > 60) & (np.abs(image / np.maximum(brightest, 1) - hue).max(axis=2) < 0.13)


def share_of_cells(mask):
    """Convert bool (S, S) to shares (S / 4, S / 4)."""
    return mask.reshape(mask.shape[0] // 4, 4, mask.shape[1] // 4, 4).mean(axis=(1, 3))


def hue_of(composed, row):
    """Return the index of the most frequent hue in the cells that a target covers."""
    inside = np.kron(composed.masks[row] >= 250, np.ones((4, 4), dtype=bool))
    return int(np.argmax([(where_hue(composed.image, hue) & inside).sum() for hue in HUES]))


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([64, 96, 160]),
    st.sampled_from([PLAIN, replace(PLAIN, mosaic=1), PASTED]),
)
@example(42, 160, PASTED)
@example(1659, 160, PASTED)
def test_masks_and_boxes_match_their_objects(seed, size, augmentation):
    composed = compose(np.random.default_rng(seed), Hues(seed), size, augmentation)
    assert composed.image.shape == (size, size, 3)
    seen = set()
    for row, mask in enumerate(composed.masks):
        inner = cv2.erode(np.pad(mask >= 250, 1).astype(np.uint8), np.ones((3, 3), dtype=np.uint8))[1:-1, 1:-1] > 0
        if inner.sum() < 4:
            continue  # too small to determine its colour
        hue = hue_of(composed, row)
        assert hue not in seen
        seen.add(hue)
        pixels = where_hue(composed.image, HUES[hue])
        shares = share_of_cells(pixels)
        assert (shares[inner] == 1).all()  # the mask contains nothing else
        assert (mask[shares == 1] > 100).all()  # and nothing is missing
        # The box is the tight box of the pixels, except for blurred edges and for a rim of the object that is visible
        # around a pasted one: it is two pixels wide and has no pixel of the object's own colour.
        rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
        box, slack = composed.boxes[row], 4
        assert (box[:2] <= (columns[0] + slack, rows[0] + slack)).all()
        assert (box[2:] >= (columns[-1] + 1 - slack, rows[-1] + 1 - slack)).all()
        beyond = mask.copy()
        beyond[max(rows[0] // 4 - 1, 0) : rows[-1] // 4 + 2, max(columns[0] // 4 - 1, 0) : columns[-1] // 4 + 2] = 0
        assert beyond.max() < 160
    # Visible objects that are not targets are excluded from the background.
    elsewhere = composed.masks.max(axis=0, initial=0) < 100
    for hue in set(range(3)) - seen:
        shares = share_of_cells(where_hue(composed.image, HUES[hue]))
        assert (composed.background_weight[(shares == 1) & elsewhere] < 60).all()


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([64, 128]))
def test_boxes_are_tight_around_their_masks(seed, size):
    composed = compose(np.random.default_rng(seed), Hues(seed), size, replace(ComposeSettings(), mosaic=0.5))
    cells = size // 4
    assert composed.masks.shape == (len(composed.boxes), cells, cells)
    for box, mask in zip(composed.boxes, composed.masks, strict=True):
        assert (box[:2] >= 0).all()
        assert (box[2:] <= size).all()
        assert (box[:2] < box[2:]).all()
        for axis, low, high in ((0, box[0], box[2]), (1, box[1], box[3])):
            touched, half = np.flatnonzero(mask.any(axis=axis)), np.flatnonzero((mask > 127).any(axis=axis))
            assert touched[0] * 4 <= low
            assert high <= touched[-1] * 4 + 4
            assert len(half) == 0 or (low - 4 < half[0] * 4 and half[-1] * 4 + 4 < high + 4)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_masks_do_not_overlap(seed):
    """A pasted object removes the pixels that it covers from other masks."""
    augmentation = ComposeSettings(mosaic=0.5, paste=1, photometric=0)
    composed = compose(np.random.default_rng(seed), Hues(seed), 96, augmentation)
    ascending = np.sort(np.concatenate([np.zeros((2, 24, 24), dtype=int), composed.masks]), axis=0)
    assert (ascending[-2:].sum(axis=0) <= 256).all()


def test_pasted_object_covers_others():
    """For many seeds, the mask of an object that fills the image excludes pasted objects."""
    whole = Sample(np.full((64, 64, 3), (0, 180, 0), dtype=np.uint8), (labelled(np.ones((64, 64), dtype=bool)),))
    num_cut = 0
    for seed in range(20):
        fills = iter([whole])
        hues = Hues(seed)
        composed = compose(
            np.random.default_rng(seed),
            lambda rng, fills=fills, hues=hues: next(fills, None) or hues(rng),
            64,
            replace(PLAIN, paste=1, scale=(2, 2)),
        )
        pasted = ~where_hue(composed.image, HUES[1])  # and its blurred edge
        green = [row for row in range(len(composed.masks)) if hue_of(composed, row) == 1]
        for row in green:
            assert (composed.masks[row][share_of_cells(pasted) == 1] < 40).all()
            num_cut += pasted.any()
    assert num_cut > 10


# ---- crowds, parts, hidden objects


def cell_weights(composed, hue):
    """Return the background weights of the cells that contain only one hue."""
    return composed.background_weight[share_of_cells(where_hue(composed.image, HUES[hue])) == 1]


def test_crowd_is_neither_target_nor_background():
    num_cells = 0
    for seed in range(30):
        composed = compose(np.random.default_rng(seed), Hues(seed, crowds=True), 64, PLAIN)
        assert len(composed.boxes) == 0
        assert (cell_weights(composed, 0) == 0).all()
        num_cells += len(cell_weights(composed, 0))
    assert num_cells > 500


def test_object_pasted_on_a_crowd_is_a_target():
    size = (64, 64)
    crowd = Sample(
        np.full((*size, 3), (180, 0, 0), dtype=np.uint8), (labelled(np.ones(size, dtype=bool), is_crowd=True),)
    )
    thing_mask = rectangle(size, 10, 10, 50, 50)
    thing = Sample(paint([thing_mask], [(0, 0, 180)], size), (labelled(thing_mask),))
    num_cells = 0
    for seed in range(10):
        drawn = iter([crowd, thing])
        composed = compose(
            np.random.default_rng(seed),
            lambda rng, drawn=drawn: next(drawn),
            64,
            replace(PLAIN, paste=1, max_pasted=1, scale=(2, 2)),
        )
        assert (cell_weights(composed, 0) == 0).all()
        assert (cell_weights(composed, 2) == 255).all()
        num_cells += len(cell_weights(composed, 2))
    assert num_cells > 100


@pytest.mark.parametrize(
    ("part_share", "num_targets"), [pytest.param(0, 1, id="never"), pytest.param(1, 2, id="always")]
)
def test_part_share_is_the_probability_of_part_targets(part_share, num_targets):
    size = (64, 64)
    whole, part = disc(size, 32, 32, 28), disc(size, 32, 32, 16)
    sample = Sample(paint([whole], [(180, 0, 0)], size), (labelled(whole), labelled(part, is_part=True)))
    for seed in range(10):
        composed = compose(
            np.random.default_rng(seed), lambda rng: sample, 128, replace(PLAIN, part_share=part_share, scale=(1, 1))
        )
        assert len(composed.boxes) == num_targets
        assert (composed.background_weight == 255).all()


def test_background_weight_is_that_of_the_sample():
    sample = Sample(np.full((50, 50, 3), 200, dtype=np.uint8), (), background_weight=0.4)
    composed = compose(np.random.default_rng(0), lambda rng: sample, 64, replace(PLAIN, mosaic=1))
    assert (composed.background_weight == 102).all()


def test_smallest_of_too_many_objects_are_ignored():
    size = (128, 128)
    masks = [rectangle(size, 16 * x, 16 * y, 16 * x + 12, 16 * y + 12) for x in range(8) for y in range(8)]
    masks += [rectangle(size, 16 * x + 13, 16 * y + 1, 16 * x + 16, 16 * y + 14) for x in range(4) for y in range(4)]
    sample = Sample(paint(masks, [(180, 0, 0)] * 80, size), tuple(labelled(mask) for mask in masks))
    composed = compose(np.random.default_rng(3), lambda rng: sample, 256, replace(PLAIN, scale=(0.8, 0.8)))
    assert len(composed.boxes) == MAX_OBJECTS
    areas = composed.masks.sum(axis=(1, 2), dtype=np.int64) / 255 * 16
    assert areas.min() > 250  # the small ones have 3 x 13 pixels, 1.6 times as wide and high
    elsewhere = share_of_cells(where_hue(composed.image, HUES[0])) * (composed.masks.max(axis=0) == 0)
    assert (elsewhere == 1).sum() > 15
    assert (composed.background_weight[elsewhere == 1] == 0).all()


@pytest.mark.parametrize(
    "sample",
    [
        pytest.param(Sample(np.full((50, 70, 3), 200, dtype=np.uint8), ()), id="no-object"),
        pytest.param(Sample(np.full((1, 1, 3), 200, dtype=np.uint8), ()), id="one-pixel"),
        pytest.param(
            Sample(np.full((50, 70, 3), 200, dtype=np.uint8), (labelled(np.zeros((50, 70), dtype=bool)),)),
            id="empty-mask",
        ),
        pytest.param(
            Sample(np.full((500, 700, 3), 9, dtype=np.uint8), (labelled(rectangle((500, 700), 3, 3, 4, 4)),)), id="tiny"
        ),
    ],
)
def test_images_without_targets(sample):
    for seed in range(10):
        composed = compose(np.random.default_rng(seed), lambda rng: sample, 64, ComposeSettings())
        assert composed.image.shape == (64, 64, 3)
        assert composed.boxes.shape == (0, 4)
        assert composed.boxes.dtype == np.float32
        assert composed.masks.shape == (0, 16, 16)
        assert composed.masks.dtype == np.uint8
        assert composed.background_weight.shape == (16, 16)


# ---- pixels


def test_image_around_a_pasted_object_is_unchanged():
    size = (40, 40)
    white = Sample(np.full((64, 64, 3), 255, dtype=np.uint8), ())
    square = rectangle(size, 8, 8, 32, 32)
    thing = Sample(paint([square], [(200, 0, 0)], size), (labelled(square),))
    for seed in range(10):
        drawn = iter([white, thing])
        composed = compose(
            np.random.default_rng(seed),
            lambda rng, drawn=drawn: next(drawn),
            64,
            replace(PLAIN, paste=1, max_pasted=1, scale=(2, 2)),
        )
        rows, columns = np.nonzero((composed.image != 255).any(axis=2))
        box = composed.boxes[0]
        assert (columns.min(), rows.min()) == (box[0], box[1])
        assert (columns.max() + 1, rows.max() + 1) == (box[2], box[3])


def test_camera_noise_changes_only_the_pixels():
    num_changed = 0
    for seed in range(20):
        plain, noisy = (
            compose(np.random.default_rng(seed), Hues(seed), 64, ComposeSettings(photometric=photometric))
            for photometric in (0, 1)
        )
        assert np.array_equal(plain.boxes, noisy.boxes)
        assert np.array_equal(plain.masks, noisy.masks)
        assert np.array_equal(plain.background_weight, noisy.background_weight)
        assert noisy.image.dtype == np.uint8
        num_changed += not np.array_equal(plain.image, noisy.image)
    assert num_changed == 20


def test_seed_determines_the_image():
    def made(seed):
        composed = compose(np.random.default_rng(seed), Hues(7), 96, ComposeSettings())
        return [composed.image, composed.boxes, composed.masks, composed.background_weight]

    for seed in range(20):
        assert all(np.array_equal(one, other) for one, other in zip(made(seed), made(seed), strict=True))
    assert not np.array_equal(made(0)[0], made(1)[0])


def test_samples_are_not_modified():
    hues = Hues(0)
    samples = [hues(np.random.default_rng(0)) for _ in range(9)]
    before = [(sample.image.copy(), sample.objects[0].mask.crop.copy()) for sample in samples]
    for seed in range(20):
        compose(
            np.random.default_rng(seed),
            lambda rng: samples[int(rng.integers(9))],
            64,
            replace(ComposeSettings(), paste=1),
        )
    for sample, (image, crop) in zip(samples, before, strict=True):
        assert np.array_equal(sample.image, image)
        assert np.array_equal(sample.objects[0].mask.crop, crop)


# ---- settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param({"mosaic": 1.1}, "compose.mosaic is 1.1; it must be from 0 to 1", id="probability-above-1"),
        pytest.param({"paste": -0.1}, "compose.paste is -0.1", id="probability-below-0"),
        pytest.param({"part_share": float("nan")}, "compose.part_share is nan", id="nan"),
        pytest.param({"max_pasted": 0}, "compose.max_pasted is 0", id="nothing-to-paste"),
        pytest.param({"scale": (2.0, 1.0)}, "two ascending numbers above 0", id="scale-descends"),
        pytest.param({"scale": (0.0, 1.0)}, "two ascending numbers above 0", id="scale-0"),
        pytest.param({"scale": (1.0, float("inf"))}, "two ascending numbers above 0", id="scale-without-end"),
    ],
)
def test_invalid_settings_are_rejected(values, message):
    with pytest.raises(ConfigError) as caught:
        ComposeSettings(**values)
    assert message in str(caught.value)
