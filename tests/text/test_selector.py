from dataclasses import replace

import numpy as np
import pytest
import torch

from streamseg.config import TextConfig, TrackingConfig
from streamseg.errors import WeightsError
from streamseg.fastsam.mode import FastSAMMode
from streamseg.pipeline import Pipeline
from streamseg.pipeline.mode import StreamsegMode
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.prompt import EverythingPrompt, TextPrompt
from streamseg.text import TextSelector
from streamseg.text.ranking import NONE_OF_THESE
from streamseg.text.selector import TEXTS_PER_FRAME
from tests.support.frames import make_frame
from tests.support.shapes import IMAGE_SIZE, Shape, detect_shapes
from tests.support.text_encoders import ScriptedEncoders, make_encoders

COLOURS = {"red": (220, 0, 0), "green": (0, 220, 0), "blue": (0, 0, 220), "grey": (120, 120, 120)}
WORDS = {"red": (1, 0, 0, 0), "green": (0, 1, 0, 0), "blue": (0, 0, 1, 0), "a colour": (1, 1, 1, 0)}
BOXES = [(60, 60, 70, 70), (160, 60, 60, 60), (260, 60, 50, 50), (60, 170, 40, 40), (160, 170, 30, 30)]
"""Boxes from large to small."""


def colour_of(crop):
    """Return the colour at the centre of a crop as an embedding, with the grey share on the last axis."""
    red, green, blue = crop[7:9, 7:9].mean(axis=(0, 1)) / 255
    grey = min(red, green, blue)
    return red - grey, green - grey, blue - grey, grey + 0.05


def scripted(**changes):
    return ScriptedEncoders(colour_of, WORDS, (0, 0, 0, 1), **changes)


def scene(*colours):
    """Return a frame with rectangles of these colours, and its instances."""
    image = np.full((*IMAGE_SIZE, 3), 60, np.uint8)
    shapes = [Shape(*box, "rectangle") for box, _ in zip(BOXES, colours, strict=False)]
    y, x = np.mgrid[: IMAGE_SIZE[0], : IMAGE_SIZE[1]] + 0.5
    for shape, colour in zip(shapes, colours, strict=True):
        image[shape.covers(x, y)] = COLOURS[colour]
    return make_frame(0, image=image), detect_shapes(shapes)


def tracked(instances, *track_ids):
    return Tracked(instances, torch.tensor(track_ids or range(len(instances)), dtype=torch.int64))


def texts(*words):
    return [TextPrompt(f"t{number}", word) for number, word in enumerate(words)]


def rows_of(selections):
    return [list(one.rows) for one in selections]


def at(frame, index, seconds):
    return replace(frame, index=index, pts_seconds=seconds)


# ---- matching of objects and texts


@pytest.mark.parametrize(
    ("colours", "words", "rows"),
    [
        pytest.param(["red", "green", "blue"], ["green", "red"], [[1], [0]], id="one object each"),
        pytest.param(["red", "green", "red"], ["red"], [[0, 2]], id="several objects"),
        pytest.param(["grey", "grey"], ["red"], [[]], id="no match"),
        pytest.param(["red"], ["red", "blue"], [[0], []], id="text without objects"),
        pytest.param(["red", "blue"], ["red", " RED ", "blue"], [[0], [0], [1]], id="equal texts"),
        pytest.param(["red", "grey"], ["a colour", "red"], [[], [0]], id="more specific text"),
        pytest.param([], ["red"], [[]], id="no objects"),
    ],
)
def test_objects_match_their_best_text(colours, words, rows):
    frame, instances = scene(*colours)
    select = TextSelector(lambda: scripted(logit_scale=20.0)).open_source()
    selections = select(frame, tracked(instances), texts(*words))
    assert rows_of(selections) == rows
    assert [one.prompt_id for one in selections] == [f"t{number}" for number in range(len(words))]
    for one in selections:
        assert all(0.5 <= score <= 1 for score in one.scores)
        assert list(one.scores) == sorted(one.scores, reverse=True)


