import json
from functools import cache

import cv2
import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from streamseg.cli.main import main
from streamseg.config import TrackingConfig
from streamseg.engines import Raw, largest_differences
from streamseg.engines.layouts import Layout
from streamseg.engines.onnx_engine import OnnxEngine
from streamseg.engines.third_party import to_input, to_raw
from streamseg.engines.torch_engine import TorchEngine
from streamseg.errors import EngineError, WeightsError
from streamseg.pipeline import Pipeline
from streamseg.segmentation import Segmenter, instance_masks
from streamseg.weights import save_weights
from tests.support.frames import make_frame
from tests.support.networks import blobs, lively_network
from tests.support.stages import small_scene
from tests.support.third_party_graphs import SUPPRESSED, Form, third_party_graph

ULTRALYTICS = {
    "task": "segment",
    "stride": "32",
    "batch": "1",
    "imgsz": "[96, 128]",
    "names": "{0: 'object'}",
    "args": "{'batch': 1, 'nms': None, 'dynamic': False}",
    "end2end": "False",
}

DYNAMIC_BATCH = Form(num_classes=7, swapped=True, dynamic="batch")
DYNAMIC = Form(shape=(2, 3, 64, 96), dynamic="all")
SUPPRESSED_DYNAMIC = Form(shape=(2, 3, 64, 96), dynamic="all", arrangement="suppressed")

FORMS = [
    pytest.param(Form().with_metadata(ULTRALYTICS), id="fixed, as ultralytics writes it"),
    pytest.param(Form(), id="fixed, without metadata"),
    pytest.param(Form(shape=(2, 3, 96, 128)), id="batch of two"),
    pytest.param(DYNAMIC_BATCH, id="dynamic batch, seven classes, outputs swapped, other names"),
    pytest.param(DYNAMIC, id="dynamic batch, height and width"),
    pytest.param(Form(shape=(2, 3, 64, 96), dynamic="all", arrangement="anchors first"), id="(B, A, C), dynamic"),
    pytest.param(Form(num_classes=2), id="two classes: as wide as with built-in NMS"),
    pytest.param(Form(num_classes=2, arrangement="anchors first"), id="two classes, (B, A, C)"),
    pytest.param(Form(extra=True), id="more outputs than needed"),
    pytest.param(Form(arrangement="suppressed").with_metadata(SUPPRESSED), id="built-in NMS"),
    pytest.param(Form(arrangement="suppressed", swapped=True), id="built-in NMS, swapped, without metadata"),
    pytest.param(SUPPRESSED_DYNAMIC, id="built-in NMS, dynamic"),
]

SIZE = (96, 128)


@pytest.fixture(scope="module")
def network():
    return lively_network()


IMAGES = [blobs(size, seed) for seed, size in enumerate([(96, 128), (72, 128), (150, 110)])]
"""Images of different sizes: each is letterboxed differently."""


@cache
def found_by_torch(input_size):
    """Return the objects that torch finds in `IMAGES`, with the fixed input size of the graph."""
    engine = TorchEngine(lively_network())
    engine.input_size = input_size
    return Segmenter(engine=engine, imgsz=128)(IMAGES)


def assert_same(found, expected):
    assert len(found) == len(expected) > 5
    torch.testing.assert_close(found.boxes, expected.boxes, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-5, rtol=0)
    assert found.grid_to_image == expected.grid_to_image
    for mask, wanted in zip(instance_masks(found), instance_masks(expected), strict=True):
        assert (mask.x, mask.y) == (wanted.x, wanted.y)
        np.testing.assert_array_equal(mask.crop, wanted.crop)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_objects_equal_those_of_torch(form):
    engine = OnnxEngine(third_party_graph(form))
    found = Segmenter(engine=engine, imgsz=128)(IMAGES)
    for instances, expected in zip(found, found_by_torch(engine.input_size), strict=True):
        assert_same(instances, expected)


