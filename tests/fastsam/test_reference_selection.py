"""FastSAM's rules on masks: tables by hand, and the recorded results of the reference packages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from streamseg.fastsam.reference_selection import best_rows_for_boxes, better_quality, merged_points, rows_for_points
from tests.support.paths import GOLDEN as GOLDEN_FOLDER

GOLDEN = GOLDEN_FOLDER / "reference"
OFFICIAL = dict(np.load(GOLDEN / "prompts_8.2.60.npz"))
ULTRALYTICS = dict(np.load(GOLDEN / "prompts_8.4.190.npz"))
POINT_CASES = sorted({key.split("/")[1] for key in OFFICIAL if key.startswith("points/")})


def rectangles(*sides: tuple[int, int, int, int], size: tuple[int, int] = (12, 16)) -> np.ndarray:
    """Return masks (K, H, W), one per xyxy."""
    masks = np.zeros((len(sides), *size), dtype=np.bool_)
    for mask, (x0, y0, x1, y1) in zip(masks, sides, strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


PART, WHOLE, APART = (2, 2, 5, 5), (1, 1, 9, 9), (11, 2, 15, 10)
NESTED = rectangles(PART, WHOLE, APART)


# ---- points, merged


@pytest.mark.parametrize(
    ("points", "labels", "expected"),
    [
        pytest.param([(12, 4)], [1], [APART], id="one point"),
        pytest.param([(3, 3)], [1], [WHOLE], id="part and whole: both are painted"),
        pytest.param([(7, 7), (12, 4)], [1, 1], [WHOLE, APART], id="two objects become one mask"),
        pytest.param([(0, 0)], [1], [], id="on nothing"),
        pytest.param([(12, 4)], [0], [], id="background only"),
        pytest.param([(3, 3), (7, 7)], [1, 0], [PART], id="the part is painted on the erased whole"),
        pytest.param([(7, 7), (3, 3)], [0, 1], [WHOLE], id="in reverse order the whole is never erased"),
        pytest.param([(7, 7), (3, 3)], [1, 0], [], id="background in the part erases the whole, too"),
        pytest.param([(12, 4), (12, 5)], [1, 0], [], id="the later point decides: background"),
        pytest.param([(12, 4), (12, 5)], [0, 1], [APART], id="the later point decides: foreground"),
        pytest.param([(12, 4), (3, 3)], [1, 2], [APART], id="other labels are ignored"),
        pytest.param([(12.9, 4.9)], [1], [APART], id="coordinates are truncated"),
        pytest.param([(16, 4)], [1], [], id="right of the image"),
        pytest.param([(-4, 4)], [1], [], id="left of the image is not its right side"),
        pytest.param([], [], [], id="no point"),
    ],
)
def test_points_are_painted_on_one_canvas(points, labels, expected):
    np.testing.assert_array_equal(merged_points(NESTED, points, labels), rectangles(*expected).any(axis=0))


def test_background_point_before_the_foreground_point_removes_the_part():
    canvas = merged_points(NESTED, [(3, 3), (7, 7)], [0, 1])
    np.testing.assert_array_equal(canvas, NESTED[1] & ~NESTED[0])


def test_equal_areas_are_painted_in_their_order():
    masks = rectangles((1, 1, 6, 6), (3, 3, 8, 8))
    points, labels = [(2, 2), (7, 7)], [0, 1]
    np.testing.assert_array_equal(merged_points(masks, points, labels), masks[1])
    np.testing.assert_array_equal(merged_points(masks[::-1], points, labels), masks[1] & ~masks[0])


def test_points_of_a_larger_image_are_scaled_and_truncated():
    assert merged_points(NESTED, [(23, 9)], [1], image_size=(24, 32)).sum() == NESTED[2].sum()
    assert merged_points(NESTED, [(21.9, 9)], [1], image_size=(24, 32)).sum() == 0


@pytest.mark.slow
@given(
    masks=arrays.arrays(np.bool_, st.tuples(st.integers(0, 6), st.just(5), st.just(7))),
    points=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4), st.sampled_from([0, 1])), max_size=6),
)
def test_same_as_painting_one_by_one(masks, points):
    canvas = np.zeros((5, 7), dtype=np.bool_)
    for row in np.argsort([-mask.sum() for mask in masks], kind="stable").astype(int):
        for x, y, label in points:
            if masks[row, y, x]:
                canvas[masks[row]] = label
    merged = merged_points(masks, [(x, y) for x, y, _ in points], [label for *_, label in points])
    np.testing.assert_array_equal(merged, canvas)


@pytest.mark.parametrize("case", POINT_CASES)
def test_points_match_the_recorded_canvas(case):
    given_case = [OFFICIAL[f"points/{case}/{key}"].tolist() for key in ("points", "labels")]
    np.testing.assert_array_equal(merged_points(OFFICIAL["masks"], *given_case), OFFICIAL[f"points/{case}/official"])


def test_scaled_prompts_match_the_recorded_results():
    masks, size = OFFICIAL["masks"], tuple(OFFICIAL["scaled/size"].tolist())
    points = OFFICIAL["scaled/points"].tolist()
    canvas = merged_points(masks, points, [1] * len(points), image_size=size)
    np.testing.assert_array_equal(canvas, OFFICIAL["scaled/canvas"])
    rows = best_rows_for_boxes(masks, [OFFICIAL["scaled/box"].tolist()], image_size=size)
    assert rows == [int(OFFICIAL["scaled/row"])]


# ---- points, row by row


@pytest.mark.parametrize(
    ("points", "labels", "rows"),
    [
        pytest.param([(3, 3)], None, [0, 1], id="without labels all are foreground"),
        pytest.param([(3, 3), (7, 7)], [1, 0], [0], id="background removes the whole"),
        pytest.param([(7, 7), (3, 3)], [0, 1], [0], id="in any order"),
        pytest.param([(7, 7), (3, 3)], [1, 0], [], id="background in the part removes the whole, too"),
        pytest.param([(3, 3), (12, 4)], [1, 1], [0, 1, 2], id="any foreground point is enough"),
        pytest.param([(3, 3)], [0], [2], id="background only: all others"),
        pytest.param([(3, 3)], [2], [], id="other labels are ignored"),
        pytest.param([(99, 4)], [1], [], id="outside moves to the border"),
        pytest.param([(12.9, 4.9)], [1], [2], id="coordinates are truncated"),
        pytest.param([], [], [], id="no point"),
    ],
)
def test_rows_for_points(points, labels, rows):
    assert rows_for_points(NESTED, points, labels) == rows


@pytest.mark.parametrize("case", POINT_CASES)
def test_rows_for_points_match_the_recorded_rows(case):
    given_case = [ULTRALYTICS[f"points/{case}/{key}"].tolist() for key in ("points", "labels")]
    assert rows_for_points(ULTRALYTICS["masks"], *given_case) == ULTRALYTICS[f"points/{case}/rows"].tolist()


# ---- boxes


@pytest.mark.parametrize(
    ("boxes", "rows"),
    [
        pytest.param([(2, 2, 5, 5)], [0], id="tight"),
        pytest.param([(10, 0, 16, 12)], [2], id="loose"),
        pytest.param([(0, 10, 1, 11)], [0], id="on nothing: the first row"),
        pytest.param([(-9, -9, 10, 10)], [1], id="beyond the top left"),
        pytest.param([(11, 2, 99, 99)], [2], id="beyond the bottom right"),
        pytest.param([(2, 2, 5, 5), (11, 2, 15, 10), (2, 2, 5, 6)], [0, 2], id="each row once"),
        pytest.param([(11, 2, 15, 10), (2, 2, 5, 5)], [0, 2], id="not in the order of the boxes"),
        pytest.param([(2, 2, 2, 2)], [0], id="without area"),
        pytest.param([], [], id="no box"),
    ],
)
def test_boxes(boxes, rows):
    assert best_rows_for_boxes(NESTED, boxes) == rows


def test_rows_from_eight_on_have_the_order_of_a_set():
    masks = rectangles(*((column, 0, column + 1, 4) for column in range(10)))
    assert best_rows_for_boxes(masks, [(1, 0, 2, 4), (8, 0, 9, 4)]) == list({1, 8}) == [8, 1]


def test_edges_are_rounded_half_to_even():
    masks = rectangles((2, 2, 4, 4), (2, 2, 5, 5))
    assert best_rows_for_boxes(masks, [(2.5, 2.5, 4.5, 4.5)]) == [0]
    assert best_rows_for_boxes(masks, [(1.5, 1.5, 5.5, 5.5)]) == [1]


def test_first_of_two_equal_matches():
    assert best_rows_for_boxes(rectangles((0, 0, 4, 4), (4, 0, 8, 4)), [(2, 0, 6, 4)]) == [0]


@pytest.mark.parametrize("position", range(len(OFFICIAL["boxes/names"])), ids=OFFICIAL["boxes/names"].tolist())
def test_boxes_match_the_recorded_rows(position):
    box, row = OFFICIAL["boxes/boxes"][position].tolist(), OFFICIAL["boxes/rows"][position]
    assert best_rows_for_boxes(OFFICIAL["masks"], [box]) == [row]


# ---- no masks


def test_without_masks_nothing_matches():
    none = np.zeros((0, 12, 16), dtype=np.bool_)
    assert not merged_points(none, [(3, 3)], [1]).any()
    assert merged_points(none, [(3, 3)], [1]).shape == (12, 16)
    assert best_rows_for_boxes(none, [(2, 2, 5, 5)]) == rows_for_points(none, [(3, 3)]) == []


# ---- better quality


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param((4, 4, 12, 12), (5, 5, 13, 13), id="8 pixels remain, shifted"),
        pytest.param((4, 4, 11, 20), (0, 0, 0, 0), id="7 pixels are removed"),
        pytest.param((0, 0, 8, 8), (0, 0, 9, 9), id="at the border they only grow"),
        pytest.param((0, 0, 24, 24), (0, 0, 24, 24), id="everything"),
        pytest.param((0, 0, 0, 0), (0, 0, 0, 0), id="nothing"),
    ],
)
def test_better_quality_opens_with_an_even_kernel(before, after):
    opened = better_quality(rectangles(before, size=(24, 24))[0])
    np.testing.assert_array_equal(opened, rectangles(after, size=(24, 24))[0])


def test_better_quality_closes_gaps_of_two_pixels():
    gap = rectangles((4, 4, 20, 20), size=(24, 24))[0]
    gap[10:12, 4:20] = False
    np.testing.assert_array_equal(better_quality(gap), rectangles((5, 5, 21, 21), size=(24, 24))[0])


def test_better_quality_matches_the_recorded_masks():
    for before, after in zip(OFFICIAL["quality/before"], OFFICIAL["quality/after"], strict=True):
        copy = before.copy()
        np.testing.assert_array_equal(better_quality(before), after)
        np.testing.assert_array_equal(before, copy)
