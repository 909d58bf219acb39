import json
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from streamseg.errors import WeightsError
from streamseg.weights.tfjs import read_tfjs, run_tfjs


def write_graph(path, nodes, tensors, outputs=("out",)):
    """Write a graph model; tensors are (name, array, stored type), with float16 as quantised float32."""
    manifest, data = [], b""
    for name, values, stored in tensors:
        entry: dict[str, Any] = {"name": name, "shape": list(values.shape), "dtype": stored}
        if stored == "float16":
            entry |= {"dtype": "float32", "quantization": {"dtype": "float16"}}
        manifest.append(entry)
        data += values.astype(stored).tobytes()
    model = {
        "modelTopology": {"node": nodes},
        "weightsManifest": [{"weights": manifest}],
        "signature": {"outputs": {f"{name}:0": {} for name in outputs}},
    }
    path.write_text(json.dumps(model))
    path.with_suffix(".bin").write_bytes(data)
    return path


def integers(*values):
    return {"list": {"i": [str(value) for value in values]}}


def node(name, operation, *inputs, **attributes):
    return {"name": name, "op": operation, "input": list(inputs), "attr": attributes}


def test_constants_keep_their_values(tmp_path):
    tensors = [
        ("half", np.array([[0.5, -2.0]]), "float16"),
        ("full", np.array([1.25]), "float32"),
        ("count", np.array(7), "int32"),
    ]
    graph = read_tfjs(write_graph(tmp_path / "a.json", [], tensors, outputs=()))
    assert graph.tensors["half"].tolist() == [[0.5, -2.0]]
    assert graph.tensors["full"].dtype == torch.float32
    assert (graph.tensors["count"].dtype, int(graph.tensors["count"])) == (torch.int64, 7)


def test_convolutional_graph_equals_torch(tmp_path):
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(3, 3, 2, 4)), rng.normal(size=4)
    nodes = [
        node("x", "Placeholder"),
        node("padded", "Pad", "x", "pads"),
        node("rows", "Transpose", "padded", "to-nhwc"),
        node("conv", "Conv2D", "rows", "kernel", strides=integers(1, 2, 2, 1)),
        node("sum", "Add", "conv", "bias"),
        node("active", "LeakyRelu", "sum", alpha={"f": 0.1}),
        node("pooled", "MaxPool", "active", ksize=integers(1, 2, 2, 1), strides=integers(1, 2, 2, 1)),
        node("large", "ResizeBilinear", "pooled", "size"),
        node("parts", "SplitV", "large", "sizes", "axis"),
        node("joined", "ConcatV2", "parts:1", "parts", "axis"),
        node("out", "Sigmoid", "joined"),
    ]
    tensors = [
        ("pads", np.array([[0, 0], [0, 0], [1, 1], [1, 1]]), "int32"),
        ("to-nhwc", np.array([0, 2, 3, 1]), "int32"),
        ("kernel", kernel, "float32"),
        ("bias", bias, "float32"),
        ("size", np.array([8, 8]), "int32"),
        ("sizes", np.array([1, 3]), "int32"),
        ("axis", np.array(3), "int32"),
    ]
    images = torch.rand(1, 2, 16, 16)
    found = run_tfjs(read_tfjs(write_graph(tmp_path / "a.json", nodes, tensors)), {"x": images})["out"]
    weight = torch.from_numpy(kernel).float().permute(3, 2, 0, 1)
    expected = functional.conv2d(images, weight, torch.from_numpy(bias).float(), stride=2, padding=1)
    expected = functional.max_pool2d(functional.leaky_relu(expected, 0.1), 2)
    expected = functional.interpolate(expected, (8, 8), mode="bilinear").permute(0, 2, 3, 1)
    torch.testing.assert_close(found, expected[..., [1, 2, 3, 0]].sigmoid())


def test_unknown_operation_is_named(tmp_path):
    graph = read_tfjs(write_graph(tmp_path / "a.json", [node("out", "Einsum", "x")], []))
    with pytest.raises(WeightsError, match="operation Einsum, which is not supported"):
        run_tfjs(graph, {"x": torch.zeros(1)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda path: path.unlink(), "cannot read .*a.json: No such file", id="no-file"),
        pytest.param(lambda path: path.with_suffix(".bin").unlink(), "cannot read .*a.bin: No such file", id="no-data"),
        pytest.param(lambda path: path.write_text("{"), "not a TensorFlow.js graph model", id="no-json"),
        pytest.param(lambda path: path.write_text("[]"), "not a TensorFlow.js graph model", id="no-mapping"),
        pytest.param(lambda path: path.with_suffix(".bin").write_bytes(b"ab"), "not a TensorFlow", id="cut"),
        pytest.param(lambda path: path.with_suffix(".bin").write_bytes(b"a" * 9), "has 9 bytes, but", id="too-long"),
    ],
)
def test_damaged_files_are_rejected(tmp_path, change, message):
    path = write_graph(tmp_path / "a.json", [], [("x", np.zeros(2), "float32")], outputs=())
    change(path)
    with pytest.raises(WeightsError, match=message):
        read_tfjs(path)
