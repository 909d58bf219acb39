"""The network with preprocessing and decoding as one ONNX graph, and the folder that caches such graphs."""

from __future__ import annotations

import base64
import json
import logging
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

import streamseg
from streamseg.errors import EngineError, WeightsError
from streamseg.modeling.decoding import decode
from streamseg.modeling.nanodet import NanoDetConfig
from streamseg.modeling.network import STRIDES, Network, fuse
from streamseg.modeling.nms import NmsSettings, apply_nms, nms_to_json
from streamseg.modeling.refiner import refiner_to_graph, refiner_to_text
from streamseg.paths import cache_folder
from streamseg.weights import Weights, write_atomically

__all__ = [
    "EMBEDDINGS",
    "GRAPH_VERSION",
    "OUTPUTS",
    "REFINER",
    "REFINER_GRAPH",
    "SUPPRESSED_OUTPUTS",
    "SUPPRESSION",
    "cache_folder",
    "cached_graph",
    "can_export",
    "export_graph",
    "graph_metadata",
    "graph_path",
]

GRAPH_VERSION = "1"
"""Incremented with each change of inputs, outputs or decoding that makes earlier exported files unusable."""

OUTPUTS = ("boxes", "scores", "mask_coefficients", "prototypes")
"""Output names, as in `Raw`. The input is `images`, uint8 (batch, height, width, 3) RGB."""

SUPPRESSED_OUTPUTS = (*OUTPUTS, "mask_logits", "num_objects")
"""Output names of graphs with built-in suppression, as in `NmsOutput`."""

EMBEDDINGS = "embeddings"
"""Name of the last output of graphs whose network predicts embeddings."""

REFINER = "refiner"
"""Metadata entry of a graph that holds the tensors of its refiner."""

REFINER_GRAPH = "refiner_graph"
"""Metadata entry that holds the refiner as an ONNX graph in Base64: a graph of its own, because it runs per object."""

SUPPRESSION = "suppression"
"""Metadata entry of a graph that holds the thresholds of its built-in suppression."""

_OPSET = 17

_AXES = ("batch", "anchors", "grid_height", "grid_width")
"""Names of the dynamic axes of the outputs, by position."""

_logger = logging.getLogger(__name__)


def _axis(output: str, axis: int) -> str:
    name = _AXES[axis]
    return f"embedding_{name}" if output == EMBEDDINGS and axis >= 2 else name


class _Graph(nn.Module):
    """Letterboxed bytes in, decoded boxes out: the host converts nothing, and uploads a quarter of the data."""

    def __init__(self, network: Network, dtype: torch.dtype, suppression: NmsSettings | None) -> None:
        super().__init__()
        self.network = network.to(dtype)
        self.dtype = dtype
        self.suppression = suppression

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        inputs = images.permute(0, 3, 1, 2).to(self.dtype) / 255  # (B, 3, H, W)
        decoded = decode(self.network(inputs))
        embeddings = [] if decoded.embeddings is None else [decoded.embeddings]
        return (*(decoded[:4] if self.suppression is None else apply_nms(decoded, self.suppression)), *embeddings)


def can_export() -> bool:
    """Return whether `onnx`, the package that writes graphs, is installed."""
    return find_spec("onnx") is not None


def _check_onnx() -> None:
    if not can_export():
        raise EngineError("writing ONNX graphs needs the onnx package: pip install onnx")


