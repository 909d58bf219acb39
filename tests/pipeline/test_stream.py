"""The state of one source from its first frame to its end: clock, tracks, prompts and search regions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.config import TrackingConfig
from streamseg.pipeline import Pipeline
from streamseg.pipeline.stream import SourceTime, Stream
from streamseg.prompting import PromptSet
from streamseg.structures.frame import Frame
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt, Prompt
from streamseg.structures.search_regions import NO_REGIONS
from tests.support.frames import make_frame
from tests.support.stages import AT_ONCE, LEFT, RIGHT, make_instances, point

OFF = TrackingConfig(enabled=False)
NO_PROMPTS = PromptSet.of(())
HIDDEN = [8.0, 10.0, 18.0, 22.0]
"""A box on the left object, in which no segmenter finds an object by itself."""

# ---- time


def timed(pts_seconds: float | None, received_seconds: float) -> Frame:
    return replace(make_frame(), pts_seconds=pts_seconds, received_ns=round(received_seconds * 1e9))


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        pytest.param([(5.0, 0), (5.5, 0.1), (6.0, 0.2)], [0, 0.5, 1.0], id="presentation-time"),
        pytest.param([(None, 10), (None, 10.25), (None, 11)], [0, 0.25, 1.0], id="arrival-without-presentation-time"),
        pytest.param([(9.0, 0), (9.5, 0.5), (0.0, 2.5), (0.5, 3.0)], [0, 0.5, 2.5, 3.0], id="camera-returns"),
        pytest.param([(9.0, 0), (0.0, 0.1), (0.5, 0.2)], [0, 0.1, 0.6], id="file-repeats"),
        pytest.param([(1.0, 0), (1.0, 0.25)], [0, 0.25], id="time-stands-still"),
        pytest.param([(1.0, 0), (None, 0.25), (1.5, 0.5)], [0, 0.25, 0.5], id="some-without"),
        pytest.param([(None, 5), (None, 4)], [0, 0], id="never-backwards"),
    ],
)
def test_source_time(stamps: list[tuple[float | None, float]], expected: list[float]):
    time = SourceTime()
    assert [time.at(timed(*stamp)) for stamp in stamps] == pytest.approx(expected)


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.one_of(st.none(), st.floats(-1e6, 1e6)), st.floats(0, 1e6)), min_size=1, max_size=20),
)
def test_source_time_never_runs_backwards(stamps: list[tuple[float | None, float]]):
    time = SourceTime()
    expected, seconds = [], []
    for stamp in stamps:
        expected.append(time.expected_at(timed(*stamp)))
        seconds.append(time.at(timed(*stamp)))
    assert expected == seconds, "the prediction is exact and changes nothing"
    assert seconds[0] == 0
    assert seconds == sorted(seconds)


# ---- frames, identities and prompts


def track(stream: Stream, frame: Frame, boxes: list[list[float]]) -> list[int]:
    """Track ids in the next frame."""
    stream.begin_frame(frame, NO_PROMPTS)
    return stream.track(make_instances(boxes)).track_ids.tolist()


def test_identities_last_until_the_end():
    stream = Stream("camera", AT_ONCE)
    assert [track(stream, make_frame(index), boxes) for index, boxes in enumerate([[LEFT], [LEFT, RIGHT]])] == [
        [1],
        [1, 2],
    ]
    stream.end()
    assert track(stream, make_frame(2), [RIGHT]) == [1]


def test_without_tracking_there_are_no_identities():
    stream = Stream("camera", OFF)
    assert track(stream, make_frame(), [LEFT, RIGHT]) == [-1, -1]
    assert track(stream, make_frame(1), []) == []


def test_prompts_of_the_source_are_grouped_when_they_change_and_only_then():
    stream = Stream("a", AT_ONCE)
    here, there = replace(point("here", 1, 1), source_id="a"), replace(point("there", 1, 1), source_id="b")
    prompts, others = PromptSet.of((here, there)), PromptSet.of((there,))
    stream.begin_frame(make_frame(), prompts)
    grouped = stream.prompts
    assert grouped.prompts == (here,)
    stream.begin_frame(make_frame(1), prompts)
    assert stream.prompts is grouped
    stream.begin_frame(make_frame(2), others)
    assert stream.prompts.prompts == ()


def test_image_size_is_that_of_the_latest_image():
    stream = Stream("camera", AT_ONCE)
    assert stream.image_size is None
    stream.begin_frame(make_frame(size=(48, 64)), NO_PROMPTS)
    assert stream.image_size == (48, 64)
    stream.end()
    assert stream.image_size is None


# ---- search regions


class RegionSegmenter:
    """Finds `shown`, and `hidden` objects near a search region; keeps the regions."""

    def __init__(self, shown=(LEFT, RIGHT)):
        self.shown = list(shown)
        self.hidden = [HIDDEN]
        self.regions = []

    def __call__(self, images, regions=None):
        self.regions += regions
        return [self._found(one) for one in regions]

    def _found(self, regions):
        near = [*regions.prompted, *regions.expected]
        found = [
            hidden
            for hidden in self.hidden
            if any(np.abs(box - hidden).max() < 4 for box in near)
            or any(hidden[0] <= x <= hidden[2] and hidden[1] <= y <= hidden[3] for x, y in regions.points)
        ]
        scores = [0.9 - 0.01 * row for row in range(len(self.shown))] + [0.05] * len(found)
        return make_instances([*self.shown, *found], scores=scores)


def run(segmenter, prompts: list[Prompt], num_frames: int, *, tracking=AT_ONCE):
    pipeline = Pipeline(segmenter, prompts=prompts, tracking=tracking)
    return [pipeline([make_frame(index)])[0] for index in range(num_frames)]


@pytest.mark.parametrize(
    ("prompt", "prompted"),
    [
        pytest.param(point("p", 1, 1), [], id="point"),
        pytest.param(BoxPrompt("b", (1, 2, 3, 4)), [[1, 2, 3, 4]], id="box"),
        pytest.param(BoxPrompt("b", (1, 2, 3, 4), source_id="other"), [], id="box-of-another-source"),
        pytest.param(BoxPrompt("b", (1, 2, 3, 4), frame_index=0), [], id="box-on-an-earlier-frame"),
    ],
)
def test_new_boxes_are_searched_at_once(prompt, prompted):
    prompts, stream = PromptSet.of((prompt,)), Stream("camera", AT_ONCE)
    regions = stream.search_regions(make_frame(), prompts)
    assert (regions.prompted.tolist(), len(regions.expected)) == (prompted, 0)
    stream.begin_frame(make_frame(), prompts)
    assert not len(stream.search_regions(make_frame(1), prompts).prompted)
    more = PromptSet.of((prompt, BoxPrompt("later", (5, 6, 7, 8))))
    assert stream.search_regions(make_frame(1), more).prompted.tolist()[-1:] == [[5, 6, 7, 8]]


BEHIND = PointPrompt("p", ((1, 2), (5, 6)), (0, 1))


@pytest.mark.parametrize(
    ("prompt", "points"),
    [
        pytest.param(BEHIND, [[5, 6]], id="its first foreground point"),
        pytest.param(replace(BEHIND, point_labels=(0, 0)), [], id="background only"),
        pytest.param(replace(BEHIND, source_id="other"), [], id="of another source"),
        pytest.param(replace(BEHIND, frame_index=0), [], id="on an earlier frame"),
    ],
)
def test_new_points_are_searched_at_once(prompt, points):
    prompts, stream = PromptSet.of((prompt,)), Stream("camera", AT_ONCE)
    assert stream.search_regions(make_frame(), prompts).points.tolist() == points
    stream.begin_frame(make_frame(), prompts)
    assert not len(stream.search_regions(make_frame(1), prompts).points)


def test_object_with_a_low_score_under_a_point_is_found_at_once_and_followed():
    segmenter = RegionSegmenter(shown=[RIGHT])
    messages = run(segmenter, [point("p", 12, 16)], 6)
    assert [message.objects[0].box for message in messages] == [tuple(HIDDEN)] * 6
    assert {message.prompts[0].state for message in messages} == {"bound"}
    assert [len(regions.points) for regions in segmenter.regions] == [1, 0, 0, 0, 0, 0]


def test_point_without_a_match_is_searched_until_it_is_abandoned():
    segmenter = RegionSegmenter(shown=[RIGHT])
    segmenter.hidden = []
    run(segmenter, [point("p", 12, 16)], 12)
    searched = [len(regions.points) for regions in segmenter.regions]
    assert searched == sorted(searched, reverse=True)
    assert 2 < sum(searched) < 12


def test_without_tracking_all_boxes_of_the_source_are_regions():
    box = BoxPrompt("box", (1, 2, 3, 4))
    prompts = PromptSet.of((box, replace(box, prompt_id="there", source_id="b"), point("p", 1, 1)))
    stream = Stream("a", OFF)
    regions = stream.search_regions(make_frame(), prompts)
    assert (regions.prompted.tolist(), regions.points.tolist()) == ([[1, 2, 3, 4]], [[1, 1]])
    assert stream.search_regions(make_frame(), NO_PROMPTS) is NO_REGIONS
    (message,) = run(RegionSegmenter(), [BoxPrompt("b", tuple(HIDDEN))], 1, tracking=OFF)
    assert [one.box for one in message.objects] == [tuple(HIDDEN)]


def test_tracked_objects_are_expected_where_they_move_to():
    segmenter = RegionSegmenter()
    pipeline = Pipeline(segmenter, tracking=AT_ONCE)
    for index in range(12):
        segmenter.shown = [[4 + index, 8, 20 + index, 40], RIGHT]
        pipeline([make_frame(index)])
    assert segmenter.regions[0].expected.shape == (0, 4)
    moving = segmenter.regions[-1].expected[:, 0].min()
    assert moving == pytest.approx(15, abs=1)
    assert moving > 14.2, "expected a step ahead of where it was"


def test_object_in_a_box_is_found_at_once_and_followed():
    messages = run(RegionSegmenter(), [BoxPrompt("b", tuple(HIDDEN))], 6)
    assert [message.objects[0].box for message in messages] == [tuple(HIDDEN)] * 6
    assert {message.prompts[0].state for message in messages} == {"bound"}


def test_box_without_a_match_is_searched_again():
    segmenter = RegionSegmenter()
    segmenter.hidden = []
    run(segmenter, [BoxPrompt("b", tuple(HIDDEN))], 3)
    assert [regions.prompted.tolist() for regions in segmenter.regions] == [[HIDDEN]] * 3


def test_box_is_searched_at_the_last_location_of_its_target():
    segmenter = RegionSegmenter()
    pipeline = Pipeline(segmenter, prompts=[BoxPrompt("b", tuple(HIDDEN))], tracking=AT_ONCE)
    x0, y0, x1, y1 = HIDDEN
    for index, shift in enumerate([0, *range(0, 18, 2)]):
        segmenter.hidden = [[x0 + shift, y0, x1 + shift, y1]]
        pipeline([make_frame(index)])
    segmenter.hidden = []
    (message,) = pipeline([make_frame(10)])
    assert message.prompts[0].state == "none"
    pipeline([make_frame(11)])
    assert segmenter.regions[-1].prompted.tolist() == [[x0 + 16, y0, x1 + 16, y1]]


def test_matched_box_is_not_searched():
    segmenter = RegionSegmenter()
    run(segmenter, [BoxPrompt("b", tuple(LEFT))], 4)
    assert [len(regions.prompted) for regions in segmenter.regions] == [1, 0, 0, 0]


def test_regions_are_per_source():
    segmenter = RegionSegmenter()
    pipeline = Pipeline(segmenter, tracking=AT_ONCE)
    pipeline([make_frame(0, source_id="a"), make_frame(0, source_id="b")])
    pipeline.end_source("a")
    pipeline([make_frame(1, source_id="a"), make_frame(1, source_id="b")])
    assert [len(regions.expected) for regions in segmenter.regions] == [0, 0, 0, 2]


@pytest.mark.parametrize(
    ("boxes", "confirm_frames", "prompted", "expected"),
    [
        pytest.param([RIGHT], 1, [LEFT], [], id="no-match-yet"),
        pytest.param([LEFT, RIGHT], 1, [], [], id="tracked"),
        pytest.param([LEFT, RIGHT], 9, [], [LEFT], id="no-track-id-yet"),
    ],
)
def test_regions_of_a_box(boxes, confirm_frames, prompted, expected):
    stream = Stream("camera", TrackingConfig(confirm_frames=confirm_frames))
    stream.begin_frame(make_frame(), PromptSet.of([BoxPrompt("b", tuple(LEFT))]))
    stream.select(stream.track(make_instances(boxes)))
    regions = stream.search_regions(make_frame(1), NO_PROMPTS)
    assert regions.prompted.tolist() == prompted
    confirmed = len(boxes) if confirm_frames == 1 else 0
    assert regions.expected[: len(regions.expected) - confirmed].tolist() == expected


def test_targets_take_turns_to_be_seen_enlarged():
    stream = Stream("camera", AT_ONCE)
    prompts = PromptSet.of(
        [BoxPrompt("left", tuple(LEFT)), BoxPrompt("right", tuple(RIGHT)), EverythingPrompt("everything")]
    )
    turns = []
    for index, boxes in enumerate([[LEFT, RIGHT], [LEFT, RIGHT], [RIGHT], []]):
        stream.begin_frame(make_frame(index), prompts)
        stream.select(stream.track(make_instances(boxes)))
        turns.append(stream.search_regions(make_frame(index + 1), prompts).followed.tolist())
    assert turns == [[LEFT, RIGHT], [RIGHT, LEFT], [RIGHT], []]


def test_lost_target_is_left_to_the_tracker():
    stream = Stream("camera", AT_ONCE)
    prompts = PromptSet.of([BoxPrompt("b", tuple(LEFT))])
    for index, boxes in enumerate([[LEFT, RIGHT], [RIGHT]]):
        stream.begin_frame(make_frame(index), prompts)
        (selection,) = stream.select(stream.track(make_instances(boxes)))
    assert selection.status.state == "lost"
    assert stream.search_regions(make_frame(2), prompts).prompted.tolist() == []
