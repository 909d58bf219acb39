"""YOLO-World: graphs of its exporters with planted detections, and everything that is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from streamseg.errors import ConfigError, WeightsError
from streamseg.structures.arrays import Float32Array
from streamseg.tiers.words.suppression import suppressed
from streamseg.tiers.words.yolo_loading import load_yolo_world
from streamseg.tiers.words.yolo_world import YoloWorld
from tests.support.detector_graphs import graph, graph_with_embeddings

SIZE = 64
IMAGE = np.random.default_rng(0).integers(0, 255, (60, 120, 3), dtype=np.uint8)
"""Twice as wide as high: 32 rows of the input are padding."""
INPUT = {"images": (1, 3, SIZE, SIZE)}
CAT, DOG = [10.0, 10.0, 50.0, 40.0], [70.0, 5.0, 110.0, 55.0]
TEXTS = ("dog", "cat")


def in_input(*boxes: list[float]) -> Float32Array:
    """Return boxes of the image in pixels of the padded, scaled input."""
    return ((np.array(boxes, np.float32) + np.array([0, 30, 0, 30])) * SIZE / 120).astype(np.float32)


def written(folder: Path, contents: bytes, classes: str | None = "cat\ndog\n") -> Path:
    (folder / "model.onnx").write_bytes(contents)
    if classes is not None:
        (folder / "classes.txt").write_text(classes)
    return folder


def suppressed_form() -> bytes:
    return graph(
        INPUT,
        {
            "num_dets": np.array([[2]], np.int64),
            "boxes": np.concatenate([in_input(CAT, DOG), np.zeros((98, 4), np.float32)])[None],
            "scores": np.array([[0.9, 0.8] + [0.0] * 98], np.float32),
            "labels": np.array([[0, 1] + [-1] * 98], np.int64),
        },
    )


def raw_form(shape: Sequence[int | str] = (1, 3, SIZE, SIZE)) -> bytes:
    """The cat is found twice, and a box of low score."""
    boxes = in_input(CAT, [11.0, 10.0, 50.0, 40.0], DOG, DOG)
    scores = np.array([[0.9, 0.1], [0.7, 0.0], [0.0, 0.8], [0.1, 0.05]], np.float32)
    return graph({"images": shape}, {"scores": scores[None], "boxes": boxes[None]})


def single_form() -> bytes:
    boxes = in_input(CAT, DOG)
    rows = np.concatenate(
        [(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2], np.array([[0.9, 0], [0, 0.8]])], axis=1
    )
    return graph(INPUT, {"output0": rows.T[None].astype(np.float32)}, names={0: "cat", 1: "dog"})


@pytest.mark.parametrize(
    ("contents", "classes"),
    [
        pytest.param(suppressed_form(), "cat\ndog\n", id="suppressed-inside"),
        pytest.param(raw_form(), "cat\ndog\n", id="without-suppression"),
        pytest.param(raw_form(), "Cat\nDog\n \n", id="other-case-and-padding-text"),
        pytest.param(single_form(), None, id="one-output-names-in-metadata"),
    ],
)
def test_planted_detections_are_found(tmp_path: Path, contents: bytes, classes: str | None):
    detector = load_yolo_world(written(tmp_path, contents, classes))
    found = detector.detect(IMAGE, TEXTS, 0.25)
    np.testing.assert_allclose(found.boxes, [CAT, DOG], atol=1e-3)
    np.testing.assert_allclose(found.scores, [0.9, 0.8], atol=1e-6)
    assert found.texts.tolist() == [1, 0]
    assert len(detector.detect(IMAGE, TEXTS, 0.85)) == 1
    assert len(detector.detect(IMAGE, ("unicorn",), 0.25)) == 0


def test_classes_beside_the_graph_are_embedded(tmp_path: Path):
    directions = {"cat": [1.0, 0.0], "dog": [0.0, 1.0], " ": [-1.0, -1.0]}
    asked: list[list[str]] = []

    def embed(texts: Sequence[str]) -> Float32Array:
        asked.append([*texts])
        return np.array([directions[text] for text in texts], np.float32)

    contents = graph_with_embeddings(SIZE, in_input(CAT, DOG), np.array([[0.9, 0.1], [0.0, 0.8]], np.float32))
    detector = load_yolo_world(written(tmp_path, contents, None), embed=lambda: embed)
    found = detector.detect(IMAGE, TEXTS, 0.25)
    assert (found.texts.tolist(), asked) == ([1, 0], [["dog", "cat"]])
    np.testing.assert_allclose(found.boxes, [CAT, DOG], atol=1e-3)


@pytest.mark.parametrize(
    ("num_classes", "texts", "asked", "reason"),
    [
        pytest.param(3, ("dog", "cat"), ["dog", "cat", " "], None, id="fewer-texts"),
        pytest.param(1, ("dog", "cat"), ["dog"], "takes 1 texts at once; the last 1 of 2 are ignored", id="more-texts"),
    ],
)
def test_a_fixed_number_of_classes_beside_the_graph(
    tmp_path: Path, num_classes: int, texts: tuple[str, ...], asked: list[str], reason: str | None
):
    seen: list[list[str]] = []

    def embed(given: Sequence[str]) -> Float32Array:
        seen.append([*given])
        return np.ones((len(given), 2), np.float32)

    contents = graph_with_embeddings(SIZE, in_input(CAT), np.array([[0.4, 0.5]], np.float32), num_classes)
    detector = load_yolo_world(written(tmp_path, contents, None), embed=lambda: embed)
    assert len(detector.detect(IMAGE, texts, 0.25)) == min(num_classes, len(texts))
    assert seen == [asked]
    told = detector.unknown(texts)
    assert told is None if reason is None else reason in (told or "")


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        pytest.param(("dog", "Cat "), None, id="known"),
        pytest.param(("dog", "bird"), "model.onnx does not know 'bird'; its classes are cat, dog", id="unknown"),
    ],
)
def test_unknown_texts(tmp_path: Path, texts: tuple[str, ...], reason: str | None):
    assert load_yolo_world(written(tmp_path, raw_form())).unknown(texts) == reason


@pytest.mark.parametrize(
    "shape",
    [pytest.param((37, 91), id="wide"), pytest.param((91, 37), id="high"), pytest.param((SIZE, SIZE), id="square")],
)
@pytest.mark.parametrize("form", [raw_form, single_form])
def test_the_image_is_placed_where_the_boxes_are_expected(tmp_path: Path, form: Any, shape: tuple[int, int]):
    """A bright pixel block of the image appears at its transformed place in the input."""
    detector = load_yolo_world(written(tmp_path, form()))
    image = np.zeros((*shape, 3), np.uint8)
    height, width = shape
    image[height // 4 : height // 2, width // 4 : width // 2] = 255
    scaled = detector.layout.prepare(image)
    assert scaled.pixels.shape == (1, 3, SIZE, SIZE)
    assert scaled.pixels.dtype == np.float32
    bright = np.argwhere(scaled.pixels[0, 0] > 0.9)
    centre = (bright.mean(axis=0)[::-1] + 0.5 - np.array(scaled.offset)) / scaled.scale
    expected = (width // 4 + width // 2) / 2, (height // 4 + height // 2) / 2
    np.testing.assert_allclose(centre, expected, atol=1.5)


def test_the_authors_padding_is_black_and_exact(tmp_path: Path):
    detector = load_yolo_world(written(tmp_path, raw_form()))
    scaled = detector.layout.prepare(IMAGE[:, :64])
    assert scaled.scale == 1.0
    np.testing.assert_array_equal(scaled.pixels[0, :, 2:62], IMAGE[:, :64].transpose(2, 0, 1) / np.float32(255))
    assert not scaled.pixels[0, :, :2].any()


@pytest.mark.parametrize(
    ("boxes", "scores", "expected"),
    [
        pytest.param(np.zeros((0, 4)), np.zeros((0, 2)), [], id="no-boxes"),
        pytest.param([CAT, CAT], [[0.9, 0], [0.8, 0]], [(0.9, 0)], id="same-class"),
        pytest.param([CAT, CAT], [[0.9, 0], [0, 0.8]], [(0.9, 0), (0.8, 1)], id="other-class"),
        pytest.param([CAT], [[0.3, 0.4]], [(0.4, 1), (0.3, 0)], id="one-box-two-classes"),
        pytest.param([CAT], [[0.1, 0.2]], [], id="below-the-threshold"),
    ],
)
def test_suppression(boxes: Any, scores: Any, expected: list[tuple[float, int]]):
    given = np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32).reshape(-1, 2)
    _, kept, classes = suppressed(*given, 0.25, 0.65, 300)
    assert list(zip(kept.round(4).tolist(), classes.tolist(), strict=True)) == [
        (pytest.approx(score, abs=1e-4), text) for score, text in expected
    ]


IMAGES_ONLY = (1, 3, SIZE, SIZE)
ONE = {"output0": np.zeros((1, 6, 4), np.float32)}


@pytest.mark.parametrize(
    ("contents", "classes", "message"),
    [
        pytest.param(b"no graph", "cat", "is not a usable ONNX graph", id="no-graph"),
        pytest.param(
            graph({"images": IMAGES_ONLY}, {"masks": np.zeros((1, 4, 8, 8), np.float32)}),
            "cat",
            "allowed are",
            id="masks",
        ),
        pytest.param(graph({"a": IMAGES_ONLY, "b": IMAGES_ONLY}, ONE), "cat", "allowed are", id="two-images"),
        pytest.param(graph({"images": (1, 3)}, ONE), "cat", "allowed are", id="no-image"),
        pytest.param(
            graph({"images": IMAGES_ONLY}, ONE, input_type=TensorProto.FLOAT16), "cat", "allowed are", id="half"
        ),
        pytest.param(graph({"images": (1, 3, 64, 96)}, ONE), "cat", "images of 96x64", id="not-square"),
        pytest.param(raw_form(), None, "nothing names them", id="no-names"),
        pytest.param(raw_form(), "", "nothing names them", id="empty-names"),
    ],
)
def test_refused(tmp_path: Path, contents: bytes, classes: str | None, message: str):
    with pytest.raises(WeightsError, match=message) as caught:
        load_yolo_world(written(tmp_path, contents, classes))
    assert "\n" not in str(caught.value)


def test_folders_that_are_refused(tmp_path: Path):
    with pytest.raises(WeightsError, match=r"has 0 \.onnx files"):
        load_yolo_world(tmp_path)
    written(tmp_path, raw_form())
    (tmp_path / "other.onnx").write_bytes(raw_form())
    with pytest.raises(WeightsError, match=r"has 2 \.onnx files"):
        load_yolo_world(tmp_path)


def test_embeddings_without_an_encoder_are_refused(tmp_path: Path):
    contents = graph_with_embeddings(SIZE, in_input(CAT), np.array([[0.4, 0.5]], np.float32))
    with pytest.raises(ConfigError, match=r"text\.encoders"):
        load_yolo_world(written(tmp_path, contents, None))


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        pytest.param('[["cat", "kitten"], ["dog"]]', ["cat", "dog"], id="lists-of-names"),
        pytest.param('["cat", "dog"]', ["cat", "dog"], id="names"),
        pytest.param("{}", None, id="no-list"),
        pytest.param("[1]", None, id="no-text"),
        pytest.param("[", None, id="broken"),
    ],
)
def test_names_as_the_authors_exporter_reads_them(tmp_path: Path, contents: str, expected: list[str] | None):
    (tmp_path / "texts.json").write_text(contents)
    folder = written(tmp_path, raw_form(), None)
    if expected is None:
        with pytest.raises(WeightsError, match=r"classes"):
            load_yolo_world(folder)
    else:
        detector: YoloWorld = load_yolo_world(folder)
        assert detector.unknown(expected) is None