def export_graph(
    network: Network,
    *,
    half: bool = False,
    suppression: NmsSettings | None = None,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Export the network as ONNX, with dynamic batch, height and width.

    Args:
        network: a network of any size.
        half: compute in float16 (for GPUs); boxes and scores are float32 in either case. As documented in
            `TorchEngine`, scores then differ by less than 0.02 and boxes by less than 2 pixels from float32.
        suppression: thresholds of a non-maximum suppression inside the graph. The graph then has `SUPPRESSED_OUTPUTS`
            with `max_det` rows per image. If None, the graph returns every anchor.
        metadata: strings to store in addition to the graph's own.

    Returns:
        Contents of the .onnx file.

    Raises:
        EngineError: the `onnx` package is not installed.
    """
    _check_onnx()
    import onnx

    graph = _Graph(fuse(network), torch.float16 if half else torch.float32, suppression).eval()
    num_masks = network.config.num_masks
    # None marks a dynamic axis; its position determines its name.
    rows = None if suppression is None else suppression.max_det
    shapes: dict[str, tuple[int | None, ...]] = {
        "boxes": (None, rows, 4),
        "scores": (None, rows),
        "mask_coefficients": (None, rows, num_masks),
        "prototypes": (None, num_masks, None, None),
        "mask_logits": (None, rows, None, None),
        "num_objects": (None,),
    }
    outputs = OUTPUTS if suppression is None else SUPPRESSED_OUTPUTS
    if isinstance(network.config, NanoDetConfig) and network.config.embedding_channels:
        outputs = (*outputs, EMBEDDINGS)
        shapes[EMBEDDINGS] = (None, network.config.embedding_channels, None, None)
    axes = {
        name: {axis: _axis(name, axis) for axis, size in enumerate(shapes[name]) if size is None} for name in outputs
    }
    with TemporaryDirectory() as folder, warnings.catch_warnings(), torch.inference_mode():
        path = Path(folder) / "graph.onnx"
        # The tracing exporter takes half a second and needs onnx alone; its successor takes 17 and needs onnxscript.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            graph,
            (torch.zeros(2, 64, 96, 3, dtype=torch.uint8),),
            path,
            dynamo=False,
            input_names=["images"],
            output_names=list(outputs),
            dynamic_axes={"images": {0: "batch", 1: "height", 2: "width"}, **axes},
            opset_version=_OPSET,
        )
        model = onnx.load(path)
    # The tracer loses the sizes of the static axes.
    for output in model.graph.output:
        for dimension, size in zip(output.type.tensor_type.shape.dim, shapes[output.name], strict=True):
            if size is not None:
                dimension.dim_value = size
    model.producer_name = "streamseg"
    model.producer_version = streamseg.__version__
    own = {
        "streamseg_graph": GRAPH_VERSION,
        "streamseg_version": streamseg.__version__,
        "names": json.dumps({"0": "object"} if network.config.num_classes == 1 else {}),
        "stride": str(max(STRIDES)),
        "num_classes": str(network.config.num_classes),
        "reg_max": str(network.config.reg_max),
        "half": str(half).lower(),
    }
    if suppression is not None:
        own[SUPPRESSION] = nms_to_json(suppression)
    onnx.helper.set_model_props(model, {**(metadata or {}), **own})
    contents: bytes = model.SerializeToString()
    return contents


def graph_path(weights: Weights, *, half: bool = False) -> Path:
    """Return the path of the cached graph of these weights."""
    suffix = "-half" if half else ""
    return cache_folder() / f"{weights.path.stem}-{weights.sha256[:16]}-v{GRAPH_VERSION}{suffix}.onnx"


def graph_metadata(weights: Weights) -> dict[str, str]:
    """Return the metadata of a graph of these weights: those of the weights, their hash and their refiner.

    Raises:
        WeightsError: the refiner of the weights is broken.
        EngineError: the weights include a refiner, and the `onnx` package is not installed.
    """
    metadata = {**weights.metadata, "weights_sha256": weights.sha256}
    refiner = weights.refiner()
    if refiner is None:
        return metadata
    _check_onnx()
    graph = base64.b64encode(refiner_to_graph(refiner)).decode()
    return {**metadata, REFINER: refiner_to_text(refiner), REFINER_GRAPH: graph}


def cached_graph(weights: Weights, *, half: bool = False) -> bytes:
    """Return the graph of these weights, exporting it the first time only.

    Raises:
        WeightsError: the weights fit no network.
        EngineError: the graph has to be exported, and the `onnx` package is not installed.
    """
    path = graph_path(weights, half=half)
    if path.is_file():
        return path.read_bytes()
    metadata = graph_metadata(weights)
    contents = export_graph(weights.network(), half=half, metadata=metadata)
    try:
        with write_atomically(path) as temporary:
            temporary.write_bytes(contents)
    except WeightsError as error:
        _logger.warning("could not cache the exported graph, so it will be exported again next time: %s", error)
    return contents
