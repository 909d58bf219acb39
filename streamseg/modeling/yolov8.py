"""YOLOv8-seg in plain torch, with the tensor names of the official files.

Written from the published layout (FastSAM, arXiv 2306.12156, section 3; the YOLOv8-seg graph of 23
modules) and from YOLACT (arXiv 1904.02689) for the prototypes. The comment at the end of a line gives the
shape of its result for an input of (B, 3, H, W).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamseg.errors import WeightsError
from streamseg.modeling.network import (
    STRIDES,
    Architecture,
    Conv,
    DistributionBins,
    Network,
    NetworkConfig,
    Predictions,
)

__all__ = ["Size", "YoloV8Config", "YoloV8Network", "build_yolov8"]

Size = Literal["n", "s", "m", "l", "x"]

SIZES: dict[Size, tuple[float, float, int]] = {
    "n": (1 / 3, 0.25, 1024),
    "s": (1 / 3, 0.50, 1024),
    "m": (2 / 3, 0.75, 768),
    "l": (1.0, 1.00, 512),
    "x": (1.0, 1.25, 512),
}
"""Depth multiple, width multiple, maximum number of channels (before the width multiple)."""


@dataclass(frozen=True, kw_only=True)
class YoloV8Config(NetworkConfig):
    """All parameters that determine the tensors' shapes, and the only one that no shape determines."""

    repeats: tuple[int, int]
    """Bottlenecks in the outer stages (1 and 4, and all of the neck) and in the inner stages (2 and 3)."""
    sppf_activation: bool = True
    """Whether SPPF's first convolution ends in SiLU, as in FastSAM; some later networks omit it."""

    @classmethod
    def of_size(cls, size: Size, *, num_classes: int = 1, reg_max: int = 16, num_masks: int = 32) -> YoloV8Config:
        """Return the configuration of one of the five published sizes."""
        if size not in get_args(Size):
            raise WeightsError(f"unknown network size {size!r}; allowed are {', '.join(get_args(Size))}")
        depth, width, max_channels = SIZES[size]

        def scaled(channels: int) -> int:
            return math.ceil(min(channels, max_channels) * width / 8) * 8

        return cls(
            channels=(scaled(64), scaled(128), scaled(256), scaled(512), scaled(1024)),
            repeats=(max(round(3 * depth), 1), max(round(6 * depth), 1)),
            prototype_channels=math.ceil(256 * width / 8) * 8,
            num_classes=num_classes,
            reg_max=reg_max,
            num_masks=num_masks,
        )


class Bottleneck(nn.Module):
    """Two 3x3 convolutions, with a residual connection in the backbone only."""

    def __init__(self, channels: int, *, residual: bool) -> None:
        super().__init__()
        self.cv1 = Conv(channels, channels, 3)
        self.cv2 = Conv(channels, channels, 3)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.cv2(self.cv1(x))
        return x + y if self.residual else y


class C2f(nn.Module):
    """Split the channels, pass one half through n bottlenecks and concatenate all intermediate results."""

    def __init__(self, in_channels: int, out_channels: int, repeats: int, *, residual: bool = False) -> None:
        super().__init__()
        half = out_channels // 2
        self.cv1 = Conv(in_channels, 2 * half)
        self.cv2 = Conv((2 + repeats) * half, out_channels)
        self.m = nn.ModuleList(Bottleneck(half, residual=residual) for _ in range(repeats))

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.cv1(x).chunk(2, dim=1))
        for block in self.m:
            parts.append(block(parts[-1]))
        out: Tensor = self.cv2(torch.cat(parts, dim=1))
        return out