@pytest.mark.slow
@pytest.mark.parametrize("form", [form for form in FORMS if form.values[0].arrangement != "suppressed"])
def test_every_anchor_equals_torch(form, network):
    engine = OnnxEngine(third_party_graph(form))
    images = np.stack([blobs(SIZE, seed) for seed in range(engine.max_batch or 3)])
    raw = engine.run(images)
    differences = largest_differences(raw, TorchEngine(network).run(images))
    assert differences.pop("boxes") < 1e-3
    assert differences.pop("scores") < 1e-5
    assert max(differences.values()) < 1e-4
    assert raw.scores.min() < 0.1
    assert raw.scores.max() > 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "input_size", "max_batch", "imgsz"),
    [
        pytest.param(Form().with_metadata(ULTRALYTICS), SIZE, 1, 128, id="fixed"),
        pytest.param(Form(shape=(2, 3, 96, 128)), SIZE, 2, 128, id="batch of two"),
        pytest.param(DYNAMIC_BATCH, SIZE, None, 128, id="dynamic batch"),
        pytest.param(DYNAMIC, None, None, 640, id="dynamic, no metadata"),
        pytest.param(DYNAMIC.with_metadata({"imgsz": "[320, 512]"}), None, None, 512, id="dynamic"),
        pytest.param(DYNAMIC.with_metadata({"imgsz": "[7]"}), None, None, 640, id="invalid size"),
        pytest.param(SUPPRESSED_DYNAMIC, None, 1, 640, id="built-in NMS, dynamic"),
        pytest.param(
            SUPPRESSED_DYNAMIC.with_metadata({"batch": "4"}),
            None,
            4,
            640,
            id="built-in NMS, dynamic, exported for four",
        ),
    ],
)
def test_input_limits(form, input_size, max_batch, imgsz):
    engine = OnnxEngine(third_party_graph(form))
    assert (engine.input_size, engine.max_batch, engine.imgsz, engine.half) == (input_size, max_batch, imgsz, False)


@pytest.mark.slow
def test_half_precision(network):
    engine = OnnxEngine(third_party_graph(Form(half=True)))
    images = blobs(SIZE)[None]
    raw = engine.run(images)
    assert engine.half
    assert raw.boxes.dtype == raw.scores.dtype == np.float32
    assert raw.mask_coefficients.dtype == raw.prototypes.dtype == np.float16
    differences = largest_differences(raw, TorchEngine(network).run(images))
    assert 0 < differences["scores"] < 0.05


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "half"),
    [("{'half': True}", True), ("{'half': False}", False), ("{'quantize': 16}", True), ("{'quantize': None}", False)],
)
def test_internal_half_precision_is_read_from_the_metadata(args, half):
    assert OnnxEngine(third_party_graph(Form().with_metadata({"args": args}))).half is half


# ---- suppression


@pytest.mark.slow
def test_rows_that_passed_built_in_nms_are_not_suppressed_again():
    form = Form(arrangement="suppressed").with_metadata(SUPPRESSED)
    engine = OnnxEngine(third_party_graph(form))
    image = blobs(SIZE)
    num_rows = int((engine.run(image[None]).scores > 0).sum())
    assert 20 < num_rows < 300
    for iou in (0.7, 0.8, 1.0):
        (found,) = Segmenter(engine=engine, conf=0, iou=iou)([image])
        assert len(found) == num_rows
    (fewer,) = Segmenter(engine=engine, conf=0, iou=0.3)([image])
    assert 0 < len(fewer) < num_rows


def test_rows_of_zeros_are_not_objects():
    engine = OnnxEngine(graph_of([(1, 300, 38), (1, 32, 16, 24)], value=0.0))
    grey = np.full((64, 96, 3), 114, np.uint8)
    assert engine.run(grey[None]).scores.shape == (1, 300)
    (found,) = Segmenter(engine=engine, conf=0)([grey])
    assert len(found) == 0


# ---- batches and sizes


@pytest.mark.slow
@pytest.mark.parametrize("form", [Form(), Form(shape=(2, 3, 96, 128)), SUPPRESSED_DYNAMIC])
def test_pipeline_splits_batches(form):
    segmenter = Segmenter(engine=OnnxEngine(third_party_graph(form)), imgsz=128)
    segmenter.warmup((96, 128), num_images=3)
    frames = [make_frame(0, source_id=name, image=blobs((96, 128), seed)) for seed, name in enumerate("abc")]
    at_once = TrackingConfig(confirm_frames=1)
    together = Pipeline(segmenter, tracking=at_once)(frames)
    alone = [Pipeline(segmenter, tracking=at_once)([frame])[0] for frame in frames]
    assert [len(message.objects) for message in together] == [len(message.objects) for message in alone]
    assert min(len(message.objects) for message in together) > 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "shape", "message"),
    [
        pytest.param(Form(), (2, 96, 128, 3), r"takes 1 images at once, of \(96, 128\) \(H, W\), got 2", id="batch"),
        pytest.param(Form(), (1, 96, 96, 3), r"of \(96, 128\) \(H, W\), got 1 of \(96, 96\)", id="size"),
        pytest.param(DYNAMIC_BATCH, (1, 96, 96, 3), "takes any number of images at once", id="size, any batch"),
    ],
)
def test_unsupported_batch_or_size_is_rejected(form, shape, message):
    with pytest.raises(EngineError, match=message):
        OnnxEngine(third_party_graph(form), path="x.onnx").run(np.zeros(shape, np.uint8))


