"""The refiner's network, and the calibration of its scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamseg.geometry import Letterbox
from streamseg.modeling.refiner.views import REFINER_RASTER, ObjectViews, object_views
from streamseg.structures.arrays import ImageArray
from streamseg.structures.instances import Instances
from streamseg.structures.mask_samples import LOGIT_LIMIT, MaskSamples

__all__ = ["Refiner", "RefinerOutput", "calibrated_scores", "product_logits"]

AnyInstances = TypeVar("AnyInstances", bound=Instances)

_LOGIT_SCALE = 4.0
_REFERENCE_SIDE_PX = 64.0
"""Object sizes are encoded in octaves relative to this side."""

_QUALITY_WIDTH = 32
"""Hidden units of the quality branch."""


@dataclass(frozen=True, eq=False)
class RefinerOutput:
    """Predictions for K objects."""

    corrections: Tensor
    """float32 (K, R, R): corrections to add to the mask logits."""
    quality: Tensor
    """float32 (K,), logits: expected IoU of the corrected mask with an object, 0 if there is no object."""


class Separable(nn.Module):
    """Depthwise, then pointwise convolution: a fraction of the cost of a full convolution."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(width, width, side, padding=side // 2, groups=width)
        self.mix = nn.Conv2d(width, width, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Transform maps (K, W, R, R) without changing their shape."""
        return functional.relu(self.mix(self.around(maps)))


class Refiner(nn.Module):
    """Processes patches of 2 x 2 cells in context, and predicts a correction for each of their cells.

    A patch's channels hold the inputs of its four cells side by side. A level of single cells would add little, and
    would take most of the time.
    """

    version: Tensor
    """float32 (): version of the architecture."""
    calibration: Tensor
    """float32 (3,): slope, constant and exponent of the quality, see `calibrated_scores`."""

    def __init__(self, num_masks: int = 32, width: int = 32, num_blocks: int = 4) -> None:
        """Initialise a refiner whose corrections are zero.

        Args:
            num_masks: number of prototypes of the network.
            width: channels of a patch, a multiple of 4; the prototypes are projected to a quarter as many.
            num_blocks: number of blocks, each with a receptive field of 5 x 5 patches; with 3, information from the
                middle of half the raster reaches its outermost patches.
        """
        super().__init__()
        self.project = nn.Conv2d(num_masks, width // 4, 1, bias=False)
        self.enter = nn.Conv2d(2 + 3 + width // 4, width, 2, stride=2)
        self.place = nn.Conv2d(2, width, 1, bias=False)
        self.size = nn.Linear(1, width, bias=False)
        self.blocks = nn.ModuleList([Separable(width, 5) for _ in range(num_blocks)])
        self.correct = nn.Conv2d(width, 4, 1)
        self.weigh = nn.Linear(2 * width + 1, _QUALITY_WIDTH)
        self.judge = nn.Linear(_QUALITY_WIDTH, 1)
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)  # type: ignore[arg-type]
        self.register_buffer("version", torch.tensor(3.0))
        self.register_buffer("calibration", torch.tensor([1.0, 0.0, 1.0]))

    def forward(self, views: ObjectViews) -> RefinerOutput:
        """Refine K objects. Requires rasters of `REFINER_RASTER` cells per side, and projected `maps`."""
        octaves = self.octaves(views.sides)
        logits = views.logits[:, None]
        # Position and size are planes beside the others: 16 channels in all. ONNX Runtime then convolves in the memory
        # layout that it prefers, and keeps it; of a sum in which one side is broadcast, it does not.
        steps = torch.linspace(-1, 1, REFINER_RASTER // 2, device=logits.device)
        place = steps.repeat_interleave(2)  # both cells of a patch
        planes = [place.view(1, 1, 1, -1), place.view(1, 1, -1, 1), octaves.view(-1, 1, 1, 1)]
        features = [
            *self.planes(views.logits, views.maps, views.pixels),
            *(plane.expand_as(logits) for plane in planes),
        ]
        # A plane is constant within a patch, so that one of the patch's four cells carries the whole weight.
        corner = torch.cat([self.place.weight, self.size.weight.view(-1, 1, 1, 1)], dim=1)  # (W, 3, 1, 1)
        row = torch.cat([corner, torch.zeros_like(corner)], dim=3)
        constant = torch.cat([row, torch.zeros_like(row)], dim=2)
        weight = torch.cat([self.enter.weight, constant], dim=1)
        entered = functional.conv2d(torch.cat(features, dim=1), weight, self.enter.bias, stride=2)
        patches = functional.relu(entered)  # (K, W, R / 2, R / 2)
        for block in self.blocks:
            patches = patches + block(patches)
        quality = self.judged(patches.mean(dim=(2, 3)), patches.amax(dim=(2, 3)), octaves)
        return RefinerOutput(functional.pixel_shuffle(self.correct(patches), 2)[:, 0], quality)

    @staticmethod
    def octaves(sides: Tensor) -> Tensor:
        """Encode the sides (K,) of objects, (K, 1): 0 for `_REFERENCE_SIDE_PX`, 1 for twice as much."""
        return torch.log2(sides.clamp(min=1) / _REFERENCE_SIDE_PX)[:, None]

    @staticmethod
    def planes(logits: Tensor, maps: Tensor, pixels: Tensor) -> list[Tensor]:
        """Return the inputs that depend on the image, each (K, c, R, R), the maps last; see `ObjectViews`."""
        colours = pixels.permute(0, 3, 1, 2).float() * (3 / 255)  # (K, 3, R, R)
        scaled = (logits[:, None] / _LOGIT_SCALE).clamp(-3, 3)
        return [scaled, logits[:, None].sigmoid(), colours - colours.mean(dim=(2, 3), keepdim=True), maps]

    def judged(self, mean: Tensor, most: Tensor, octaves: Tensor) -> Tensor:
        """Return quality logits (K,) from means and maxima (K, W) of the patches, and `octaves` (K, 1)."""
        pooled = torch.cat([mean, most, octaves], dim=1)  # (K, 2W + 1)
        return cast(Tensor, self.judge(functional.relu(self.weigh(pooled))))[:, 0]

    @torch.inference_mode()
    def refine(
        self,
        instances: AnyInstances,
        prototypes: Tensor,
        image: ImageArray,
        place: Letterbox,
        input_image: ImageArray | None = None,
    ) -> tuple[AnyInstances, Tensor]:
        """Correct the masks of objects.

        Args:
            instances: K objects, on the host; returned unchanged if empty.
            prototypes: float32 (num_masks, Mh, Mw), the prototypes of their mask logits.
            image: uint8 (H, W, 3), the source image.
            place: placement of the source image in the network's input.
            input_image: uint8 (h, w, 3), the network's input, if available; saves time.

        Returns:
            The instances with corrected masks, and their calibrated scores, float32 (K,): the expected IoU of each
            mask, 0..1.
        """
        if not len(instances):
            return instances, instances.scores
        device = self.calibration.device
        # A 1x1 convolution and the interpolation commute, so the cheaper one runs first. It is a matrix product,
        # because with so few channels, setting up a convolution takes longer than computing it.
        weights = self.project.weight.flatten(1)
        maps = torch.mm(weights, prototypes.to(device).flatten(1)).view(-1, *prototypes.shape[1:])
        views = object_views(instances.to(device), maps, image, place, input_image=input_image)
        refined: RefinerOutput = self(views)
        scores = calibrated_scores(self.calibration, instances.scores.to(device), refined.quality)
        corrections = refined.corrections.cpu()
        # The rasters are those of the samples: prompts then need not sample them again.
        widened = (views.logits.cpu() + corrections).clamp(-LOGIT_LIMIT, LOGIT_LIMIT).half()
        corrected = replace(instances.corrected(corrections), samples=MaskSamples(None, widened, None))
        return corrected, scores.cpu()


def calibrated_scores(calibration: Tensor, scores: Tensor, quality: Tensor) -> Tensor:
    """Estimate the IoU (K,) 0..1 from the network's scores (K,) and the refiner's quality logits (K,).

    Objects are ranked by the product of score and quality, as in Mask Scoring R-CNN: the score measures objectness
    and how good the box is, the quality how good the mask is. `calibration` (3,) holds slope, constant and the exponent
    of the quality in the product: below 1, boxes are ranked better. A logistic regression on the product's logit, with
    slope and constant, converts it to an IoU without changing the ranking.
    """
    slope, constant, exponent = calibration
    return torch.sigmoid(slope * product_logits(scores, quality, exponent) + constant)


def product_logits(scores: Tensor, quality: Tensor, exponent: Tensor | float) -> Tensor:
    """Return the logits (K,) of score x quality^exponent, from scores (K,) 0..1 and quality logits (K,)."""
    return (scores * quality.sigmoid() ** exponent).clamp(1e-6, 1 - 1e-6).logit()