def test_sigmoid_encoders_need_no_distractors():
    frame, instances = scene("red", "grey")
    select = TextSelector(lambda: scripted(activation="sigmoid", logit_scale=20.0, logit_bias=-10.0)).open_source()
    (red,) = select(frame, tracked(instances), texts("red"))
    assert red.rows == (0,)


def test_threshold():
    frame, instances = scene("red", "grey")
    for threshold, rows in ((0.0, [[0, 1]]), (1.0, [[]])):
        select = TextSelector(lambda: scripted(logit_scale=5.0), threshold=threshold).open_source()
        assert rows_of(select(frame, tracked(instances), texts("red"))) == rows


# ---- selection of objects to embed


def test_encoders_are_not_loaded_without_texts():
    frame, instances = scene("red")

    def never():
        raise AssertionError("loaded")

    assert TextSelector(never).open_source()(frame, tracked(instances), []) == []


class ManualExecutor:
    """Background computations that finish when the test calls `finish`."""

    def __init__(self):
        self.started = []
        self._result = None
        self._is_done = False

    def __call__(self, work):
        self.started.append(work)
        self._is_done = False
        return self

    def finish(self):
        self._result = self.started[-1]()
        self._is_done = True

    def done(self):
        return self._is_done

    def result(self):
        assert self._is_done, "a frame waited"
        return self._result


def test_frames_do_not_wait_for_background_embeddings():
    frame, instances = scene("red", "green", "red")
    background = ManualExecutor()
    select = TextSelector(scripted, max_crops_per_frame=2, start=background).open_source()

    def rows_at(index):
        return rows_of(select(at(frame, index, index / 30), tracked(instances), texts("red")))

    assert [rows_at(index) for index in range(3)] == [[[]]] * 3
    assert len(background.started) == 1, "one request at a time"
    background.finish()
    assert rows_at(3) == [[0]], "the two largest are embedded"
    assert len(background.started) == 2
    background.finish()
    assert rows_at(4) == [[0, 2]]
    assert len(background.started) == 2, "all are embedded"


def test_tentative_objects_are_not_embedded_in_the_background():
    frame, instances = scene("red", "red")
    background = ManualExecutor()
    select = TextSelector(scripted, max_crops_per_frame=4, start=background).open_source()
    select(frame, tracked(instances, -1, -1), texts("red"))
    assert not background.started
    select(at(frame, 1, 0.1), tracked(instances, -1, 4), texts("red"))
    background.finish()
    assert rows_of(select(at(frame, 2, 0.2), tracked(instances, -1, 4), texts("red"))) == [[1]]


def test_objects_and_texts_are_embedded_once():
    frame, instances = scene("red", "green")
    encoders = scripted()
    select = TextSelector(lambda: encoders, max_crops_per_frame=4).open_source()
    for index in range(10):
        assert rows_of(select(at(frame, index, index / 30), tracked(instances), texts("red"))) == [[0]]
    assert rows_of(select(at(frame, 10, 0.4), tracked(instances), texts("green", "red"))) == [[1], [0]]
    assert encoders.num_images == [2] + [0] * 10
    assert encoders.texts == [*NONE_OF_THESE, "red", "green"]


