"""What a weights file is: its network, its numbers, and what it says about itself."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from streamseg.errors import WeightsError
from streamseg.modeling.network import NetworkConfig, Size
from streamseg.weights.catalogue import CATALOGUE, OfficialWeights, find_by_sha256
from streamseg.weights.files import Weights

__all__ = ["GraphMetadata", "WeightsMetadata", "read_graph_metadata", "read_weights_metadata"]


@dataclass(frozen=True)
class WeightsMetadata:
    """A file of tensors."""

    path: str
    format: str
    num_bytes: int
    sha256: str
    official: str
    """Which official file it is, or was converted from; empty: none that is known."""
    licence: str
    """What is said about its licence; empty: nothing is known."""
    size: str
    """n, s, m, l or x; `custom` for other widths or depths."""
    channels: tuple[int, ...]
    """Width after the stem and after each of the four backbone stages."""
    repeats: tuple[int, ...]
    """Bottlenecks in the outer and the inner stages."""
    reg_max: int
    num_classes: int
    num_masks: int
    sppf_activation: bool
    """Whether the pooling's first convolution ends in SiLU, as in FastSAM."""
    num_tensors: int
    num_parameters: int
    precision: str
    """Types of the floating-point tensors."""
    metadata: dict[str, str]


@dataclass(frozen=True)
class GraphMetadata:
    """An ONNX file."""

    path: str
    format: str
    num_bytes: int
    sha256: str
    inputs: dict[str, str]
    """Type and shape by name."""
    outputs: dict[str, str]
    metadata: dict[str, str]


def read_weights_metadata(weights: Weights, *, catalogue: Sequence[OfficialWeights] = CATALOGUE) -> WeightsMetadata:
    """Describe a file that was read.

    Raises:
        WeightsError: these are not the weights of a YOLOv8-seg network.
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
        size=size_name(config),
        channels=config.channels,
        repeats=config.repeats,
        reg_max=config.reg_max,
        num_classes=config.num_classes,
        num_masks=config.num_masks,
        sppf_activation=config.sppf_activation,
        num_tensors=len(weights.state_dict),
        num_parameters=sum(parameter.numel() for parameter in network.parameters()),
        precision=", ".join(sorted(precision.removeprefix("torch.") for precision in precisions)),
        metadata=weights.metadata,
    )


def _origin(weights: Weights, catalogue: Sequence[OfficialWeights]) -> tuple[str, str]:
    """Which official file it is or comes from, and that one's licence; empty where there is none."""
    found = find_by_sha256(weights.sha256, catalogue)
    if found is not None:
        return f"{found[0].name}, as published by {found[1].publisher}", found[0].licence_text()
    found = find_by_sha256(weights.metadata.get("source_sha256", ""), catalogue)
    if found is not None:
        source = f"says that it was converted from {found[0].name}, as published by {found[1].publisher}"
        return source, found[0].licence_text()
    return "", ""


def size_name(config: NetworkConfig) -> str:
    """Which published size it is; "custom" where it is none."""
    for size in get_args(Size):
        published = NetworkConfig.of_size(
            size, num_classes=config.num_classes, reg_max=config.reg_max, num_masks=config.num_masks
        )
        if replace(published, sppf_activation=config.sppf_activation) == config:
            return str(size)
    return "custom"


def read_graph_metadata(path: Path) -> GraphMetadata:
    """Describe an ONNX file, written by whomever.

    Raises:
        WeightsError: it is none.
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
        raise WeightsError(f"{path} is not an ONNX graph that can be read: {str(error).splitlines()[0]}") from error
    return GraphMetadata(
        path=str(path),
        format="ONNX graph",
        num_bytes=len(contents),
        sha256=hashlib.sha256(contents).hexdigest(),
        inputs={entry.name: f"{entry.type} {entry.shape}" for entry in session.get_inputs()},
        outputs={entry.name: f"{entry.type} {entry.shape}" for entry in session.get_outputs()},
        metadata=dict(session.get_modelmeta().custom_metadata_map),
    )
