"""Properties of graphs written by streamseg, read from their metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streamseg.engines.engine import imgsz_of
from streamseg.engines.export import GRAPH_VERSION, REFINER, REFINER_GRAPH, SUPPRESSION
from streamseg.engines.onnx_refiner import open_refiner
from streamseg.errors import WeightsError
from streamseg.modeling.nms import NmsSettings, nms_from_json
from streamseg.modeling.refiner import Refiner, refiner_from_text

__all__ = ["LAST_LAYERS", "QUANTIZED", "GraphProperties", "is_own", "read_properties"]

QUANTIZED: Final = "quantized"
"""Metadata entry of a graph that describes its quantisation."""

LAST_LAYERS: Final = (
    r"/network/(score|box)\.\d/",  # NanoDet: scores and box sides
    r"/network/mask\.\d/mask\.\d\.1/",  # NanoDet: mask coefficients
    "/network/proto/out/",  # NanoDet: prototypes
    "/network/embedding/out/",
    r"/network/model\.22/cv[234]\.\d/cv[234]\.\d\.2/",  # YOLOv8: box sides, scores, mask coefficients
    r"/network/model\.22/proto/cv3/",  # YOLOv8: prototypes
)
"""Patterns of the names of operators in the last layer of each branch, which compute the results themselves."""


@dataclass(frozen=True, eq=False)
class GraphProperties:
    """What an engine needs to know about a graph beside its inputs and outputs."""

    half: bool
    """Whether the graph computes in half precision."""
    imgsz: int
    """Long side of the input, in pixels, that the weights were made for."""
    suppression: NmsSettings | None
    """Thresholds of the suppression inside the graph; None if there is none."""
    refiner: Refiner | None
    """Mask refiner on the CPU; None if the weights include none."""


def is_own(metadata: Mapping[str, str], path: str | Path) -> bool:
    """Return whether streamseg wrote a graph.

    Raises:
        WeightsError: an incompatible version wrote it.
    """
    version = metadata.get("streamseg_graph")
    if version not in (None, GRAPH_VERSION):
        raise WeightsError(
            f"{path} cannot be loaded: its graph has version {version}, but version {GRAPH_VERSION} is required; "
            "export it again with `streamseg export --format onnx`"
        )
    return version is not None


def read_properties(metadata: Mapping[str, str], *, num_masks: int, path: str | Path) -> GraphProperties:
    """Read the properties of a graph of which `is_own` is true.

    Args:
        metadata: metadata of the graph.
        num_masks: number of mask coefficients.
        path: source of the graph, for error messages.

    Raises:
        WeightsError: the refiner is damaged.
    """
    refiner: Refiner | None = None
    if REFINER in metadata:
        refiner = refiner_from_text(metadata[REFINER], num_masks=num_masks)
    if refiner is not None and REFINER_GRAPH in metadata:
        refiner = open_refiner(refiner, metadata[REFINER_GRAPH], path=path)
    return GraphProperties(
        half=metadata["half"] == "true",
        imgsz=imgsz_of(metadata),
        suppression=nms_from_json(metadata[SUPPRESSION]) if SUPPRESSION in metadata else None,
        refiner=refiner,
    )
