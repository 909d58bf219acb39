"""Prompts about several sources, followed or not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streamseg.errors import DataError
from streamseg.prompting import PlacedPrompts
from streamseg.structures.prompt import EverythingPrompt, Selection, SpatialPrompt
from tests.support.followed import BOTH, BOX, CLICK, CUP, KITE, OTHERS, Objects, click, moved, seen, stand

PROMPTS = (CLICK, EverythingPrompt())


class Watched:
    """Placed prompts, and how many frames of each source they have seen."""

    def __init__(self, *, are_followed: bool = True, memory: dict[str, object] | None = None) -> None:
        self.placed = PlacedPrompts(are_followed=are_followed, memory=memory)
        self._num_frames: dict[str, int] = {}

    def __call__(
        self, source_id: str, objects: Objects, prompts: Sequence[EverythingPrompt | SpatialPrompt] = PROMPTS
    ) -> list[Selection]:
        index = self._num_frames.get(source_id, 0)
        self._num_frames[source_id] = index + 1
        return self.placed.answers(source_id, seen(objects), prompts, frame_index=index, time_seconds=index / 10)


def test_each_source_has_a_follower_of_its_own():
    watched = Watched()
    assert stand(watched("a", BOTH)[0]) == ("bound", 1)
    assert stand(watched("b", [(5, CUP), (1, BOX)])[0]) == ("bound", 5)
    there: Objects = [(1, moved(CUP, 90)), (5, CUP)]
    assert [stand(watched(source_id, there)[0]) for source_id in "ab"] == [("bound", 1), ("bound", 5)]


def test_what_is_not_followed_is_asked_in_each_frame():
    watched = Watched(are_followed=False)
    frames: list[Objects] = [[(-1, CUP)], [(-1, KITE)], [], [(-1, moved(CUP, 100)), (-1, moved(CUP, 4))]]
    answers = [watched("a", objects) for objects in frames]
    assert [one[0].rows for one in answers] == [(0,), (), (), (1,)]
    assert [stand(one[0])[0] for one in answers] == ["bound", "none", "none", "bound"]
    assert [(one[1].rows, one[1].status) for one in answers] == [((0,), None), ((0,), None), ((), None), ((0, 1), None)]
    watched.placed.end_source("a")
    assert watched.placed.memory() == {}


@pytest.mark.parametrize("are_followed", [True, False])
def test_nothing_is_asked(are_followed: bool):
    assert Watched(are_followed=are_followed)("a", BOTH, ()) == []


def test_a_source_that_ended_is_lost_and_no_other():
    watched = Watched()
    for source_id in "ab":
        watched(source_id, BOTH)
    watched.placed.end_source("a")
    watched.placed.end_source("never-seen")
    assert [stand(watched(source_id, BOTH)[0]) for source_id in "ab"] == [("lost", -1), ("bound", 1)]


def test_memory_is_by_source_and_goes_to_another_run():
    first = Watched()
    for source_id in "ab":
        first(source_id, BOTH, [CLICK, click(BOX.x, BOX.y, prompt_id="box")] if source_id == "b" else [CLICK])
    memory = first.placed.memory()
    assert {source_id: set(entries) for source_id, entries in memory.items()} == {"a": {"click"}, "b": {"click", "box"}}
    second = Watched(memory=memory)
    assert second.placed.memory() == memory
    elsewhere: Objects = [(7, moved(CUP, 30)), *OTHERS]
    assert [stand(second("a", elsewhere, [CLICK])[0]) for _ in range(2)] == [("lost", -1), ("reacquired", 7)]
    assert stand(second("c", BOTH, [CLICK])[0]) == ("bound", 1), "nothing is remembered of a third one"


@pytest.mark.parametrize(
    ("memory", "reason"),
    [
        pytest.param([], "the memory of prompts must be a mapping of source ids, got list", id="a-list"),
        pytest.param(
            {"camera": 3}, "the memory of prompts must hold a mapping for each source, not so 'camera'", id="a-number"
        ),
        pytest.param({3: {}}, "the memory of prompts must hold a mapping for each source, not so 3", id="no-source-id"),
        pytest.param({"camera": {"p": {}}}, "the memory of prompt 'p' is damaged", id="no-entry"),
    ],
)
def test_a_damaged_memory_is_refused_as_a_whole(memory: object, reason: str):
    good = Watched()
    good("a", BOTH)
    placed = PlacedPrompts(are_followed=True)
    both = {**good.placed.memory(), **memory} if isinstance(memory, dict) else memory
    with pytest.raises(DataError, match=reason):
        placed.remember(both)  # type: ignore[arg-type]
    assert placed.memory() == {}
