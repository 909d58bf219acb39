"""Prompts grouped by kind, and selections merged in the prompts' order."""

import pytest

from streamseg.prompting.prompt_set import PromptSet, in_order
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt, Prompt, Selection, TextPrompt

EVERYWHERE = PointPrompt("everywhere", ((1, 1),), (1,))
HERE = PointPrompt("here", ((1, 1),), (1,), source_id="cam0")
THERE = PointPrompt("there", ((1, 1),), (1,), source_id="cam1")
STILL = BoxPrompt("still", (1, 2, 3, 4), follow=False)
WORDS = TextPrompt("words", "a cup")
EVERYTHING = EverythingPrompt()
ALL = PromptSet.of((EVERYTHING, THERE, WORDS, STILL, EVERYWHERE, HERE))


def selections_of(prompts: tuple[Prompt, ...]) -> list[Selection]:
    return [Selection(prompt.prompt_id, (), ()) for prompt in prompts]


def test_prompts_of_other_sources_are_excluded_and_the_order_stays():
    assert ALL.for_source("cam0").prompts == (EVERYTHING, WORDS, STILL, EVERYWHERE, HERE)
    assert PromptSet.of((THERE,)).for_source("cam0").prompts == ()


def test_groups():
    assert (ALL.everything.prompts, ALL.everything.positions) == ((EVERYTHING,), (0,))
    assert (ALL.points.prompts, ALL.points.positions) == ((THERE, EVERYWHERE, HERE), (1, 4, 5))
    assert (ALL.boxes.prompts, ALL.boxes.positions) == ((STILL,), (3,))
    assert (ALL.masks.prompts, ALL.masks.positions) == ((), ())
    assert (ALL.texts.prompts, ALL.texts.positions) == ((WORDS,), (2,))
    assert (ALL.followed.prompts, ALL.followed.positions) == ((THERE, EVERYWHERE, HERE), (1, 4, 5))
    assert (ALL.unfollowed.prompts, ALL.unfollowed.positions) == ((EVERYTHING, STILL), (0, 3))
    assert (ALL.textless.prompts, ALL.textless.positions) == (
        (EVERYTHING, THERE, STILL, EVERYWHERE, HERE),
        (0, 1, 3, 4, 5),
    )
    assert ALL.labels == {"words": "a cup"}


def test_groups_are_made_once():
    assert ALL.followed is ALL.followed
    assert ALL.textless is ALL.textless


def test_empty_set():
    empty = PromptSet.of(())
    assert (empty.prompts, empty.followed.prompts, empty.unfollowed.prompts, dict(empty.labels)) == ((), (), (), {})
    assert in_order((empty.texts, []), (empty.textless, [])) == []


def test_selections_in_the_order_of_the_prompts():
    merged = in_order(
        (ALL.texts, selections_of(ALL.texts.prompts)),
        (ALL.unfollowed, selections_of(ALL.unfollowed.prompts)),
        (ALL.followed, selections_of(ALL.followed.prompts)),
    )
    assert [one.prompt_id for one in merged] == [one.prompt_id for one in ALL.prompts]


@pytest.mark.parametrize("num_selections", [0, 2])
def test_wrong_number_of_selections(num_selections: int):
    with pytest.raises(ValueError, match="zip"):
        in_order((ALL.texts, selections_of((WORDS,) * num_selections)))