# ---- the command line


@pytest.fixture(scope="module")
def graph_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("graphs") / "third_party.onnx"
    path.write_bytes(third_party_graph(Form().with_metadata(ULTRALYTICS)))
    return path


@pytest.mark.slow
def test_segment_finds_the_same_as_with_weights(graph_file, network, tmp_path):
    image_path = tmp_path / "7.png"
    cv2.imwrite(str(image_path), blobs((96, 128), 3))
    tensors = save_weights(network.state_dict(), tmp_path / "n.safetensors")
    found = {}
    for name, flags in {"graph": [], "tensors": ["--engine", "torch", "--imgsz", "128"]}.items():
        weights = str(graph_file if name == "graph" else tensors)
        out = tmp_path / name
        assert main(["segment", str(image_path), "--weights", weights, "--out", str(out), "--no-overlay", *flags]) == 0
        found[name] = json.loads((out / "instances.json").read_text())["annotations"]
    assert len(found["graph"]) == len(found["tensors"]) > 5
    for one, other in zip(found["graph"], found["tensors"], strict=True):
        assert one["bbox"] == pytest.approx(other["bbox"], abs=0.02)
        assert one["score"] == pytest.approx(other["score"], abs=2e-4)
        assert one["segmentation"] == other["segmentation"]


@pytest.mark.slow
def test_run_command(graph_file, tmp_path, capsys):
    config = tmp_path / "run.yaml"
    config.write_text(
        f"sources:\n- {json.dumps(small_scene(num_frames=4, mode='every_frame'))}\n"
        f"segmentation: {{weights: {graph_file}, device: cpu, max_det: 5}}\n"
    )
    assert main(["run", str(config), "--no-publish"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("4 frames, ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        pytest.param(["--imgsz", "640"], "imgsz 640 contradicts this graph", id="another size"),
        pytest.param(["--engine", "torch"], "the torch engine cannot run", id="another engine"),
        pytest.param(["--half"], "was exported with half False, not True", id="another precision"),
    ],
)
def test_unsupported_flag_is_a_one_line_error(graph_file, tmp_path, capsys, flags, message):
    image_path = tmp_path / "7.png"
    cv2.imwrite(str(image_path), blobs((96, 128), 3))
    out = tmp_path / "out"
    assert main(["segment", str(image_path), "--weights", str(graph_file), "--out", str(out), *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not out.exists()


# ---- outputs that do not match the input


def graph_of(shapes, *, dtype=TensorProto.FLOAT, images=(1, 3, 64, 96), inputs=1, value=0.5):
    """Return a graph whose outputs are constants of the given shapes, whatever the input."""
    nodes = [
        helper.make_node(
            "ConstantOfShape", [f"shape{i}"], [f"output{i}"], value=helper.make_tensor("v", dtype, [1], [value])
        )
        for i in range(len(shapes))
    ]
    sizes = [helper.make_tensor(f"shape{i}", TensorProto.INT64, [len(shape)], shape) for i, shape in enumerate(shapes)]
    made = helper.make_graph(
        nodes,
        "constants",
        [helper.make_tensor_value_info(f"input{i}", TensorProto.FLOAT, images) for i in range(inputs)],
        [helper.make_tensor_value_info(f"output{i}", dtype, shape) for i, shape in enumerate(shapes)],
        sizes,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


DYNAMIC_AXES = ("b", 3, "h", "w")


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        pytest.param(
            graph_of([(1, 5, 126)]), "it is a detection graph: it returns boxes, but no mask proto", id="detection"
        ),
        pytest.param(graph_of([(1, 1000)]), "it is a classification graph", id="classification"),
        pytest.param(
            graph_of([(1, 21, 64, 96)]), "no outputs that match 126 anchors and a grid of 16x24", id="semantic"
        ),
        pytest.param(
            graph_of([(1, 37, 126), (1, 32, 16, 24)], images=(1, 1, 64, 96)), "1 channel, not 3", id="one channel"
        ),
        pytest.param(graph_of([(1, 37, 126), (1, 32, 16, 24)], inputs=2), "it takes 2 inputs, not one", id="inputs"),
        pytest.param(graph_of([(1, 378, 38), (1, 32, 16, 24)]), None, id="rows, not anchors"),
        pytest.param(
            graph_of([(1, 378, 117), (1, 32, 16, 24)]), "378 anchors, three per cell as in YOLOv5", id="YOLOv5"
        ),
        pytest.param(
            graph_of([(1, 37, 126), (1, 32, 16, 24)], dtype=TensorProto.DOUBLE), "returns float64", id="double"
        ),
        pytest.param(
            graph_of([(1, 37, 126), (1, 32, 16, 24), (1, 32, 16, 24)]), "several outputs that match", id="ambiguous"
        ),
    ],
)
def test_unsupported_graph_is_a_one_line_error(graph, message):
    if message is None:
        assert OnnxEngine(graph).run(np.zeros((1, 64, 96, 3), np.uint8)).scores.shape == (1, 378)
        return
    with pytest.raises(WeightsError, match=message) as caught:
        OnnxEngine(graph, path="x.onnx")
    assert str(caught.value).startswith("x.onnx is not supported: it ")
    assert "(found: input0 float32 (1, " in str(caught.value)
    assert "; allowed are graphs of `streamseg export`, and segmentation graphs of the form of YOLOv8-seg" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)


def test_dynamic_graph_that_cannot_run_is_rejected():
    with pytest.raises(WeightsError, match="cannot run images"):
        OnnxEngine(_reshaping(12345))


def _reshaping(num_values):
    """Return a graph with dynamic axes that reshapes the images into a fixed number of values."""
    nodes = [helper.make_node("Reshape", ["images", "shape"], ["output0"])]
    made = helper.make_graph(
        nodes,
        "reshaping",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, DYNAMIC_AXES)],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ("b", "c", "a"))],
        [helper.make_tensor("shape", TensorProto.INT64, [3], [1, 1, num_values])],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_output_for_another_size_is_rejected():
    # The trial run with 64x96 succeeds, but the output is the same for any size.
    engine = OnnxEngine(graph_of([(1, 37, 126), (1, 32, 16, 24)], images=DYNAMIC_AXES), path="x.onnx")
    assert engine.run(np.zeros((1, 64, 96, 3), np.uint8)).scores.shape == (1, 126)
    with pytest.raises(EngineError, match=r"x.onnx returns prototypes \(1, 16, 24\).*but \(1, 32, 24\) is required"):
        engine.run(np.zeros((1, 128, 96, 3), np.uint8))


