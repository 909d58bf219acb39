"""A second look at each object: its mask corrected, and judged.

FastSAM's paper names two weaknesses (arXiv 2306.12156, section 6): ragged masks on small objects, and scores that
do not follow the masks' quality. Both come from masks that are one product of coefficients and prototypes, the same
coarse grid for all objects. Here a small network looks at every object on a raster of its own: at its logits, at the
prototypes below them and at the picture's pixels, and answers with what has to be added to the logits, and with the
IoU that it expects of the outcome (as Mask Scoring R-CNN does, arXiv 1903.00241; point by point and at a finer scale
as PointRend, arXiv 1912.08193).

It is trained on top of finished weights, which stay as they are, and is kept in their file.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional

from streamseg.errors import WeightsError
from streamseg.geometry import Letterbox, box_area, raster_points, sample_logits
from streamseg.structures.instances import CORRECTION_MARGIN, Instances

__all__ = [
    "PREFIX",
    "RASTER",
    "Refined",
    "Refiner",
    "Views",
    "calibrated",
    "product_logits",
    "refiner_from_state_dict",
    "refiner_from_text",
    "refiner_to_text",
    "views",
]

RASTER = 24
"""Cells per side of an object's raster, its box widened by `CORRECTION_MARGIN`."""

PREFIX = "refiner."
"""What the names of its tensors begin with in a weights file."""

_LOGIT_SCALE = 4.0
_USUAL_SIDE = 64.0
"""Pixels; the size of objects is told in octaves from here."""


@dataclass(frozen=True, eq=False)
class Views:
    """K objects on their rasters of R x R cells, as the refiner sees them."""

    logits: Tensor
    """float32 (K, R, R): the masks' own."""
    maps: Tensor
    """float32 (K, C, R, R): prototypes, or what `Refiner.project` made of them."""
    pixels: Tensor
    """float32 (K, 3, R, R): RGB 0..1."""
    sides: Tensor
    """float32 (K,): square root of the box's area, pixels of the network's input."""


@dataclass(frozen=True, eq=False)
class Refined:
    """The answer for K objects."""

    corrections: Tensor
    """float32 (K, R, R): to be added to the masks' logits."""
    quality: Tensor
    """float32 (K,): expected IoU of the corrected mask with the object, as a logit."""


class Refiner(nn.Module):
    """Half a U: one level down, with dilation to see the whole object, and up again."""

    calibration: Tensor
    """float32 (2,), see `calibrated`."""

    def __init__(self, num_masks: int = 32, width: int = 16) -> None:
        """Make one that corrects nothing yet.

        Args:
            num_masks: prototypes of the network.
            width: channels on the raster; twice as many a level below.
        """
        super().__init__()
        self.project = nn.Conv2d(num_masks, width, 1, bias=False)
        self.enter = nn.Conv2d(2 + 3 + 2 + 1, width, 1)
        self.fine = nn.Conv2d(width, width, 3, padding=1)
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.wide = nn.Conv2d(2 * width, 2 * width, 3, padding=2, dilation=2)
        self.coarse = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.up = nn.Conv2d(2 * width, width, 1)
        self.join = nn.Conv2d(width, width, 3, padding=1)
        self.correct = nn.Conv2d(width, 1, 1)
        self.judge = nn.Linear(2 * width, 1)
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)  # type: ignore[arg-type]
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))

    def forward(self, views: Views) -> Refined:
        """Look at K objects, whose `maps` are projected already."""
        count, raster = views.logits.shape[:2]
        place = torch.linspace(-1, 1, raster, device=views.logits.device)
        place_y, place_x = torch.meshgrid(place, place, indexing="ij")
        octaves = torch.log2(views.sides.clamp(min=1) / _USUAL_SIDE)
        seen = [
            (views.logits[:, None] / _LOGIT_SCALE).clamp(-3, 3),
            views.logits[:, None].sigmoid(),
            3 * (views.pixels - views.pixels.mean(dim=(2, 3), keepdim=True)),
            torch.stack([place_x, place_y]).expand(count, -1, -1, -1),
            octaves[:, None, None, None].expand(-1, 1, raster, raster),
        ]
        fine = functional.silu(self.enter(torch.cat(seen, dim=1)) + views.maps)  # (K, W, R, R)
        fine = functional.silu(self.fine(fine))
        coarse = functional.silu(self.down(fine))  # (K, 2W, R / 2, R / 2)
        coarse = coarse + functional.silu(self.wide(coarse))
        coarse = coarse + functional.silu(self.coarse(coarse))
        quality = self.judge(coarse.mean(dim=(2, 3)))[:, 0]  # (K,)
        risen = functional.interpolate(self.up(coarse), size=(raster, raster), mode="bilinear")
        fine = fine + risen
        fine = fine + functional.silu(self.join(fine))
        return Refined(self.correct(fine)[:, 0], quality)

    @torch.inference_mode()
    def refine(
        self, instances: Instances, prototypes: Tensor, picture: npt.NDArray[np.uint8], place: Letterbox
    ) -> tuple[Instances, Tensor]:
        """The same objects with corrected masks.

        Args:
            instances: K of them, on the host; 0 stay as they are.
            prototypes: float32 (num_masks, Mh, Mw), that their logits are made of.
            picture: uint8 (H, W, 3), the network's input.
            place: how the source image lies in it.

        Returns:
            The instances, and float32 (K,): each one's calibrated score, the IoU to expect of its mask, 0..1.
        """
        if not len(instances):
            return instances, instances.scores
        device = self.calibration.device
        # A convolution over single cells and the interpolation commute: the cheaper one goes first.
        maps = self.project(prototypes.to(device)[None])[0]
        seen = views(instances.to(device), maps, torch.from_numpy(picture).to(device), place)
        refined = self(seen)
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


