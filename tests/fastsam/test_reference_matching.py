"""Prompts matched as by the official FastSAM program: in a pipeline, and among finished masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from streamseg.fastsam.reference_masks import native_masks, plain_masks, plain_size
from streamseg.fastsam.reference_matching import ReferenceMatcher, select_reference
from streamseg.pipeline.compose import Matches
from streamseg.prompting import PromptSet
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.mask import CropMask
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt, Prompt, Selection, TextPrompt
from streamseg.telemetry import StageTimer
from tests.support.shapes import IMAGE_SIZE, Shape, detect_shapes

WHOLE = Shape(100, 120, 120, 160, "rectangle", score=0.9)
PART = Shape(100, 120, 40, 40, score=0.8)
APART = Shape(250, 100, 60, 60, score=0.7)
INSTANCES = detect_shapes([WHOLE, PART, APART])
TRACKED = Tracked(INSTANCES, torch.tensor([4, 5, 6]))
EMPTY = Tracked(Instances.empty(IMAGE_SIZE, (60, 80)), torch.zeros(0, dtype=torch.int64))
BOTH = PointPrompt("both", ((60, 60), (250, 100)), (1, 1))
RING = PointPrompt("ring", ((100, 120), (60, 60)), (0, 1))
NOWHERE = BoxPrompt("nowhere", (1, 200, 30, 239))


def unused() -> list[Selection]:
    raise AssertionError("FastSAM mode does not track targets")


def match(
    *prompts: Prompt,
    tracked: Tracked = TRACKED,
    retina_masks: bool = True,
    texts: Sequence[Selection] = (),
    timer: StageTimer | None = None,
) -> Matches:
    return ReferenceMatcher(retina_masks).match(
        tracked,
        PromptSet.of(prompts),
        select=unused,
        texts=texts,
        timer=timer if timer is not None else StageTimer(),
    )


def identities(matches: Matches) -> list[tuple[int, tuple[str, ...]]]:
    return [(one.track_id, one.prompt_ids) for one in matches.objects]


def test_row_that_matches_several_prompts_is_one_object():
    boxes = [BoxPrompt(name, (220, 70, 280, 130)) for name in ("a", "b")]
    assert identities(match(*boxes)) == [(6, ("a", "b"))]


@pytest.mark.parametrize(
    ("prompt", "track_ids"),
    [
        pytest.param(EverythingPrompt("all"), [4, 5, 6], id="everything"),
        pytest.param(BOTH, [-1], id="points-on-two-objects-make-one-mask"),
        pytest.param(RING, [-1], id="background-point-removes-the-part"),
        pytest.param(NOWHERE, [4], id="box-on-nothing-selects-the-first-row"),
        pytest.param(PointPrompt("p", ((5, 5),), (1,)), [], id="point-on-nothing"),
        pytest.param(PointPrompt("p", ((250, 100),), (0,)), [], id="background-point-only"),
    ],
)
def test_objects_of_a_prompt(prompt: Prompt, track_ids: list[int]):
    assert [one.track_id for one in match(prompt).objects] == track_ids


def test_merged_mask_is_an_object_without_identity():
    matches = match(BOTH)
    (merged,) = matches.objects
    whole, _, apart = (mask.full(IMAGE_SIZE) for mask in native_masks(INSTANCES))
    np.testing.assert_array_equal(merged.mask.full(IMAGE_SIZE), whole | apart)
    assert merged.prompt_ids == ("both",)
    assert merged.score == pytest.approx(0.9)
    assert merged.area == (whole | apart).sum()
    down, across = np.flatnonzero((whole | apart).any(1)), np.flatnonzero((whole | apart).any(0))
    assert merged.box == (across[0], down[0], across[-1] + 1, down[-1] + 1)
    assert matches.selections[0].rows == (0, 2)


def test_objects_and_merged_masks_have_descending_scores():
    matches = match(EverythingPrompt("all"), PointPrompt("click", ((250, 100),), (1,)))
    assert identities(matches) == [(4, ("all",)), (5, ("all",)), (6, ("all",)), (-1, ("click",))]
    scores = [one.score for one in matches.objects]
    assert scores == sorted(scores, reverse=True)


def test_masks_are_the_official_ones():
    matches = match(EverythingPrompt())
    assert (matches.space.size, matches.space.to_image) == (IMAGE_SIZE, (1.0, 1.0, 0.0, 0.0))
    for one, mask in zip(matches.objects, native_masks(INSTANCES), strict=True):
        np.testing.assert_array_equal(one.mask.full(IMAGE_SIZE), mask.full(IMAGE_SIZE))


def test_plain_masks_are_located_in_the_image():
    # 3 rows of padding above and below: the image takes 218 of 224 rows, at half its size.
    padded = detect_shapes([Shape(200, 200, 120, 160, "rectangle")], size=(436, 640))
    tracked = Tracked(padded, torch.tensor([1]))
    matches = match(EverythingPrompt(), tracked=tracked, retina_masks=False)
    assert matches.space.size == plain_size(padded) == (224, 320)
    scale_x, scale_y, offset_x, offset_y = matches.space.to_image
    (one,) = matches.objects
    np.testing.assert_array_equal(one.mask.full((224, 320)), plain_masks(padded)[0].full((224, 320)))
    down, across = np.nonzero(one.mask.full((224, 320)))
    assert (across.mean() + 0.5) * scale_x + offset_x == pytest.approx(200, abs=4)
    assert (down.mean() + 0.5) * scale_y + offset_y == pytest.approx(200, abs=4)
    click = PointPrompt("click", ((200, 200),), (1,))
    (merged,) = match(click, tracked=tracked, retina_masks=False).objects
    assert merged.box == pytest.approx((140, 120, 260, 280), abs=8)


@pytest.mark.parametrize("retina_masks", [True, False])
def test_objects_lie_within_their_boxes(retina_masks: bool):
    matches = match(NOWHERE, RING, retina_masks=retina_masks)
    assert matches.objects
    for one in matches.objects:
        assert one.mask(IMAGE_SIZE).any()
        x, y = one.centroid
        assert (one.box[0] <= x <= one.box[2], one.box[1] <= y <= one.box[3]) == (True, True)


@pytest.mark.parametrize("retina_masks", [True, False])
def test_no_instances_match_nothing(retina_masks: bool):
    matches = match(EverythingPrompt(), BOTH, NOWHERE, tracked=EMPTY, retina_masks=retina_masks)
    assert (matches.objects, matches.space.size) == ((), IMAGE_SIZE)
    assert [selection.rows for selection in matches.selections] == [(), (), ()]


def test_without_prompts_there_are_no_objects():
    assert match().objects == ()


def test_stages_are_timed():
    timer = StageTimer()
    match(EverythingPrompt(), timer=timer)
    assert set(timer.stages) == {"select", "masks"}


def test_statuses():
    statuses = [selection.status for selection in match(EverythingPrompt(), BOTH, NOWHERE).selections]
    assert statuses[0] is None
    assert statuses[1] == PromptStatus("both", "bound", pytest.approx(0.9), -1)
    assert statuses[2] is not None
    assert (statuses[2].state, statuses[2].track_id) == ("bound", 4)
    empty = match(BOTH, tracked=EMPTY).selections
    assert [selection.status for selection in empty] == [PromptStatus("both", "none")]


def test_texts_keep_their_position_and_label_their_objects():
    text = Selection("word", (2,), (0.7,), status=PromptStatus("word", "bound", 0.7))
    matches = match(BOTH, TextPrompt("word", "a box"), EverythingPrompt("all"), texts=[text])
    assert [selection.prompt_id for selection in matches.selections] == ["both", "word", "all"]
    assert {one.track_id: one.label for one in matches.objects} == {4: None, 5: None, 6: "a box", -1: None}


# ---- select_reference: finished masks


def disc(x: int, y: int, radius: int) -> CropMask:
    down, across = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return CropMask(across**2 + down**2 <= radius**2, x - radius, y - radius)


SMALL_DISC, LARGE_DISC, OTHER_DISC = disc(100, 100, 20), disc(100, 100, 60), disc(250, 60, 30)
DISCS, DISC_SCORES = [SMALL_DISC, LARGE_DISC, OTHER_DISC], [0.9, 0.6, 0.5]


def select(*prompts: Prompt, masks: Sequence[CropMask] = DISCS) -> list[Selection]:
    scores = DISC_SCORES[: len(masks)]
    return select_reference(masks, scores, PromptSet.of(prompts), mask_size=IMAGE_SIZE, image_size=IMAGE_SIZE)


def test_points_on_two_objects_select_one_merged_mask():
    (selection,) = select(PointPrompt("both", ((100, 150), (250, 60)), (1, 1)))
    assert selection.mask is not None
    assert (selection.rows, selection.scores) == ((1, 2), (0.6, 0.5))
    np.testing.assert_array_equal(
        selection.mask.full(IMAGE_SIZE), LARGE_DISC.full(IMAGE_SIZE) | OTHER_DISC.full(IMAGE_SIZE)
    )
    assert (selection.mask.x, selection.mask.y, selection.mask.crop.shape) == (40, 30, (131, 241))


def test_erased_part_is_not_among_the_rows():
    (selection,) = select(PointPrompt("ring", ((100, 100), (100, 150)), (0, 1)))
    assert selection.mask is not None
    assert selection.rows == (1,)
    np.testing.assert_array_equal(
        selection.mask.full(IMAGE_SIZE), LARGE_DISC.full(IMAGE_SIZE) & ~SMALL_DISC.full(IMAGE_SIZE)
    )


def test_nested_objects_are_both_among_the_rows():
    (selection,) = select(PointPrompt("nested", ((100, 100),), (1,)))
    assert selection.rows == (1, 0)


@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param(PointPrompt("p", ((5, 5),), (1,)), id="on nothing"),
        pytest.param(PointPrompt("p", ((100, 100),), (0,)), id="background only"),
        pytest.param(PointPrompt("p", ((320, 240),), (1,)), id="at the far corner of the image"),
    ],
)
def test_empty_canvas_selects_nothing(prompt: Prompt):
    assert select(prompt) == [Selection("p", (), ())]


def test_box_always_selects_one_row():
    selections = select(BoxPrompt("tight", (220, 30, 280, 90)), BoxPrompt("nowhere", (0, 200, 20, 220)))
    assert [selection.rows for selection in selections] == [(2,), (0,)]
    assert selections[0].scores[0] == pytest.approx(2821 / (3600 + 2821 - 2809), abs=0.06)
    assert selections[1].scores == (0.0,)


def test_selections_have_the_order_of_the_prompts():
    prompts = [BoxPrompt("b", (220, 30, 280, 90)), EverythingPrompt("all"), PointPrompt("p", ((250, 60),), (1,))]
    assert [(selection.prompt_id, selection.rows) for selection in select(*prompts)] == [
        ("b", (2,)),
        ("all", (0, 1, 2)),
        ("p", (2,)),
    ]


def test_without_masks_nothing_is_selected():
    prompts = [EverythingPrompt("all"), BoxPrompt("b", (220, 30, 280, 90)), PointPrompt("p", ((250, 60),), (1,))]
    assert select(*prompts, masks=[]) == [Selection(prompt.prompt_id, (), ()) for prompt in prompts]


def test_prompts_are_stretched_over_masks_of_another_size():
    prompts = [PointPrompt("p", ((500, 120),), (1,)), BoxPrompt("b", (440, 60, 560, 180))]
    selections = select_reference(
        DISCS, DISC_SCORES, PromptSet.of(prompts), mask_size=IMAGE_SIZE, image_size=(480, 640)
    )
    assert [selection.rows for selection in selections] == [(2,), (2,)]
