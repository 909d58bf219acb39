"""Point prompts select the object that their foreground points mean most likely, without any background point."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.prompting import hypotheses, select
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.prompt import PointPrompt
from tests.support.shapes import IMAGE_SIZE, Shape, detect_shapes

PERSON = Shape(160, 120, 100, 220, "rectangle", score=0.9)
FACE = Shape(160, 50, 60, 60, score=0.8)
NOSE = Shape(160, 50, 16, 16, score=0.7)
RING = Shape(50, 60, 80, 80, "ring", score=0.6)
BALL = Shape(270, 180, 60, 60, score=0.5)
SCENE = [PERSON, FACE, NOSE, RING, BALL]
ROWS = {"person": 0, "face": 1, "nose": 2, "ring": 3, "ball": 4}


def tracked(shapes: list[Shape]) -> Tracked:
    instances = detect_shapes(shapes)
    return Tracked(instances, torch.arange(len(instances)))


def points(*given_points: tuple[float, float, int], prompt_id: str = "click") -> PointPrompt:
    return PointPrompt(prompt_id, tuple((x, y) for x, y, _ in given_points), tuple(label for *_, label in given_points))


TABLE = [
    pytest.param(points((160, 180, 1)), "person", 0.9, id="one point on one object"),
    pytest.param(points((150, 45, 1)), "face", 0.8, id="in the middle of a part"),
    pytest.param(points((160, 75, 1)), "person", 0.9, id="at the edge of a part: the whole"),
    pytest.param(points((160, 50, 1)), "nose", 0.7, id="in the middle of three nested ones: the smallest"),
    pytest.param(points((160, 50, 1), (160, 62, 1)), "face", 0.8, id="two points in the middle of a part"),
    pytest.param(points((160, 50, 1), (160, 200, 1)), "person", 0.9, id="far apart: the whole"),
    pytest.param(points((160, 180, 1), (160, 70, 0)), None, 0, id="background on the part vetoes the whole with it"),
    pytest.param(points((160, 70, 1), (160, 200, 0)), "face", 0.8, id="background beside the part keeps the part"),
    pytest.param(points((160, 70, 1), (160, 50, 0)), None, 0, id="background inside all of them"),
    pytest.param(points((15, 60, 1)), "ring", 0.6, id="on a ring"),
    pytest.param(points((50, 60, 1)), None, 0, id="in the hole of a ring"),
    pytest.param(points((20, 230, 1)), None, 0, id="on no object"),
    pytest.param(
        points((270, 180, 1), (15, 60, 1)), "ball", 0.25, id="two objects: the smaller one, at half the score"
    ),
    pytest.param(
        points((160, 180, 1), (160, 200, 1), (270, 180, 1)), "person", 0.6, id="most of three points, and their share"
    ),
    pytest.param(points((270, 180, 1), (20, 230, 1)), "ball", 0.25, id="one point beside it"),
    pytest.param(points((160, 180, 1), (15, 60, 1), (270, 180, 1)), "person", 0.3, id="three points on three objects"),
    pytest.param(
        points((160, 180, 1), (160, 200, 1), (160, 50, 0)), None, 0, id="background inside outweighs two points"
    ),
    pytest.param(points((270, 180, 1), (20, 230, 0)), "ball", 0.5, id="background on no object changes nothing"),
    pytest.param(points((160, 180, 0)), None, 0, id="background alone selects nothing"),
    pytest.param(points((-5, 60, 1)), None, 0, id="outside on the left"),
    pytest.param(points((160, 500, 1)), None, 0, id="outside below"),
    pytest.param(points((270, 180, 1), (400, 180, 0)), "ball", 0.5, id="background outside the image"),
]


@pytest.mark.parametrize(("prompt", "selected", "score"), TABLE)
def test_selection(prompt, selected, score):
    (selection,) = select(tracked(SCENE), [prompt])
    assert selection.prompt_id == "click"
    assert selection.rows == (() if selected is None else (ROWS[selected],))
    assert selection.scores == pytest.approx(() if selected is None else (score,))


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        pytest.param(points((160, 50, 1)), ["nose", "face", "person"], id="part to whole"),
        pytest.param(points((160, 50, 1), (160, 200, 0)), ["nose", "face"], id="without the vetoed whole"),
        pytest.param(points((270, 180, 1)), ["ball"], id="one alone"),
        pytest.param(points((20, 230, 1)), [], id="none"),
    ],
)
def test_hypotheses_begin_with_the_selected_one(prompt, names):
    selection = hypotheses(tracked(SCENE), prompt)
    assert selection.rows == tuple(ROWS[name] for name in names)
    assert selection.rows[:1] == select(tracked(SCENE), [prompt])[0].rows


def test_mask_ends_at_its_box():
    everywhere = Instances(
        torch.tensor([[100.0, 100.0, 140.0, 140.0]]),
        torch.tensor([0.9]),
        torch.full((1, 60, 80), 5.0),
        GridTransform(4, 4, 0, 0),
        IMAGE_SIZE,
    )
    prompts = [points((x, 120, 1)) for x in (99, 101, 139, 141)]
    selections = select(Tracked(everywhere, torch.tensor([1])), prompts)
    assert [selection.rows for selection in selections] == [(), (0,), (0,), ()]


def test_mask_is_interpolated_between_cells_and_through_the_padding():
    # A slope that crosses zero at x = 100, on a grid that begins 12 pixels left of the image.
    slope = (torch.arange(80) + 0.5) * 4 - 12 - 100
    sloping = Instances(
        torch.tensor([[0.0, 0.0, 300.0, 240.0]]),
        torch.tensor([0.9]),
        slope.expand(1, 60, 80).clone(),
        GridTransform(4, 4, -12, 0),
        IMAGE_SIZE,
    )
    selections = select(Tracked(sloping, torch.tensor([1])), [points((x, 120, 1)) for x in (99, 99.8, 100.2, 101)])
    assert [selection.rows for selection in selections] == [(), (), (0,), (0,)]


def test_no_instances():
    none = Tracked(Instances.empty(IMAGE_SIZE), torch.zeros(0, dtype=torch.int64))
    assert select(none, [points((10, 10, 1))])[0].rows == ()
    assert hypotheses(none, points((10, 10, 1))).rows == ()


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    clicks=st.lists(
        st.lists(
            st.tuples(st.floats(-10, 330, width=32), st.floats(-10, 250, width=32), st.sampled_from([0, 1, 1])),
            min_size=1,
            max_size=4,
        ),
        min_size=1,
        max_size=5,
    ),
    shapes=st.lists(
        st.builds(
            Shape,
            x=st.floats(20, 300),
            y=st.floats(20, 220),
            width=st.floats(8, 200),
            height=st.floats(8, 200),
            kind=st.sampled_from(["ellipse", "rectangle", "ring"]),
        ),
        max_size=5,
    ),
)
def test_prompts_are_independent(clicks, shapes):
    scene = tracked(shapes)
    prompts = [points(*click, prompt_id=str(index)) for index, click in enumerate(clicks)]
    together = select(scene, prompts)
    assert together == [select(scene, [prompt])[0] for prompt in prompts]
    assert [selection.prompt_id for selection in together] == [prompt.prompt_id for prompt in prompts]
    for prompt, selection in zip(prompts, together, strict=True):
        assert len(selection.rows) == len(selection.scores) <= 1
        for row, (x0, y0, x1, y1) in ((row, scene.instances.boxes[row].tolist()) for row in selection.rows):
            contained = [
                (x, y)
                for (x, y), label in zip(prompt.point_coords, prompt.point_labels, strict=True)
                if label and x0 <= x < x1 and y0 <= y < y1
            ]
            assert contained, f"row {row} contains none of the points"


@pytest.mark.parametrize(
    ("clicks", "selected"),
    [
        pytest.param([(270, 180), (285, 190), (270, 212)], 0, id="one just outside"),
        pytest.param([(270, 180), (285, 190), (200, 150)], 0, id="one far outside, two inside"),
        pytest.param([(270, 180), (200, 150), (120, 100)], 1, id="two outside: the large one is meant"),
        pytest.param([(270, 180), (285, 190), (260, 170)], 0, id="all inside"),
    ],
)
def test_a_stain_around_all_points_is_not_selected_for_that_alone(clicks, selected):
    shapes = tracked([replace(BALL, score=0.7), Shape(200, 150, 230, 170, "rectangle", score=0.3)])
    prompt = points(*((x, y, 1) for x, y in clicks))
    (selection,) = select(shapes, [prompt])
    assert selection.rows == (selected,)
    # The other one is a hypothesis if it has as many of the points, as those around a part do.
    assert hypotheses(shapes, prompt).rows == ((0, 1) if selected == 0 else (1,))


FAINT = Shape(160, 50, 30, 30, score=0.3)
"""A part with a third of the person's score."""


