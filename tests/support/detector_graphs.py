"""ONNX graphs with the inputs and outputs of YOLO-World's exporters, and planted detections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str]


def graph(
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, npt.NDArray[Any]],
    *,
    names: Mapping[int, str] | None = None,
    input_type: int = TensorProto.FLOAT,
) -> bytes:
    """Return a graph that returns constants, whatever its inputs.

    Args:
        inputs: shapes by name.
        outputs: the constants by name.
        names: names of the classes in the metadata, as Ultralytics writes them; None: no metadata.
        input_type: element type of the inputs.
    """
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value)))
        for name, value in outputs.items()
    ]
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.asarray(value).dtype), value.shape)
        for name, value in outputs.items()
    ]
    return _serialized(nodes, _inputs(inputs, input_type), infos, names)


def graph_with_embeddings(
    size: int, boxes: npt.NDArray[np.float32], anchors: npt.NDArray[np.float32], num_classes: int | str = "classes"
) -> bytes:
    """Return a graph without suppression whose scores are products of embeddings, clipped to 0..1.

    Args:
        size: side of the input.
        boxes: (N, 4), constant.
        anchors: embeddings (N, D) of what is in the boxes.
        num_classes: size of the axis of classes; a name if it is dynamic.
    """
    nodes = [
        helper.make_node("Constant", [], ["boxes"], value=numpy_helper.from_array(boxes[None])),
        helper.make_node("Constant", [], ["anchors"], value=numpy_helper.from_array(anchors[None])),
        helper.make_node("Transpose", ["txt_feats"], ["columns"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["anchors", "columns"], ["products"]),
        helper.make_node("Constant", [], ["zero"], value=numpy_helper.from_array(np.array(0, np.float32))),
        helper.make_node("Max", ["products", "zero"], ["scores"]),
    ]
    inputs = _inputs({"images": (1, 3, size, size), "txt_feats": (1, num_classes, anchors.shape[1])}, TensorProto.FLOAT)
    outputs = [
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, len(boxes), num_classes)),
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, (1, len(boxes), 4)),
    ]
    return _serialized(nodes, inputs, outputs, None)


def _inputs(shapes: Mapping[str, Shape], kind: int) -> list[Any]:
    return [helper.make_tensor_value_info(name, kind, shape) for name, shape in shapes.items()]


def _serialized(nodes: list[Any], inputs: list[Any], outputs: list[Any], names: Mapping[int, str] | None) -> bytes:
    model = helper.make_model(
        helper.make_graph(nodes, "planted", inputs, outputs), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    if names is not None:
        helper.set_model_props(model, {"names": str(dict(names))})
    onnx.checker.check_model(model)
    contents: bytes = model.SerializeToString()
    return contents
