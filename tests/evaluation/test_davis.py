"""J and F compared with their definition, evaluated for every pair of pixels."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.evaluation.davis import contour_accuracy, outline, region_similarity, summarise
from tests.support.images import disc, rectangle

SIZE = (60, 80)
SQUARE = rectangle(SIZE, 20, 15, 50, 45)
NOTHING = np.zeros(SIZE, bool)


def outline_by_pixel(mask):
    height, width = mask.shape
    lines = set()
    for y in range(height):
        for x in range(width):
            neighbours = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
            if any(b < height and a < width and mask[b, a] != mask[y, x] for b, a in neighbours):
                lines.add((y, x))
    return lines


def brute_force(mask, truth):
    """Find the nearest pixel of the other outline for every pixel of one outline."""
    reach = math.ceil(0.008 * math.hypot(*mask.shape))
    lines, truth_lines = outline_by_pixel(mask), outline_by_pixel(truth)
    if not lines or not truth_lines:
        return 1.0 if not lines and not truth_lines else 0.0

    def share(some, others):
        return np.mean([min(math.dist(one, other) for other in others) <= reach for one in some])

    precision, recall = share(lines, truth_lines), share(truth_lines, lines)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize(
    ("mask", "truth", "region"),
    [
        pytest.param(SQUARE, SQUARE, 1, id="equal"),
        pytest.param(rectangle(SIZE, 20, 15, 35, 45), SQUARE, 0.5, id="half"),
        pytest.param(NOTHING, SQUARE, 0, id="nothing found"),
        pytest.param(SQUARE, NOTHING, 0, id="nothing there"),
        pytest.param(NOTHING, NOTHING, 1, id="both empty"),
    ],
)
def test_region_similarity(mask, truth, region):
    assert region_similarity(mask, truth) == pytest.approx(region)


@pytest.mark.parametrize(
    ("mask", "truth", "contour"),
    [
        pytest.param(SQUARE, SQUARE, 1, id="equal"),
        # The tolerance is 0.8 pixels here, rounded up to one.
        pytest.param(rectangle(SIZE, 21, 16, 49, 44), SQUARE, 1, id="a pixel smaller all around"),
        pytest.param(rectangle(SIZE, 23, 18, 47, 42), SQUARE, 0, id="three pixels smaller all around"),
        pytest.param(NOTHING, SQUARE, 0, id="nothing found"),
        pytest.param(SQUARE, NOTHING, 0, id="nothing there"),
        pytest.param(NOTHING, NOTHING, 1, id="both empty"),
        pytest.param(~NOTHING, NOTHING, 1, id="the border of the image is no outline"),
    ],
)
def test_contour_accuracy(mask, truth, contour):
    assert contour_accuracy(mask, truth) == pytest.approx(contour, abs=0.02)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), size=st.sampled_from([(20, 30), (90, 120), (7, 5)]))
def test_contour_accuracy_equals_its_definition(seed, size):
    rng = np.random.default_rng(seed)
    height, width = size

    def blob():
        x, y, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0, 0.3 * width)
        return disc(size, x, y, radius) ^ (rng.random(size) < 0.01)

    mask = blob()
    truth = mask ^ disc(size, rng.uniform(0, width), rng.uniform(0, height), 0.2 * width)
    assert {tuple(one) for one in np.argwhere(outline(mask)).tolist()} == outline_by_pixel(mask)
    assert contour_accuracy(mask, truth) == pytest.approx(brute_force(mask, truth))


def test_recall_and_decay():
    scores = summarise([0.9] * 3 + [0.6] * 4 + [0.2] * 3)
    assert scores.mean == pytest.approx((2.7 + 2.4 + 0.6) / 10)
    assert scores.recall == pytest.approx(0.7)
    # Quarters of ten frames: 1 to 3, 3 to 6, 6 to 8 and 8 to 10.
    assert scores.decay == pytest.approx(0.9 - 0.2)


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4, 5])
def test_short_sequences(num_frames):
    scores = summarise([0.7] * num_frames)
    assert (scores.mean, scores.recall, scores.decay) == (pytest.approx(0.7), 1, pytest.approx(0))


def test_no_frames():
    assert all(map(math.isnan, vars(summarise([])).values()))
