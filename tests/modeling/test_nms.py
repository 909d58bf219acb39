import re
import textwrap
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.engines.export import REFINER, SUPPRESSED_OUTPUTS, export_graph
from streamseg.engines.onnx_engine import OnnxEngine
from streamseg.errors import ConfigError, EngineError, WeightsError
from streamseg.geometry import nms
from streamseg.modeling import nms as nms_module
from streamseg.modeling.decoding import DecodedPredictions
from streamseg.modeling.nms import (
    NmsOutput,
    NmsSettings,
    apply_nms,
    nms_from_json,
    nms_to_json,
)
from streamseg.modeling.refiner import Refiner, refiner_to_text
from streamseg.segmentation import Segmenter
from tests.support.networks import blobs, lively_graph, lively_network

pytestmark = pytest.mark.slow

SMALL = NmsSettings(conf=0.4, iou=0.5, max_det=8)

WIDE = NmsSettings(conf=0.01, iou=0.6, max_det=50)


class Tail(torch.nn.Module):
    """The suppression stage of a graph, without the network."""

    def forward(self, *decoded):
        return tuple(apply_nms(DecodedPredictions(*decoded), SMALL))


@pytest.fixture(scope="module")
def tail(tmp_path_factory):
    path = tmp_path_factory.mktemp("tail") / "tail.onnx"
    names = list(DecodedPredictions._fields[:4])
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            Tail(),
            (torch.rand(2, 9, 4), torch.rand(2, 9), torch.rand(2, 9, 3), torch.rand(2, 3, 4, 5)),
            path,
            dynamo=False,
            input_names=names,
            # Some inputs are also outputs, but the names must differ.
            output_names=[f"out_{name}" for name in NmsOutput._fields],
            dynamic_axes={**{name: {0: "batch", 1: "anchors"} for name in names[:3]}, names[3]: {0: "batch"}},
            opset_version=17,
        )
    session = onnxruntime.InferenceSession(path)

    def run(decoded):
        outputs = [f"out_{name}" for name in NmsOutput._fields if name != "prototypes"]
        given = {value.name for value in session.get_inputs()}
        arrays = {name: array.numpy() for name, array in decoded._asdict().items() if name in given}
        boxes, scores, coefficients, logits, counts = map(torch.from_numpy, session.run(outputs, arrays))
        return NmsOutput(boxes, scores, coefficients, decoded.prototypes, logits, counts)

    return run


