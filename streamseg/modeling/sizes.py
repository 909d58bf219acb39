"""Networks by the names of their sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, cast, get_args

from streamseg.modeling.nanodet import NanoDetConfig, build_nanodet
from streamseg.modeling.network import Network, NetworkConfig
from streamseg.modeling.yolov8 import Size, YoloV8Config, build_yolov8

__all__ = ["NetworkSize", "build_network", "size_name"]

NetworkSize = Literal["n", "s", "m", "l", "x", "nanodet"]
"""The five published sizes of YOLOv8-seg, and the one size of NanoDet-seg."""


def build_network(size: NetworkSize, *, seed: int | None = None) -> Network:
    """Build a network with random weights, reproducible with `seed`."""
    return build_nanodet(seed=seed) if size == "nanodet" else build_yolov8(size, seed=seed)


def size_name(config: NetworkConfig) -> NetworkSize | Literal["custom"]:
    """Return the size with this configuration; `custom` for other widths or depths."""
    if isinstance(config, NanoDetConfig):
        same = NanoDetConfig(
            num_classes=config.num_classes,
            reg_max=config.reg_max,
            num_masks=config.num_masks,
            embedding_channels=config.embedding_channels,
        )
        return "nanodet" if config == same else "custom"
    assert isinstance(config, YoloV8Config)
    for size in get_args(Size):
        published = YoloV8Config.of_size(
            size, num_classes=config.num_classes, reg_max=config.reg_max, num_masks=config.num_masks
        )
        if replace(published, sppf_activation=config.sppf_activation) == config:
            return cast("Size", size)
    return "custom"
