"""Boxes with silhouettes, and the area that two objects share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from streamseg.tracking.appearance import SILHOUETTE_SIZE, Appearance, box_overlaps, mask_intersections, mask_ious
from tests.support.shapes import IMAGE_SIZE, Shape, detect_shapes

DISC = Shape(100, 100, 60, 60)


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
        assert mask_intersections(one, other)[0] == pytest.approx(area, rel=0.1, abs=20)


def test_mask_intersections_of_no_pairs():
    none = Appearance.empty()
    assert mask_intersections(none, none).shape == (0,)


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
    shared = mask_intersections(disc.moved(offset), bar.moved(offset))
    # The edge of a tile may fall on either side, depending on rounding.
    assert shared == pytest.approx(mask_intersections(disc, bar), rel=0.1)


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
