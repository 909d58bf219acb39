"""Infer a network's architecture from a state dict, and load it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from streamseg.errors import WeightsError
from streamseg.modeling.nanodet import NanoDetConfig, NanoDetNetwork
from streamseg.modeling.network import Network, NetworkConfig
from streamseg.modeling.yolov8 import YoloV8Config, YoloV8Network

__all__ = [
    "SPPF_ACTIVATION",
    "check_state_dict",
    "config_from_state_dict",
    "meta_network",
    "network_from_state_dict",
]

MAX_CHANNELS = 65_536
"""Upper limit of an axis. Shapes come from files, and a network is built from them."""

NANODET_STEM = "backbone.stem.conv.weight"
"""Name of a tensor that every NanoDet-seg network has, and no YOLOv8-seg network."""

SPPF_ACTIVATION = "sppf_activation"
"""Metadata key (`true` or `false`) for `YoloV8Config.sppf_activation`; true if absent."""


def config_from_state_dict(state_dict: Mapping[str, Tensor]) -> NetworkConfig:
    """Infer the architecture, widths, depths, classes and bins from the tensors' names and shapes, without assumptions.

    `sppf_activation` of YOLOv8-seg, which no tensor determines, is set as in FastSAM.

    Raises:
        WeightsError: a tensor that determines them is missing, or has the wrong number of axes or an absurd size.
    """
    return _nanodet_config(state_dict) if NANODET_STEM in state_dict else _yolov8_config(state_dict)


def _yolov8_config(state_dict: Mapping[str, Tensor]) -> YoloV8Config:
    def size(name: str, axis: int) -> int:
        return _size(state_dict, name, axis, "a YOLOv8-seg network")

    def repeats(stage: int) -> int:
        count = 0
        while f"model.{stage}.m.{count}.cv1.conv.weight" in state_dict:
            count += 1
        return count

    stages = [size(f"model.{index}.conv.weight", 0) for index in (0, 1, 3, 5, 7)]
    return YoloV8Config(
        channels=(stages[0], stages[1], stages[2], stages[3], stages[4]),
        repeats=(repeats(2), repeats(4)),
        prototype_channels=size("model.22.proto.cv1.conv.weight", 0),
        num_classes=size("model.22.cv3.0.2.weight", 0),
        reg_max=size("model.22.dfl.conv.weight", 1),
        num_masks=size("model.22.proto.cv3.conv.weight", 0),
    )


def _nanodet_config(state_dict: Mapping[str, Tensor]) -> NanoDetConfig:
    def size(name: str, axis: int) -> int:
        return _size(state_dict, name, axis, "a NanoDet-seg network")

    return NanoDetConfig(
        prototype_channels=size("proto.deep.conv.weight", 0),
        mask_channels=size("mask.0.0.conv.weight", 0),
        embedding_channels=size("embedding.out.weight", 0) if "embedding.out.weight" in state_dict else 0,
        num_classes=size("score.0.weight", 0),
        reg_max=size("dfl.conv.weight", 1),
        num_masks=size("proto.out.conv.weight", 0),
    )


def _size(state_dict: Mapping[str, Tensor], name: str, axis: int, network: str) -> int:
    if name not in state_dict:
        raise WeightsError(f"these are not the weights of {network}: tensor {name!r} is missing")
    if state_dict[name].ndim != 4:
        raise WeightsError(f"tensor {name!r} must have 4 axes, got shape {tuple(state_dict[name].shape)}")
    count = int(state_dict[name].shape[axis])
    if not 1 <= count <= MAX_CHANNELS:
        raise WeightsError(f"tensor {name!r} has {count} in axis {axis}; 1..{MAX_CHANNELS} are allowed")
    return count


def check_state_dict(state_dict: Mapping[str, Tensor]) -> NetworkConfig:
    """Check that the state dict holds exactly the tensors of one network, without building it.

    Returns:
        The configuration inferred from the shapes.

    Raises:
        WeightsError: a tensor is missing, unexpected or has the wrong shape; the first few are named.
    """
    config = config_from_state_dict(state_dict)
    expected = meta_network(config).state_dict()
    missing = [name for name in expected if name not in state_dict and not _is_counter(name)]
    unexpected = [name for name in state_dict if name not in expected]
    misshapen = [
        f"{name} is {tuple(tensor.shape)}, not {tuple(expected[name].shape)}"
        for name, tensor in state_dict.items()
        if name in expected and tensor.shape != expected[name].shape
    ]
    for problem, names in (("missing", missing), ("unexpected", unexpected), ("of the wrong shape", misshapen)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise WeightsError(f"tensors {problem}: {', '.join(names[:3])}{more}")
    return config


def _is_counter(name: str) -> bool:
    """Whether this tensor is a counter of training steps, which only some files contain."""
    return name.endswith("num_batches_tracked")


def network_from_state_dict(state_dict: Mapping[str, Tensor], *, sppf_activation: bool = True) -> Network:
    """Build the network that the tensors belong to and load them; in eval mode, float32.

    Args:
        state_dict: tensors by their official names.
        sppf_activation: see `YoloV8Config`; no tensor determines it.

    Raises:
        WeightsError: a tensor is missing, unexpected or has the wrong shape; the first few are named.
    """
    config = check_state_dict(state_dict)
    if isinstance(config, YoloV8Config):
        config = replace(config, sppf_activation=sppf_activation)
    network = meta_network(config)
    loaded = {}
    for name, tensor in network.state_dict().items():
        given = state_dict[name] if name in state_dict else torch.zeros(tensor.shape)
        loaded[name] = given.detach().to(tensor.dtype, copy=True)
    network.load_state_dict(loaded, assign=True)
    return network.eval()


def meta_network(config: NetworkConfig) -> Network:
    """Build a network on torch's meta device: its tensors have shapes and types only.

    Configurations come from files; however large the network is, this takes neither memory nor time.
    """
    with torch.device("meta"), _WithoutRandomWeights():
        if isinstance(config, YoloV8Config):
            return YoloV8Network(config)
        assert isinstance(config, NanoDetConfig)
        return NanoDetNetwork(config)


class _WithoutRandomWeights(TorchFunctionMode):
    """Skip the random initialisation of new layers; even on the meta device it takes half a second."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return named["tensor"] if "tensor" in named else args[0]
        return func(*args, **named)
