"""Quantisation of exported graphs to 8 bits for OpenVINO, by NNCF's calibration after training.

Weights are rounded per channel, activations per tensor to ranges measured on images. Layers whose outputs are scores,
box sides, mask coefficients, prototypes or embeddings stay in float, and so does everything after them.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamseg.engines.openvino_model import OpenVinoModel, last_line, read_onnx
from streamseg.engines.own_graph import LAST_LAYERS, QUANTIZED
from streamseg.errors import DataError, EngineError, WeightsError

__all__ = ["KEPT", "load_nncf", "quantize_graph"]

KEPT: Final = (*LAST_LAYERS, r"^/(?!network/)")  # the second: decoding, suppression
"""Patterns of the names of operators that stay in float."""


def quantize_graph(
    graph: bytes, images: Iterable[npt.NDArray[np.uint8]], *, kept: Iterable[str] = KEPT, path: str | Path = "graph"
) -> OpenVinoModel:
    """Quantise a graph to 8 bits.

    Args:
        graph: float32 graph written by `export_graph`, with or without suppression.
        images: calibration images, each uint8 (1, H, W, 3) RGB, of any sizes that the graph accepts; at least one. They
            should resemble those that the graph will process.
        kept: patterns of the names of operators that stay in float.
        path: source of the graph, for error messages.

    Returns:
        The model. Inputs, outputs and metadata are unchanged, except that `QUANTIZED` is added.

    Raises:
        WeightsError: the graph is not a float32 graph of `streamseg export`, or is already quantised.
        DataError: there is no image, or one cannot be read.
        EngineError: OpenVINO or NNCF is not installed, or NNCF cannot quantise the graph.
    """
    batches = list(images)
    if not batches:
        raise DataError("calibration requires at least one image")
    source = read_onnx(graph, path=path)
    metadata = source.metadata
    if "streamseg_graph" not in metadata or metadata.get("half") != "false" or QUANTIZED in metadata:
        raise WeightsError(
            f"{path}: only float32 graphs of `streamseg export` can be quantised, and only once; export it again"
            " without --half"
        )
    nncf = load_nncf()
    names = [operator.get_friendly_name() for operator in source.model.get_ops()]
    in_float = [name for name in names if any(re.search(pattern, name) for pattern in kept)]
    try:
        quantized: Any = nncf.quantize(
            source.model,
            nncf.Dataset(batches),
            subset_size=len(batches),
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            # Names of constants among them are none of NNCF's nodes, which it would report.
            ignored_scope=nncf.IgnoredScope(names=in_float, validate=False),
        )
    except (RuntimeError, nncf.InternalError, nncf.ValidationError) as error:
        raise EngineError(f"NNCF cannot quantise {path}: {last_line(error)}") from error
    made = f"int8, NNCF {nncf.__version__}, ranges from {len(batches)} images"
    return OpenVinoModel(quantized, {**metadata, QUANTIZED: made}, source.sha256)


def load_nncf() -> Any:
    """Return the module `nncf`, without its reports to Google Analytics, which are on by default.

    Raises:
        EngineError: it is not installed.
    """
    if "nncf" not in sys.modules:
        os.environ["NNCF_CI"] = "1"  # read at import; the telemetry of NNCF has no other switch
    try:
        import nncf
    except ModuleNotFoundError as error:
        raise EngineError(
            f"quantisation needs {error.name}, which is not installed; run: pip install 'streamseg[quantize]'"
        ) from error
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf
