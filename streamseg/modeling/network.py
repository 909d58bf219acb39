"""The contract of all segmentation networks, and the layers that they share.

A network predicts boxes, scores and mask coefficients at the cells of three grids, and prototype masks (YOLACT, arXiv
1904.02689). Its architecture is a class of its own: `yolov8` for the official files, `nanodet` for the default weights.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from streamseg.modeling.fused import biased_leaky_relu, biased_silu

__all__ = [
    "LEAKY_SLOPE",
    "PROTOTYPE_STRIDE",
    "STRIDES",
    "Architecture",
    "DistributionBins",
    "Network",
    "NetworkConfig",
    "Predictions",
    "fuse",
]

Architecture = Literal["yolov8", "nanodet"]

Activation = Literal["silu", "leaky_relu"]

STRIDES = (8, 16, 32)
"""Input pixels per cell on P3, P4, P5."""

PROTOTYPE_STRIDE = 4
"""Input pixels per cell of the prototypes."""

LEAKY_SLOPE = 0.1
"""Slope of LeakyReLU for negative values, as in NanoDet."""

BATCH_NORM_EPS = 1e-3
BATCH_NORM_MOMENTUM = 0.03
"""The official YOLOv8 networks set both after construction; a state dict contains neither."""


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The parameters that every architecture has."""

    channels: tuple[int, int, int, int, int]
    """Width after the stem and after each of the four backbone stages (strides 2, 4, 8, 16, 32)."""

    prototype_channels: int
    """Width inside the prototype branch."""
    num_classes: int = 1
    reg_max: int = 16
    """Bins per box side; a side reaches (reg_max - 1) * stride from its anchor. FastSAM-x has 26."""
    num_masks: int = 32
    """Number of prototypes, and of coefficients per object."""


class Predictions(NamedTuple):
    """Raw output at each of A anchors: P3, then P4, then P5, each in row-major order."""

    box_logits: Tensor
    """(B, 4 * reg_max, A): left, top, right, bottom with reg_max bins each."""
    score_logits: Tensor
    """(B, num_classes, A)."""
    mask_coefficients: Tensor
    """(B, num_masks, A), unbounded."""
    prototypes: Tensor
    """(B, num_masks, H / 4, W / 4)."""
    embeddings: Tensor | None = None
    """(B, E, H / 8, W / 8), unit vectors over E; None if the network predicts none."""


class Network(nn.Module, ABC):
    """A segmentation network of any architecture."""

    config: NetworkConfig
    architecture: Architecture

    @abstractmethod
    def forward(self, images: Tensor) -> Predictions:
        """Run the network on images (B, 3, H, W), RGB 0..1, with H and W multiples of 32."""

    def pretrained_modules(self) -> tuple[nn.Module, ...]:
        """Return the modules that a pretrained start provides; training can treat them with more care.

        Empty if the architecture has no such start.
        """
        return ()


class Conv(nn.Module):
    """Convolution without bias, batch norm, activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        activation: Activation | None = "silu",
    ) -> None:
        super().__init__()
        self.activation = activation
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        return _activate(self.bn(self.conv(x)), self.activation)


class FusedConv(nn.Module):
    """Convolution with bias, activation: a `Conv` whose batch norm is folded into the convolution."""

    def __init__(self, conv: nn.Conv2d, *, activation: Activation | None) -> None:
        super().__init__()
        self.conv = conv
        self.activation = activation
        self.fuses_bias = False
        """Whether bias and activation are one kernel on CUDA; not for export."""

    def forward(self, x: Tensor) -> Tensor:
        if self.fuses_bias and self.conv.bias is not None and self.activation is not None:
            conv = self.conv
            values = functional.conv2d(x, conv.weight, None, conv.stride, conv.padding, conv.dilation, conv.groups)
            return _BIASED[self.activation](values, self.conv.bias.view(-1, 1, 1))
        return _activate(self.conv(x), self.activation)


_BIASED = {"silu": biased_silu, "leaky_relu": biased_leaky_relu}


def _activate(x: Tensor, activation: Activation | None) -> Tensor:
    if activation == "silu":
        return functional.silu(x, inplace=True)
    if activation == "leaky_relu":
        return functional.leaky_relu(x, LEAKY_SLOPE, inplace=True)
    return x


class DistributionBins(nn.Module):
    """The constant bins 0..reg_max-1 that box logits are averaged over; stored in files as a 1x1 convolution."""

    def __init__(self, reg_max: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(reg_max, 1, 1, bias=False).requires_grad_(False)
        # Always on the CPU: on the meta device, torch needs its compiler for this, which takes seconds.
        bins = torch.arange(reg_max, dtype=torch.float32, device="cpu").view(1, reg_max, 1, 1)
        with torch.no_grad():
            self.conv.weight.copy_(bins)


def fuse(network: Network) -> Network:
    """Return a copy for inference, with every batch norm folded into its convolution and without gradients."""

    def fold(module: nn.Module) -> None:
        for name, child in module.named_children():
            if isinstance(child, Conv):
                setattr(module, name, FusedConv(fuse_conv_bn_eval(child.conv, child.bn), activation=child.activation))
            else:
                fold(child)

    fused = copy.deepcopy(network).eval()
    fold(fused)
    return fused.requires_grad_(False)