def decoded_of(boxes, scores):
    """Decoded predictions from boxes (B, A, 4) and scores (B, A), with distinct coefficients per anchor."""
    boxes, scores = torch.as_tensor(boxes, dtype=torch.float32), torch.as_tensor(scores, dtype=torch.float32)
    batch, anchors = scores.shape
    coefficients = torch.arange(batch * anchors * 3).float().view(batch, anchors, 3) + 1
    return DecodedPredictions(
        boxes, scores, coefficients, torch.randn(batch, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    )


def expected(decoded, thresholds):
    """The anchors that `geometry.nms` keeps, for each image."""
    rows = []
    for boxes, scores in zip(decoded.boxes, decoded.scores, strict=True):
        candidates = torch.nonzero(scores > thresholds.conf)[:, 0]
        rows.append(candidates[nms(boxes[candidates], scores[candidates], thresholds.iou, max_kept=thresholds.max_det)])
    return rows


def check(output, decoded, thresholds):
    """Compare every field of an output with the expected anchors."""
    for image, rows in enumerate(expected(decoded, thresholds)):
        count = len(rows)
        assert output.num_objects[image] == count
        assert output.scores[image].shape == (thresholds.max_det,)
        for name in ("boxes", "scores", "mask_coefficients"):
            found = getattr(output, name)[image]
            torch.testing.assert_close(found[:count], getattr(decoded, name)[image][rows], rtol=0, atol=0)
            assert not found[count:].any()
        logits = torch.einsum("kc,chw->khw", decoded.mask_coefficients[image][rows], decoded.prototypes[image])
        torch.testing.assert_close(output.mask_logits[image][:count], logits, rtol=1e-5, atol=1e-4)
        assert not output.mask_logits[image][count:].any()


BOX, NEAR, FAR = [0, 0, 10, 10], [0, 1, 10, 11], [20, 20, 30, 30]


@pytest.mark.parametrize(
    ("boxes", "scores", "counts"),
    [
        pytest.param([[BOX, NEAR, FAR]], [[0.5, 0.9, 0.6]], [2], id="the higher-scoring of two"),
        pytest.param([[BOX, NEAR, FAR]], [[0.5, 0.5, 0.5]], [2], id="equal scores keep their order"),
        pytest.param([[FAR, BOX, BOX]], [[0.7, 0.7, 0.7]], [2], id="equal boxes, equal scores"),
        pytest.param([[BOX, BOX]], [[0.4, 0.1]], [0], id="a score equal to conf is excluded"),
        pytest.param([[BOX], [FAR]], [[0.1], [0.9]], [0, 1], id="an image without objects beside one with one"),
        pytest.param([[[5, 5, 5, 5], [5, 5, 5, 5]]], [[0.9, 0.8]], [2], id="empty boxes overlap nothing"),
        pytest.param([[[0, 0, 2, 2]] * 2], [[1.0, 1.0]], [1], id="scores of 1"),
        pytest.param([[[9 * i, 0, 9 * i + 8, 8] for i in range(12)]], [[0.9] * 12], [8], id="more than max_det"),
        pytest.param([[[-5, -9, 4, 4], [60, 0, 90, 9]]], [[0.9, 0.8]], [2], id="beyond the input"),
    ],
)
def test_rows_match_geometry_nms(tail, boxes, scores, counts):
    decoded = decoded_of(boxes, scores)
    for output in (apply_nms(decoded, SMALL), tail(decoded)):
        assert output.num_objects.tolist() == counts
        check(output, decoded, SMALL)


@given(seed=st.integers(0, 2**32 - 1), anchors=st.integers(1, 40), levels=st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_rows_match_geometry_nms_for_any_boxes(tail, seed, anchors, levels):
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 20, (2, anchors, 2))
    boxes = np.concatenate([corners, corners + random.uniform(0, 12, (2, anchors, 2))], axis=-1)
    decoded = decoded_of(boxes, random.integers(0, levels + 1, (2, anchors)) / levels)  # few levels: many ties
    check(apply_nms(decoded, SMALL), decoded, SMALL)
    check(tail(decoded), decoded, SMALL)


@pytest.fixture(scope="module")
def network():
    return lively_network()


@pytest.fixture(scope="module")
def graph(network):
    return export_graph(network, suppression=WIDE, metadata={REFINER: refiner_to_text(Refiner())})


@pytest.mark.parametrize(
    ("seed", "shape"),
    [
        pytest.param(0, (2, 64, 96), id="two images"),
        pytest.param(1, (4, 32, 32), id="fewer anchors than rows"),
        pytest.param(2, (3, 160, 128), id="three images"),
    ],
)
def test_graph_with_nms_returns_the_rows_of_the_plain_graph(graph, seed, shape):
    batch, height, width = shape
    images = np.stack([blobs((height, width), seed + image) for image in range(batch)])
    plain = OnnxEngine(lively_graph()).run(images)
    session = onnxruntime.InferenceSession(graph)
    output = NmsOutput(*map(torch.from_numpy, session.run(list(SUPPRESSED_OUTPUTS), {"images": images})))
    decoded = DecodedPredictions(
        *map(torch.from_numpy, (plain.boxes, plain.scores, plain.mask_coefficients, plain.prototypes))
    )
    assert output.num_objects.max() > 0
    assert output.mask_logits.shape == (batch, WIDE.max_det, height // 4, width // 4)
    check(output, decoded, WIDE)


def test_segmenter_results_match_the_plain_graph(graph):
    image = blobs((60, 90))
    engine = OnnxEngine(graph)
    assert engine.suppression == WIDE
    assert engine.refiner is not None
    results = [
        Segmenter(engine=one, imgsz=96, conf=0.3, iou=0.6, max_det=20, masks="plain", scores="raw")([image])[0]
        for one in (engine, OnnxEngine(lively_graph()))
    ]
    assert len(results[0]) > 0
    for name in ("boxes", "scores", "mask_logits"):
        torch.testing.assert_close(*(getattr(result, name) for result in results))


@pytest.mark.parametrize(
    "options", [pytest.param({"conf": 0.005, "iou": 0.5}, id="conf"), pytest.param({"iou": 0.61}, id="iou")]
)
def test_segmenter_rejects_thresholds_below_those_of_the_graph(graph, options):
    with pytest.raises(EngineError, match=r"objects that this graph removes with its conf 0\.01 and iou 0\.6;"):
        Segmenter(engine=OnnxEngine(graph), **options)


def test_declared_shapes_and_metadata(graph):
    model = onnx.load_from_string(graph)
    onnx.checker.check_model(model, full_check=True)
    declared = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in model.graph.output
    }
    assert declared == {
        "boxes": ["batch", 50, 4],
        "scores": ["batch", 50],
        "mask_coefficients": ["batch", 50, 32],
        "prototypes": ["batch", 32, "grid_height", "grid_width"],
        "mask_logits": ["batch", 50, "grid_height", "grid_width"],
        "num_objects": ["batch"],
    }
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert nms_from_json(metadata["suppression"]) == WIDE


def test_half_precision_graph_returns_float32(network):
    session = onnxruntime.InferenceSession(export_graph(network, half=True, suppression=SMALL))
    output = NmsOutput(*session.run(list(SUPPRESSED_OUTPUTS), {"images": blobs((64, 64))[None]}))
    assert output.boxes.dtype == output.scores.dtype == output.mask_logits.dtype == np.float32
    assert output.num_objects.dtype == np.int64
    assert output.num_objects[0] > 0


def test_docstring_example_selects_the_objects_at_a_point(graph, tmp_path, monkeypatch):
    """Run the code block of the module's docstring."""
    blocks = re.findall(r"(?:^(?: {4}.*)?\n)+", nms_module.__doc__, re.MULTILINE)
    code = textwrap.dedent(max(blocks, key=len))
    (tmp_path / "nms.onnx").write_bytes(graph)
    monkeypatch.chdir(tmp_path)
    names = {"image": blobs((360, 640), 4)}
    exec(compile(code, "example", "exec"), names)
    count = int(names["num_objects"])
    grid = torch.from_numpy(names["logits"][:count])
    place = torch.tensor([320.5 / 640, 192.5 / 384]).mul(2).sub(1).view(1, 1, 1, 2).expand(count, -1, -1, -1)
    at_point = torch.nn.functional.grid_sample(grid[:, None], place, padding_mode="border", align_corners=False)
    boxes = names["boxes"][:count]
    in_box = (boxes[:, 0] <= 320.5) & (boxes[:, 2] > 320.5) & (boxes[:, 1] <= 192.5) & (boxes[:, 3] > 192.5)
    assert names["at_point"].tolist() == np.flatnonzero((at_point.flatten().numpy() > 0) & in_box).tolist()
    assert 0 < len(names["at_point"]) < count


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        pytest.param({"conf": 1.5}, "conf must be 0..1, got 1.5", id="conf"),
        pytest.param({"conf": float("nan")}, "conf must be 0..1, got nan", id="not a number"),
        pytest.param({"iou": -0.1}, "iou must be 0..1, got -0.1", id="iou"),
        pytest.param({"max_det": 0}, "max_det must be 1..3000, got 0", id="max_det"),
    ],
)
def test_settings_out_of_range(thresholds, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        NmsSettings(**thresholds)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("[]", id="a list"),
        pytest.param('{"conf": "high"}', id="a string"),
        pytest.param('{"conf": 2}', id="out of range"),
        pytest.param('{"classes": 80}', id="unknown"),
    ],
)
def test_invalid_json_is_rejected(text):
    with pytest.raises(WeightsError, match=r"thresholds in the metadata are invalid .*export the graph again"):
        nms_from_json(text)


def test_json_round_trip():
    assert nms_from_json(nms_to_json(SMALL)) == SMALL
