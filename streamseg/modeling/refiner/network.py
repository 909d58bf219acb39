"""The refiner's network, and how its answers become masks and scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from streamseg.geometry import Letterbox
from streamseg.modeling.refiner.views import ObjectViews, views
from streamseg.structures.instances import Instances

__all__ = ["Refined", "Refiner", "calibrated", "product_logits"]

_LOGIT_SCALE = 4.0
_USUAL_SIDE = 64.0
"""Pixels; the size of objects is told in octaves from here."""

_NUM_JUDGING = 32


@dataclass(frozen=True, eq=False)
class RefinerOutput:
    """The answer for K objects."""

    corrections: Tensor
    """float32 (K, R, R): to be added to the masks' logits."""
    quality: Tensor
    """float32 (K,): expected IoU of the corrected mask with an object, 0 where there is none, as a logit."""


class Separable(nn.Module):
    """Each channel for itself over the surroundings, then all channels of a cell: a fraction of a whole convolution."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(width, width, side, padding=side // 2, groups=width)
        self.mix = nn.Conv2d(width, width, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """(K, W, R, R) to the same shape."""
        return functional.relu(self.mix(self.around(maps)))


class Refiner(nn.Module):
    """Patches of 2 x 2 cells look around, and answer for each of their cells.

    All that is known of the four cells is side by side in a patch's channels: what a level of single cells would add
    is little, and it would take most of the time.
    """

    version: Tensor
    """float32 (): of the architecture."""
    calibration: Tensor
    """float32 (2,), see `calibrated`."""

    def __init__(self, num_masks: int = 32, width: int = 32, num_blocks: int = 4) -> None:
        """Make one that corrects nothing yet.

        Args:
            num_masks: prototypes of the network.
            width: channels of a patch, a multiple of 4; a quarter as many prototypes.
            num_blocks: each looks around over 5 x 5 patches; with 3, the outermost patches of half the raster hear of
                its middle.
        """
        super().__init__()
        self.project = nn.Conv2d(num_masks, width // 4, 1, bias=False)
        self.enter = nn.Conv2d(2 + 3 + width // 4, width, 2, stride=2)
        self.place = nn.Conv2d(2, width, 1, bias=False)
        self.size = nn.Linear(1, width, bias=False)
        self.blocks = nn.ModuleList([Separable(width, 5) for _ in range(num_blocks)])
        self.correct = nn.Conv2d(width, 4, 1)
        self.weigh = nn.Linear(2 * width + 1, _NUM_JUDGING)
        self.judge = nn.Linear(_NUM_JUDGING, 1)
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)  # type: ignore[arg-type]
        self.register_buffer("version", torch.tensor(3.0))
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))

    def forward(self, views: ObjectViews) -> RefinerOutput:
        """Look at K objects, on rasters of an even number of cells, whose `maps` are projected already."""
        count, num_patches = views.logits.shape[0], views.logits.shape[1] // 2
        place = torch.linspace(-1, 1, num_patches, device=views.logits.device).expand(count, 1, num_patches, -1)
        octaves = torch.log2(views.sides.clamp(min=1) / _USUAL_SIDE)[:, None]  # (K, 1)
        pixels = views.pixels.float() * (3 / 255)  # (K, R, R, 3)
        seen = [
            (views.logits[:, None] / _LOGIT_SCALE).clamp(-3, 3),
            views.logits[:, None].sigmoid(),
            pixels.permute(0, 3, 1, 2),
            views.maps,
        ]
        # The mean colour is taken away behind the convolution, not from each pixel; and what is one number for an
        # object is spelt out: ONNX Runtime makes one step of the sum of two convolutions, and keeps what follows in
        # the order of memory that its convolutions like, but not of a sum in which one side is broadcast.
        about = torch.cat([octaves, pixels.mean(dim=(1, 2))], dim=1)[:, :, None, None]  # (K, 4, 1, 1)
        about = about.expand(-1, -1, num_patches, num_patches)
        of_colours = self.enter.weight[:, 2:5].sum(dim=(2, 3))
        weights = torch.cat([self.place.weight.flatten(1), self.size.weight, -of_colours], dim=1)[:, :, None, None]
        knows = functional.conv2d(torch.cat([place, place.transpose(2, 3), about], dim=1), weights)
        patches = functional.relu(self.enter(torch.cat(seen, dim=1)) + knows)  # (K, W, R / 2, R / 2)
        for block in self.blocks:
            patches = patches + block(patches)
        whole = torch.cat([patches.mean(dim=(2, 3)), patches.amax(dim=(2, 3)), octaves], dim=1)  # (K, 2W + 1)
        quality = self.judge(functional.relu(self.weigh(whole)))[:, 0]  # (K,)
        return RefinerOutput(functional.pixel_shuffle(self.correct(patches), 2)[:, 0], quality)

    @torch.inference_mode()
    def refine(
        self,
        instances: Instances,
        prototypes: Tensor,
        image: npt.NDArray[np.uint8],
        place: Letterbox,
        picture: npt.NDArray[np.uint8] | None = None,
    ) -> tuple[Instances, Tensor]:
        """The same objects with corrected masks.

        Args:
            instances: K of them, on the host; 0 stay as they are.
            prototypes: float32 (num_masks, Mh, Mw), that their logits are made of.
            image: uint8 (H, W, 3), the source image.
            place: how it lies in the network's input.
            picture: uint8 (h, w, 3), that input, where it is at hand: it saves time.

        Returns:
            The instances, and float32 (K,): each one's calibrated score, the IoU to expect of its mask, 0..1.
        """
        if not len(instances):
            return instances, instances.scores
        device = self.calibration.device
        # A convolution over single cells and the interpolation commute: the cheaper one goes first. As a product of
        # matrices: for so few channels, setting up a convolution takes longer than computing it.
        weights = self.project.weight.flatten(1)
        maps = torch.mm(weights, prototypes.to(device).flatten(1)).view(-1, *prototypes.shape[1:])
        refined: RefinerOutput = self(views(instances.to(device), maps, image, place, picture=picture))
        scores = calibrated(self.calibration, instances.scores.to(device), refined.quality)
        return instances.corrected(refined.corrections.cpu()), scores.cpu()


def calibrated(calibration: Tensor, scores: Tensor, quality: Tensor) -> Tensor:
    """IoU to expect (K,) 0..1, from the network's scores (K,) and the refiner's quality logits (K,).

    Objects are ranked by the product of score and quality, as Mask Scoring R-CNN does: the one knows what is an
    object, the other how good its mask is. Logistic regression on the product's logit, with `calibration` (2,), slope
    and constant, makes an IoU of it without changing the ranks.
    """
    slope, constant = calibration
    return torch.sigmoid(slope * product_logits(scores, quality) + constant)


def product_logits(scores: Tensor, quality: Tensor) -> Tensor:
    """Logits (K,) of the products of scores (K,) 0..1 and qualities, given as logits (K,)."""
    return (scores * quality.sigmoid()).clamp(1e-6, 1 - 1e-6).logit()