@pytest.mark.parametrize(
    ("prompt", "order"),
    [
        pytest.param(points((160, 50, 1)), ["face", "person", "nose", "faint"], id="a doubtful part is last"),
        pytest.param(
            points((160, 50, 1), (160, 55, 1)),
            ["nose", "faint", "face", "person"],
            id="two points in the smallest part: none is doubtful",
        ),
        pytest.param(
            points((160, 50, 1), (20, 230, 0)), ["face", "person", "nose", "faint"], id="one on background is no second"
        ),
    ],
)
def test_order_of_the_hypotheses(prompt: PointPrompt, order: list[str]):
    names = ["person", "face", "nose", "faint"]
    shapes = tracked([PERSON, FACE, replace(NOSE, score=0.35), FAINT])
    assert [names[row] for row in hypotheses(shapes, prompt).rows] == order
    assert select(shapes, [prompt])[0].rows == (names.index(order[0]),)


@pytest.mark.parametrize(
    ("small_score", "large_score", "selected"),
    [
        pytest.param(0.5, 0.5, 0, id="of equal scores, the smaller"),
        pytest.param(0.3, 0.9, 1, id="a stain on an object"),
        pytest.param(0.8, 0.9, 0, id="a third of the side, and more than a third of the odds"),
        pytest.param(0.0, 1.0, 1, id="extreme scores"),
        pytest.param(1.0, 1.0, 0, id="equal extreme scores"),
    ],
)
def test_score_and_size_at_a_common_centre(small_score: float, large_score: float, selected: int):
    shapes = tracked([Shape(160, 120, 40, 40, score=small_score), Shape(160, 120, 120, 120, score=large_score)])
    assert select(shapes, [points((160, 120, 1))])[0].rows == (selected,)


