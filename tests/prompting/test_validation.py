"""Prompts outside of the image, and prompts from a configuration."""

from __future__ import annotations

import re

import numpy as np
import pytest

from streamseg.config import PromptConfig
from streamseg.errors import DataError
from streamseg.prompting import check_prompts, prompts_from_config
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, MaskPrompt, PointPrompt, Prompt

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


@pytest.mark.parametrize(
    ("config", "prompt"),
    [
        pytest.param(PromptConfig(id="all"), EverythingPrompt("all"), id="everything"),
        pytest.param(
            PromptConfig(id="p", points=((1, 2), (3, 4))), PointPrompt("p", ((1, 2), (3, 4)), (1, 1)), id="foreground"
        ),
        pytest.param(
            PromptConfig(id="p", points=((1, 2), (3, 4)), labels=(1, 0)),
            PointPrompt("p", ((1, 2), (3, 4)), (1, 0)),
            id="labels",
        ),
        pytest.param(PromptConfig(id="b", box=(1, 2, 3, 4)), BoxPrompt("b", (1, 2, 3, 4)), id="a box"),
    ],
)
def test_prompts_from_config(config: PromptConfig, prompt: Prompt):
    assert prompts_from_config([config]) == (prompt,)


def test_order_is_kept():
    configs = [PromptConfig(id=name, points=((1, 1),)) for name in "cab"]
    assert [prompt.prompt_id for prompt in prompts_from_config(configs)] == ["c", "a", "b"]


def test_no_prompts():
    assert prompts_from_config([]) == ()


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(PromptConfig(id="p", points=()), id="no point"),
        pytest.param(PromptConfig(id="p", points=((1, 2),), labels=(1, 1)), id="more labels than points"),
        pytest.param(PromptConfig(id="p", points=((1, 2),), labels=(2,)), id="an invalid label"),
        pytest.param(PromptConfig(id="p", box=(5, 2, 1, 4)), id="a box with x1 < x0"),
    ],
)
def test_inconsistent_prompts(config):
    with pytest.raises(DataError, match="prompt 'p'"):
        prompts_from_config([config])
