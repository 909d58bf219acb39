"""A frame's message, from the answers to its prompts."""

from __future__ import annotations

import pytest
import torch

from streamseg.pipeline.compose import Answers, default_answers
from streamseg.pipeline.result import FrameResult
from streamseg.structures.instances import Tracked
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import Selection
from streamseg.telemetry import Drops, StageTimer
from tests.support.frames import make_frame
from tests.support.stages import LEFT, RIGHT, make_instances

TRACKED = Tracked(make_instances([LEFT, RIGHT]), torch.tensor([3, 5]))
BOUND = PromptStatus("p", "bound", 0.8, 5)


def answers_of(*selections: Selection) -> Answers:
    return default_answers(TRACKED, selections, mask_size=(24, 32), timer=StageTimer())


def test_a_message_says_what_the_frame_and_the_answers_say():
    frame = make_frame(7, source_id="door", captured_ns=1_000_000_000, clock="camera")
    answers = answers_of(Selection("p", (1,), (0.8,), status=BOUND), Selection("everything", (0, 1), (0.9, 0.8)))
    result = FrameResult.of(frame, TRACKED, answers, now_ns=1_042_000_000, frame_id="door_link")
    message = result.message
    assert (message.source_id, message.frame_index, message.frame_id) == ("door", 7, "door_link")
    assert (message.captured_ns, message.clock, message.age_ms) == (1_000_000_000, "camera", 42.0)
    assert message.pts_seconds == frame.pts_seconds
    assert (message.image_size, message.mask_size) == ((48, 64), (24, 32))
    assert message.mask_to_image == answers.mask_to_image == (2, 2, 0, 0)
    assert message.objects is answers.objects
    assert [one.track_id for one in message.objects] == [3, 5]
    assert message.prompts == (BOUND,), "what asks for everything has no status"


def test_behind_the_message_stands_all_that_was_found():
    frame, answers = make_frame(), answers_of()
    result = FrameResult.of(frame, TRACKED, answers, now_ns=0)
    assert result.frame is frame
    assert result.tracked is TRACKED
    assert result.selections is answers.selections
    assert (result.message.objects, result.message.prompts, result.message.frame_id) == ((), (), "")


@pytest.mark.parametrize("drops", [None, {}, {"mailbox": {"newer_frame": 2}}], ids=["none-known", "none", "some"])
def test_drops_are_told(drops: Drops | None):
    assert FrameResult.of(make_frame(), TRACKED, answers_of(), now_ns=0, drops=drops).message.drops == (drops or {})
