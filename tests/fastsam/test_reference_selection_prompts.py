"""Prompts matched with finished masks, in the prompts' order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from streamseg.fastsam.reference_selection import select_reference
from streamseg.prompting import PromptSet
from streamseg.structures.message import CropMask
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt, Prompt, Selection
from tests.support.shapes import IMAGE_SIZE


def disc(x: int, y: int, radius: int) -> CropMask:
    down, across = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return CropMask(across**2 + down**2 <= radius**2, x - radius, y - radius)


PART, WHOLE, APART = disc(100, 100, 20), disc(100, 100, 60), disc(250, 60, 30)
MASKS, SCORES = [PART, WHOLE, APART], [0.9, 0.6, 0.5]


def reference(*prompts: Prompt, masks: Sequence[CropMask] = MASKS) -> list[Selection]:
    scores = SCORES[: len(masks)]
    return select_reference(masks, scores, PromptSet.of(prompts), mask_size=IMAGE_SIZE, image_size=IMAGE_SIZE)


def test_points_on_two_objects_are_one_mask_with_the_rows_on_it_large_to_small():
    (answer,) = reference(PointPrompt("both", ((100, 150), (250, 60)), (1, 1)))
    assert answer.mask is not None
    assert (answer.rows, answer.scores) == ((1, 2), (0.6, 0.5))
    np.testing.assert_array_equal(answer.mask.full(IMAGE_SIZE), WHOLE.full(IMAGE_SIZE) | APART.full(IMAGE_SIZE))
    assert (answer.mask.x, answer.mask.y, answer.mask.crop.shape) == (40, 30, (131, 241))


def test_a_part_that_was_cut_out_is_not_among_the_rows():
    (answer,) = reference(PointPrompt("ring", ((100, 100), (100, 150)), (0, 1)))
    assert answer.mask is not None
    assert answer.rows == (1,)
    np.testing.assert_array_equal(answer.mask.full(IMAGE_SIZE), WHOLE.full(IMAGE_SIZE) & ~PART.full(IMAGE_SIZE))


def test_an_object_that_a_later_one_covers_whole_is_still_on_it():
    (answer,) = reference(PointPrompt("nested", ((100, 100),), (1,)))
    assert answer.rows == (1, 0)


@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param(PointPrompt("p", ((5, 5),), (1,)), id="on nothing"),
        pytest.param(PointPrompt("p", ((100, 100),), (0,)), id="background alone"),
        pytest.param(PointPrompt("p", ((320, 240),), (1,)), id="at the far corner of the picture"),
    ],
)
def test_an_empty_canvas_is_no_answer(prompt: Prompt):
    assert reference(prompt) == [Selection("p", (), ())]


def test_a_box_has_always_one_answer():
    answers = reference(BoxPrompt("tight", (220, 30, 280, 90)), BoxPrompt("nowhere", (0, 200, 20, 220)))
    assert [answer.rows for answer in answers] == [(2,), (0,)]
    assert answers[0].scores[0] == pytest.approx(2821 / (3600 + 2821 - 2809), abs=0.06)
    assert answers[1].scores == (0.0,)


def test_reference_answers_come_in_the_order_of_the_prompts():
    prompts = [BoxPrompt("b", (220, 30, 280, 90)), EverythingPrompt("all"), PointPrompt("p", ((250, 60),), (1,))]
    assert [(answer.prompt_id, answer.rows) for answer in reference(*prompts)] == [
        ("b", (2,)),
        ("all", (0, 1, 2)),
        ("p", (2,)),
    ]


def test_of_no_mask_the_reference_chooses_nothing():
    prompts = [EverythingPrompt("all"), BoxPrompt("b", (220, 30, 280, 90)), PointPrompt("p", ((250, 60),), (1,))]
    assert reference(*prompts, masks=[]) == [Selection(prompt.prompt_id, (), ()) for prompt in prompts]


def test_prompts_are_stretched_over_masks_of_another_size():
    prompts = [PointPrompt("p", ((500, 120),), (1,)), BoxPrompt("b", (440, 60, 560, 180))]
    answers = select_reference(MASKS, SCORES, PromptSet.of(prompts), mask_size=IMAGE_SIZE, image_size=(480, 640))
    assert [answer.rows for answer in answers] == [(2,), (2,)]
