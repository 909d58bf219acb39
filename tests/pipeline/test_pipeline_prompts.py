"""What is asked of a pipeline, and what answers."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from streamseg.config import TrackingConfig
from streamseg.errors import ConfigError, DataError
from streamseg.pipeline import Pipeline
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Tracked
from streamseg.structures.message import CropMask, Message
from streamseg.structures.prompt import (
    BoxPrompt,
    EverythingPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    Selection,
    TextPrompt,
)
from streamseg.wire import decode, encode
from tests.support.frames import make_frame
from tests.support.stages import AT_ONCE, LEFT, RIGHT, SquareSegmenter, make_pipeline, point

# ---- prompts


@pytest.mark.parametrize(
    ("prompts", "answers"),
    [
        pytest.param([], [], id="none-asked-none-published"),
        pytest.param([EverythingPrompt()], [(LEFT, ("everything",)), (RIGHT, ("everything",))], id="everything"),
        pytest.param([point("p", 48, 20)], [(RIGHT, ("p",))], id="one-of-two"),
        pytest.param([point("p", 30, 20)], [], id="nothing-there-is-an-answer"),
        pytest.param(
            [point("r", 48, 20), point("l", 8, 20)], [(LEFT, ("l",)), (RIGHT, ("r",))], id="rows-by-score-not-by-prompt"
        ),
        pytest.param(
            [point("z", 8, 20), EverythingPrompt("a")],
            [(LEFT, ("z", "a")), (RIGHT, ("a",))],
            id="ids-in-the-prompts-order",
        ),
        pytest.param([BoxPrompt("b", (4, 8, 20, 40))], [(LEFT, ("b",))], id="box"),
    ],
)
def test_only_what_answers_a_prompt_is_published(
    prompts: list[Prompt], answers: list[tuple[list[float], tuple[str, ...]]]
):
    frame = make_frame()
    pipeline = make_pipeline(prompts=prompts)
    result = pipeline.finish(frame, pipeline.segment([frame])[0])
    assert [(list(one.box), one.prompt_ids) for one in result.message.objects] == answers
    assert [selection.prompt_id for selection in result.selections] == [prompt.prompt_id for prompt in prompts]
    assert len(result.tracked) == 2, "everything is followed, whatever is asked"


def test_identities_do_not_depend_on_the_prompts():
    pipeline = make_pipeline()
    before = {one.box: one.track_id for one in pipeline([make_frame(0)])[0].objects}
    pipeline.set_prompts([point("p", 8, 20)])
    pipeline([make_frame(1)])
    pipeline.set_prompts([EverythingPrompt()])
    assert {one.box: one.track_id for one in pipeline([make_frame(2)])[0].objects} == before


def test_a_frame_sees_one_set_of_prompts_while_another_thread_changes_them():
    sets: list[list[Prompt]] = [[point(f"{name}{n}", 8, 20) for n in range(5)] for name in "ab"]
    pipeline = make_pipeline(prompts=sets[0])
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            for prompts in sets:
                pipeline.set_prompts(prompts)

    thread = threading.Thread(target=change)
    thread.start()
    seen = [pipeline([make_frame(index)])[0].objects[0].prompt_ids for index in range(30)]
    done.set()
    thread.join()
    valid = {tuple(prompt.prompt_id for prompt in prompts) for prompts in sets}
    assert set(seen) <= valid


def test_a_prompt_outside_the_picture_is_told_once_per_size(caplog: pytest.LogCaptureFixture):
    pipeline = make_pipeline(prompts=[point("far", 1000, 20)])
    with caplog.at_level(logging.WARNING):
        assert [message.objects for message in pipeline([make_frame(0), make_frame(1)])] == [(), ()]
    assert len(caplog.records) == 1
    assert "source camera: " in caplog.text
    assert "far" in caplog.text
    pipeline([make_frame(2, size=(96, 128))])
    assert len(caplog.records) == 2


# ---- whose answers


def test_reference_prompting_snaps_boxes_before_anything_follows_them():
    boxes = [[0.0, 0.0, 63.0, 47.0], RIGHT]
    frame = make_frame()
    pipeline = make_pipeline(boxes=boxes, prompting="reference")
    result = pipeline.finish(frame, pipeline.segment([frame])[0])
    # 20 pixels is nearly half of this picture, so that the smaller one reaches three borders.
    assert result.tracked.instances.boxes.tolist() == [[0, 0, 64, 48], [40, 0, 64, 48]]
    assert [one.box for one in result.message.objects] == [(0, 0, 64, 48), (40, 0, 64, 48)]
    assert make_pipeline(boxes=boxes)([frame])[0].objects[0].box == tuple(boxes[0])


def test_reference_prompting_merges_points_and_answers_every_box():
    prompts = [PointPrompt("both", ((10, 20), (50, 20)), (1, 1)), BoxPrompt("box", (28, 20, 30, 22))]
    message = make_pipeline(prompts=prompts, prompting="reference")([make_frame()])[0]
    assert [(one.track_id, one.prompt_ids) for one in message.objects] == [(1, ("box",)), (-1, ("both",))]
    default = make_pipeline(prompts=prompts)([make_frame()])[0]
    assert [one.prompt_ids for one in default.objects] == [("both",)]
    assert default.objects[0].track_id >= 0


def test_a_merged_mask_travels():
    prompts = [PointPrompt("both", ((10, 20), (50, 20)), (1, 1))]
    message = make_pipeline(prompts=prompts, prompting="reference")([make_frame()])[0]
    (sent,) = message.objects
    (received,) = decode(encode(message)).objects
    assert (received.track_id, received.prompt_ids, received.area) == (-1, ("both",), sent.area)
    np.testing.assert_array_equal(received.mask.full((48, 64)), sent.mask.full((48, 64)))


def test_reference_masks_have_one_size():
    with pytest.raises(ConfigError, match=r"reference masks have one size; set mask_scale to 1, got 0\.5"):
        make_pipeline(prompting="reference", mask_scale=0.5)


# ---- prompts that follow


def statuses(message: Message) -> list[tuple[str, str, int]]:
    return [(one.prompt_id, one.state, one.track_id) for one in message.prompts]


def test_a_prompt_stays_with_its_object():
    pipeline = Pipeline(SquareSegmenter(), tracking=AT_ONCE, prompts=[point("p", 2, 12)])
    messages = pipeline([make_frame(index) for index in range(30)])
    assert {tuple(statuses(message)) for message in messages} == {(("p", "bound", 1),)}
    assert [message.objects[0].box[0] for message in messages] == list(range(30))


def test_a_prompt_is_asked_of_its_source_alone():
    prompts = [replace(point("a", 8, 20), source_id="a"), point("all", 48, 20), EverythingPrompt("e", source_id="b")]
    pipeline = make_pipeline(prompts=prompts)
    frames = [make_frame(source_id=source_id) for source_id in "ab"]
    results = [pipeline.finish(frame, pipeline.segment([frame])[0]) for frame in frames]
    assert [[one.prompt_id for one in result.selections] for result in results] == [["a", "all"], ["all", "e"]]
    assert [statuses(result.message) for result in results] == [
        [("a", "bound", 1), ("all", "bound", 2)],
        [("all", "bound", 2)],
    ]


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        pytest.param({"tracking": TrackingConfig(enabled=False)}, ("p", "bound", -1), id="nothing-is-tracked"),
        pytest.param({"prompting": "reference"}, ("p", "bound", -1), id="merged-by-the-reference"),
    ],
)
def test_prompts_that_nothing_follows_have_a_status(settings: dict[str, object], status: tuple[str, str, int]):
    message = make_pipeline(prompts=[point("p", 8, 20), point("q", 30, 2)], **settings)([make_frame()])[0]
    assert statuses(message) == [status, ("q", "none", -1)]


def test_a_source_that_comes_back_is_known_by_its_looks():
    pipeline = make_pipeline(prompts=[point("p", 8, 20)])
    assert statuses(pipeline([make_frame(index) for index in range(5)])[-1]) == [("p", "bound", 1)]
    pipeline.end_source("camera")
    states = [statuses(message)[0][1] for message in pipeline([make_frame(index) for index in range(4)])]
    assert states[0] == "lost"


def test_memory_goes_from_run_to_run():
    first = make_pipeline(prompts=[point("p", 8, 20)])
    first([make_frame(index) for index in range(4)])
    memory = first.prompt_memory()
    second = make_pipeline(prompts=[point("p", 8, 20)], prompt_memory=memory)
    assert second.prompt_memory() == memory
    assert statuses(second([make_frame()])[0]) == [("p", "lost", -1)]


@pytest.mark.parametrize("memory", [[], {"camera": 3}, {3: {}}, {"camera": {"p": {}}}], ids=str)
def test_a_memory_that_is_none_is_refused(memory: object):
    pipeline = make_pipeline()
    with pytest.raises(DataError, match="memory of prompt"):
        pipeline.remember(memory)  # type: ignore[arg-type]
    assert pipeline.prompt_memory() == {}


class Reader:
    """Answers `left` with the first row of every even frame."""

    def __init__(self) -> None:
        self.num_prepared = 0
        self.ended: list[str] = []

    def prepare(self) -> None:
        self.num_prepared += 1

    def end_source(self, source_id: str) -> None:
        self.ended.append(source_id)

    def __call__(self, frame: Frame, tracked: Tracked, prompts: Sequence[TextPrompt]) -> list[Selection]:
        return [
            Selection(one.prompt_id, (0,), (0.7,))
            if one.text == "left" and frame.index % 2 == 0
            else Selection(one.prompt_id, (), ())
            for one in prompts
        ]


@pytest.mark.parametrize("prompting", ["default", "reference"])
def test_texts_are_answered_by_who_can_read(prompting: str):
    prompts = [TextPrompt("t", "left"), point("p", 48, 20), TextPrompt("u", "right")]
    reader = Reader()
    pipeline = make_pipeline(prompts=prompts, text=reader, prompting=prompting)
    assert reader.num_prepared
    messages = pipeline([make_frame(index) for index in range(2)])
    assert [[stand[:2] for stand in statuses(message)] for message in messages] == [
        [("t", "bound"), ("p", "bound"), ("u", "none")],
        [("t", "lost"), ("p", "bound"), ("u", "none")],
    ]
    assert {one.label for one in messages[0].objects} == {"left", None}
    pipeline.end_source("camera")
    assert reader.ended == ["camera"]


def test_what_nobody_can_answer_is_refused_at_once():
    text, mask = TextPrompt("t", "a cup"), MaskPrompt("m", CropMask(np.ones((4, 4), np.bool_), 0, 0))
    with pytest.raises(ConfigError, match="prompt 't' is a text, and nothing here can read"):
        make_pipeline(prompts=[text])
    pipeline = make_pipeline(prompting="reference")
    with pytest.raises(ConfigError, match="prompt 'm' is a mask, which reference prompting does not take"):
        pipeline.set_prompts([mask])
    assert pipeline.prompts == (EverythingPrompt(),)
