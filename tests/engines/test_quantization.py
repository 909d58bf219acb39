import math
import re

import cv2
import numpy as np
import onnx
import pytest
from onnxruntime.quantization import CalibrationDataReader

from streamseg.engines import Raw
from streamseg.engines.export import export_graph
from streamseg.engines.onnx_engine import OnnxEngine
from streamseg.engines.own_graph import QUANTIZED
from streamseg.engines.quantization import agreement, calibration_batches, quantize
from streamseg.errors import ConfigError, DataError, WeightsError
from streamseg.modeling.nms import NmsSettings
from tests.support.networks import blobs, lively_graph, lively_network

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for index in range(5):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((40, 64, 3), (10 * index, 0, 200), np.uint8))
    (folder / "notes.txt").write_text("not an image")
    return folder


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), blobs((96, 128), index))
    return folder


@pytest.fixture(scope="module")
def quantized(scenes):
    graph = export_graph(lively_network(), suppression=NmsSettings(max_det=20), metadata={"recipe": "none"})
    return graph, quantize(graph, calibration_batches(scenes, 128))


def test_reader_returns_letterboxed_images_once(image_folder):
    batches = calibration_batches(image_folder, 96)
    assert isinstance(batches, CalibrationDataReader)
    assert batches.num_images == 5
    first = batches.get_next()
    assert list(first) == ["images"]
    assert first["images"].dtype == np.uint8
    assert first["images"].shape == (1, 64, 96, 3)
    assert first["images"][0, 0, 0].tolist() == [114] * 3
    assert first["images"][0, 32, 48].tolist() == [200, 0, 0]  # RGB
    assert len(list(batches)) == 4
    assert batches.get_next() is None


@pytest.mark.parametrize(
    ("num_images", "taken"),
    [
        pytest.param(2, [0, 20], id="spread"),
        pytest.param(1, [0], id="one"),
        pytest.param(9, [0, 10, 20, 30, 40], id="all"),
    ],
)
def test_images_are_evenly_spaced(image_folder, num_images, taken):
    batches = calibration_batches(image_folder, 64, num_images)
    assert [int(batch[0, 32, 32, 2]) for batch in batches] == taken


def test_invalid_folder_is_rejected(tmp_path, image_folder):
    with pytest.raises(DataError, match=r"no folder .*absent; calibration requires a folder of images"):
        calibration_batches(tmp_path / "absent", 64)
    with pytest.raises(DataError, match=r"no images found"):
        calibration_batches(tmp_path, 64)
    with pytest.raises(ConfigError, match="num_images must be at least 1, got 0"):
        calibration_batches(image_folder, 64, 0)
    (tmp_path / "broken.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=re.escape("broken.png is not a readable image")):
        calibration_batches(tmp_path, 64).get_next()


def test_quantised_graph_is_small_and_marked(quantized):
    graph, rounded = quantized
    assert len(rounded) < 0.35 * len(graph)
    model = onnx.load_from_string(rounded)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata[QUANTIZED] == "int8 convolutions, ranges from 3 images"
    assert metadata["recipe"] == "none"
    assert metadata["suppression"]
    assert not any(key.startswith("onnx") for key in metadata)


def test_first_and_last_convolutions_and_decoding_stay_in_float(quantized):
    model = onnx.load_from_string(quantized[1])
    rounded = {output for node in model.graph.node if node.op_type == "DequantizeLinear" for output in node.output}
    reading = {node.op_type for node in model.graph.node if rounded & set(node.input)}
    assert not reading & {"Cast", "Div", "MatMul", "NonMaxSuppression", "Softmax", "TopK"}
    kept = [node.name for node in model.graph.node if node.op_type == "Conv" and not rounded & set(node.input)]
    assert len(kept) == 11  # the first, three levels of three branches, and the prototypes
    assert kept[0] == "/network/model.0/conv/Conv"


def test_quantised_graph_finds_nearly_the_same_objects(quantized, scenes):
    engines = [OnnxEngine(graph) for graph in quantized]
    assert engines[1].suppression == NmsSettings(max_det=20)
    found = agreement([engine.run(batch) for engine in engines] for batch in calibration_batches(scenes, 128))
    assert found.num_objects > 10
    assert found.num_matched > 0.5 * found.num_objects
    assert 0 < found.score_difference < 0.1
    assert 0 < found.box_difference_px < 5


def raw(boxes, scores):
    return Raw(
        np.array([boxes], np.float32).reshape(1, -1, 4),
        np.array([scores], np.float32),
        np.ones((1, len(scores), 2), np.float32),
        np.ones((1, 2, 4, 4), np.float32),
    )


def test_agreement_by_hand():
    first = raw([[0, 0, 10, 10], [20, 20, 30, 30]], [0.9, 0.8])
    found = agreement([(first, raw([[50, 50, 60, 60], [0, 0, 10, 11]], [0.7, 0.5]))])
    assert (found.num_objects, found.num_matched) == (2, 1)
    assert found.score_difference == pytest.approx(0.4)
    assert found.box_difference_px == 0  # three sides of four
    nothing = agreement([(first, raw([[0, 0, 10, 10]], [0.1]))])
    assert (nothing.num_objects, nothing.num_matched) == (2, 0)
    assert math.isnan(nothing.box_difference_px)
    assert math.isnan(nothing.score_difference)


@pytest.mark.parametrize("which", ["half", "twice", "third party"])
def test_unsupported_graph_is_not_quantised(which, quantized, scenes):
    third_party = onnx.load_from_string(lively_graph())
    del third_party.metadata_props[:]
    graphs = {"half": lively_graph(half=True), "twice": quantized[1], "third party": third_party.SerializeToString()}
    with pytest.raises(WeightsError, match="only float32 graphs of `streamseg export` can be quantised, and only once"):
        quantize(graphs[which], calibration_batches(scenes, 64))
