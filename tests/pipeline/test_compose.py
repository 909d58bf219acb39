"""Prompts to objects with pixels, our way and the reference's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from streamseg.fastsam.reference_masks import native_masks, plain_masks, plain_size
from streamseg.pipeline.compose import Answers, default_answers, reference_answers
from streamseg.prompting import select
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt, Prompt, Selection, TextPrompt
from streamseg.telemetry import StageTimer
from tests.support.shapes import IMAGE_SIZE, Shape, detect_shapes

WHOLE = Shape(100, 120, 120, 160, "rectangle", score=0.9)
PART = Shape(100, 120, 40, 40, score=0.8)
APART = Shape(250, 100, 60, 60, score=0.7)
INSTANCES = detect_shapes([WHOLE, PART, APART])
TRACKED = Tracked(INSTANCES, torch.tensor([4, 5, 6]))
NONE = Tracked(Instances.empty(IMAGE_SIZE, (60, 80)), torch.zeros(0, dtype=torch.int64))
BOTH = PointPrompt("both", ((60, 60), (250, 100)), (1, 1))
RING = PointPrompt("ring", ((100, 120), (60, 60)), (0, 1))
NOWHERE = BoxPrompt("nowhere", (1, 200, 30, 239))


def ours(*prompts: Prompt, tracked: Tracked = TRACKED, mask_size: tuple[int, int] = IMAGE_SIZE) -> Answers:
    return default_answers(tracked, select(tracked, prompts), mask_size=mask_size, timer=StageTimer())


def theirs(*prompts: Prompt, tracked: Tracked = TRACKED, retina_masks: bool = True) -> Answers:
    return reference_answers(tracked, prompts, retina_masks=retina_masks, timer=StageTimer())


def identities(answers: Answers) -> Sequence[tuple[int, tuple[str, ...]]]:
    return [(one.track_id, one.prompt_ids) for one in answers.objects]


def test_a_row_that_answers_several_prompts_is_one_object():
    clicks = [PointPrompt(name, ((250, 100),), (1,)) for name in ("a", "b")]
    assert identities(ours(*clicks)) == [(6, ("a", "b"))]
    boxes = [BoxPrompt(name, (220, 70, 280, 130)) for name in ("a", "b")]
    assert identities(theirs(*boxes)) == [(6, ("a", "b"))]


@pytest.mark.parametrize(
    ("prompt", "default", "reference"),
    [
        pytest.param(EverythingPrompt("all"), [4, 5, 6], [4, 5, 6], id="everything"),
        pytest.param(BOTH, [6], [-1], id="points on two objects: the smaller one | both in one mask"),
        pytest.param(RING, [], [-1], id="a background point on the part: nothing | the part cut out"),
        pytest.param(NOWHERE, [], [4], id="a box on nothing: nothing | the first row"),
        pytest.param(PointPrompt("p", ((5, 5),), (1,)), [], [], id="a point on nothing"),
        pytest.param(PointPrompt("p", ((250, 100),), (0,)), [], [], id="a background point alone"),
    ],
)
def test_where_the_two_differ(prompt: Prompt, default: list[int], reference: list[int]):
    assert [one.track_id for one in ours(prompt).objects] == default
    assert [one.track_id for one in theirs(prompt).objects] == reference


def test_a_merged_mask_is_an_object_without_identity():
    answers = theirs(BOTH)
    (merged,) = answers.objects
    whole, _, apart = (mask.full(IMAGE_SIZE) for mask in native_masks(INSTANCES))
    np.testing.assert_array_equal(merged.mask.full(IMAGE_SIZE), whole | apart)
    assert merged.prompt_ids == ("both",)
    assert merged.score == pytest.approx(0.9)
    assert merged.area == (whole | apart).sum()
    down, across = np.flatnonzero((whole | apart).any(1)), np.flatnonzero((whole | apart).any(0))
    assert merged.box == (across[0], down[0], across[-1] + 1, down[-1] + 1)
    assert answers.selections[0].rows == (0, 2)


def test_objects_and_merged_masks_come_by_descending_score():
    answers = theirs(EverythingPrompt("all"), PointPrompt("click", ((250, 100),), (1,)))
    assert identities(answers) == [(4, ("all",)), (5, ("all",)), (6, ("all",)), (-1, ("click",))]
    scores = [one.score for one in answers.objects]
    assert scores == sorted(scores, reverse=True)


def test_reference_masks_are_the_references():
    answers = theirs(EverythingPrompt())
    assert (answers.mask_size, answers.mask_to_image) == (IMAGE_SIZE, (1.0, 1.0, 0.0, 0.0))
    for one, mask in zip(answers.objects, native_masks(INSTANCES), strict=True):
        np.testing.assert_array_equal(one.mask.full(IMAGE_SIZE), mask.full(IMAGE_SIZE))


def test_plain_masks_say_where_they_lie_in_the_picture():
    # 3 rows of padding above and below: the picture takes 218 of 224 rows, at half its size.
    padded = detect_shapes([Shape(200, 200, 120, 160, "rectangle")], size=(436, 640))
    tracked = Tracked(padded, torch.tensor([1]))
    answers = theirs(EverythingPrompt(), tracked=tracked, retina_masks=False)
    assert answers.mask_size == plain_size(padded) == (224, 320)
    scale_x, scale_y, offset_x, offset_y = answers.mask_to_image
    (one,) = answers.objects
    np.testing.assert_array_equal(one.mask.full((224, 320)), plain_masks(padded)[0].full((224, 320)))
    down, across = np.nonzero(one.mask.full((224, 320)))
    assert (across.mean() + 0.5) * scale_x + offset_x == pytest.approx(200, abs=4)
    assert (down.mean() + 0.5) * scale_y + offset_y == pytest.approx(200, abs=4)
    click = PointPrompt("click", ((200, 200),), (1,))
    (merged,) = theirs(click, tracked=tracked, retina_masks=False).objects
    assert merged.box == pytest.approx((140, 120, 260, 280), abs=8)


def test_masks_at_another_size():
    answers = ours(EverythingPrompt(), mask_size=(120, 160))
    assert (answers.mask_size, answers.mask_to_image) == ((120, 160), (2.0, 2.0, 0.0, 0.0))
    assert answers.objects[0].mask.full((120, 160)).sum() == pytest.approx(60 * 80, rel=0.03)


@pytest.mark.parametrize("retina_masks", [True, False])
def test_of_nothing_there_is_nothing(retina_masks: bool):
    prompts = (EverythingPrompt(), BOTH, NOWHERE)
    for answers in (ours(*prompts, tracked=NONE), theirs(*prompts, tracked=NONE, retina_masks=retina_masks)):
        assert answers.objects == ()
        assert answers.mask_size == IMAGE_SIZE
        assert [selection.rows for selection in answers.selections] == [(), (), ()]


def test_no_prompt_has_no_object():
    assert ours().objects == theirs().objects == ()


def test_stages_are_timed():
    timer = StageTimer()
    default_answers(TRACKED, select(TRACKED, [EverythingPrompt()]), mask_size=IMAGE_SIZE, timer=timer)
    assert set(timer.stages) == {"masks"}
    reference_answers(TRACKED, [EverythingPrompt()], timer=timer)
    assert set(timer.stages) == {"select", "masks"}


def test_objects_are_called_after_the_text_that_they_answer_best():
    selections = [
        Selection("cup", (0, 1), (0.6, 0.5)),
        Selection("mug", (0,), (0.8,)),
        Selection("click", (2,), (1.0,)),
    ]
    labels = {"cup": "a cup", "mug": "a mug", "elsewhere": "a plate"}
    answers = default_answers(TRACKED, selections, mask_size=IMAGE_SIZE, timer=StageTimer(), labels=labels)
    assert [one.label for one in answers.objects] == ["a mug", "a cup", None]
    assert answers.objects[0].prompt_ids == ("cup", "mug")


def test_the_reference_says_how_its_prompts_stand():
    statuses = [selection.status for selection in theirs(EverythingPrompt(), BOTH, NOWHERE).selections]
    assert statuses[0] is None
    assert statuses[1] == PromptStatus("both", "bound", pytest.approx(0.9), -1)
    assert statuses[2] is not None
    assert (statuses[2].state, statuses[2].track_id) == ("bound", 4)
    empty = theirs(BOTH, tracked=NONE).selections
    assert [selection.status for selection in empty] == [PromptStatus("both", "none")]


def test_the_references_answers_take_those_to_texts_in():
    text = Selection("word", (2,), (0.7,), status=PromptStatus("word", "bound", 0.7))
    prompts = [BOTH, TextPrompt("word", "a box"), EverythingPrompt("all")]
    answers = reference_answers(TRACKED, prompts, texts=[text], labels={"word": "a box"}, timer=StageTimer())
    assert [selection.prompt_id for selection in answers.selections] == ["both", "word", "all"]
    assert {one.track_id: one.label for one in answers.objects} == {4: None, 5: None, 6: "a box", -1: None}


@pytest.mark.parametrize("scale", [pytest.param(1, id="native"), pytest.param(2, id="half")])
def test_masks_know_their_place(scale):
    selections = [Selection("apart", (2,), (0.9,))]
    size = IMAGE_SIZE[0] // scale, IMAGE_SIZE[1] // scale
    (found,) = default_answers(TRACKED, selections, mask_size=size, timer=StageTimer()).objects
    assert found.mask(IMAGE_SIZE).sum() == found.area * scale**2
    assert found.centroid == pytest.approx((250.0, 100.0), abs=1.0)
    for plain in (True, False):
        answers = reference_answers(TRACKED, [NOWHERE, RING], retina_masks=not plain, timer=StageTimer())
        assert answers.objects
        for one in answers.objects:
            assert one.mask(IMAGE_SIZE).any()
            x, y = one.centroid
            assert (one.box[0] <= x <= one.box[2], one.box[1] <= y <= one.box[3]) == (True, True)
