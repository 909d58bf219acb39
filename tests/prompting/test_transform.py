"""Prompts moved with their target."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from streamseg.prompting.transform import transform_prompt
from streamseg.structures.mask import CropMask, MaskSpace
from streamseg.structures.prompt import BoxPrompt, MaskPrompt, PointPrompt, SpatialPrompt

Box = tuple[float, float, float, float]


def array(*box: float) -> np.ndarray:
    return np.array(box, np.float32)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param((10, 10, 30, 50), (10, 10, 30, 50), (12, 20, 28, 40), id="unchanged"),
        pytest.param((10, 10, 30, 50), (110, 5, 130, 45), (112, 15, 128, 35), id="shifted"),
        pytest.param((10, 10, 30, 50), (0, 0, 40, 40), (4, 10, 36, 30), id="stretched"),
        pytest.param((10, 10, 10, 50), (20, 10, 20, 50), (22, 20, 38, 40), id="zero-width-is-shifted-only"),
    ],
)
def test_box(before: Box, after: Box, expected: Box):
    prompt = transform_prompt(BoxPrompt("b", (12, 20, 28, 40), step=2, frame_index=7), array(*before), array(*after))
    assert isinstance(prompt, BoxPrompt)
    assert prompt.box == expected
    assert (prompt.prompt_id, prompt.step, prompt.frame_index) == ("b", 2, 7)


def test_points_inside_and_beside():
    prompt = PointPrompt("p", ((20, 20), (60, 20)), (1, 0))
    assert transform_prompt(prompt, array(10, 10, 30, 30), array(30, 10, 70, 50)) == PointPrompt(
        "p", ((50, 30), (130, 30)), (1, 0)
    )


def test_mask():
    crop = np.zeros((4, 6), np.bool_)
    crop[:, :3] = True
    prompt = transform_prompt(MaskPrompt("m", CropMask(crop, 10, 20)), array(10, 20, 16, 24), array(100, 50, 112, 58))
    assert isinstance(prompt, MaskPrompt)
    assert (prompt.mask.x, prompt.mask.y) == (100, 50)
    assert prompt.mask.crop.tolist() == np.repeat(np.repeat(crop, 2, axis=0), 2, axis=1).tolist()


def test_mask_keeps_its_space():
    space = MaskSpace.of((240, 320))
    given = MaskPrompt("m", CropMask(np.ones((4, 6), np.bool_), 10, 20, space))
    prompt = transform_prompt(given, array(10, 20, 16, 24), array(100, 50, 112, 58))
    assert isinstance(prompt, MaskPrompt)
    assert prompt.mask.space == space
    assert prompt.mask.centroid == (106, 54)


def test_mask_that_would_be_empty_is_unchanged():
    crop = np.zeros((9, 9), np.bool_)
    crop[0, 0] = True
    prompt = MaskPrompt("m", CropMask(crop, 0, 0))
    assert transform_prompt(prompt, array(0, 0, 90, 90), array(0, 0, 30, 30)) is prompt


def test_mask_that_would_be_too_large_is_unchanged():
    prompt = MaskPrompt("m", CropMask(np.ones((500, 500), np.bool_), 0, 0))
    assert transform_prompt(prompt, array(0, 0, 2, 2), array(0, 0, 2000, 2000)) is prompt


sides = st.floats(1, 500, width=32)
places = st.builds(lambda x, y, w, h: array(x, y, x + w, y + h), *[st.floats(0, 2000, width=32)] * 2, sides, sides)


@pytest.mark.slow
@given(places, places)
def test_inverse(before: np.ndarray, after: np.ndarray):
    prompt: SpatialPrompt = PointPrompt("p", ((30.0, 40.0),), (1,))
    back = transform_prompt(transform_prompt(prompt, before, after), after, before)
    assert isinstance(back, PointPrompt)
    # Boxes have single precision: rounding errors of a side grow with the distance of the point from the box.
    assert_allclose(back.point_coords, [(30.0, 40.0)], atol=0.5)


@given(places, places)
def test_box_of_the_target_becomes_its_new_box(before: np.ndarray, after: np.ndarray):
    prompt = transform_prompt(BoxPrompt("b", tuple(before.tolist())), before, after)
    assert isinstance(prompt, BoxPrompt)
    assert_allclose(prompt.box, after, atol=0.01)
