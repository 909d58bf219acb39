"""Whom a prompt is asked of."""

from streamseg.prompting.prompt_set import PromptSet
from streamseg.structures.prompt import EverythingPrompt, PointPrompt, TextPrompt

EVERYWHERE = PointPrompt("everywhere", ((1, 1),), (1,))
HERE = PointPrompt("here", ((1, 1),), (1,), source_id="cam0")
THERE = PointPrompt("there", ((1, 1),), (1,), source_id="cam1")
WORDS = TextPrompt("words", "a cup")
ALL = (EverythingPrompt(), THERE, WORDS, EVERYWHERE, HERE)


def test_prompts_of_other_sources_are_left_out_and_the_order_stays():
    asked = PromptSet.of(ALL, "cam0")
    assert asked.given is ALL
    assert asked.prompts == (ALL[0], WORDS, EVERYWHERE, HERE)
    assert (asked.placed, asked.texts) == ((ALL[0], EVERYWHERE, HERE), (WORDS,))
    assert asked.labels == {"words": "a cup"}


def test_nothing_is_asked_of_nobody():
    asked = PromptSet.of((THERE,), "cam0")
    assert (asked.prompts, asked.placed, asked.texts, dict(asked.labels)) == ((), (), (), {})
