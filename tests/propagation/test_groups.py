"""Groups of proposals that together fill a box."""

import pytest

from streamseg.propagation import Proposals, group_in_box, group_in_mask
from tests.support.feature_maps import rectangle
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
        pytest.param(
            [HORSE, RIDER, Shape(100, 130, 120, 140, "rectangle", 0.06)], AROUND_BOTH, 2, (0, 1), id="a-stain-fills-it"
        ),
        pytest.param([HORSE, Shape(100, 90, 40, 60, "rectangle", 0.02)], AROUND_BOTH, 0, (), id="low-score"),
    ],
)
def test_a_group_answers_a_box_better_than_one_instance(shapes, box, single, members):
    assert group_in_box(Proposals(detect_shapes(shapes)), box, single) == members


@pytest.mark.parametrize(
    ("soft", "members"),
    [
        pytest.param(((40, 120, 160, 200), (80, 60, 120, 120)), (0, 1), id="both"),
        pytest.param(((40, 120, 160, 200),), (0,), id="one-of-them"),
        pytest.param(((200, 40, 280, 120),), (), id="elsewhere"),
        pytest.param(((0, 0, 320, 240),), (), id="much-larger"),
        pytest.param((), (), id="empty"),
    ],
)
def test_the_members_of_a_propagated_group(soft, members):
    proposals = Proposals(detect_shapes([HORSE, RIDER]))
    height, width = (side // 2 for side in proposals.size)
    mask = sum((_cells(box, (height, width)) for box in soft), start=rectangle(0, 0, 0, 0, (height, width)))
    assert group_in_mask(proposals, mask.clip(0, 1), min_iou=0.6) == members


def _cells(box, size):
    """A box of the image on cells of 8 pixels, below one row of padding."""
    x0, y0, x1, y1 = (side // 8 for side in box)
    return rectangle(x0, y0 + 1, x1, y1 + 1, size)
