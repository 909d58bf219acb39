"""Groups of proposals that together fill a box."""

import pytest

from streamseg.propagation import Proposals, group_in_box
from tests.support.shapes import Shape, detect_shapes

HORSE, RIDER = Shape(100, 160, 120, 80, "rectangle"), Shape(100, 90, 40, 60, "rectangle")
SHIRT, WALL = Shape(100, 90, 36, 30, "rectangle"), Shape(160, 120, 320, 240, "rectangle")
AROUND_BOTH, AROUND_HORSE = (40.0, 60.0, 160.0, 200.0), (40.0, 120.0, 160.0, 200.0)


@pytest.mark.parametrize(
    ("shapes", "box", "single", "members"),
    [
        pytest.param([HORSE, RIDER], AROUND_BOTH, 0, (0, 1), id="rider-and-horse"),
        pytest.param([HORSE, RIDER], AROUND_BOTH, -1, (0, 1), id="no-single-instance"),
        pytest.param([WALL, HORSE, RIDER, SHIRT], AROUND_BOTH, 1, (1, 2, 3), id="without-the-wall-behind"),
        pytest.param([HORSE, RIDER], AROUND_HORSE, 0, (), id="one-object-fills-the-box"),
        pytest.param([RIDER, SHIRT], (80.0, 60.0, 120.0, 120.0), 0, (), id="object-and-part"),
        pytest.param([RIDER, SHIRT], AROUND_BOTH, 0, (), id="too-small"),
        pytest.param([HORSE], AROUND_BOTH, 0, (), id="one-instance"),
        pytest.param([], AROUND_BOTH, -1, (), id="no-instance"),
        pytest.param([HORSE, RIDER], (-50.0, -50.0, -10.0, -10.0), -1, (), id="box-outside"),
        pytest.param([HORSE, Shape(100, 90, 40, 60, "rectangle", 0.02)], AROUND_BOTH, 0, (), id="low-score"),
    ],
)
def test_a_group_answers_a_box_better_than_one_instance(shapes, box, single, members):
    assert group_in_box(Proposals(detect_shapes(shapes)), box, single) == members
