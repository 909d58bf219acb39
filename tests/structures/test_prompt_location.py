"""Prompts outside of the image."""

from __future__ import annotations

import re

import numpy as np
import pytest

from streamseg.errors import DataError
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, MaskPrompt, PointPrompt
from streamseg.structures.prompt_location import check_prompts

IMAGE_SIZE = (240, 320)


@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param(EverythingPrompt(), id="everything"),
        pytest.param(
            PointPrompt("p", ((0, 0), (320, 240), (12.5, 7)), (1, 0, 1)), id="points inside and on the border"
        ),
        pytest.param(BoxPrompt("b", (0, 0, 320, 240)), id="a box around the image"),
        pytest.param(BoxPrompt("b", (-100, -100, 1, 1)), id="a box that overlaps"),
        pytest.param(MaskPrompt("m", CropMask(np.ones((4, 4), np.bool_), -3, -3)), id="a mask with one pixel inside"),
        pytest.param(MaskPrompt("m", CropMask(np.ones((4, 4), np.bool_), 319, 239)), id="a mask at the last pixel"),
    ],
)
def test_prompts_inside_the_image(prompt):
    check_prompts([prompt], IMAGE_SIZE)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        pytest.param(
            PointPrompt("cup", ((10, 10), (321, 5)), (1, 1)),
            "prompt 'cup': point [321, 5] lies outside the image of 320x240",
            id="right",
        ),
        pytest.param(
            PointPrompt("cup", ((10, -0.5),), (0,)),
            "prompt 'cup': point [10, -0.5] lies outside the image of 320x240",
            id="above, background",
        ),
        pytest.param(
            BoxPrompt("cup", (320, 0, 400, 100)),
            "prompt 'cup': box [320, 0, 400, 100] lies outside the image of 320x240",
            id="a box beside",
        ),
        pytest.param(
            BoxPrompt("cup", (5, 240, 9, 300)),
            "prompt 'cup': box [5, 240, 9, 300] lies outside the image of 320x240",
            id="a box below",
        ),
        pytest.param(
            MaskPrompt("cup", CropMask(np.ones((4, 4), np.bool_), 320, 10)),
            "prompt 'cup': mask at [320, 10] has no pixel inside the image of 320x240",
            id="a mask beside",
        ),
        pytest.param(
            MaskPrompt("cup", CropMask(np.eye(4, dtype=np.bool_)[:, ::-1], -3, -3)),
            "prompt 'cup': mask at [-3, -3] has no pixel inside the image of 320x240",
            id="only the box of the mask overlaps",
        ),
    ],
)
def test_prompts_outside_the_image(prompt, message):
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        check_prompts([EverythingPrompt(), prompt], IMAGE_SIZE)