def test_a_mask_that_resembles_other_likely_ones_wins():
    shapes = [
        Shape(160, 120, 100, 100, score=0.6),
        Shape(162, 122, 104, 104, score=0.6),
        Shape(158, 119, 106, 104, score=0.6),
        Shape(160, 120, 40, 40, score=0.5),
    ]
    click = points((160, 120, 1))
    assert select(tracked(shapes[:1] + shapes[3:]), [click])[0].rows == (1,)
    assert select(tracked(shapes), [click])[0].rows == (0,), "the three are one hypothesis, three times as likely"


@pytest.mark.parametrize(
    ("clicks", "selected"),
    [
        pytest.param([(160, 120)], 0, id="one point: the better score"),
        pytest.param([(160, 120), (160, 110), (160, 130)], 1, id="three points: the mask that certainly contains them"),
        pytest.param([(160, 120), (400, 120), (160, 400)], 0, id="only points inside count"),
    ],
)
@pytest.mark.parametrize("labels", [(), (0,)], ids=["foreground", "and background outside"])
def test_further_points_count_as_far_as_they_are_inside(clicks, selected, labels):
    left, right = Shape(150, 120, 80, 80, "rectangle", score=0.6), Shape(170, 120, 80, 80, "rectangle", score=0.5)
    found = detect_shapes([left, right])
    doubtful = torch.tensor([0.01, 5.0])[:, None, None]
    flat = replace(found, mask_logits=torch.where(found.mask_logits > 0, doubtful, found.mask_logits))
    prompt = points(*((x, y, 1) for x, y in clicks), *((20, 20, label) for label in labels))
    (selection,) = select(Tracked(flat, torch.arange(2)), [prompt])
    assert selection.rows == (selected,)


@pytest.mark.parametrize("scale", [0.25, 0.5])
def test_selection_does_not_depend_on_the_size_of_the_image(scale: float):
    click = points((150 * scale, 45 * scale, 1))
    scaled = [
        replace(one, x=one.x * scale, y=one.y * scale, width=one.width * scale, height=one.height * scale)
        for one in (PERSON, FACE)
    ]
    assert select(tracked(scaled), [click])[0].rows == select(tracked([PERSON, FACE]), [points((150, 45, 1))])[0].rows
