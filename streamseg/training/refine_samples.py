"""What a refiner learns from: objects that a finished network finds, beside the targets that they are.

composed pictures ─► the frozen network ─► objects ─► their views, and the truth on the same rasters
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from streamseg.errors import DataError
from streamseg.geometry import Letterbox, box_iou, clip_boxes, letterbox, nms, raster_points
from streamseg.segmentation.decode import decode
from streamseg.segmentation.network import PROTOTYPE_STRIDE, Network
from streamseg.segmentation.refiner import RASTER, Views, views
from streamseg.structures.instances import CORRECTION_MARGIN, Instances
from streamseg.training.compose import Composed, ComposeSettings, Draw, compose

__all__ = ["MASK_IOU", "NEAR_IOU", "RefineSettings", "Samples", "collect"]

MIN_SCORE = 0.02
"""Objects below are not looked at: recall is counted over far more than anybody uses, but not over everything."""

MASK_IOU = 0.5
"""From this overlap of the boxes on, an object is taken for its target, and its mask is trained."""

NEAR_IOU = 0.1
"""From here on it is near a target, and its quality is trained: below, the target may just not be labelled."""

MOST_PER_TARGET = 3

HELD_OUT = 0.15
"""Share of the pictures, the last ones, that calibrate and measure."""


@dataclass(frozen=True)
class RefineSettings:
    """The course of the training; with the same settings, weights and data, two refiners are equal."""

    num_pictures: int = 3000
    imgsz: int = 448
    epochs: float = 6.0
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    quality_gain: float = 0.3
    width: int = 16
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Samples:
    """N objects that a network found, beside the targets they overlap most."""

    views: Views
    """With all the prototypes as maps, in half precision, and pixels as bytes."""
    truth: Tensor
    """uint8 (N, R, R): the target's mask on the object's raster, 0..255."""
    box_iou: Tensor
    """float32 (N,): with the target's box."""
    scores: Tensor
    """float32 (N,): the network's."""

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, rows: Tensor) -> Samples:
        """The chosen ones."""
        chosen = Views(*(getattr(self.views, name)[rows] for name in Views.__dataclass_fields__))
        return Samples(chosen, self.truth[rows], self.box_iou[rows], self.scores[rows])


def collect(
    network: Network,
    draw: Draw,
    settings: RefineSettings,
    *,
    on_picture: Callable[[int, int], None] = lambda done, num_objects: None,
) -> tuple[Samples, int]:
    """Run the network over composed pictures and keep what it finds near a target; held out, everything it finds.

    Args:
        network: frozen, in eval mode.
        draw: draws labelled pictures.
        settings: how many pictures, of which size.
        on_picture: called with how many are done, and with the objects so far.

    Returns:
        The objects, in the order of the pictures, and how many of them are of pictures for training; the rest are
        held out, and are as many and as far from any target as in use.

    Raises:
        DataError: nothing was found near any target.
    """
    compose_settings = ComposeSettings(scale=(0.9, 1.6), mosaic=0.1)
    parts: list[Samples] = []
    count, num_training = 0, 0
    last_training = round(settings.num_pictures * (1 - HELD_OUT))
    for index in range(settings.num_pictures):
        rng = np.random.default_rng((settings.seed, index, 2))
        composed = compose(rng, draw, settings.imgsz, compose_settings, grid=1)
        found = _found(network, composed, everything=index >= last_training)
        if len(found):
            parts.append(found)
            count += len(found)
        if index < last_training:
            num_training = count
        on_picture(index + 1, count)
    if not num_training or num_training == count:
        raise DataError(
            f"the network found {count} objects near a target in {settings.num_pictures} pictures, too few to train"
            " a refiner on; give more pictures, or better weights"
        )
    joined = [torch.cat([getattr(part.views, name) for part in parts]) for name in Views.__dataclass_fields__]
    others = [torch.cat([getattr(part, name) for part in parts]) for name in ("truth", "box_iou", "scores")]
    return Samples(Views(*joined), *others), num_training


@torch.inference_mode()
def _found(network: Network, composed: Composed, *, everything: bool) -> Samples:
    """The objects of one picture: those to learn from, or everything."""
    size = composed.image.shape[0]
    place = letterbox((size, size), size)
    picture = torch.from_numpy(composed.image)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        decoded = decode(network(picture.permute(2, 0, 1)[None].float() / 255))
    scores = decoded.scores[0].float()
    candidates = (scores > MIN_SCORE).nonzero()[:, 0]
    boxes = clip_boxes(decoded.boxes[0][candidates].float(), (size, size))
    kept = nms(boxes, scores[candidates], 0.7, max_kept=150)
    boxes, rows = boxes[kept], candidates[kept]
    targets = torch.from_numpy(composed.boxes)
    overlap, target = _best(boxes, targets)
    solid = (boxes[:, 2:] - boxes[:, :2]).min(dim=1).values > 4 if len(boxes) else overlap > 0
    chosen = solid.nonzero()[:, 0] if everything else _near(overlap, target, solid)
    coefficients = decoded.mask_coefficients[0][rows[chosen]].float()  # (N, 32)
    prototypes = decoded.prototypes[0].float()  # (32, Mh, Mw)
    instances = Instances(
        boxes=boxes[chosen],
        scores=scores[rows[chosen]],
        mask_logits=torch.mm(coefficients, prototypes.flatten(1)).view(-1, *prototypes.shape[1:]),
        grid_to_image=place.to_image(PROTOTYPE_STRIDE),
        image_size=(size, size),
    )
    seen = views(instances, prototypes, picture, place)
    truth = _truth(torch.from_numpy(composed.masks), target[chosen], instances.boxes, place)
    stored = Views(seen.logits.half(), seen.maps.half(), (seen.pixels * 255).round().byte(), seen.sides)
    return Samples(stored, truth, overlap[chosen], instances.scores)


def _best(boxes: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """IoU (K,) with the target that overlaps most, and which that is; 0 without targets."""
    if not len(targets):
        return torch.zeros(len(boxes)), torch.zeros(len(boxes), dtype=torch.int64)
    best = box_iou(boxes, targets).max(dim=1)
    return best.values, best.indices


def _near(overlap: Tensor, target: Tensor, solid: Tensor) -> Tensor:
    """Which objects to learn from: near a target, of some extent, the best few of each target."""
    taken: dict[int, int] = {}
    chosen = []
    for row in ((overlap > NEAR_IOU) & solid).nonzero()[:, 0].tolist():  # by descending score
        taken[int(target[row])] = taken.get(int(target[row]), 0) + 1
        if taken[int(target[row])] <= MOST_PER_TARGET:
            chosen.append(row)
    return torch.tensor(chosen, dtype=torch.int64)


def _truth(masks: Tensor, target: Tensor, boxes: Tensor, place: Letterbox) -> Tensor:
    """Masks uint8 (T, S, S) of the targets (N,), on the rasters of boxes (N, 4): uint8 (N, R, R)."""
    height, width = place.input_size
    x, y = raster_points(boxes, RASTER, margin=CORRECTION_MARGIN)
    grid = torch.stack(
        [
            (x / width * 2 - 1)[:, None, :].expand(-1, RASTER, -1),
            (y / height * 2 - 1)[:, :, None].expand(-1, -1, RASTER),
        ],
        dim=-1,
    )
    if not len(masks):
        return torch.zeros((len(boxes), RASTER, RASTER), dtype=torch.uint8)
    sampled = functional.grid_sample(
        masks[target][:, None].float(), grid, padding_mode="zeros", align_corners=False
    )  # (N, 1, R, R)
    return sampled[:, 0].round().byte()
