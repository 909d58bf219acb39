"""What a pipeline knows of the next frame, and tells a segmenter that can hear it."""

import numpy as np
import pytest
import torch

from streamseg.config import TrackingConfig
from streamseg.pipeline import Pipeline
from streamseg.pipeline.guidance import GuidedSegmenter, guide_of_answers, guide_of_boxes
from streamseg.structures.instances import Tracked
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt, PromptStatus, Selection
from streamseg.structures.search_regions import NO_REGIONS
from tests.support.frames import make_frame
from tests.support.stages import AT_ONCE, LEFT, RIGHT, make_instances

HIDDEN = [8.0, 10.0, 18.0, 22.0]
"""What no segmenter finds by itself: it lies on the left object."""


class HearingSegmenter:
    """Finds `shown`, and `hidden` where a guide points at it; remembers the guides."""

    def __init__(self, shown=(LEFT, RIGHT)):
        self.shown = list(shown)
        self.hidden = [HIDDEN]
        self.guides = []

    def __call__(self, images):
        return [make_instances(self.shown) for _ in images]

    def guided(self, images, guides):
        self.guides += guides
        return [self._found(guide) for guide in guides]

    def _found(self, guide):
        near = [*guide.prompted, *guide.expected]
        meant = [hidden for hidden in self.hidden if any(np.abs(box - hidden).max() < 4 for box in near)]
        scores = [0.9 - 0.01 * row for row in range(len(self.shown))] + [0.05] * len(meant)
        return make_instances([*self.shown, *meant], scores=scores)


def run(segmenter, prompts, num_frames, *, tracking=AT_ONCE, **options):
    pipeline = Pipeline(segmenter, prompts=prompts, tracking=tracking, **options)
    return [pipeline([make_frame(index)])[0] for index in range(num_frames)]


def test_who_can_be_guided():
    assert isinstance(HearingSegmenter(), GuidedSegmenter)
    assert not isinstance(lambda images: [], GuidedSegmenter)


def test_boxes_of_a_picture_without_a_past():
    box = BoxPrompt("b", tuple(HIDDEN))
    assert guide_of_boxes([EverythingPrompt(), PointPrompt("p", ((1, 1),), (1,))]) is NO_REGIONS
    assert guide_of_boxes([box, EverythingPrompt()]).prompted.tolist() == [HIDDEN]
    segmenter = HearingSegmenter()
    (message,) = run(segmenter, [box], 1, tracking=TrackingConfig(enabled=False))
    assert [one.box for one in message.objects] == [tuple(HIDDEN)]


def test_what_is_followed_is_expected_where_it_moves_to():
    segmenter = HearingSegmenter()
    pipeline = Pipeline(segmenter, tracking=AT_ONCE)
    for index in range(12):
        segmenter.shown = [[4 + index, 8, 20 + index, 40], RIGHT]
        pipeline([make_frame(index)])
    assert segmenter.guides[0].expected.shape == (0, 4)
    moving = segmenter.guides[-1].expected[:, 0].min()
    assert moving == pytest.approx(15, abs=1)
    assert moving > 14.2, "it is expected a step ahead of where it was"


def test_a_box_that_nothing_answers_is_looked_into_and_its_object_is_kept():
    messages = run(HearingSegmenter(), [BoxPrompt("b", tuple(HIDDEN))], 6)
    assert messages[0].objects == ()
    assert [message.objects[0].box for message in messages[1:]] == [tuple(HIDDEN)] * 5
    assert {message.prompts[0].state for message in messages[1:]} == {"bound"}


def test_a_box_is_looked_into_where_its_object_was_last():
    segmenter = HearingSegmenter()
    pipeline = Pipeline(segmenter, prompts=[BoxPrompt("b", tuple(HIDDEN))], tracking=AT_ONCE)
    x0, y0, x1, y1 = HIDDEN
    for index, shift in enumerate([0, *range(0, 18, 2)]):  # found from the second frame on
        segmenter.hidden = [[x0 + shift, y0, x1 + shift, y1]]
        pipeline([make_frame(index)])
    segmenter.hidden = []
    (message,) = pipeline([make_frame(10)])
    assert message.prompts[0].state == "none"
    pipeline([make_frame(11)])
    assert segmenter.guides[-1].prompted.tolist() == [[x0 + 16, y0, x1 + 16, y1]]


def test_a_box_that_is_answered_is_not_looked_into():
    segmenter = HearingSegmenter()
    run(segmenter, [BoxPrompt("b", tuple(LEFT))], 4)
    assert all(not len(guide.prompted) for guide in segmenter.guides)


def test_reference_prompting_is_not_guided():
    segmenter = HearingSegmenter()
    run(segmenter, [BoxPrompt("b", tuple(HIDDEN))], 3, prompting="reference")
    assert segmenter.guides == []


def test_sources_are_guided_apart():
    segmenter = HearingSegmenter()
    pipeline = Pipeline(segmenter, tracking=AT_ONCE)
    pipeline([make_frame(0, source_id="a"), make_frame(0, source_id="b")])
    pipeline.end_source("a")
    pipeline([make_frame(1, source_id="a"), make_frame(1, source_id="b")])
    assert [len(guide.expected) for guide in segmenter.guides] == [0, 0, 0, 2]


@pytest.mark.parametrize(
    ("status", "rows", "prompted", "expected"),
    [
        pytest.param(PromptStatus("b", "none"), (), [HIDDEN], [], id="nothing yet"),
        pytest.param(PromptStatus("b", "lost", track_id=-1), (), [], [], id="it was there: the tracker's business"),
        pytest.param(PromptStatus("b", "bound", 0.9, 7), (0,), [], [], id="known to the tracker"),
        pytest.param(PromptStatus("b", "bound", 0.9), (1,), [], [RIGHT], id="no identity yet"),
    ],
)
def test_answers_to_a_box(status, rows, prompted, expected):
    tracked = Tracked(make_instances([LEFT, RIGHT]), torch.tensor([7, -1]))
    selection = Selection("b", rows, (0.9,) * len(rows), status=status)
    everything = Selection("all", (0, 1), (0.9, 0.8))
    guide = guide_of_answers([EverythingPrompt("all"), BoxPrompt("b", tuple(HIDDEN))], [everything, selection], tracked)
    assert guide.prompted.tolist() == prompted
    assert guide.expected.tolist() == expected
