"""Prompts matched as by the official FastSAM program."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from streamseg.fastsam.reference_masks import native_masks, plain_masks, plain_size
from streamseg.fastsam.reference_matching import ReferenceMatcher
from streamseg.pipeline.compose import Matches
from streamseg.prompting import PromptSet
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
EMPTY = Tracked(Instances.empty(IMAGE_SIZE, (60, 80)), torch.zeros(0, dtype=torch.int64))
BOTH = PointPrompt("both", ((60, 60), (250, 100)), (1, 1))
RING = PointPrompt("ring", ((100, 120), (60, 60)), (0, 1))
NOWHERE = BoxPrompt("nowhere", (1, 200, 30, 239))


def unused() -> list[Selection]:
    raise AssertionError("FastSAM mode does not follow targets")


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
        pytest.param(RING, [-1], id="background-point-cuts-the-part-out"),
        pytest.param(NOWHERE, [4], id="box-on-nothing-has-the-first-row"),
        pytest.param(PointPrompt("p", ((5, 5),), (1,)), [], id="point-on-nothing"),
        pytest.param(PointPrompt("p", ((250, 100),), (0,)), [], id="background-point-alone"),
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


def test_objects_and_merged_masks_come_by_descending_score():
    matches = match(EverythingPrompt("all"), PointPrompt("click", ((250, 100),), (1,)))
    assert identities(matches) == [(4, ("all",)), (5, ("all",)), (6, ("all",)), (-1, ("click",))]
    scores = [one.score for one in matches.objects]
    assert scores == sorted(scores, reverse=True)


def test_masks_are_the_official_ones():
    matches = match(EverythingPrompt())
    assert (matches.space.size, matches.space.to_image) == (IMAGE_SIZE, (1.0, 1.0, 0.0, 0.0))
    for one, mask in zip(matches.objects, native_masks(INSTANCES), strict=True):
        np.testing.assert_array_equal(one.mask.full(IMAGE_SIZE), mask.full(IMAGE_SIZE))


def test_plain_masks_know_their_location():
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


def test_no_prompt_has_no_object():
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


def test_texts_keep_their_place_and_label_their_objects():
    text = Selection("word", (2,), (0.7,), status=PromptStatus("word", "bound", 0.7))
    matches = match(BOTH, TextPrompt("word", "a box"), EverythingPrompt("all"), texts=[text])
    assert [selection.prompt_id for selection in matches.selections] == ["both", "word", "all"]
    assert {one.track_id: one.label for one in matches.objects} == {4: None, 5: None, 6: "a box", -1: None}
