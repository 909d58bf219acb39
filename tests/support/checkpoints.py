"""Checkpoint files with the structure of the official ones: a pickled tree of modules in a zip archive of torch.

The classes have the official names and exist only while a file is written. That is sufficient for a pickle, which
stores a class as its name and a module as its attributes. The files have been compared with files written by the
official package (tests/golden/make_checkpoint.py).
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import nn

from streamseg.modeling.network import STRIDES, Network
from streamseg.modeling.yolov8 import YoloV8Config, YoloV8Network

TINY = YoloV8Config(channels=(8, 8, 16, 32, 64), repeats=(1, 2), prototype_channels=16)
"""Configuration of a much narrower network than any published one: 0.5 M parameters, 1 MB in half precision."""

LAYER_INPUTS = {10: -1, 11: [-1, 6], 13: -1, 14: [-1, 4], 17: [-1, 12], 20: [-1, 9], 22: [15, 18, 21]}
"""Inputs of the layers that have other inputs than the previous layer, and of those without tensors."""


def tiny_network(*, seed: int = 0, config: YoloV8Config = TINY) -> Network:
    """Return a narrow network with random weights and batch norms, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = YoloV8Network(config)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def official_checkpoint(
    network: Network,
    path: Path,
    *,
    half: bool = True,
    in_ema: bool = False,
    names: Mapping[int, str] | None = None,
    imgsz: Any = 1024,
    version: str = "8.0.120",
    **entries: Any,
) -> Path:
    """Write a checkpoint with the official structure.

    Args:
        network: a network of any size.
        path: destination.
        half: store half precision, as the published files do.
        in_ema: write the checkpoint of an unfinished training: the model is in `ema`, an older one in `model`.
        names: class names.
        imgsz: input size in the metadata.
        version: version of the official package in the metadata; from 8.1 on, `args` is a dict.
        entries: additional or overriding entries of the outermost dict.

    Returns:
        The path.
    """
    with official_classes() as classes:
        model = official_model(network, classes, names=names, imgsz=imgsz, version=version)
        model = model.half() if half else model
        contents: dict[str, Any] = {
            "epoch": -1,
            "best_fitness": None,
            "model": model,
            "ema": None,
            "updates": None,
            "optimizer": None,
            "train_args": {"imgsz": imgsz, "task": "segment", "model": "yolov8-seg.yaml", "lr0": 0.01},
            "date": "2023-06-20T12:00:00.000000",
            "version": version,
        }
        if in_ema:
            older = copy.deepcopy(model)
            with torch.no_grad():
                for parameter in older.parameters():
                    parameter.mul_(0.5)
            momentum = {"state": {0: {"exp_avg": torch.zeros(3, 4)}}, "param_groups": [{"lr": 0.01, "params": [0]}]}
            contents.update(epoch=7, best_fitness=0.5, model=older, ema=model, updates=99, optimizer=momentum)
        torch.save({**contents, **entries}, path)
    return path


def official_model(
    network: Network,
    classes: Mapping[str, type[nn.Module]],
    *,
    names: Mapping[int, str] | None = None,
    imgsz: Any = 1024,
    version: str = "8.0.120",
) -> nn.Module:
    """Convert a network to a tree of modules with the official names and attributes; tensors are copied."""
    config = network.config
    layers = nn.Sequential()
    for index, layer in enumerate(network.model):
        converted = _converted(layer, classes)
        if index in (11, 14, 17, 20):
            converted = classes["Concat"]()
            converted.d = 1
        elif isinstance(layer, nn.Upsample):
            converted = nn.Upsample(None, 2, "nearest")
        converted.i = index
        converted.f = LAYER_INPUTS.get(index, -1)
        converted.type = f"{type(converted).__module__}.{type(converted).__qualname__}"
        layers.append(converted)
    layers[9].m = nn.MaxPool2d(5, 1, 2)
    _complete_head(layers[22], config, classes)
    model = classes["SegmentationModel"]()
    model.yaml = {"nc": config.num_classes, "backbone": [[-1, 1, "Conv", [64, 3, 2]]], "head": [], "ch": 3}
    model.model = layers
    model.save = [4, 6, 9, 12, 15, 18, 21]
    model.names = dict(names if names is not None else dict.fromkeys(range(config.num_classes), "object"))
    model.inplace = True
    model.stride = torch.tensor([float(stride) for stride in STRIDES])
    arguments = {"imgsz": imgsz, "task": "segment"}
    is_old = version.startswith("8.0")
    model.args = classes["IterableSimpleNamespace"](**arguments) if is_old else arguments
    for parameter in model.parameters():
        parameter.requires_grad = False
    return model


