"""Read TensorFlow.js graph models (model.json and its .bin) as plain tensors, and run them.

Running serves to check conversions: it is a direct reading of the graph, node by node, without any optimisation. Only
the operations of convolutional detectors are known.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from streamseg.errors import WeightsError, reason_of

__all__ = ["Node", "TfjsGraph", "read_tfjs", "run_tfjs"]

_TYPES = {"float16": np.float16, "float32": np.float32, "int32": np.int32, "bool": np.bool_}


@dataclass(frozen=True)
class Node:
    """One operation."""

    name: str
    operation: str
    """Name of the operation, such as `Conv2D`."""
    inputs: tuple[str, ...]
    """Names of the nodes whose results it takes; `name:1` is the second result."""
    attributes: Mapping[str, Any]
    """Attributes as in the file."""


@dataclass(frozen=True, eq=False)
class TfjsGraph:
    """The contents of a graph model."""

    nodes: tuple[Node, ...]
    """In an order in which each node comes after its inputs."""
    tensors: dict[str, Tensor]
    """Constants by the name of their node: float32, or int64 for integers."""
    outputs: tuple[str, ...]
    """Names of the results."""


def read_tfjs(path: Path) -> TfjsGraph:
    """Read a model.json and the .bin file of the same name.

    Raises:
        WeightsError: a file is missing, damaged, or of another format.
    """
    try:
        model = json.loads(path.read_text())
        data = path.with_suffix(".bin").read_bytes()
        entries = [entry for group in model["weightsManifest"] for entry in group["weights"]]
        tensors: dict[str, Tensor] = {}
        offset = 0
        for entry in entries:
            stored = _TYPES[(entry.get("quantization") or {}).get("dtype") or entry["dtype"]]
            values = np.frombuffer(data, stored, math.prod(entry["shape"]), offset).reshape(entry["shape"])
            offset += values.nbytes
            wanted = np.float32 if entry["dtype"] == "float32" else np.int64
            tensors[entry["name"]] = torch.from_numpy(values.astype(wanted))
        nodes = tuple(
            Node(one["name"], one["op"], tuple(one.get("input", ())), one.get("attr", {}))
            for one in model["modelTopology"]["node"]
        )
        outputs = tuple(name.partition(":")[0] for name in model["signature"]["outputs"])
    except OSError as error:
        raise WeightsError(f"cannot read {error.filename or path}: {reason_of(error)}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} and its .bin are not a TensorFlow.js graph model ({error})") from error
    if offset != len(data):
        raise WeightsError(f"{path.with_suffix('.bin')} has {len(data)} bytes, but {path.name} lists {offset}")
    return TfjsGraph(nodes, tensors, outputs)


@torch.no_grad()
def run_tfjs(graph: TfjsGraph, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Run the graph on its inputs, by name, and return its outputs by name.

    Raises:
        WeightsError: the graph contains an unknown operation.
    """
    results: dict[str, Tensor | list[Tensor]] = {**graph.tensors, **inputs}

    def value(reference: str) -> Tensor:
        name, _, index = reference.partition(":")
        found = results[name] if name in results else compute(by_name[name])
        return found[int(index or 0)] if isinstance(found, list) else found

    def compute(node: Node) -> Tensor | list[Tensor]:
        if node.operation not in _OPERATIONS:
            raise WeightsError(f"the graph contains the operation {node.operation}, which is not supported")
        arguments = [value(one) for one in node.inputs]
        results[node.name] = _OPERATIONS[node.operation](arguments, node.attributes)
        return results[node.name]

    by_name = {node.name: node for node in graph.nodes}
    for node in graph.nodes:
        if node.operation not in ("Const", "Placeholder") and node.name not in results:
            compute(node)
    return {name: value(name) for name in graph.outputs}


def _integers(attributes: Mapping[str, Any], key: str) -> list[int]:
    return [int(one) for one in attributes[key]["list"]["i"]]


def _convolution(arguments: list[Tensor], attributes: Mapping[str, Any]) -> Tensor:
    x, kernel = arguments  # NHWC, HWIO
    stride = _integers(attributes, "strides")[1]
    out = functional.conv2d(x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), stride=stride)
    return out.permute(0, 2, 3, 1)


def _max_pool(arguments: list[Tensor], attributes: Mapping[str, Any]) -> Tensor:
    kernel, stride = _integers(attributes, "ksize")[1], _integers(attributes, "strides")[1]
    return functional.max_pool2d(arguments[0].permute(0, 3, 1, 2), kernel, stride).permute(0, 2, 3, 1)


def _resize(arguments: list[Tensor], attributes: Mapping[str, Any]) -> Tensor:
    size = [int(one) for one in arguments[1]]
    x = arguments[0].permute(0, 3, 1, 2)
    return functional.interpolate(x, size, mode="bilinear", align_corners=False).permute(0, 2, 3, 1)


def _pad(arguments: list[Tensor], attributes: Mapping[str, Any]) -> Tensor:
    widths = [int(one) for pair in reversed(arguments[1].tolist()) for one in pair]
    fill = float(arguments[2]) if len(arguments) > 2 else 0.0
    return functional.pad(arguments[0], widths, value=fill)


def _split(arguments: list[Tensor], attributes: Mapping[str, Any]) -> list[Tensor]:
    return list(torch.split(arguments[0], [int(one) for one in arguments[1]], int(arguments[2])))


def _sparse_to_dense(arguments: list[Tensor], attributes: Mapping[str, Any]) -> Tensor:
    indices, shape, values, default = arguments
    dense = default.expand([int(one) for one in shape]).clone()
    dense[tuple(indices.T)] = values
    return dense


_OPERATIONS: dict[str, Callable[[list[Tensor], Mapping[str, Any]], Tensor | list[Tensor]]] = {
    "Add": lambda arguments, _: arguments[0] + arguments[1],
    "AddV2": lambda arguments, _: arguments[0] + arguments[1],
    "ConcatV2": lambda arguments, _: torch.cat(arguments[:-1], dim=int(arguments[-1])),
    "Conv2D": _convolution,
    "Identity": lambda arguments, _: arguments[0],
    "LeakyRelu": lambda arguments, attributes: functional.leaky_relu(arguments[0], attributes["alpha"]["f"]),
    "MaxPool": _max_pool,
    "Pad": _pad,
    "PadV2": _pad,
    "Reshape": lambda arguments, _: arguments[0].reshape([int(one) for one in arguments[1]]),
    "ResizeBilinear": _resize,
    "Sigmoid": lambda arguments, _: arguments[0].sigmoid(),
    "SparseToDense": _sparse_to_dense,
    "SplitV": _split,
    "Transpose": lambda arguments, _: arguments[0].permute([int(one) for one in arguments[1]]),
}
