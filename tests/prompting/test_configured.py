"""Prompts from a configuration."""

from __future__ import annotations

import pytest

from streamseg.config import PromptConfig
from streamseg.errors import DataError
from streamseg.prompting import prompts_from_config
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt, Prompt


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
