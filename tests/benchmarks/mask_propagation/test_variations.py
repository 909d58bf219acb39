"""Varied sequences and prompts, and the changes between two states of the code."""

import math

import numpy as np
import pytest

from benchmarks.mask_propagation.ablation import MIN_SMOOTH_FRAMES, CachedEngine
from benchmarks.mask_propagation.variations import (
    BOX_ERROR,
    VARIATIONS,
    VariedScore,
    changes,
    mean_scores,
    varied_scores,
)
from streamseg.engines import build_engine
from tests.support.sequences import SIZE, moving, sequence_folder

PAIRS = [(np.full((*SIZE, 3), 100 + index, np.uint8), mask) for index, mask in enumerate(moving(30, step=1))]


def varied(name):
    (variation,) = (one for one in VARIATIONS if one.name == name)
    return variation, variation.sequence(PAIRS, np.random.default_rng(0))


@pytest.mark.parametrize("name", [one.name for one in VARIATIONS])
def test_images_and_masks_keep_their_form(name):
    variation, pairs = varied(name)
    assert len(pairs) >= 10
    for image, mask in pairs:
        assert (image.dtype, mask.dtype) == (np.uint8, np.bool_)
        assert image.shape == (*mask.shape, 3)
        assert mask.any()
    assert set(variation.prompts(pairs[0][1], np.random.default_rng(0))) == {"box", "1 point"}


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("as they are", range(30)),
        ("backwards", range(29, -1, -1)),
        ("every second frame", range(0, 30, 2)),
        ("every third frame, backwards", range(29, -1, -3)),
        ("from frame 10 on", range(10, 30)),
    ],
)
def test_frames_are_chosen(name, frames):
    assert [int(image[0, 0, 0]) - 100 for image, _ in varied(name)[1]] == list(frames)


def test_a_mirrored_object_is_on_the_other_side():
    mask, mirrored = PAIRS[0][1], varied("mirrored")[1][0][1]
    assert np.array_equal(mirrored[:, ::-1], mask)


def test_half_the_size_keeps_the_share_of_the_object():
    mask, half = PAIRS[0][1], varied("half the size")[1][0][1]
    assert half.shape == (SIZE[0] // 2, SIZE[1] // 2)
    assert half.mean() == pytest.approx(mask.mean(), rel=0.1)


def test_in_a_larger_image_the_object_stays_as_it_is():
    (image, mask), (large, where) = PAIRS[1], varied("in an image four times as large")[1][1]
    assert where.shape == (SIZE[0] * 4, SIZE[1] * 4)
    top, left = 3 * SIZE[0] // 2, 3 * SIZE[1] // 2
    middle = (slice(top, top + SIZE[0]), slice(left, left + SIZE[1]))
    assert where.sum() == mask.sum()
    assert np.array_equal(where[middle], mask)
    assert np.array_equal(large[middle], image)
    assert large[0, 0].tolist() == [100] * 3, "the surroundings stay those of the first image"


def test_images_become_darker():
    pairs = zip(varied("darkening")[1], PAIRS, strict=True)
    brightness = [image.mean() / original.mean() for (image, _), (original, _) in pairs]
    assert brightness[0] == 1
    assert brightness[-1] == pytest.approx(0.4, abs=0.01)
    assert brightness == sorted(brightness, reverse=True)


@pytest.mark.parametrize("seed", range(20))
def test_careless_prompts_are_near_the_object(seed):
    variation, pairs = varied("careless prompts")
    mask = pairs[0][1]
    prompts = variation.prompts(mask, np.random.default_rng(seed))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    exact = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    error = np.abs(np.array(prompts["box"].box) - exact)
    assert 0 < error.max() <= 3.01 * BOX_ERROR * len(columns)
    ((x, y),) = prompts["1 point"].point_coords
    assert mask[int(y), int(x)]


def score(variation, sequence, value, prompt="box"):
    return VariedScore(variation, prompt, sequence, value)


def test_each_sequence_counts_once_and_so_does_its_error():
    before = [score("a", "one", 0.5), score("b", "one", 0.5), score("a", "two", 0.5), score("a", "three", 0.1)]
    after = [score("a", "one", 0.6), score("b", "one", 0.8), score("a", "two", 0.6), score("b", "two", 0.9)]
    found = changes(before, after)
    assert found["", "box"].mean == pytest.approx((0.2 + 0.1) / 2)
    assert found["", "box"].standard_error == pytest.approx(0.05)
    assert found["", "box"].num_prompts == 3
    assert found["b", "box"].mean == pytest.approx(0.3)
    assert math.isnan(found["b", "box"].standard_error)
    assert mean_scores(after)["", "box"].mean == pytest.approx((0.7 + 0.75) / 2)


def test_nothing_in_common_is_no_change():
    assert changes([score("a", "one", 0.5)], [score("a", "one", 0.5, "1 point")]) == {}


@pytest.mark.slow
def test_every_variation_is_scored(tmp_path):
    sequence_folder(tmp_path, {"long": moving(MIN_SMOOTH_FRAMES), "short": moving(4)})
    chosen = [one for one in VARIATIONS if one.name in ("backwards", "every second frame", "careless prompts")]
    scores = list(varied_scores(CachedEngine(build_engine()), tmp_path, chosen, imgsz=128))
    assert {(one.sequence, one.variation, one.prompt) for one in scores} == {
        (name, variation.name, prompt)
        for name in ("long", "short")
        for variation in chosen
        for prompt in ("box", "1 point")
        if name == "long" or not variation.is_for_smooth
    }
    assert all(0 <= one.region_and_contour <= 1 for one in scores)
