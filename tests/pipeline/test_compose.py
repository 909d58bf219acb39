"""Selections to objects with pixels, and to the message of a frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from streamseg.pipeline.compose import Matches, SelectionMatcher, compose_message
from streamseg.prompting import PromptSet, select
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.mask import CropMask
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt, Prompt, Selection, TextPrompt
from streamseg.telemetry import Drops, StageTimer
from tests.support.frames import make_frame
from tests.support.shapes import IMAGE_SIZE, Shape, detect_shapes

WHOLE = Shape(100, 120, 120, 160, "rectangle", score=0.9)
PART = Shape(100, 120, 40, 40, score=0.8)
APART = Shape(250, 100, 60, 60, score=0.7)
TRACKED = Tracked(detect_shapes([WHOLE, PART, APART]), torch.tensor([4, 5, 6]))
EMPTY = Tracked(Instances.empty(IMAGE_SIZE, (60, 80)), torch.zeros(0, dtype=torch.int64))
BOUND = PromptStatus("p", "bound", 0.8, 5)


def match(
    *prompts: Prompt,
    tracked: Tracked = TRACKED,
    scale: float = 1.0,
    selections: list[Selection] | None = None,
    texts: tuple[Selection, ...] = (),
    timer: StageTimer | None = None,
) -> Matches:
    """The matches of prompts, selected in this frame alone unless selections are given."""
    given = PromptSet.of(prompts)
    return SelectionMatcher(scale).match(
        tracked,
        given,
        select=lambda: select(tracked, given.textless) if selections is None else selections,
        texts=texts,
        timer=timer if timer is not None else StageTimer(),
    )


def everything() -> Selection:
    return select(TRACKED, [EverythingPrompt()])[0]


def identities(matches: Matches) -> list[tuple[int, tuple[str, ...]]]:
    return [(one.track_id, one.prompt_ids) for one in matches.objects]


def test_row_that_matches_several_prompts_is_one_object():
    clicks = [PointPrompt(name, ((250, 100),), (1,)) for name in ("a", "b")]
    assert identities(match(*clicks)) == [(6, ("a", "b"))]


@pytest.mark.parametrize(
    ("prompt", "track_ids"),
    [
        pytest.param(EverythingPrompt("all"), [4, 5, 6], id="everything"),
        pytest.param(PointPrompt("p", ((60, 60), (250, 100)), (1, 1)), [6], id="points-on-two-objects"),
        pytest.param(PointPrompt("p", ((100, 120), (60, 60)), (0, 1)), [], id="background-point-on-the-part"),
        pytest.param(BoxPrompt("b", (1, 200, 30, 239)), [], id="box-on-nothing"),
        pytest.param(PointPrompt("p", ((5, 5),), (1,)), [], id="point-on-nothing"),
        pytest.param(PointPrompt("p", ((250, 100),), (0,)), [], id="background-point-alone"),
    ],
)
def test_objects_of_a_prompt(prompt: Prompt, track_ids: list[int]):
    assert [one.track_id for one in match(prompt).objects] == track_ids


def test_masks_at_another_size():
    matches = match(EverythingPrompt(), scale=0.5)
    assert (matches.space.size, matches.space.to_image) == ((120, 160), (2.0, 2.0, 0.0, 0.0))
    assert matches.objects[0].mask.full((120, 160)).sum() == pytest.approx(60 * 80, rel=0.03)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_masks_know_their_location(scale: float):
    (found,) = match(PointPrompt("apart", ((250, 100),), (1,)), scale=scale).objects
    assert found.mask(IMAGE_SIZE).sum() == found.area / scale**2
    assert found.centroid == pytest.approx((250.0, 100.0), abs=1.0)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_propagated_mask_is_an_object_of_its_own(scale: float):
    pixels = np.zeros(IMAGE_SIZE, np.bool_)
    pixels[40:80, 20:60] = True
    status = PromptStatus("p", "bound", 0.7, 9, mask_quality=0.55, mask_source="propagated")
    selection = Selection("p", (), (), mask=CropMask.of(pixels), status=status)
    matches = match(
        EverythingPrompt(), PointPrompt("p", ((1, 1),), (1,)), scale=scale, selections=[everything(), selection]
    )
    assert identities(matches)[-1] == (9, ("p",))
    found = matches.objects[-1]
    assert (found.box, found.score) == ((20, 40, 60, 80), 0.55)
    assert found.area == found.mask.area == 1600 * scale**2
    assert (found.mask() == pixels).all()
    scores = [one.score for one in matches.objects]
    assert scores == sorted(scores, reverse=True)


def test_no_instances_match_nothing():
    matches = match(EverythingPrompt(), BoxPrompt("b", (1, 200, 30, 239)), tracked=EMPTY)
    assert (matches.objects, matches.space.size) == ((), IMAGE_SIZE)
    assert [selection.rows for selection in matches.selections] == [(), ()]


def test_no_prompt_has_no_object():
    assert match().objects == ()


def test_stages_are_timed():
    timer = StageTimer()
    match(EverythingPrompt(), timer=timer)
    assert set(timer.stages) == {"select", "masks"}


def test_label_is_the_best_matching_text():
    prompts = [TextPrompt("cup", "a cup"), PointPrompt("click", ((1, 1),), (1,)), TextPrompt("mug", "a mug")]
    texts = (Selection("cup", (0, 1), (0.6, 0.5)), Selection("mug", (0,), (0.8,)))
    matches = match(*prompts, selections=[Selection("click", (2,), (1.0,))], texts=texts)
    assert [selection.prompt_id for selection in matches.selections] == ["cup", "click", "mug"]
    assert [one.label for one in matches.objects] == ["a mug", "a cup", None]
    assert matches.objects[0].prompt_ids == ("cup", "mug")


# ---- messages


def matches_of(*selections: Selection) -> Matches:
    prompts = [EverythingPrompt(one.prompt_id) for one in selections]
    return match(*prompts, scale=0.5, selections=list(selections))


def test_message_of_a_frame():
    frame = make_frame(7, size=IMAGE_SIZE, source_id="door", captured_ns=1_000_000_000, clock="camera")
    frame = replace(frame, lag_ns=2_000_000)
    everything = Selection("everything", (0, 1), (0.9, 0.8))
    matches = matches_of(Selection("p", (1,), (0.8,), status=BOUND), everything)
    message = compose_message(frame, matches, now_ns=frame.received_ns + 40_000_000, frame_id="door_link")
    assert (message.source_id, message.frame_index, message.frame_id) == ("door", 7, "door_link")
    assert (message.captured_ns, message.clock, message.age_ms) == (1_000_000_000, "camera", 42.0)
    assert message.pts_seconds == frame.pts_seconds
    assert (message.image_size, message.mask_size) == (IMAGE_SIZE, (120, 160))
    assert message.mask_to_image == matches.space.to_image == (2, 2, 0, 0)
    assert message.objects is matches.objects
    assert [one.track_id for one in message.objects] == [4, 5]
    assert message.prompts == (BOUND,), "everything has no status"


def test_message_without_matches():
    message = compose_message(make_frame(size=IMAGE_SIZE), matches_of(), now_ns=0)
    assert (message.objects, message.prompts, message.frame_id) == ((), (), "")


@pytest.mark.parametrize("drops", [None, {}, {"mailbox": {"newer_frame": 2}}], ids=["unknown", "none", "some"])
def test_drops_are_reported(drops: Drops | None):
    assert compose_message(make_frame(size=IMAGE_SIZE), matches_of(), now_ns=0, drops=drops).drops == (drops or {})