def _converted(module: nn.Module, classes: Mapping[str, type[nn.Module]]) -> nn.Module:
    """Convert one of our modules to the official module with the same tensors."""
    name = {"Prototypes": "Proto", "DistributionBins": "DFL"}.get(type(module).__name__, type(module).__name__)
    if name in ("Conv2d", "ConvTranspose2d", "BatchNorm2d"):
        return copy.deepcopy(module)
    if name in ("Sequential", "ModuleList"):
        converted: nn.Module = type(module)()
    else:
        converted = classes[name]() if name in classes else type(module)()
    for child_name, child in module.named_children():
        converted.add_module(child_name, _converted(child, classes))
    if name == "Conv":
        converted.add_module("act", nn.SiLU(inplace=True) if getattr(module, "activation", True) else nn.Identity())
    elif name == "Bottleneck":
        converted.add = module.residual
    elif name == "C2f":
        converted.c = module.cv1.conv.out_channels // 2
    return converted


def _complete_head(head: nn.Module, config: YoloV8Config, classes: Mapping[str, type[nn.Module]]) -> None:
    head.nc, head.nl, head.reg_max, head.nm = config.num_classes, len(STRIDES), config.reg_max, config.num_masks
    head.no = config.num_classes + 4 * config.reg_max
    head.npr = config.prototype_channels
    head.stride = torch.tensor([float(stride) for stride in STRIDES])
    head.dfl.c1 = config.reg_max
    head.detect = classes["Detect"].forward
    head.inplace = True
    head.anchors, head.strides = torch.empty(0), torch.empty(0)
    head.shape = torch.Size((1, config.channels[2], 8, 8))


def _forward(self: nn.Module, x: Any) -> Any:
    """Function that `Segment.detect` refers to."""


OFFICIAL = {
    "ultralytics.nn.tasks": ("SegmentationModel", "DetectionModel"),
    "ultralytics.nn.modules.conv": ("Conv", "Concat"),
    "ultralytics.nn.modules.block": ("C2f", "Bottleneck", "SPPF", "DFL", "Proto", "C3k2"),
    "ultralytics.nn.modules.head": ("Segment", "Detect", "Pose"),
    "ultralytics.yolo.utils": ("IterableSimpleNamespace",),
}


@contextmanager
def official_classes() -> Iterator[dict[str, Any]]:
    """Yield classes by their official names, which can be pickled inside the block."""
    modules = {name: ModuleType(name) for path in OFFICIAL for name in _with_parents(path)}
    classes: dict[str, Any] = {}
    for module, names in OFFICIAL.items():
        for name in names:
            base = SimpleNamespace if name == "IterableSimpleNamespace" else nn.Module
            classes[name] = type(name, (base,), {"__module__": module})
            setattr(modules[module], name, classes[name])
    forward = copy.copy(_forward)
    forward.__module__, forward.__qualname__ = "ultralytics.nn.modules.head", "Detect.forward"
    classes["Detect"].forward = forward
    older = {name: sys.modules[name] for name in modules if name in sys.modules}
    sys.modules.update(modules)
    try:
        yield classes
    finally:
        for name in modules:
            del sys.modules[name]
        sys.modules.update(older)


def _with_parents(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]
