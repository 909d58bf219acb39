"""Matching of edge pixels with drawings, compared with an exact minimum-cost assignment."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from streamseg.evaluation.edge_matching import count_edges, pair_pixels, thin

THRESHOLDS = np.arange(1, 10) / 10
SIZE = (24, 30)
REACH = 0.0075 * np.hypot(481, 321)  # 4.34 pixels


def line(row, size=SIZE, value=1.0, columns=slice(5, 25)):
    strength = np.zeros(size, np.float32)
    strength[row, columns] = value
    return strength


def count(strength, drawings, reach=REACH, thresholds=THRESHOLDS):
    return count_edges(strength, drawings, thresholds, tolerance=reach / np.hypot(*strength.shape))


def assigned_counts(strength, drawings, thresholds, reach):
    """The benchmark's method: a minimum-cost assignment per threshold; an unmatched pixel costs 100 tolerances."""
    found, right, recalled = [], [], []
    for threshold in thresholds:
        pixels = np.argwhere(strength.astype(np.float64) >= threshold)
        is_right = np.zeros(len(pixels), dtype=bool)
        num_recalled = 0
        for drawing in drawings:
            drawn = np.argwhere(drawing)
            distances = np.linalg.norm(pixels[:, None] - drawn[None], axis=2)
            rows, columns = linear_sum_assignment(np.where(distances <= reach, distances, 200 * reach))
            near = distances[rows, columns] <= reach
            is_right[rows[near]] = True
            num_recalled += int(near.sum())
        found.append(len(pixels))
        right.append(int(is_right.sum()))
        recalled.append(num_recalled)
    return found, right, recalled


# ---- by hand


def test_identical_lines_match():
    counts = count(line(10), [line(10) > 0])
    assert counts.precision.tolist() == counts.recall.tolist() == [1] * 9
    assert counts.num_found.tolist() == counts.num_drawn.tolist() == [20] * 9


@pytest.mark.parametrize(
    ("row", "num_right"),
    [
        pytest.param(14, 20, id="4 pixels beside it"),
        pytest.param(15, 0, id="5 pixels beside it"),
        pytest.param(6, 20, id="on the other side"),
    ],
)
def test_tolerance(row, num_right):
    assert count(line(row), [line(10) > 0]).num_right[0] == num_right


def test_matching_is_one_to_one():
    """Two lines beside one drawn line: each drawn pixel has one match, so one detected line is wrong."""
    counts = count(line(10) + line(12), [line(10) > 0])
    assert counts.num_found[0] == 40
    assert counts.num_right[0] == counts.num_recalled[0] == 20
    assert counts.precision[0] == 0.5


def test_pixel_counts_up_to_its_strength():
    strength = line(4, value=0.3) + line(18, value=0.75)
    counts = count(strength, [(line(4) + line(18)) > 0])
    assert counts.num_found.tolist() == [40] * 3 + [20] * 4 + [0] * 2
    assert counts.num_recalled.tolist() == [40] * 3 + [20] * 4 + [0] * 2
    assert counts.precision.tolist() == [1] * 7 + [0] * 2


def test_two_annotators_with_different_lines():
    """A detected pixel is right if one annotator drew it; a missed pixel counts for each annotator."""
    counts = count(line(4) + line(12), [line(4) > 0, (line(4) + line(20)) > 0])
    assert counts.num_right[0] == 20
    assert counts.precision[0] == 0.5
    assert (counts.num_recalled[0], counts.num_drawn[0]) == (40, 60)


def test_augmenting_path_adds_a_pair():
    """The left pixel reaches a single drawn pixel, which the stronger right pixel was matched with first."""
    strength = np.zeros(SIZE, np.float32)
    strength[10, 10], strength[10, 4] = 0.95, 0.5
    drawing = np.zeros(SIZE, bool)
    drawing[10, 8] = drawing[10, 14] = True
    assert count(strength, [drawing]).num_recalled.tolist() == [2] * 5 + [1] * 4


def test_nearer_pixel_is_matched():
    strength = np.zeros(SIZE, np.float32)
    strength[10, 13], strength[10, 10] = 0.9, 0.5
    drawing = np.zeros(SIZE, bool)
    drawing[10, 10] = True
    rows, columns = np.nonzero(strength)
    levels = np.searchsorted(THRESHOLDS, strength[rows, columns], side="right")
    strong, both = pair_pixels(rows, columns, levels, drawing, REACH)
    assert strong.tolist() == [False, True]
    assert both.tolist() == [True, False]


