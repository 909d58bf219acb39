import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.geometry import box_iou
from streamseg.modeling.decoding import anchors
from streamseg.training.assign import NUM_ANCHORS, assign

SIZE = 64
CENTRES, STRIDES = anchors(torch.zeros(1, 1, SIZE // 4, SIZE // 4))
STRIDES = STRIDES[:, 0]
NUM = len(CENTRES)


def boxes_around(half_sides):
    """Return predictions: at every anchor, a square that extends this many cells to each side."""
    half = (half_sides * STRIDES)[:, None]
    return torch.cat([CENTRES - half, CENTRES + half], dim=1)


def assigned(targets, *, scores=None, boxes=None):
    return assign(
        torch.full((NUM,), 0.5) if scores is None else scores,
        boxes_around(1.5) if boxes is None else boxes,
        CENTRES,
        STRIDES,
        torch.tensor(targets, dtype=torch.float32).reshape(-1, 4),
    )


def anchors_of(found, target):
    return found.anchors[found.targets == target]


def check(found, targets, boxes):
    """Assert the properties of every assignment."""
    assert found.anchors.dtype == found.targets.dtype == torch.int64
    assert len(found.anchors) == len(found.targets) == len(found.quality)
    assert (found.anchors.diff() > 0).all()  # strictly ascending: one target per anchor
    assert ((found.anchors >= 0) & (found.anchors < NUM)).all()
    assert ((found.targets >= 0) & (found.targets < len(targets))).all()
    assert ((found.quality >= 0) & (found.quality <= 1)).all()
    for target, box in enumerate(torch.as_tensor(targets, dtype=torch.float32).reshape(-1, 4)):
        mine = anchors_of(found, target)
        assert len(mine) <= NUM_ANCHORS
        centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
        assert ((CENTRES[mine] - centre).abs() < half.clamp(min=4.01)).all()
        if len(mine):
            # The quality of the best anchor is the best IoU.
            best = box_iou(box[None], boxes[mine]).max()
            assert found.quality[found.targets == target].max() == pytest.approx(float(best), abs=1e-5) or best < 0.01


@pytest.mark.parametrize(
    ("targets", "counts"),
    [
        pytest.param([], [], id="no-target"),
        pytest.param([[8, 8, 40, 40]], [10], id="one"),
        pytest.param([[3, 3, 5, 5]], [2], id="tiny-on-a-centre"),
        pytest.param([[6.5, 6.5, 9.5, 9.5]], [5], id="tiny-between-four-cells"),
        pytest.param([[6, 2, 10, 6]], [3], id="tiny-between-two-cells"),
        pytest.param([[0, 0, 1, 1]], [1], id="tiny-in-the-corner"),
        pytest.param([[63, 63, 64, 64]], [1], id="tiny-in-the-far-corner"),
        pytest.param([[0, 0, 64, 64]], [10], id="the-whole-image"),
        pytest.param([[0, 0, 64, 3]], [8], id="thinner-than-a-cell"),
        pytest.param([[4, 4, 60, 60], [24, 24, 40, 40]], [10, 4], id="nested"),
        pytest.param([[8, 8, 24, 24], [8, 8, 24, 24]], [5, 0], id="two-of-the-same-box"),
        pytest.param([[200, 200, 220, 220]], [0], id="outside-all-anchors"),
        pytest.param([[-50, -50, -10, -10], [8, 8, 40, 40]], [0, 10], id="one-outside-one-inside"),
        pytest.param([[10, 10, 10, 10]], [1], id="without-extent"),
    ],
)
def test_number_of_anchors_per_target(targets, counts):
    found = assigned(targets)
    check(found, targets, boxes_around(1.5))
    assert [len(anchors_of(found, target)) for target in range(len(targets))] == counts


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 63), st.floats(0, 63), st.floats(0.5, 60), st.floats(0.5, 60)), min_size=0, max_size=6
    ),
    st.floats(0.1, 4),
    st.integers(0, 1000),
)
def test_arbitrary_targets(sides, half_sides, seed):
    targets = [[x, y, min(x + width, 64), min(y + height, 64)] for x, y, width, height in sides]
    scores = torch.rand(NUM, generator=torch.Generator().manual_seed(seed))
    found = assigned(targets, scores=scores, boxes=boxes_around(half_sides))
    check(found, targets, boxes_around(half_sides))
    for target in range(len(targets)):
        alone = assigned(targets[target : target + 1], scores=scores, boxes=boxes_around(half_sides))
        assert len(alone.anchors)  # every target gets an anchor unless another target takes it


