"""Box prompts select the object that fills the box, or none."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.geometry import box_iou
from streamseg.prompting import hypotheses, select
from streamseg.prompting.overlap import MIN_SCORE
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.prompt import BoxPrompt
from tests.support.shapes import IMAGE_SIZE, Shape, detect_shapes

WALL = Shape(160, 120, 320, 240, "rectangle")
PERSON = Shape(160, 120, 100, 220, "rectangle")
FACE = Shape(160, 50, 60, 60)
BALL = Shape(270, 180, 60, 60)
RING = Shape(50, 60, 80, 80, "ring")
DISC = Shape(50, 60, 80, 80)
SCENE = [WALL, PERSON, FACE, BALL]


def tracked(shapes: list[Shape]) -> Tracked:
    instances = detect_shapes(shapes)
    return Tracked(instances, torch.arange(len(instances)))


@pytest.mark.parametrize(
    ("box", "row"),
    [
        pytest.param((110, 10, 210, 230), 1, id="tight around one"),
        pytest.param((100, 0, 220, 240), 1, id="loose around one"),
        pytest.param((130, 20, 190, 80), 2, id="tight around a part"),
        pytest.param((0, 0, 320, 240), 0, id="the whole image"),
        pytest.param((235, 150, 305, 215), 3, id="slightly displaced"),
        pytest.param((-50, -50, 400, 300), 0, id="beyond the image on all sides"),
        pytest.param((240, 150, 500, 210), 3, id="parts outside the image are ignored"),
        pytest.param((5, 5, 25, 25), None, id="a corner of the wall"),
        pytest.param((400, 10, 500, 90), None, id="outside the image"),
    ],
)
def test_selection(box, row):
    (selection,) = select(tracked(SCENE), [BoxPrompt("box", box)])
    assert selection.rows == (() if row is None else (row,))
    assert all(MIN_SCORE <= score <= 1 for score in selection.scores)


def test_perfect_fit_scores_one():
    (selection,) = select(tracked([PERSON]), [BoxPrompt("box", (110, 10, 210, 230))])
    assert selection.scores == pytest.approx((1.0,), abs=0.02)


def test_fuller_mask_wins_if_the_boxes_are_equal():
    assert select(tracked([RING, DISC]), [BoxPrompt("box", (10, 20, 90, 100))])[0].rows == (1,)


def test_thin_object_wins_over_a_small_solid_one():
    # By mask pixels alone, the blob would have the higher IoU with the box.
    ring = Shape(100, 100, 120, 120, "ring")
    blob = Shape(100, 100, 70, 70, "rectangle")
    assert select(tracked([blob, ring]), [BoxPrompt("box", (40, 40, 160, 160))])[0].rows == (1,)


def test_hypotheses_are_sorted_by_fit():
    best_first = hypotheses(tracked(SCENE), BoxPrompt("box", (110, 10, 210, 230)))
    assert best_first.rows[0] == 1
    assert list(best_first.scores) == sorted(best_first.scores, reverse=True)
    assert best_first.scores[-1] >= MIN_SCORE


def test_no_instances():
    none = Tracked(Instances.empty(IMAGE_SIZE), torch.zeros(0, dtype=torch.int64))
    assert select(none, [BoxPrompt("box", (0, 0, 10, 10))])[0].rows == ()


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    shapes=st.lists(
        st.builds(
            Shape,
            x=st.integers(30, 290),
            y=st.integers(30, 210),
            width=st.integers(12, 200),
            height=st.integers(12, 200),
            kind=st.sampled_from(["ellipse", "rectangle", "ring", "triangle"]),
        ),
        min_size=1,
        max_size=4,
    ),
    corner=st.tuples(st.floats(0, 250), st.floats(0, 180)),
    extent=st.tuples(st.floats(10, 200), st.floats(10, 200)),
)
def test_score_is_the_mean_of_both_ious(shapes, corner, extent):
    scene = tracked(shapes)
    (x0, y0), (width, height) = corner, extent
    box = torch.tensor([[x0, y0, min(x0 + width, 320), min(y0 + height, 240)]])
    best_first = hypotheses(scene, BoxPrompt("box", (x0, y0, x0 + width, y0 + height)))
    # Computed on a fine raster of the image, directly from the shapes.
    y, x = (
        axis.numpy()
        for axis in torch.meshgrid(torch.arange(0.25, 240, 0.5), torch.arange(0.25, 320, 0.5), indexing="ij")
    )
    in_box = (x >= box[0, 0].item()) & (x < box[0, 2].item()) & (y >= box[0, 1].item()) & (y < box[0, 3].item())
    expected = {}
    for row, shape in enumerate(shapes):
        mask = shape.covers(x, y)
        mask_iou = (mask & in_box).sum() / (mask | in_box).sum()
        expected[row] = (float(box_iou(box, scene.instances.boxes[row : row + 1])) + mask_iou) / 2
    for row, score in zip(best_first.rows, best_first.scores, strict=True):
        assert score == pytest.approx(expected[row], abs=0.06)
    assert {row for row, score in expected.items() if score > MIN_SCORE + 0.06} <= set(best_first.rows)