@pytest.mark.parametrize(
    ("strength", "drawings", "num_found", "num_drawn"),
    [
        pytest.param(line(3) * 0, [line(3) > 0], 0, 20, id="nothing found"),
        pytest.param(line(3), [line(3) < 0], 20, 0, id="nothing drawn"),
        pytest.param(line(3), [], 20, 0, id="no annotator"),
        pytest.param(line(3) * 0, [line(3) < 0], 0, 0, id="nothing at all"),
        pytest.param(line(3, value=0.05), [line(3) > 0], 0, 20, id="too weak for every threshold"),
    ],
)
def test_empty_inputs(strength, drawings, num_found, num_drawn):
    counts = count(strength, drawings)
    assert (counts.num_found[0], counts.num_drawn[0]) == (num_found, num_drawn)
    assert not counts.num_right.any()
    assert not counts.num_recalled.any()
    assert counts.precision.tolist() == counts.recall.tolist() == [0] * 9


def test_counts_of_images_add_up():
    one, other = count(line(10), [line(10) > 0]), count(line(3), [line(20) > 0])
    both = one + other
    assert (both.precision[0], both.recall[0]) == (0.5, 0.5)
    assert both.at(3).num_found.tolist() == [40]


# ---- compared with the exact assignment


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**16), density=st.sampled_from([0.02, 0.1, 0.3]), num_drawings=st.integers(1, 3))
def test_same_number_of_pairs_as_the_assignment(seed, density, num_drawings):
    rng = np.random.default_rng(seed)
    strength = (rng.random(SIZE) * (rng.random(SIZE) < density)).astype(np.float32)
    drawings = [rng.random(SIZE) < density for _ in range(num_drawings)]
    found, right, recalled = assigned_counts(strength, drawings, THRESHOLDS, 3.2)
    counts = count(strength, drawings, reach=3.2)
    assert counts.num_found.tolist() == found
    assert counts.num_recalled.tolist() == recalled
    if num_drawings == 1:
        assert counts.num_right.tolist() == right


def test_nearly_the_same_pixels_as_the_assignment():
    """With several drawings, precision depends on which pixels are matched."""
    rng = np.random.default_rng(5)
    size = (60, 80)
    columns = np.arange(80)
    strength = np.zeros(size, np.float32)
    for shift, value in ((10, 0.9), (13, 0.6), (30, 0.8), (33, 0.3), (47, 0.5)):
        rows = (shift + 3 * np.sin(columns / 9) + rng.random(80)).astype(int)
        strength[rows, columns] = value * rng.uniform(0.8, 1, 80)
    drawings = []
    for _ in range(4):
        drawing = np.zeros(size, bool)
        for shift in (11, 30, 48):
            drawing[(shift + 3 * np.sin(columns / 9) + rng.integers(-2, 3)).astype(int), columns] = True
        drawings.append(drawing)
    found, right, recalled = assigned_counts(strength, drawings, THRESHOLDS, REACH)
    counts = count(strength, drawings)
    assert counts.num_recalled.tolist() == recalled
    assert np.abs(counts.num_right - right).max() <= 0.02 * max(found)


# ---- thinning


def test_thick_line_becomes_one_pixel_wide():
    mask = np.zeros((20, 30), bool)
    mask[8:13, 3:27] = True
    lines = thin(mask)
    assert (lines.sum(axis=0)[7:23] == 1).all()
    assert lines[10, 10]
    assert not (lines & ~mask).any()


def test_ring_stays_closed():
    y, x = np.mgrid[:30, :30] - 14.5
    radius = np.hypot(x, y)
    lines = thin((radius > 6) & (radius < 11))
    labels = np.unique(lines)
    assert labels.tolist() == [False, True]
    assert 40 < lines.sum() < 80
    # No path leads from the centre to the corner without crossing the ring.
    reached, grown = np.zeros_like(lines), np.zeros_like(lines)
    grown[15, 15] = True
    while (grown != reached).any():
        reached = grown
        grown = reached.copy()
        for axis in (0, 1):
            for step in (1, -1):
                grown |= np.roll(reached, step, axis)
        grown &= ~lines
    assert not reached[0, 0]


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(np.zeros((5, 7), bool), id="nothing"),
        pytest.param(np.eye(9, dtype=bool), id="a diagonal"),
        pytest.param(np.eye(1, dtype=bool), id="one pixel"),
        pytest.param(np.ones((1, 6), bool), id="one row of the whole image"),
    ],
)
def test_thin_lines_are_unchanged(mask):
    assert (thin(mask) == mask).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16))
def test_thinning_only_removes_pixels_and_is_idempotent(seed):
    mask = np.random.default_rng(seed).random((15, 17)) < 0.6
    lines = thin(mask)
    assert not (lines & ~mask).any()
    assert (thin(lines) == lines).all()
