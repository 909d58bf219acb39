"""A segmentation network on NanoDet's backbone, neck and towers, which a detector trained on COCO can start.

The layout of the first three is that of NanoDet-g (github.com/RangiLyu/nanodet, Apache-2.0): a backbone of cross-stage
partial blocks (CSPNet, arXiv 1911.11929), a path-aggregation neck without convolutions (PANet, arXiv 1803.01534) and
one 3x3 convolution per level. Batch norms of these layers are folded into the convolutions, as in the published graph.
Prototypes and mask coefficients (YOLACT, arXiv 1904.02689) and embeddings are this project's own. Apart from bilinear
doubling and a mean of 2x2 cells, the network consists of convolutions, LeakyReLU and one max-pool, which 8-bit
quantisation supports on every runtime. The comment at the end of a line gives the shape of its result for an input of
(B, 3, H, W).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamseg.modeling.network import (
    LEAKY_SLOPE,
    STRIDES,
    Architecture,
    Conv,
    DistributionBins,
    FusedConv,
    Network,
    NetworkConfig,
    Predictions,
)

__all__ = ["LEVEL_CHANNELS", "NanoDetConfig", "NanoDetNetwork", "build_nanodet"]

STAGES = ((32, 1, 1), (64, 2, 2), (128, 2, 2), (256, 3, 2))
"""Channels that enter a stage, its number of bottlenecks and its stride; twice as many channels leave it."""

LEVEL_CHANNELS = 128
"""Channels of each level of the neck and of each tower."""


@dataclass(frozen=True, kw_only=True)
class NanoDetConfig(NetworkConfig):
    """All parameters that determine the tensors' shapes."""

    channels: tuple[int, int, int, int, int] = (32, 64, 128, 256, 512)
    """Fixed, because only the published width has a pretrained start."""
    prototype_channels: int = 64
    mask_channels: int = 32
    """Width of the branch that predicts mask coefficients."""
    embedding_channels: int = 0
    """Channels of the embedding that following compares frames by; 0 for a network without one."""


class Bottleneck(nn.Module):
    """Two 3x3 convolutions of half the width; the results of both are kept, the second one first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cv1 = _folded(channels, channels // 2, 3)
        self.cv2 = _folded(channels // 2, channels // 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        first = self.cv1(x)
        return torch.cat([self.cv2(first), first], dim=1)


class Stage(nn.Module):
    """A cross-stage partial block: C channels enter, 2 C leave."""

    def __init__(self, channels: int, repeats: int, stride: int) -> None:
        super().__init__()
        self.cv1 = _folded(channels, channels, 3, stride)
        self.m = nn.Sequential(*(Bottleneck(channels) for _ in range(repeats)))
        self.cv2 = _folded(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        first = self.cv1(x)
        return torch.cat([self.cv2(self.m(first)), first], dim=1)


class Backbone(nn.Module):
    """Features at strides 4, 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _folded(3, STAGES[0][0], 3, 2)
        self.stages = nn.ModuleList(Stage(*stage) for stage in STAGES)

    def forward(self, images: Tensor) -> list[Tensor]:
        x = functional.max_pool2d(self.stem(images), 3, 2, 1)  # (B, 32, H/4, W/4)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features  # (B, 64, H/4, W/4), (B, 128, H/8, W/8), (B, 256, H/16, W/16), (B, 512, H/32, W/32)


class Neck(nn.Module):
    """Path aggregation by sums: each level gets `LEVEL_CHANNELS` channels."""

    def __init__(self) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(2 * stage[0], LEVEL_CHANNELS, 1) for stage in STAGES[1:])

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        fine, middle, coarse = (lateral(one) for lateral, one in zip(self.lateral, features, strict=True))
        middle = middle + _double(coarse)
        out3 = fine + _double(middle)  # (B, 128, H/8, W/8)
        # Bilinear halving of an even size is the mean of 2x2 cells.
        out4 = middle + functional.avg_pool2d(out3, 2)  # (B, 128, H/16, W/16)
        out5 = coarse + functional.avg_pool2d(out4, 2)  # (B, 128, H/32, W/32)
        return [out3, out4, out5]


class Prototypes(nn.Module):
    """Prototype masks from the finest level of the neck and the backbone's features at stride 4."""

    def __init__(self, channels: int, num_masks: int) -> None:
        super().__init__()
        self.deep = Conv(LEVEL_CHANNELS, channels, 3, activation="leaky_relu")
        self.fine = Conv(2 * STAGES[0][0], channels, activation="leaky_relu")
        self.mix = Conv(channels, channels, 3, activation="leaky_relu")
        self.out = Conv(channels, num_masks, activation="leaky_relu")

    def forward(self, level: Tensor, fine: Tensor) -> Tensor:
        out: Tensor = self.out(self.mix(_double(self.deep(level)) + self.fine(fine)))
        return out  # (B, num_masks, H/4, W/4)


class Embedding(nn.Module):
    """A unit vector per cell at stride 8, from backbone features: cells of one object have similar vectors."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fine = nn.Conv2d(2 * STAGES[1][0], channels, 1)
        self.coarse = nn.Conv2d(2 * STAGES[2][0], channels, 1)
        self.out = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        x = functional.leaky_relu(self.fine(fine) + _double(self.coarse(coarse)), LEAKY_SLOPE)
        return functional.normalize(self.out(x), dim=1)  # (B, E, H/8, W/8)


class NanoDetNetwork(Network):
    """Backbone, neck, towers, and the predictions on them."""

    config: NanoDetConfig
    architecture: Architecture = "nanodet"

    def __init__(self, config: NanoDetConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone()
        self.neck = Neck()
        self.towers = nn.ModuleList(_folded(LEVEL_CHANNELS, LEVEL_CHANNELS, 3) for _ in STRIDES)
        self.box = nn.ModuleList(nn.Conv2d(LEVEL_CHANNELS, 4 * config.reg_max, 1) for _ in STRIDES)
        self.score = nn.ModuleList(nn.Conv2d(LEVEL_CHANNELS, config.num_classes, 1) for _ in STRIDES)
        self.mask = nn.ModuleList(
            nn.Sequential(
                Conv(LEVEL_CHANNELS, config.mask_channels, 3, activation="leaky_relu"),
                nn.Conv2d(config.mask_channels, config.num_masks, 1),
            )
            for _ in STRIDES
        )
        self.proto = Prototypes(config.prototype_channels, config.num_masks)
        self.dfl = DistributionBins(config.reg_max)
        self.embedding = Embedding(config.embedding_channels) if config.embedding_channels else None

    def forward(self, images: Tensor) -> Predictions:
        """See `Network.forward`."""
        fine, p3, p4, p5 = self.backbone(images)
        levels = self.neck([p3, p4, p5])
        towers = [tower(level) for tower, level in zip(self.towers, levels, strict=True)]
        return Predictions(
            _at_anchors(self.box, towers),
            _at_anchors(self.score, towers),
            _at_anchors(self.mask, levels),
            self.proto(levels[0], fine),
            None if self.embedding is None else self.embedding(p3, p4),
        )

    def pretrained_modules(self) -> tuple[nn.Module, ...]:
        """See `Network.pretrained_modules`."""
        return (self.backbone, self.neck, self.towers, self.box, self.score)


def build_nanodet(config: NanoDetConfig | None = None, *, seed: int | None = None) -> NanoDetNetwork:
    """Build a network with random weights, reproducible with `seed`; None uses the default configuration."""
    config = config or NanoDetConfig()
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        network = NanoDetNetwork(config)
        _initialise(network)
    return network


@torch.no_grad()
def _initialise(network: NanoDetNetwork) -> None:
    """Scale layers without batch norm so that they keep the variance, and set the biases for a few small objects."""
    for module in network.modules():
        if isinstance(module, FusedConv):
            nn.init.kaiming_normal_(module.conv.weight, a=LEAKY_SLOPE, nonlinearity="leaky_relu")
            nn.init.zeros_(module.conv.bias)  # type: ignore[arg-type]
    for box, score, stride in zip(network.box, network.score, STRIDES, strict=True):
        assert isinstance(box, nn.Conv2d)
        assert isinstance(score, nn.Conv2d)
        for layer in (box, score):
            nn.init.normal_(layer.weight, std=0.01)
        nn.init.ones_(box.bias)  # type: ignore[arg-type]
        # 5 objects per class in an image of 640 x 640.
        nn.init.constant_(score.bias, math.log(5 / network.config.num_classes / (640 / stride) ** 2))  # type: ignore[arg-type]


def _folded(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> FusedConv:
    return FusedConv(nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2), activation="leaky_relu")


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _at_anchors(branches: Iterable[nn.Module], features: list[Tensor]) -> Tensor:
    maps = [branch(feature) for branch, feature in zip(branches, features, strict=True)]
    return torch.cat([one.flatten(2) for one in maps], dim=2)  # (B, C, A)