@pytest.mark.parametrize("value", [-0.5, 3.0])
def test_scores_without_sigmoid_are_rejected(value):
    engine = OnnxEngine(graph_of([(1, 37, 126), (1, 32, 16, 24)], value=value), path="x.onnx")
    with pytest.raises(EngineError, match=r"scores .* not 0..1; export it with its sigmoid"):
        engine.run(np.zeros((1, 64, 96, 3), np.uint8))


# ---- arrays


def test_images_become_planes_between_0_and_1():
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 64, 3), dtype=np.uint8)
    for dtype in ("float32", "float16"):
        planes = to_input(images, dtype)
        assert (planes.shape, planes.dtype) == ((2, 3, 32, 64), np.dtype(dtype))
        np.testing.assert_allclose(
            planes, images.transpose(0, 3, 1, 2) / 255, atol=1e-3 if dtype == "float16" else 1e-7
        )


@pytest.mark.parametrize(
    ("arrangement", "rows"),
    [
        ("anchors first", [[[10, 20, 4, 8, 0.25, 0.75, 5, 6]]]),
        ("anchors last", [[[10], [20], [4], [8], [0.25], [0.75], [5], [6]]]),
        ("suppressed", [[[8, 16, 12, 24, 0.75, 1, 5, 6]]]),
    ],
)
def test_every_arrangement_yields_the_same_object(arrangement, rows):
    layout = Layout("images", "float32", "a", "b", arrangement, 2, None, None, None)
    raw = to_raw(np.array(rows, np.float32), np.zeros((1, 2, 16, 24), np.float32), layout)
    assert isinstance(raw, Raw)
    assert raw.boxes.tolist() == [[[8, 16, 12, 24]]]
    assert raw.scores.tolist() == [[0.75]]
    assert raw.mask_coefficients.tolist() == [[[5, 6]]]
