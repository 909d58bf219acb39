"""Random networks with outputs like those of trained ones, and their graphs."""

from __future__ import annotations

from functools import cache

import onnx
from onnx import helper

from benchmarks.lively import blobs, lively_network
from streamseg.engines.export import export_graph

__all__ = ["blobs", "later_graph", "lively_graph", "lively_network"]


@cache
def lively_graph(*, half: bool = False) -> bytes:
    """Return `lively_network` of size n and seed 0 as an ONNX file."""
    return export_graph(lively_network(), half=half)


def later_graph(graph: bytes) -> bytes:
    """Return an ONNX file of the package as one of a later version."""
    model = onnx.load_from_string(graph)
    helper.set_model_props(model, {"streamseg_graph": "999"})
    return model.SerializeToString()
