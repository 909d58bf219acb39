"""One selection per prompt, in the prompts' order."""

from __future__ import annotations

import pytest
import torch

from streamseg.prompting import hypotheses, select
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt
from tests.support.shapes import IMAGE_SIZE, Shape, detect_shapes

INSTANCES = detect_shapes([Shape(100, 100, 80, 80, score=0.9), Shape(100, 100, 30, 30, score=0.8)])
TRACKED = Tracked(INSTANCES, torch.tensor([7, -1]))
NONE = Tracked(Instances.empty(IMAGE_SIZE), torch.zeros(0, dtype=torch.int64))


def test_everything_selects_all_rows_with_their_scores():
    (selection,) = select(TRACKED, [EverythingPrompt("all")])
    assert (selection.prompt_id, selection.rows) == ("all", (0, 1))
    assert selection.scores == pytest.approx((0.9, 0.8))
    assert hypotheses(TRACKED, EverythingPrompt("all")) == selection


def test_everything_without_instances():
    assert select(NONE, [EverythingPrompt()])[0].rows == ()


def test_no_prompts():
    assert select(TRACKED, []) == []
    assert select(NONE, []) == []


def test_selections_are_in_the_order_of_the_prompts():
    prompts = [
        BoxPrompt("box", (60, 60, 140, 140)),
        PointPrompt("part", ((100, 100),), (1,)),
        EverythingPrompt("all"),
        PointPrompt("nothing", ((10, 10),), (1,)),
        BoxPrompt("no box", (200, 10, 300, 60)),
        PointPrompt("whole", ((130, 100),), (1,)),
    ]
    selections = select(TRACKED, prompts)
    assert [(selection.prompt_id, selection.rows) for selection in selections] == [
        ("box", (0,)),
        ("part", (1,)),
        ("all", (0, 1)),
        ("nothing", ()),
        ("no box", ()),
        ("whole", (0,)),
    ]


def test_several_prompts_may_select_the_same_object():
    selections = select(TRACKED, [PointPrompt(name, ((100, 100),), (1,)) for name in ("a", "b")])
    assert [selection.rows for selection in selections] == [(1,), (1,)]


def test_rows_and_scores_are_plain_numbers():
    for selection in select(TRACKED, [PointPrompt("a", ((100, 100),), (1,)), BoxPrompt("b", (60, 60, 140, 140))]):
        assert [type(row) for row in selection.rows] == [int]
        assert [type(score) for score in selection.scores] == [float]
