"""Graphs in 8 bits that belong to weights: where they lie, and whether their accuracy permits to use them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streamseg.engines.export import GRAPH_VERSION, cache_folder
from streamseg.engines.openvino_model import OpenVinoModel, read_xml
from streamseg.engines.own_graph import QUANTIZED
from streamseg.errors import EngineError, WeightsError
from streamseg.weights import Weights

__all__ = ["MAX_LOSS", "Accuracy", "find_int8_graph", "int8_path", "int8_paths", "read_accuracy"]

MAX_LOSS: Final = 0.01
"""Largest loss of mask AR@100 by quantisation of a graph that `engine: auto` uses."""

_FLOAT, _INT8, _MEASURED = "mask_ar100_float", "mask_ar100_int8", "accuracy_measured"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Accuracy:
    """Mask AR@100 before and after quantisation, each 0..1."""

    in_float: float
    in_int8: float
    measured: str
    """Data and settings of the measurement."""

    @property
    def loss(self) -> float:
        """Loss by quantisation, to the four digits that are recorded; negative for a gain."""
        return round(self.in_float - self.in_int8, 4)

    @property
    def is_acceptable(self) -> bool:
        """Whether `engine: auto` may use the graph; False if one of the figures is not finite."""
        return self.loss <= MAX_LOSS

    def to_metadata(self) -> dict[str, str]:
        """Return the entries of a graph's metadata."""
        return {_FLOAT: f"{self.in_float:.4f}", _INT8: f"{self.in_int8:.4f}", _MEASURED: self.measured}


def read_accuracy(metadata: Mapping[str, str]) -> Accuracy | None:
    """Return the accuracy recorded in the metadata of a graph; None if there is no valid record."""
    try:
        return Accuracy(float(metadata[_FLOAT]), float(metadata[_INT8]), metadata.get(_MEASURED, ""))
    except (KeyError, ValueError):
        return None


def int8_path(weights: Weights) -> Path:
    """Return the path of the 8-bit graph of these weights in the cache folder."""
    return cache_folder() / f"{weights.path.stem}-{weights.sha256[:16]}-v{GRAPH_VERSION}-int8.xml"


def int8_paths(weights: Weights) -> tuple[Path, Path]:
    """Return the paths at which `find_int8_graph` looks: beside the weights as NAME-int8.xml, and in the cache."""
    return weights.path.with_name(f"{weights.path.stem}-int8.xml"), int8_path(weights)


def find_int8_graph(weights: Weights) -> tuple[Path, OpenVinoModel] | None:
    """Return the first graph in 8 bits made from exactly these weights, of recorded and acceptable accuracy.

    Other files are skipped, and the reason is logged; None if none is left.
    """
    for path in int8_paths(weights):
        if not path.is_file():
            continue
        try:
            source = read_xml(path)
        except (WeightsError, EngineError) as error:
            _logger.warning("without the 8-bit graph: %s", error)
            continue
        problem = _problem(source.metadata, weights)
        if problem is None:
            return path, source
        _logger.warning("without the 8-bit graph %s: %s", path, problem)
    return None


def _problem(metadata: Mapping[str, str], weights: Weights) -> str | None:
    """Return why a graph is not used automatically, or None."""
    if QUANTIZED not in metadata or metadata.get("streamseg_graph") != GRAPH_VERSION:
        return "this version of streamseg did not quantise it"
    if metadata.get("weights_sha256") != weights.sha256:
        return f"it was made from other weights than {weights.path}"
    accuracy = read_accuracy(metadata)
    if accuracy is None:
        return "its accuracy is not recorded; use `streamseg quantize` with --check"
    if not accuracy.is_acceptable:
        return f"it loses {accuracy.loss:.4f} of mask AR@100, more than {MAX_LOSS:g}"
    return None
