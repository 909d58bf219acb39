"""Prompts of a pipeline and the objects that they select."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from streamseg.config import TrackingConfig
from streamseg.errors import ConfigError, DataError
from streamseg.pipeline import Pipeline
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Tracked
from streamseg.structures.mask import CropMask
from streamseg.structures.message import Message
from streamseg.structures.prompt import (
    BoxPrompt,
    EverythingPrompt,
    MaskPrompt,
    Prompt,
    Selection,
    TextPrompt,
)
from tests.support.frames import make_frame
from tests.support.stages import AT_ONCE, LEFT, RIGHT, SquareSegmenter, make_fastsam_pipeline, make_pipeline, point

# ---- prompts


@pytest.mark.parametrize(
    ("prompts", "matches"),
    [
        pytest.param([], [], id="no-prompt"),
        pytest.param([EverythingPrompt()], [(LEFT, ("everything",)), (RIGHT, ("everything",))], id="everything"),
        pytest.param([point("p", 48, 20)], [(RIGHT, ("p",))], id="one-of-two"),
        pytest.param([point("p", 30, 20)], [], id="no-match"),
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
def test_only_matches_are_published(prompts: list[Prompt], matches: list[tuple[list[float], tuple[str, ...]]]):
    frame = make_frame()
    pipeline = make_pipeline(prompts=prompts)
    result = pipeline.finish(frame, pipeline.segment([frame])[0])
    assert [(list(one.box), one.prompt_ids) for one in result.message.objects] == matches
    assert [selection.prompt_id for selection in result.selections] == [prompt.prompt_id for prompt in prompts]
    assert len(result.tracked) == 2, "everything is tracked, whatever is selected"


def test_identities_are_independent_of_prompts():
    pipeline = make_pipeline()
    before = {one.box: one.track_id for one in pipeline([make_frame(0)])[0].objects}
    pipeline.set_prompts([point("p", 8, 20)])
    pipeline([make_frame(1)])
    pipeline.set_prompts([EverythingPrompt()])
    assert {one.box: one.track_id for one in pipeline([make_frame(2)])[0].objects} == before


@pytest.mark.slow
def test_prompts_change_atomically():
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


def test_prompt_outside_the_image_is_logged_once_per_size(caplog: pytest.LogCaptureFixture):
    pipeline = make_pipeline(prompts=[point("far", 1000, 20)])
    with caplog.at_level(logging.WARNING):
        assert [message.objects for message in pipeline([make_frame(0), make_frame(1)])] == [(), ()]
    assert len(caplog.records) == 1
    assert "source camera: " in caplog.text
    assert caplog.records[0].__dict__["source"] == "camera"
    assert "far" in caplog.text
    pipeline([make_frame(2, size=(96, 128))])
    assert len(caplog.records) == 2


# ---- prompts that follow


def statuses(message: Message) -> list[tuple[str, str, int]]:
    return [(one.prompt_id, one.state, one.track_id) for one in message.prompts]


def test_prompt_follows_its_target():
    pipeline = Pipeline(SquareSegmenter(), tracking=AT_ONCE, prompts=[point("p", 2, 12)])
    messages = pipeline([make_frame(index) for index in range(30)])
    assert {tuple(statuses(message)) for message in messages} == {(("p", "bound", 1),)}
    assert [message.objects[0].box[0] for message in messages] == list(range(30))


def test_confidence_and_mask_quality():
    prompts = [BoxPrompt("box", (4, 8, 20, 40)), point("click", 8, 20), point("nothing", 30, 2), EverythingPrompt()]
    pipeline = make_pipeline(prompts=prompts)
    (message,) = pipeline([make_frame()])
    box, click, nothing = message.prompts
    assert 0 < click.confidence < box.confidence < 1
    assert click.mask_quality is not None
    assert box.mask_quality is not None
    assert 0 < click.mask_quality < box.mask_quality < 1
    assert (nothing.words, nothing.confidence, nothing.mask_quality) == ("nothing found", 0.0, None)
    result = pipeline.finish(make_frame(1), pipeline.segment([make_frame(1)])[0])
    assert [selection.scores for selection in result.selections[:2]] == [(1.0,), (1.0,)], "identity alone"


def test_prompt_of_one_source():
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
    "make",
    [
        pytest.param(partial(make_pipeline, tracking=TrackingConfig(enabled=False)), id="without-tracking"),
        pytest.param(make_fastsam_pipeline, id="merged-in-fastsam-mode"),
    ],
)
def test_prompts_that_follow_nothing_have_a_status(make: Callable[..., Pipeline]):
    message = make(prompts=[point("p", 8, 20), point("q", 30, 2)])([make_frame()])[0]
    assert statuses(message) == [("p", "bound", -1), ("q", "none", -1)]


def test_targets_are_lost_when_the_source_ends():
    pipeline = make_pipeline(prompts=[point("p", 8, 20)])
    assert statuses(pipeline([make_frame(index) for index in range(5)])[-1]) == [("p", "bound", 1)]
    pipeline.end_source("camera")
    states = [statuses(message)[0][1] for message in pipeline([make_frame(index) for index in range(4)])]
    assert states[0] == "lost"


def test_state_is_restored_in_another_run():
    first = make_pipeline(prompts=[point("p", 8, 20)])
    first([make_frame(index) for index in range(4)])
    state = first.state_dict()
    assert {source_id: set(entries) for source_id, entries in state.items()} == {"camera": {"p"}}
    second = make_pipeline(prompts=[point("p", 8, 20)])
    second.load_state_dict(state)
    assert second.state_dict() == state
    assert statuses(second([make_frame()])[0]) == [("p", "lost", -1)]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        pytest.param([], "saved state of prompts must be a mapping of source ids, got list", id="list"),
        pytest.param({"camera": 3}, "must hold a mapping per source, got 'camera'", id="number"),
        pytest.param({3: {}}, "must hold a mapping per source, got 3", id="source-id"),
        pytest.param({"camera": {"p": {}}}, "saved state of prompt 'p' is invalid", id="entry"),
    ],
)
def test_invalid_state_is_rejected_as_a_whole(state: object, reason: str):
    good = make_pipeline(prompts=[point("p", 8, 20)])
    good([make_frame(index, source_id="good") for index in range(4)])
    pipeline = make_pipeline()
    with pytest.raises(DataError, match=reason):
        pipeline.load_state_dict({**good.state_dict(), **state} if isinstance(state, dict) else state)  # type: ignore[arg-type]
    assert pipeline.state_dict() == {}


class LeftMatcher:
    """Matches `left` with the first row of every even frame."""

    def __init__(self) -> None:
        self.num_prepared = 0
        self.num_opened = 0

    def prepare(self) -> None:
        self.num_prepared += 1

    def open_source(self) -> LeftMatcher:
        self.num_opened += 1
        return self

    def __call__(self, frame: Frame, tracked: Tracked, prompts: Sequence[TextPrompt]) -> list[Selection]:
        return [
            Selection(one.prompt_id, (0,), (0.7,))
            if one.text == "left" and frame.index % 2 == 0
            else Selection(one.prompt_id, (), ())
            for one in prompts
        ]


@pytest.mark.parametrize("make", [make_pipeline, make_fastsam_pipeline], ids=["streamseg", "fastsam"])
def test_texts_are_matched(make: Callable[..., Pipeline]):
    prompts = [TextPrompt("t", "left"), point("p", 48, 20), TextPrompt("u", "right")]
    matcher = LeftMatcher()
    pipeline = make(prompts=prompts, text=matcher)
    assert matcher.num_prepared
    messages = pipeline([make_frame(index) for index in range(2)])
    assert [[status[:2] for status in statuses(message)] for message in messages] == [
        [("t", "bound"), ("p", "bound"), ("u", "none")],
        [("t", "lost"), ("p", "bound"), ("u", "none")],
    ]
    assert {one.label for one in messages[0].objects} == {"left", None}
    assert "text" in pipeline.timer.stages
    pipeline.end_source("camera")
    assert matcher.num_opened == 2, "the memory of texts starts afresh"
    assert statuses(pipeline([make_frame(1)])[0])[0] == ("t", "none", -1)


def test_prompts_that_cannot_be_matched_are_rejected():
    text, mask = TextPrompt("t", "a cup"), MaskPrompt("m", CropMask(np.ones((4, 4), np.bool_), 0, 0))
    with pytest.raises(ConfigError, match="prompt 't' is a text prompt, but no text encoder is configured"):
        make_pipeline(prompts=[text])
    pipeline = make_fastsam_pipeline()
    with pytest.raises(ConfigError, match="prompt 'm' is a mask, which FastSAM mode does not accept"):
        pipeline.set_prompts([mask])
    assert pipeline.prompts == (EverythingPrompt(),)