def views(instances: Instances, maps: Tensor, picture: Tensor, place: Letterbox, *, raster: int = RASTER) -> Views:
    """What the refiner sees of K objects.

    Args:
        instances: on any device.
        maps: float32 (C, Mh, Mw) over the network's input: prototypes, or projected ones.
        picture: uint8 (H, W, 3): the network's input.
        place: how the source image lies in it.
        raster: cells per side.
    """
    count = len(instances)
    x, y = raster_points(instances.boxes, raster, margin=CORRECTION_MARGIN)  # (K, R) each, source pixels
    rows = torch.arange(count, device=x.device)[:, None, None]
    logits = sample_logits(instances, rows, x[:, None, :], y[:, :, None])  # (K, R, R)
    scale_x, scale_y, offset_x, offset_y = place.to_image()
    height, width = place.input_size
    # From -1 at the input's left border to 1 at its right one.
    across = (x - offset_x) / scale_x / width * 2 - 1  # (K, R)
    down = (y - offset_y) / scale_y / height * 2 - 1
    grid = torch.stack(
        [across[:, None, :].expand(-1, raster, -1), down[:, :, None].expand(-1, -1, raster)], dim=-1
    )  # (K, R, R, 2)
    pixels = picture.permute(2, 0, 1).float() / 255  # (3, H, W)
    extent = box_area(instances.boxes) / (scale_x * scale_y)
    return Views(logits, _sampled(maps, grid), _sampled(pixels, grid), extent.sqrt())


def _sampled(maps: Tensor, grid: Tensor) -> Tensor:
    """Maps (C, H, W) at points (K, R, R, 2): (K, C, R, R)."""
    count, raster = grid.shape[:2]
    if not count:
        return maps.new_zeros((0, len(maps), raster, raster))
    # All objects as one tall raster: the maps need not be repeated for each.
    tall = functional.grid_sample(
        maps[None], grid.reshape(1, count * raster, raster, 2), padding_mode="border", align_corners=False
    )  # (1, C, K * R, R)
    return tall.view(len(maps), count, raster, raster).transpose(0, 1)


def refiner_from_state_dict(state_dict: Mapping[str, Tensor], *, num_masks: int) -> Refiner | None:
    """The refiner of a weights file, in eval mode, float32; None where it has none.

    Args:
        state_dict: all tensors of the file; those of the refiner begin with `PREFIX`.
        num_masks: prototypes of the network that it belongs to.

    Raises:
        WeightsError: a tensor is missing, left over or of another shape.
    """
    own = {name.removeprefix(PREFIX): tensor for name, tensor in state_dict.items() if name.startswith(PREFIX)}
    if not own:
        return None
    enter = own.get("enter.weight")
    width = int(enter.shape[0]) if enter is not None and enter.ndim == 4 else 0
    if not 1 <= width <= 256:
        raise WeightsError("the refiner's tensors do not say how wide it is: refiner.enter.weight is missing or absurd")
    refiner = Refiner(num_masks, width)
    wanted = refiner.state_dict()
    for name in sorted(wanted.keys() | own.keys()):
        shapes = [tuple(tensors[name].shape) if name in tensors else "none" for tensors in (wanted, own)]
        if shapes[0] != shapes[1]:
            raise WeightsError(f"tensor {PREFIX + name!r} has shape {shapes[1]}; the refiner needs {shapes[0]}")
    refiner.load_state_dict({name: tensor.float() for name, tensor in own.items()})
    return refiner.eval().requires_grad_(False)


def refiner_to_text(refiner: Refiner) -> str:
    """The refiner as text, in half precision: what an ONNX graph carries among its metadata."""
    tensors = {name: tensor.cpu().half().contiguous() for name, tensor in refiner.state_dict().items()}
    return base64.b64encode(save({PREFIX + name: tensor for name, tensor in tensors.items()})).decode()


def refiner_from_text(text: str, *, num_masks: int) -> Refiner | None:
    """The opposite of `refiner_to_text`.

    Raises:
        WeightsError: the text is no refiner, or one for another number of prototypes.
    """
    try:
        tensors = load(base64.b64decode(text, validate=True))
    except (binascii.Error, SafetensorError) as error:
        raise WeightsError(f"the refiner in the metadata is damaged ({error}); export the graph again") from error
    return refiner_from_state_dict(tensors, num_masks=num_masks)
