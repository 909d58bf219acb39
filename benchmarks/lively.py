"""Random networks with outputs like those of trained ones: few high scores, and variation over the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from streamseg.modeling.network import Network
from streamseg.modeling.yolov8 import Size, build_yolov8
from streamseg.structures.arrays import ImageArray

__all__ = ["blobs", "lively_network"]

SPREADS = (1.5, 3.0, 1.0)
"""Standard deviations of box logits, score logits and mask coefficients, similar to those of trained networks."""


def blobs(size: tuple[int, int], seed: int = 0) -> ImageArray:
    """Return an image (H, W, 3) with structure at several scales."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.zeros(1, 3, *size)
    for cells in (2, 5, 13):
        coarse = torch.randn(1, 3, cells, cells, generator=generator)
        image += nn.functional.interpolate(coarse, size, mode="bilinear")
    return (image[0].permute(1, 2, 0) * 50 + 128).clamp(0, 255).byte().contiguous().numpy()


def lively_network(size: Size = "n", *, seed: int = 0, reg_max: int = 16, share_above_half: float = 0.05) -> Network:
    """Return a seeded network in eval mode whose scores cover 0..1.

    The outputs of a network with new random weights are nearly constant, because its activations fade from layer to
    layer. Here they keep their magnitude, and the last layers are centred and scaled to `SPREADS` on images.

    Args:
        size: n, s, m, l or x.
        seed: seed of the weights.
        reg_max: bins per box side.
        share_above_half: approximate share of anchors with scores above 0.5.
    """
    network = build_yolov8(size, reg_max=reg_max, seed=seed)
    batch = np.stack([blobs((256, 256), seed) for seed in range(4)])
    images = torch.from_numpy(batch).permute(0, 3, 1, 2) / 255
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.weight.requires_grad:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        head = network.eval().model[22]
        for branches, spread in zip((head.cv2, head.cv3, head.cv4), SPREADS, strict=True):
            for branch in branches:
                _record(branch[-1], lambda last, values, spread=spread: _rescale(last, values, spread))
        _record(head.proto.cv3.conv, lambda _, values: _centre(head.proto.cv3.bn, values))
        network(images)
        for branch in head.cv2:
            branch[-1].bias -= 0.5 * torch.arange(reg_max).repeat(4)  # small boxes are most likely
        shift = network(images).score_logits.quantile(1 - share_above_half)
        for branch in head.cv3:
            branch[-1].bias -= shift
    return network


def _record(layer: nn.Module, act: Callable[[Any, Tensor], None]) -> None:
    """Call `act` with the layer's next output, once."""

    def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        handle.remove()
        act(layer, output)

    handle = layer.register_forward_hook(hook)


def _rescale(last: nn.Conv2d, values: Tensor, spread: float) -> None:
    """Scale every channel of a last layer to mean 0 and standard deviation `spread`."""
    deviation, mean = torch.std_mean(values, dim=(0, 2, 3))
    last.bias.copy_((last.bias - mean) * spread / deviation)
    last.weight.mul_((spread / deviation)[:, None, None, None])


def _centre(norm: nn.BatchNorm2d, values: Tensor) -> None:
    variance, mean = torch.var_mean(values, dim=(0, 2, 3))
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
