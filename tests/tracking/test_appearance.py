"""Boxes with silhouettes, and the area that two objects share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from streamseg.tracking.appearance import (
    SILHOUETTE_SIZE,
    TINY_AREA,
    Appearance,
    box_overlaps,
    mask_intersections,
    mask_ious,
)
from tests.support.shapes import IMAGE_SIZE, Shape, detect_shapes

DISC = Shape(100, 100, 60, 60)
NO_ROWS, FIRST = np.zeros(0, np.intp), np.zeros(1, np.intp)


def random_objects(random: np.random.Generator, count: int) -> Appearance:
    """Return objects of random masks, some empty and some full, in boxes some of which have no extent."""
    corners = random.uniform(0, 60, (count, 2))
    sizes = random.choice([0.0, 12.5, 20.0, 40.0], (count, 2))
    density = random.choice([0.0, 0.5, 1.0], (count, 1, 1))
    shapes = random.random((count, SILHOUETTE_SIZE, SILHOUETTE_SIZE)) < density
    return Appearance(np.concatenate((corners, corners + sizes), axis=1), shapes)


def shared_area(first: Appearance, second: Appearance) -> float:
    """Return the area shared by two objects, tile by tile."""
    small, large = (first, second) if first.box_areas[0] <= second.box_areas[0] else (second, first)
    (left, top, right, bottom), (x0, y0, x1, y1) = small.boxes[0], large.boxes[0]
    num_shared = 0
    for row, column in np.argwhere(small.shapes[0]).tolist():
        x = left - x0 + (right - left) * ((column + 0.5) / SILHOUETTE_SIZE)
        y = top - y0 + (bottom - top) * ((row + 0.5) / SILHOUETTE_SIZE)
        across = np.floor(x * (SILHOUETTE_SIZE / max(x1 - x0, TINY_AREA)))
        down = np.floor(y * (SILHOUETTE_SIZE / max(y1 - y0, TINY_AREA)))
        if 0 <= across < SILHOUETTE_SIZE and 0 <= down < SILHOUETTE_SIZE:
            num_shared += bool(large.shapes[0, int(down), int(across)])
    return num_shared / SILHOUETTE_SIZE**2 * small.box_areas[0]


@pytest.mark.parametrize(
    ("first", "second", "shared", "iou"),
    [
        pytest.param([0, 0, 10, 10], [0, 0, 10, 10], 100, 1, id="identical"),
        pytest.param([0, 0, 10, 10], [10, 0, 20, 10], 0, 0, id="touching edge"),
        pytest.param([0, 0, 10, 10], [20, 20, 30, 30], 0, 0, id="disjoint on both axes"),
        pytest.param([0, 0, 10, 10], [0, 0, 5, 10], 50, 0.5, id="half inside"),
        pytest.param([5, 5, 5, 5], [5, 5, 5, 5], 0, 0, id="no extent"),
        pytest.param([1e6, 0, 1e6 + 10, 10], [1e6 + 5, 0, 1e6 + 15, 10], 50, 1 / 3, id="large coordinates"),
    ],
)
def test_box_overlaps(first, second, shared, iou):
    area, ratio = box_overlaps(np.array([first], float), np.array([second], float))
    assert (area[0], ratio[0]) == pytest.approx((shared, iou))


@pytest.mark.parametrize(
    ("first", "second", "area"),
    [
        pytest.param(DISC, DISC, 2827, id="disc on itself"),
        pytest.param(DISC, Shape(200, 100, 60, 60), 0, id="two discs apart"),
        pytest.param(DISC, Shape(100, 100, 24, 24), 452, id="disc inside a disc"),
        pytest.param(Shape(100, 100, 60, 60, "ring"), Shape(100, 100, 24, 24), 0, id="disc in the hole of a ring"),
        pytest.param(DISC, Shape(115, 100, 30, 200, "rectangle"), 1413, id="half a disc under a bar"),
    ],
)
def test_mask_intersections(first, second, area):
    pair = [Appearance.of(detect_shapes([shape])) for shape in (first, second)]
    for one, other in (pair, pair[::-1]):
        assert mask_intersections(one, other, FIRST, FIRST)[0] == pytest.approx(area, rel=0.1, abs=20)


def test_mask_intersections_of_no_pairs():
    none = Appearance.empty()
    assert mask_intersections(none, none, NO_ROWS, NO_ROWS).shape == (0,)


@given(seed=st.integers(0, 2**32 - 1), counts=st.tuples(st.integers(1, 4), st.integers(1, 4)))
def test_mask_intersections_of_pairs_are_those_tile_by_tile(seed, counts):
    random = np.random.default_rng(seed)
    first, second = (random_objects(random, count) for count in counts)
    rows, columns = random.integers(counts[0], size=6), random.integers(counts[1], size=6)
    offsets = random.uniform(-20, 20, (6, 2))
    displaced = first[rows].moved(offsets)
    expected = [
        shared_area(displaced[np.array([pair])], second[np.array([column])]) for pair, column in enumerate(columns)
    ]
    assert mask_intersections(first, second, rows, columns, offsets).tolist() == expected
    every = np.arange(6)
    assert mask_intersections(displaced, second[columns], every, every).tolist() == expected


def test_mask_areas_count_the_tiles():
    objects = random_objects(np.random.default_rng(1), 50)
    assert objects.mask_areas.tolist() == (objects.box_areas * objects.shapes.mean(axis=(1, 2))).tolist()


@pytest.mark.parametrize(
    ("other", "iou"),
    [
        pytest.param(DISC, 1.0, id="identical"),
        pytest.param(Shape(100, 100, 60, 60, "rectangle"), np.pi / 4, id="disc in a square"),
        pytest.param(Shape(100, 100, 40, 40), 4 / 9, id="part"),
        pytest.param(Shape(100, 100, 20, 20), 0.0, id="below the least IoU"),
        pytest.param(Shape(200, 100, 60, 60), 0.0, id="apart"),
    ],
)
def test_mask_ious(other, iou):
    first, second = (Appearance.of(detect_shapes([shape])) for shape in (DISC, other))
    for one, two in ((first, second), (second, first)):
        assert mask_ious(one, two, 0.2)[0, 0] == pytest.approx(iou, abs=0.08)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 2), (2, 0)])
def test_mask_ious_of_no_objects(first, second):
    one, two = (Appearance.of(detect_shapes([DISC] * count)) for count in (first, second))
    assert mask_ious(one, two, 0.5).shape == (first, second)


def test_mask_areas():
    assert Appearance.of(detect_shapes([DISC, Shape(50, 50, 20, 20)])).mask_areas == pytest.approx([2827, 314], rel=0.1)


@pytest.mark.slow
@given(x=st.floats(-500, 500), y=st.floats(-500, 500))
def test_shared_area_is_independent_of_the_position(x, y):
    disc, bar = (
        Appearance.of(detect_shapes([DISC])),
        Appearance.of(detect_shapes([Shape(115, 100, 30, 150, "rectangle")])),
    )
    offset = np.array([[x, y]])
    shared = mask_intersections(disc.moved(offset), bar.moved(offset), FIRST, FIRST)
    # The edge of a tile may fall on either side, depending on rounding.
    assert shared == pytest.approx(mask_intersections(disc, bar, FIRST, FIRST), rel=0.1)


def test_mask_is_clipped_to_its_box():
    everywhere = Instances(
        torch.tensor([[40.0, 40.0, 60.0, 80.0]]),
        torch.tensor([0.9]),
        torch.full((1, 60, 80), 5.0),
        GridTransform(4, 4, 0, 0),
        IMAGE_SIZE,
    )
    assert Appearance.of(everywhere).mask_areas == pytest.approx([800])


def test_appearance_of_no_objects():
    none = Appearance.of(Instances.empty(IMAGE_SIZE)) + Appearance.empty()
    assert none.boxes.shape == (0, 4)
    assert none.shapes.shape == (0, SILHOUETTE_SIZE, SILHOUETTE_SIZE)
    assert none.mask_areas.shape == (0,)