def test_target_without_overlap_gets_the_nearest_anchor():
    """With sides of length 0 no box overlaps any target; the nearest centre is assigned."""
    found = assigned([[10, 10, 30, 30]], boxes=boxes_around(0))
    assert found.anchors.tolist() == [(CENTRES - 20).norm(dim=1).argmin().item()]
    assert found.quality.tolist() == [0]


def test_better_scores_win_among_equal_boxes():
    target = torch.tensor([[4.0, 4.0, 60.0, 60.0]])
    boxes = target.repeat(NUM, 1)
    inside = ((CENTRES > 4) & (CENTRES < 60)).all(dim=1).nonzero()[:, 0]
    scores = torch.full((NUM,), 0.1)
    scores[inside[7:17]] = 0.4
    found = assigned([[4, 4, 60, 60]], scores=scores, boxes=boxes)
    assert found.anchors.tolist() == inside[7:17].tolist()
    assert torch.allclose(found.quality, torch.ones(10))


def test_better_box_beats_higher_score():
    """Alignment is score^0.5 * IoU^6, by hand: 0.9^0.5 * 0.5^6 = 0.0148, 0.2^0.5 * 0.8^6 = 0.1172."""
    centres, strides = torch.tensor([[4.0, 4.0], [12.0, 4.0], [4.0, 12.0]]), torch.full((3,), 8.0)
    boxes = torch.tensor([[0.0, 0, 5, 10], [0, 0, 8, 10], [90, 90, 99, 99]])
    found = assign(torch.tensor([0.9, 0.2, 1.0]), boxes, centres, strides, torch.tensor([[0.0, 0.0, 10.0, 10.0]]))
    # (12, 4) and (4, 12) lie outside the target, so their predictions do not matter.
    assert found.anchors.tolist() == [0]
    assert found.quality.tolist() == pytest.approx([0.5])
    found = assign(torch.tensor([0.9, 0.2, 1.0]), boxes, centres, strides, torch.tensor([[0.0, 0.0, 13.0, 10.0]]))
    first, second = math.sqrt(0.9) * (50 / 130) ** 6, math.sqrt(0.2) * (80 / 130) ** 6
    assert found.anchors.tolist() == [0, 1]
    assert found.quality.tolist() == pytest.approx([first / second * 80 / 130, 80 / 130], rel=1e-4)


def test_anchor_of_two_targets_is_assigned_to_the_larger_overlap():
    targets = [[0, 0, 32, 32], [0, 0, 24, 24]]
    boxes = torch.tensor([[0.0, 0, 24, 24]]).repeat(NUM, 1)
    found = assigned(targets, boxes=boxes)
    assert len(anchors_of(found, 1)) == NUM_ANCHORS
    assert found.quality[found.targets == 1].tolist() == pytest.approx([1] * NUM_ANCHORS)
    mine = set(anchors_of(found, 0).tolist())
    assert not mine & set(anchors_of(found, 1).tolist())


def test_assignment_has_no_gradient():
    boxes = boxes_around(1.5).requires_grad_()
    scores = torch.full((NUM,), 0.5, requires_grad=True)
    assert not assigned([[8, 8, 40, 40]], scores=scores, boxes=boxes).quality.requires_grad
