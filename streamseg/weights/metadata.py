"""Metadata of weights files and graphs: format, architecture, size, origin and licence."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamseg.errors import WeightsError
from streamseg.modeling.sizes import size_name
from streamseg.modeling.yolov8 import YoloV8Config
from streamseg.weights.catalogue import CATALOGUE, OfficialWeights, find_by_sha256
from streamseg.weights.files import Weights

__all__ = ["GraphMetadata", "WeightsMetadata", "read_graph_metadata", "read_weights_metadata"]


@dataclass(frozen=True)
class WeightsMetadata:
    """Metadata of a file of tensors."""

    path: str
    format: str
    num_bytes: int
    sha256: str
    official: str
    """The official file that it is, or was converted from; empty if unknown."""
    licence: str
    """Statements about its licence; empty if unknown."""
    architecture: str
    """`yolov8` or `nanodet`."""
    size: str
    """n, s, m, l, x or nanodet; `custom` for other widths or depths."""
    channels: tuple[int, ...]
    """Width after the stem and after each of the four backbone stages."""
    repeats: tuple[int, ...]
    """YOLOv8: number of bottlenecks in the outer and the inner stages; empty for other architectures."""
    reg_max: int
    num_classes: int
    num_masks: int
    sppf_activation: bool | None
    """YOLOv8: whether SPPF's first convolution ends in SiLU, as in FastSAM; None for other architectures."""
    num_tensors: int
    num_parameters: int
    precision: str
    """Types of the floating-point tensors."""
    metadata: dict[str, str]
    """Strings stored in the file."""


@dataclass(frozen=True)
class GraphMetadata:
    """Metadata of an ONNX file."""

    path: str
    format: str
    num_bytes: int
    sha256: str
    inputs: dict[str, str]
    """Type and shape by name."""
    outputs: dict[str, str]
    """Type and shape by name."""
    metadata: dict[str, str]
    """Strings stored in the file."""


def read_weights_metadata(weights: Weights, *, catalogue: Sequence[OfficialWeights] = CATALOGUE) -> WeightsMetadata:
    """Collect the metadata of loaded weights.

    Raises:
        WeightsError: these are not the weights of a segmentation network.
    """
    network = weights.network()
    config = network.config
    official, licence = _origin(weights, catalogue)
    precisions = {str(tensor.dtype) for tensor in weights.state_dict.values() if tensor.is_floating_point()}
    return WeightsMetadata(
        path=str(weights.path),
        format="PyTorch checkpoint" if weights.path.suffix == ".pt" else "safetensors",
        num_bytes=weights.path.stat().st_size,
        sha256=weights.sha256,
        official=official,
        licence=licence or weights.metadata.get("license", weights.metadata.get("licence", "")),
        architecture=network.architecture,
        size=size_name(config),
        channels=config.channels,
        repeats=config.repeats if isinstance(config, YoloV8Config) else (),
        reg_max=config.reg_max,
        num_classes=config.num_classes,
        num_masks=config.num_masks,
        sppf_activation=config.sppf_activation if isinstance(config, YoloV8Config) else None,
        num_tensors=len(weights.state_dict),
        num_parameters=sum(parameter.numel() for parameter in network.parameters()),
        precision=", ".join(sorted(precision.removeprefix("torch.") for precision in precisions)),
        metadata=weights.metadata,
    )


def _origin(weights: Weights, catalogue: Sequence[OfficialWeights]) -> tuple[str, str]:
    """Return the official file that the weights are or were converted from, and its licence; empty if unknown."""
    found = find_by_sha256(weights.sha256, catalogue)
    if found is not None:
        return f"{found[0].name}, as published by {found[1].publisher}", found[0].licence_text()
    found = find_by_sha256(weights.metadata.get("source_sha256", ""), catalogue)
    if found is not None:
        source = f"converted from {found[0].name}, as published by {found[1].publisher} (according to its metadata)"
        return source, found[0].licence_text()
    return "", ""


def read_graph_metadata(path: Path) -> GraphMetadata:
    """Read the metadata of an ONNX file from any exporter.

    Raises:
        WeightsError: it is not a readable ONNX file.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as states

    contents = path.read_bytes()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(contents, options, providers=["CPUExecutionProvider"])
    except (
        states.Fail,
        states.InvalidArgument,
        states.InvalidGraph,
        states.InvalidProtobuf,
        states.NotImplemented,
        states.RuntimeException,
    ) as error:
        raise WeightsError(f"{path} is not a readable ONNX graph: {str(error).splitlines()[0]}") from error
    return GraphMetadata(
        path=str(path),
        format="ONNX graph",
        num_bytes=len(contents),
        sha256=hashlib.sha256(contents).hexdigest(),
        inputs={entry.name: f"{entry.type} {entry.shape}" for entry in session.get_inputs()},
        outputs={entry.name: f"{entry.type} {entry.shape}" for entry in session.get_outputs()},
        metadata=dict(session.get_modelmeta().custom_metadata_map),
    )
