"""From frames to messages: what a message says, who follows what, and how long it took."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest

from streamseg.config import TrackingConfig
from streamseg.pipeline import Pipeline
from streamseg.pipeline.compose import SelectionMatcher
from streamseg.structures.instances import Instances
from tests.support.frames import make_frame
from tests.support.stages import AT_ONCE, LEFT, RIGHT, SquareSegmenter, make_instances, make_pipeline

# ---- messages


def test_frames_in_messages_out_in_order():
    frames = [make_frame(index, source_id=source_id) for index in range(3) for source_id in ("a", "b")]
    messages = Pipeline(SquareSegmenter(), tracking=AT_ONCE)(frames)
    assert [(message.source_id, message.frame_index) for message in messages] == [
        (frame.source_id, frame.index) for frame in frames
    ]
    assert [message.objects[0].box[0] for message in messages] == [0, 0, 1, 1, 2, 2]


def test_a_batch_equals_its_frames_one_by_one():
    frames = [make_frame(index) for index in range(6)]
    together = Pipeline(SquareSegmenter())(frames)
    apart = Pipeline(SquareSegmenter())
    for message, frame in zip(together, frames, strict=True):
        single = apart([frame])[0]
        assert [(one.box, one.track_id) for one in message.objects] == [
            (one.box, one.track_id) for one in single.objects
        ]


def test_no_frame_is_no_message_and_no_pass():
    segmenter = SquareSegmenter()
    pipeline = Pipeline(segmenter)
    assert pipeline([]) == []
    assert segmenter.batch_sizes == []
    assert pipeline.timer.stages == {}


def test_no_object_is_a_message_without_objects():
    message = make_pipeline(boxes=[])([make_frame()])[0]
    assert message.objects == ()
    assert message.image_size == message.mask_size == (48, 64)


def test_a_message_says_what_the_frame_said():
    frame = make_frame(7, source_id="door", captured_ns=1_000_000_000, clock="camera")
    pipeline = make_pipeline(frame_ids={"door": "camera_link"}, now_ns=lambda: frame.received_ns + 42_000_000)
    result = pipeline.finish(frame, pipeline.segment([frame])[0], drops={"mailbox": {"newer_frame": 2}})
    message = result.message
    assert (message.source_id, message.frame_index, message.frame_id) == ("door", 7, "camera_link")
    assert (message.captured_ns, message.clock, message.age_ms) == (1_000_000_000, "camera", 42.0)
    assert message.pts_seconds == frame.pts_seconds
    assert message.drops == {"mailbox": {"newer_frame": 2}}
    assert (message.epoch, message.seq, message.jpeg) == ("", -1, None)
    assert result.frame is frame
    assert make_pipeline()([frame])[0].frame_id == ""


def test_objects_carry_box_score_mask_and_area():
    first, second = make_pipeline()([make_frame()])[0].objects
    assert (first.box, second.box) == (tuple(LEFT), tuple(RIGHT))
    assert (first.score, second.score) == pytest.approx((0.9, 0.89))
    assert first.area == first.mask.area == 16 * 32
    expected = np.zeros((48, 64), dtype=bool)
    expected[8:40, 40:56] = True
    np.testing.assert_array_equal(second.mask.full((48, 64)), expected)


@pytest.mark.parametrize(
    ("size", "scale", "mask_size"),
    [
        pytest.param((48, 64), 1.0, (48, 64), id="whole"),
        pytest.param((48, 64), 0.5, (24, 32), id="half"),
        pytest.param((45, 63), 0.5, (22, 32), id="rounded"),
        pytest.param((8, 64), 0.01, (1, 1), id="at-least-a-pixel"),
    ],
)
def test_masks_at_another_size(size: tuple[int, int], scale: float, mask_size: tuple[int, int]):
    message = make_pipeline(boxes=[[0, 0, size[1], size[0]]], matcher=SelectionMatcher(scale))([make_frame(size=size)])[
        0
    ]
    assert message.mask_size == mask_size
    scale_x, scale_y, offset_x, offset_y = message.mask_to_image
    assert (mask_size[1] * scale_x + offset_x, mask_size[0] * scale_y + offset_y) == pytest.approx((size[1], size[0]))
    assert message.objects[0].area == mask_size[0] * mask_size[1]


# ---- tracking


def test_each_source_has_a_tracker_of_its_own():
    pipeline = make_pipeline(boxes=[LEFT])
    for index in range(3):
        messages = pipeline([make_frame(index, source_id="a"), make_frame(index, source_id="b")])
        assert [message.objects[0].track_id for message in messages] == [1, 1]


def test_tentative_objects_are_published_without_an_identity():
    pipeline = make_pipeline(boxes=[LEFT], tracking=TrackingConfig(confirm_frames=3))
    ids = [pipeline([make_frame(index)])[0].objects[0].track_id for index in range(4)]
    assert ids == [-1, -1, 1, 1]


def test_without_tracking_there_are_no_identities():
    pipeline = make_pipeline(tracking=TrackingConfig(enabled=False))
    for index in range(5):
        assert [one.track_id for one in pipeline([make_frame(index)])[0].objects] == [-1, -1]


def test_a_source_that_ended_is_forgotten():
    pipeline = make_pipeline(boxes=[LEFT])
    pipeline([make_frame(0, size=(48, 64)), make_frame(0, source_id="other")])
    assert pipeline.image_sizes == {"camera": (48, 64), "other": (48, 64)}
    pipeline.end_source("camera")
    pipeline.end_source("never-seen")
    assert pipeline.image_sizes == {"other": (48, 64)}
    assert pipeline([make_frame(0)])[0].objects[0].track_id == 1


def test_a_picture_that_changes_its_size_goes_on():
    pipeline = make_pipeline(boxes=[LEFT])
    sizes = [(48, 64), (48, 64), (96, 128), (48, 64)]
    messages = [pipeline([make_frame(index, size=size)])[0] for index, size in enumerate(sizes)]
    assert [message.image_size for message in messages] == sizes
    assert pipeline.image_sizes == {"camera": (48, 64)}


# ---- times of the stages


def test_stages_are_timed_with_those_of_the_segmenter():
    pipeline = make_pipeline()
    pipeline([make_frame()])
    assert {"network", "segment", "track", "select", "masks"} <= set(pipeline.timer.stages)
    plain = Pipeline(SquareSegmenter())
    plain([make_frame()])
    assert set(plain.timer.stages) == {"segment", "track", "select", "masks"}


@pytest.mark.parametrize("num_answers", [0, 2])
def test_a_segmenter_that_answers_too_little_or_too_much_is_an_error(num_answers: int):
    pipeline = Pipeline(lambda images, regions=None: [make_instances([LEFT])] * num_answers)
    with pytest.raises(ValueError, match="zip"):
        pipeline([make_frame()])


# ---- work that is left to the thread that finishes frames


class HalfSegmenter(SquareSegmenter):
    """Finds squares only when the functions that it returns are called."""

    def __init__(self, *, defers: bool) -> None:
        super().__init__()
        self.defers = defers
        self.num_found = 0

    def begin_batch(
        self, images: Sequence[npt.NDArray[np.uint8]], regions: Sequence[object], degradations: Sequence[object]
    ) -> list[Callable[[], Instances]]:
        assert len(images) == len(regions) == len(degradations)
        self.batch_sizes.append(len(images))
        return [partial(self._later, image) for image in images]

    def _later(self, image: npt.NDArray[np.uint8]) -> Instances:
        self.num_found += 1
        return self._find(image)


@pytest.mark.parametrize("defers", [True, False])
def test_begin_leaves_what_the_segmenter_defers(*, defers: bool):
    segmenter = HalfSegmenter(defers=defers)
    pipeline, plain = (Pipeline(one, tracking=AT_ONCE) for one in (segmenter, SquareSegmenter()))
    recorded = replace(make_frame(5), instances=make_instances([RIGHT]))
    frames = [make_frame(3), recorded, make_frame(9)]
    begun = pipeline.begin(frames)
    assert segmenter.batch_sizes == [2], "one has its instances already"
    assert segmenter.num_found == 0
    for frame, finish, expected in zip(frames, begun, plain.segment(frames), strict=True):
        found = finish()
        assert found.boxes.tolist() == expected.boxes.tolist()
        pipeline.finish(frame, found)
    assert segmenter.num_found == (2 if defers else 0)
    assert pipeline.timer.stages["segment"].num_values == 1
    assert pipeline.begin([]) == []
