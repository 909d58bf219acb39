"""The network, preprocessing and decoding as one ONNX graph, and the folder where such graphs are kept."""

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
from streamseg.modeling.network import STRIDES, Network, fuse
from streamseg.modeling.nms import Suppression, suppress, suppression_to_text
from streamseg.modeling.refiner import refiner_to_graph, refiner_to_text
from streamseg.weights import Weights, cache_folder, write_atomically

__all__ = [
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
"""Counts changes of the graph that an exported file must not survive: of its inputs, outputs or decoding."""

OUTPUTS = ("boxes", "scores", "mask_coefficients", "prototypes")
"""As in `Raw`. The input is `images`, uint8 (batch, height, width, 3) RGB."""

SUPPRESSED_OUTPUTS = (*OUTPUTS, "mask_logits", "num_objects")
"""As in `Suppressed`: of graphs with suppression inside."""

REFINER = "refiner"
"""The entry of a graph's metadata for the refiner that belongs to it: its tensors."""

REFINER_GRAPH = "refiner_graph"
"""The entry for the same as an ONNX graph, in Base64: a graph in a graph, as it runs once per object."""

SUPPRESSION = "suppression"
"""The entry of a graph's metadata for the thresholds of the suppression inside it."""

_OPSET = 17

_AXES = ("batch", "anchors", "grid_height", "grid_width")
"""Names of the outputs' free axes, by place."""

_logger = logging.getLogger(__name__)


class _Graph(nn.Module):
    """Letterboxed bytes in, decoded boxes out: the host has nothing to convert, and uploads a quarter."""

    def __init__(self, network: Network, dtype: torch.dtype, suppression: Suppression | None) -> None:
        super().__init__()
        self.network = network.to(dtype)
        self.dtype = dtype
        self.suppression = suppression

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        inputs = images.permute(0, 3, 1, 2).to(self.dtype) / 255  # (B, 3, H, W)
        decoded = decode(self.network(inputs))
        return tuple(decoded if self.suppression is None else suppress(decoded, self.suppression))


def can_export() -> bool:
    """Whether the package that writes graphs (onnx) is installed."""
    return find_spec("onnx") is not None


def _check_onnx() -> None:
    if not can_export():
        raise EngineError("writing ONNX graphs needs the onnx package: pip install onnx")


def export_graph(
    network: Network,
    *,
    half: bool = False,
    suppression: Suppression | None = None,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Write the network as ONNX; batch, height and width stay free.

    Args:
        network: any of the sizes.
        half: compute in float16 (for GPUs); boxes and scores are float32 all the same. They then differ from
            float32's as `TorchEngine` says: scores by less than 0.02, boxes by less than 2 pixels.
        suppression: thresholds of a non-maximum suppression inside the graph, which then has `SUPPRESSED_OUTPUTS`,
            of `max_det` rows per picture; None: every anchor comes out.
        metadata: strings to store beside the graph's own.

    Returns:
        The file's contents.

    Raises:
        EngineError: the `onnx` package is not installed.
    """
    _check_onnx()
    import onnx

    graph = _Graph(fuse(network), torch.float16 if half else torch.float32, suppression).eval()
    num_masks = network.config.num_masks
    # None is a free axis; its name comes with its place.
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
    axes = {name: {axis: _AXES[axis] for axis, size in enumerate(shapes[name]) if size is None} for name in outputs}
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
    # The tracer loses the axes that are not free.
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
        own[SUPPRESSION] = suppression_to_text(suppression)
    onnx.helper.set_model_props(model, {**(metadata or {}), **own})
    contents: bytes = model.SerializeToString()
    return contents


def graph_path(weights: Weights, *, half: bool = False) -> Path:
    """Where the graph of these weights is kept."""
    suffix = "-half" if half else ""
    return cache_folder() / f"{weights.path.stem}-{weights.sha256[:16]}-v{GRAPH_VERSION}{suffix}.onnx"


def graph_metadata(weights: Weights) -> dict[str, str]:
    """What a graph of these weights says about itself: all that they do, and the refiner that they bring.

    Raises:
        WeightsError: the weights' refiner is broken.
        EngineError: it brings one, and the `onnx` package is not installed.
    """
    metadata = {**weights.metadata, "weights_sha256": weights.sha256}
    refiner = weights.refiner()
    if refiner is None:
        return metadata
    _check_onnx()
    graph = base64.b64encode(refiner_to_graph(refiner)).decode()
    return {**metadata, REFINER: refiner_to_text(refiner), REFINER_GRAPH: graph}


def cached_graph(weights: Weights, *, half: bool = False) -> bytes:
    """The graph of these weights, exported the first time only.

    Raises:
        WeightsError: the weights fit no network.
        EngineError: it has to be exported, and `onnx` is not installed.
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
        _logger.warning("the exported graph is not kept, and is made again next time: %s", error)
    return contents
