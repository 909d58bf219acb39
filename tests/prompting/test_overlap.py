import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.prompting.overlap import MIN_SCORE, mutual_ious, select_best_fits
from streamseg.segmentation.masks import instance_masks
from streamseg.structures.prompt import BoxPrompt, Selection
from tests.support.shapes import IMAGE_SIZE, Shape, detect_shapes

PROMPT = BoxPrompt("box", (0, 0, 10, 10))


@pytest.mark.parametrize(
    ("fit", "best", "nested"),
    [
        pytest.param([0.5, 0.75, 0.25], (1,), (1, 0), id="best first, none below the minimum"),
        pytest.param([0.5, 0.5], (0,), (0, 1), id="ties in row order"),
        pytest.param([0.25, 0.125], (), (), id="nothing fits"),
        pytest.param([MIN_SCORE], (0,), (0,), id="the minimum itself"),
    ],
)
def test_rows_by_fit(fit, best, nested):
    table = torch.tensor([fit], dtype=torch.float64)
    for rows, is_nested in ((best, False), (nested, True)):
        (selection,) = select_best_fits([PROMPT], table, nested=is_nested)
        assert selection == Selection("box", rows, tuple(fit[row] for row in rows))


def test_one_selection_per_prompt():
    prompts = [PROMPT, BoxPrompt("other", (5, 5, 9, 9))]
    selections = select_best_fits(prompts, torch.tensor([[0.5, 0.0], [0.0, 1.0]]), nested=True)
    assert [(one.prompt_id, one.rows) for one in selections] == [("box", (0,)), ("other", (1,))]


SHAPES = st.builds(
    Shape,
    x=st.floats(60, 260),
    y=st.floats(60, 180),
    width=st.floats(30, 110),
    height=st.floats(30, 110),
    kind=st.sampled_from(["ellipse", "rectangle", "ring"]),
)


@given(shapes=st.lists(SHAPES, max_size=6))
@settings(max_examples=40)
def test_mutual_ious_are_close_to_those_of_the_pixels(shapes):
    instances = detect_shapes(shapes)
    ious = mutual_ious(instances, np.ones((len(instances), len(instances)), np.bool_))
    pixels = [np.zeros(IMAGE_SIZE, np.bool_) for _ in shapes]
    for of, mask in zip(pixels, instance_masks(instances), strict=True):
        height, width = mask.crop.shape
        of[mask.y : mask.y + height, mask.x : mask.x + width] = mask.crop
    wanted = np.array([[(one & two).sum() / (one | two).sum() for two in pixels] for one in pixels])
    assert ious == pytest.approx(wanted.reshape(ious.shape), abs=0.08)
    assert (ious == ious.T).all()
    assert (ious.diagonal() == 1).all()


def test_mutual_ious_of_pairs_that_are_not_wanted_are_0():
    instances = detect_shapes([Shape(100, 100, 60, 60), Shape(104, 100, 60, 60), Shape(100, 104, 60, 60)])
    wanted = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]], np.bool_)
    ious = mutual_ious(instances, wanted)
    assert ious[0, 1] > 0.7
    assert (ious[2] == (0, 0, 1)).all()
