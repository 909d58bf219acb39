"""Faulty models of the quality tier, as a user meets them: one line, or a run that goes on without the tier."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import external_data_helper, helper, numpy_helper

from streamseg.cli.main import main
from streamseg.drawing.image_file import write_image
from streamseg.tiers.quality.onnx_variants import VARIANTS
from tests.support.sam_graphs import Signature, write_pair
from tests.support.stages import seeded_weights, small_scene

SAM, SAM2 = (next(one for one in VARIANTS if one.name == name) for name in ("sam", "sam2"))
MOST_QUERIES = 4
"""Number of objects that the failing decoder can decode at once: that of the largest batch before the first frame."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8))
    return tmp_path


def network() -> list[str]:
    return ["--weights", str(seeded_weights(confident=True)), "--imgsz", "64", "--conf", "0.05", "--max_det", "8"]


def another_model(pair: Path) -> None:
    """Replace the decoder by that of SAM 2."""
    _, decoder = write_pair(pair.with_name("other"), Signature(SAM2))
    decoder.replace(pair / "decoder.onnx")


def another_size(pair: Path) -> None:
    """Let the decoder take embeddings of another size."""
    graph = onnx.load(pair / "decoder.onnx")
    graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 5
    onnx.save(graph, pair / "decoder.onnx")


def truncated(pair: Path) -> None:
    contents = (pair / "decoder.onnx").read_bytes()
    (pair / "decoder.onnx").write_bytes(contents[: len(contents) // 2])


def without_its_data(pair: Path) -> None:
    """Move the weights of the encoder into a file, and lose it."""
    graph = onnx.load(pair / "encoder.onnx")
    weights = numpy_helper.from_array(np.zeros((1, 3, 1, 1), np.float32), "weights")
    graph.graph.initializer.append(weights)
    first = graph.graph.node[0]
    graph.graph.node.insert(0, helper.make_node("Add", ["image", "weights"], ["moved"]))
    for node in graph.graph.node[1:]:
        node.input[:] = ["moved" if name == "image" else name for name in node.input]
    assert first.input
    external_data_helper.convert_model_to_external_data(graph, location="encoder.onnx.data", size_threshold=0)
    onnx.save(graph, pair / "encoder.onnx")
    (pair / "encoder.onnx.data").unlink()


def fails_later(pair: Path) -> None:
    """Let the decoder fail for more than `MOST_QUERIES` objects at once."""
    graph = onnx.load(pair / "decoder.onnx")
    for node in graph.graph.node:
        node.output[:] = ["qualities" if name == "iou_predictions" else name for name in node.output]
    table = numpy_helper.from_array(np.zeros(MOST_QUERIES + 1, np.float32), "table")
    zero = numpy_helper.from_array(np.array(0, np.int64), "zero")
    graph.graph.initializer.extend([table, zero])
    graph.graph.node.extend(
        [
            helper.make_node("Shape", ["point_coords"], ["coords_shape"]),
            helper.make_node("Gather", ["coords_shape", "zero"], ["num_queries_now"]),
            helper.make_node("Gather", ["table", "num_queries_now"], ["nothing"]),
            helper.make_node("Add", ["qualities", "nothing"], ["iou_predictions"]),
        ]
    )
    onnx.save(graph, pair / "decoder.onnx")


BROKEN = [
    pytest.param(another_model, "is not the encoder of", id="another-model"),
    pytest.param(another_size, "give two graphs of the same model", id="another-size"),
    pytest.param(truncated, "is not a usable ONNX graph", id="truncated"),
    pytest.param(without_its_data, "has its weights in another file, which is missing", id="without-its-data"),
    pytest.param(lambda pair: (pair / "encoder.onnx").unlink(), "must have one ONNX graph whose name", id="one-graph"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("spoil", "message"), BROKEN)
def test_a_model_that_cannot_be_used_is_an_error_of_the_start(
    spoil: Callable[[Path], None], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
):
    write_pair(folder / "pair", Signature(SAM, is_batched=True))
    spoil(folder / "pair")
    config = folder / "run.yaml"
    config.write_text(yaml.safe_dump({"sources": [small_scene(num_frames=5, mode="every_frame")]}))
    for command in (["segment", "a.png", "--out", "masks"], ["run", str(config)]):
        assert main([*command, "--quality", "pair", *network()]) == 2, command[0]
        err = capsys.readouterr().err
        (line,) = [line for line in err.splitlines() if message in line]
        assert "Traceback" not in err
        assert line.startswith("streamseg: "), line
    assert not (folder / "masks").exists(), "nothing is written"


@pytest.mark.slow
def test_a_model_that_fails_later_is_left_out_and_the_work_goes_on(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    write_pair(folder / "pair", Signature(SAM, is_batched=True))
    fails_later(folder / "pair")
    assert main(["segment", "a.png", "--out", "masks", "--quality", "pair", *network()]) == 0
    assert "quality tier: pair failed; the run goes on without it: InvalidArgument: " in caplog.text
    assert "quality tier, pair: failed (InvalidArgument: " in capsys.readouterr().out
    annotations = json.loads((folder / "masks" / "instances.json").read_text())["annotations"]
    assert len(annotations) > MOST_QUERIES, "all objects keep the masks of the network"


@pytest.mark.slow
def test_a_run_goes_on_without_a_model_that_fails_later(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    write_pair(folder / "pair", Signature(SAM, is_batched=True))
    fails_later(folder / "pair")
    config = folder / "run.yaml"
    config.write_text(yaml.safe_dump({"sources": [small_scene(num_frames=12, mode="every_frame")]}))
    flags = ["--quality", "pair", "--set", "quality.objects=all"]
    assert main(["run", str(config), *flags, *network()]) == 0
    assert "the run goes on without it: " in caplog.text
    out = capsys.readouterr().out
    assert "quality tier, pair: failed (" in out
    assert "12 frames" in out