class SPPF(nn.Module):
    """Three consecutive 5x5 max-pools: receptive fields of 5, 9 and 13 cells. FastSAM's cv1 has an activation."""

    def __init__(self, channels: int, *, activation: bool = True) -> None:
        super().__init__()
        self.cv1 = Conv(channels, channels // 2, activation="silu" if activation else None)
        self.cv2 = Conv(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        pooled = [self.cv1(x)]
        for _ in range(3):
            pooled.append(functional.max_pool2d(pooled[-1], 5, 1, 2))
        out: Tensor = self.cv2(torch.cat(pooled, dim=1))
        return out


class Prototypes(nn.Module):
    """Prototype masks at a quarter of the input size; each object's mask is a linear combination of them."""

    def __init__(self, in_channels: int, channels: int, num_masks: int) -> None:
        super().__init__()
        self.cv1 = Conv(in_channels, channels, 3)
        self.upsample = nn.ConvTranspose2d(channels, channels, 2, 2, bias=True)
        self.cv2 = Conv(channels, channels, 3)
        # Also ends in SiLU: prototypes are >= -0.28.
        self.cv3 = Conv(channels, num_masks)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.cv3(self.cv2(self.upsample(self.cv1(x))))
        return out


def _branch(in_channels: int, channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        Conv(in_channels, channels, 3), Conv(channels, channels, 3), nn.Conv2d(channels, out_channels, 1)
    )


class Segment(nn.Module):
    """Segmentation head: boxes (cv2), scores (cv3) and mask coefficients (cv4) per level, and the prototypes."""

    def __init__(self, config: YoloV8Config) -> None:
        super().__init__()
        levels = config.channels[2:]
        box = max(16, levels[0] // 4, 4 * config.reg_max)
        score = max(levels[0], config.num_classes)
        mask = max(levels[0] // 4, config.num_masks)
        self.cv2 = nn.ModuleList(_branch(channels, box, 4 * config.reg_max) for channels in levels)
        self.cv3 = nn.ModuleList(_branch(channels, score, config.num_classes) for channels in levels)
        self.cv4 = nn.ModuleList(_branch(channels, mask, config.num_masks) for channels in levels)
        self.dfl = DistributionBins(config.reg_max)
        self.proto = Prototypes(levels[0], config.prototype_channels, config.num_masks)

    def forward(self, features: list[Tensor]) -> Predictions:
        def anchors(branches: nn.ModuleList) -> Tensor:
            maps = [branch(feature) for branch, feature in zip(branches, features, strict=True)]
            return torch.cat([m.flatten(2) for m in maps], dim=2)  # (B, C, A)

        return Predictions(anchors(self.cv2), anchors(self.cv3), anchors(self.cv4), self.proto(features[0]))


class YoloV8Network(Network):
    """Backbone (0-9), top-down and bottom-up neck (10-21), head (22)."""

    architecture: Architecture = "yolov8"

    def __init__(self, config: YoloV8Config) -> None:
        super().__init__()
        self.config = config
        c1, c2, c3, c4, c5 = config.channels
        outer, inner = config.repeats
        self.model = nn.ModuleList(
            [
                Conv(3, c1, 3, 2),
                Conv(c1, c2, 3, 2),
                C2f(c2, c2, outer, residual=True),
                Conv(c2, c3, 3, 2),
                C2f(c3, c3, inner, residual=True),
                Conv(c3, c4, 3, 2),
                C2f(c4, c4, inner, residual=True),
                Conv(c4, c5, 3, 2),
                C2f(c5, c5, outer, residual=True),
                SPPF(c5, activation=config.sppf_activation),
                nn.Upsample(scale_factor=2.0),
                nn.Identity(),  # 11: concatenation with 6; the numbers are part of the tensors' names
                C2f(c5 + c4, c4, outer),
                nn.Upsample(scale_factor=2.0),
                nn.Identity(),  # 14: concatenation with 4
                C2f(c4 + c3, c3, outer),
                Conv(c3, c3, 3, 2),
                nn.Identity(),  # 17: concatenation with 12
                C2f(c3 + c4, c4, outer),
                Conv(c4, c4, 3, 2),
                nn.Identity(),  # 20: concatenation with 9
                C2f(c4 + c5, c5, outer),
                Segment(config),
            ]
        )

    def forward(self, images: Tensor) -> Predictions:
        """See `Network.forward`."""
        m = self.model
        x = m[2](m[1](m[0](images)))  # (B, c2, H/4, W/4)
        p3 = m[4](m[3](x))  # (B, c3, H/8, W/8)
        p4 = m[6](m[5](p3))  # (B, c4, H/16, W/16)
        p5 = m[9](m[8](m[7](p4)))  # (B, c5, H/32, W/32)
        down4 = m[12](torch.cat([m[10](p5), p4], dim=1))  # (B, c4, H/16, W/16)
        out3 = m[15](torch.cat([m[13](down4), p3], dim=1))  # (B, c3, H/8, W/8)
        out4 = m[18](torch.cat([m[16](out3), down4], dim=1))  # (B, c4, H/16, W/16)
        out5 = m[21](torch.cat([m[19](out4), p5], dim=1))  # (B, c5, H/32, W/32)
        predictions: Predictions = m[22]([out3, out4, out5])
        return predictions


def build_yolov8(
    size: Size, *, reg_max: int = 16, num_classes: int = 1, num_masks: int = 32, seed: int | None = None
) -> YoloV8Network:
    """Build a network with random weights, reproducible with `seed`."""
    config = YoloV8Config.of_size(size, num_classes=num_classes, reg_max=reg_max, num_masks=num_masks)
    if seed is None:
        network = YoloV8Network(config)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = YoloV8Network(config)
    _set_prior(network)
    return network


def _set_prior(network: YoloV8Network) -> None:
    """Initialise the biases for small boxes and a few objects per image, as the official networks do."""
    head = network.model[22]
    assert isinstance(head, Segment)
    with torch.no_grad():
        for box, score, stride in zip(head.cv2, head.cv3, STRIDES, strict=True):
            box[-1].bias.fill_(1.0)  # type: ignore[index]
            # 5 objects per class in an image of 640 x 640.
            score[-1].bias.fill_(math.log(5 / network.config.num_classes / (640 / stride) ** 2))  # type: ignore[index]