def test_budget_spreads_objects_over_frames_largest_first():
    frame, instances = scene("red", "red", "red", "red", "red")
    encoders = scripted()
    select = TextSelector(lambda: encoders, max_crops_per_frame=2).open_source()
    found = [rows_of(select(at(frame, index, index / 30), tracked(instances), texts("red")))[0] for index in range(4)]
    assert [sorted(rows) for rows in found] == [[0, 1], [0, 1, 2, 3], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    assert encoders.num_images == [2, 2, 1, 0]


def test_tentative_objects_use_the_remaining_budget_and_are_not_cached():
    frame, instances = scene("red", "red", "red")
    encoders = scripted()
    select = TextSelector(lambda: encoders, max_crops_per_frame=2).open_source()
    found = [
        sorted(rows_of(select(at(frame, index, index / 30), tracked(instances, -1, 7, 8), texts("red")))[0])
        for index in range(2)
    ]
    assert found == [[1, 2], [0, 1, 2]]
    assert encoders.num_images == [2, 1]


def test_every_object_of_a_single_image_is_embedded():
    frame, instances = scene("red", "green", "red", "red", "red")
    select = TextSelector(scripted).open_source()
    assert sorted(rows_of(select(frame, tracked(instances, *[-1] * 5), texts("red")))[0]) == [0, 2, 3, 4]


def test_changed_object_is_embedded_again():
    frame, instances = scene("red")
    embedded = replace(instances, embeddings=torch.tensor([[1.0, 0.0]]))
    select = TextSelector(scripted, max_crops_per_frame=4).open_source()
    assert rows_of(select(frame, tracked(embedded), texts("red", "green"))) == [[0], []]
    green, _ = scene("green")
    assert rows_of(select(at(green, 1, 0.1), tracked(embedded), texts("red", "green"))) == [[0], []]
    for index in range(2, 12):  # the mean changes over several views
        embedded = replace(instances, embeddings=torch.eye(2)[[index % 2]])
        found = rows_of(select(at(green, index, 0.1 * index), tracked(embedded), texts("red", "green")))
    assert found == [[], [0]]


def test_many_texts_are_spread_over_frames():
    frame, instances = scene("red")
    encoders = scripted()
    select = TextSelector(lambda: encoders, max_crops_per_frame=4).open_source()
    many = texts(*(f"text {number}" for number in range(2 * TEXTS_PER_FRAME)), "red")
    found = [select(at(frame, index, index / 30), tracked(instances), many)[-1].rows for index in range(3)]
    assert found == [(), (), (0,)]
    assert len(encoders.texts) == len(NONE_OF_THESE) + len(many)


def test_sources_share_no_embeddings():
    frame, instances = scene("red")
    green, _ = scene("green")
    encoders = scripted()
    shared = TextSelector(lambda: encoders, max_crops_per_frame=4)
    select, other = shared.open_source(), shared.open_source()
    assert rows_of(select(frame, tracked(instances), texts("green"))) == [[]]
    assert rows_of(other(green, tracked(instances), texts("green"))) == [[0]]
    assert rows_of(select(at(green, 1, 0.1), tracked(instances), texts("green"))) == [[]]  # cached as red


# ---- from a configuration, and in a pipeline

MODES = [pytest.param(StreamsegMode(), id="streamseg"), pytest.param(FastSAMMode(), id="fastsam")]


@pytest.mark.parametrize("mode", MODES)
def test_missing_encoders_are_reported_with_the_first_text(tmp_path, mode):
    matcher = mode.text_matcher(TextConfig(encoders=str(tmp_path / "none")))
    pipeline = Pipeline(lambda images, regions=None: [], text=matcher)
    with pytest.raises(WeightsError, match="streamseg text export"):
        pipeline.set_prompts(texts("red"))
    assert pipeline.prompts == (EverythingPrompt(),)


@pytest.mark.parametrize("mode", MODES)
def test_in_a_pipeline(tmp_path, mode):
    folder = make_encoders(tmp_path / "tiny")
    frame, instances = scene("red", "green", "grey")
    pipeline = Pipeline(
        lambda images, regions=None: [instances] * len(images),
        tracking=TrackingConfig(confirm_frames=1),
        prompts=texts("red cup", "green cup"),
        matcher=mode.prompt_matcher(),
        text=mode.text_matcher(TextConfig(encoders=str(folder), device="cpu")),
    )
    for index in range(2):
        (message,) = pipeline([at(frame, index, index / 30)])
        assert [(one.prompt_ids, one.label) for one in message.objects] == [
            (("t0",), "red cup"),
            (("t1",), "green cup"),
        ]
        assert [one.state for one in message.prompts] == ["bound", "bound"]
    instances = Instances.empty(IMAGE_SIZE)
    (message,) = pipeline([at(frame, 2, 0.2)])
    assert [one.state for one in message.prompts] == ["lost", "lost"]
    pipeline.end_source("camera")
