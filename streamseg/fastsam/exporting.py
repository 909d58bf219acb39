"""Export of a model as in the originals, by the package's own exporter."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamseg.engines.export import export_graph, graph_metadata
from streamseg.errors import ConfigError, WeightsError
from streamseg.fastsam.keys import read_keys
from streamseg.modeling.nms import NmsSettings
from streamseg.weights import load_weights, write_atomically

__all__ = ["FORMATS", "export_model"]

FORMATS = ("onnx",)

_logger = logging.getLogger(__name__)


def export_model(model: str, file_format: str, options: Mapping[str, Any]) -> Path:
    """Write the network as a graph and return its path, see `FastSAM.export`.

    Raises:
        ConfigError: the format or an option is not available.
        WeightsError: the weights are a graph already, or the file cannot be written.
        EngineError: the package onnx is not installed.
    """
    if file_format not in FORMATS:
        raise ConfigError(
            f"format {file_format!r} is not available; available: {', '.join(FORMATS)}, which TensorRT, OpenVINO and"
            " other runtimes read"
        )
    given = read_keys("export", options)
    if given.ignored:
        _logger.warning("export: %s has no effect here", ", ".join(given.ignored))
    if Path(model).suffix == ".onnx":
        raise WeightsError(f"{model} is a graph already; export the .pt or .safetensors file that it was made from")
    limits = {name: given.values[name] for name in ("conf", "iou", "max_det") if name in given.values}
    weights = load_weights(model)
    graph = export_graph(
        weights.network(),
        half=given.values.get("half", False),
        suppression=NmsSettings(**limits) if given.values.get("nms", False) else None,
        metadata=graph_metadata(weights),
    )
    path = Path(model).with_suffix(".onnx") if Path(model).is_file() else Path(f"{Path(model).stem}.onnx")
    with write_atomically(path) as temporary:
        temporary.write_bytes(graph)
    return path
