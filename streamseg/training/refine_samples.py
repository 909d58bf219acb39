"""What a refiner learns from: objects that a finished network finds, beside the targets that they are.

composed pictures ─► the frozen network ─► objects ─► their views, and the truth on the same rasters
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from streamseg.errors import DataError
from streamseg.geometry import box_area, box_iou, clip_boxes, letterbox, nms
from streamseg.modeling.decoding import decode
from streamseg.modeling.network import PROTOTYPE_STRIDE, Network
from streamseg.modeling.preprocess import letterbox_images
from streamseg.modeling.refiner import REFINER_RASTER, ObjectViews, raster_grid, raster_sides, object_views
from streamseg.structures.instances import CORRECTION_MARGIN, Instances
from streamseg.training.compose import Composed, ComposeSettings, Draw, compose

__all__ = ["MASK_IOU", "NEAR_IOU", "RefineSettings", "Samples", "collect"]

MIN_SCORE = 0.02
"""Objects below are not looked at: recall is counted over far more than anybody uses, but not over everything."""

MASK_IOU = 0.5
"""From this overlap of the boxes on, an object is taken for its target, and its mask is trained."""

NEAR_IOU = 0.1
"""From here on it is near a target, and its quality is known; below, the target may just not be labelled."""

MOST_PER_TARGET = 3
MOST_OTHERS, MOST_HELD_OUT = 6, 60
"""Objects per picture: near no target, or one too many, for training; and of any kind, held out."""

HELD_OUT = 0.15
"""Share of the pictures, the last ones, that calibrate and measure."""

PICTURE_SCALES = ((1.0, 0.3), (10 / 7, 0.5), (12 / 7, 0.2))
"""Sides of pictures relative to the network's input, and how often: cameras see more than it does."""


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
    width: int = 32
    seed: int = 0

    def num_steps(self, num_objects: int) -> int:
        """Steps that so many objects to learn from take."""
        return max(round(self.epochs * num_objects / self.batch_size), 1)


@dataclass(frozen=True, eq=False)
class Samples:
    """N objects that a network found, beside the targets they overlap most."""

    views: ObjectViews
    """With all the prototypes as maps, in half precision, and pixels as bytes."""
    truth: Tensor
    """uint8 (N, R, R): the target's mask on the object's raster, 0..255."""
    box_iou: Tensor
    """float32 (N,): with the target's box."""
    scores: Tensor
    """float32 (N,): the network's."""
    beyond: Tensor
    """float32 (N,): how much the target covers outside the raster, in cells of it."""
    trust: Tensor
    """float32 (N,) 0..1: how sure it is that the target is all there is; below 1 where labels are incomplete."""

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, rows: Tensor) -> Samples:
        """The chosen ones."""
        chosen = ObjectViews(*(getattr(self.views, name)[rows] for name in ObjectViews.__dataclass_fields__))
        return Samples(chosen, *(getattr(self, name)[rows] for name in self.tables()))

    @classmethod
    def tables(cls) -> list[str]:
        """The names of everything but the views."""
        return [name for name in cls.__dataclass_fields__ if name != "views"]


def collect(
    network: Network,
    draw: Draw,
    settings: RefineSettings,
    *,
    earlier: Sequence[Network] = (),
    on_image: Callable[[int, int], None] = lambda done, num_objects: None,
) -> tuple[Samples, int]:
    """Run the network over composed pictures and keep what it finds near a target, and some that is near none.

    Held out is a fair share of everything, as the network itself finds it.

    Args:
        network: frozen, in eval mode.
        draw: draws labelled pictures.
        settings: how many pictures, of which size.
        earlier: the same network at earlier steps of its training, which take turns with it. Where it was trained on
            the same pictures it has fewer faults there than on others, and a refiner that saw no more of them
            corrects less; those of an earlier step are of the same kind.
        on_image: called with how many are done, and with the objects so far.

    Returns:
        The objects, in the order of the pictures, and how many of them are of pictures for training; the rest are
        held out, and are as many and as far from any target as in use.

    Raises:
        DataError: nothing was found near any target.
    """
    compose_settings = ComposeSettings(scale=(0.8, 1.4), mosaic=0.1)
    scales, shares = zip(*PICTURE_SCALES, strict=True)
    finders = (network, *earlier)
    parts: list[Samples] = []
    count, num_training = 0, 0
    last_training = round(settings.num_pictures * (1 - HELD_OUT))
    for index in range(settings.num_pictures):
        rng = np.random.default_rng((settings.seed, index, 2))
        size = round(settings.imgsz * float(rng.choice(scales, p=shares)) / 32) * 32
        composed = compose(rng, draw, size, compose_settings, grid=1)
        held_out = index >= last_training
        finder = network if held_out else finders[index % len(finders)]
        found = _found(finder, composed, settings.imgsz, rng, held_out=held_out)
        if len(found):
            parts.append(found)
            count += len(found)
        if index < last_training:
            num_training = count
        on_image(index + 1, count)
    if not num_training or num_training == count:
        raise DataError(
            f"the network found {count} objects near a target in {settings.num_pictures} pictures, too few to train"
            " a refiner on; give more pictures, or better weights"
        )
    joined = [torch.cat([getattr(part.views, name) for part in parts]) for name in ObjectViews.__dataclass_fields__]
    tables = [torch.cat([getattr(part, name) for part in parts]) for name in Samples.tables()]
    return Samples(ObjectViews(*joined), *tables), num_training


@torch.inference_mode()
def _found(network: Network, composed: Composed, imgsz: int, rng: np.random.Generator, *, held_out: bool) -> Samples:
    """The objects of one picture: those to learn from, or some of any kind."""
    size = composed.image.shape[0]
    place = letterbox((size, size), imgsz)
    scale_x, scale_y, _, _ = place.to_image()
    pixels = torch.from_numpy(letterbox_images([composed.image], [place]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        decoded = decode(network(pixels.permute(0, 3, 1, 2).float() / 255))
    scores = decoded.scores[0].float()
    candidates = (scores > MIN_SCORE).nonzero()[:, 0]
    boxes = decoded.boxes[0][candidates].float()
    kept = nms(boxes, scores[candidates], 0.7, max_kept=150)
    # A square picture lies in its square input without padding.
    boxes = clip_boxes(boxes[kept] * boxes.new_tensor([scale_x, scale_y] * 2), (size, size))
    rows = candidates[kept]
    overlap, target = _best(boxes, torch.from_numpy(composed.boxes))
    solid = (boxes[:, 2:] - boxes[:, :2]).min(dim=1).values > 4 * scale_x if len(boxes) else overlap > 0
    chosen = _any(solid, rng) if held_out else _near(overlap, target, solid, rng)
    coefficients = decoded.mask_coefficients[0][rows[chosen]].float()  # (N, 32)
    prototypes = decoded.prototypes[0].float()  # (32, Mh, Mw)
    instances = Instances(
        boxes=boxes[chosen],
        scores=scores[rows[chosen]],
        mask_logits=torch.mm(coefficients, prototypes.flatten(1)).view(-1, *prototypes.shape[1:]),
        grid_to_image=place.to_image(PROTOTYPE_STRIDE),
        image_size=(size, size),
    )
    seen = object_views(instances, prototypes, composed.image, place, picture=pixels[0].numpy())
    grid = torch.from_numpy(raster_grid(raster_sides(instances.boxes.numpy()), place))
    truth, beyond = _truth(composed.masks, target[chosen], instances.boxes, grid)
    stored = ObjectViews(seen.logits.half(), seen.maps.half(), seen.pixels, seen.sides)
    return Samples(stored, truth, overlap[chosen], instances.scores, beyond, _trust(composed, instances.boxes))


def _best(boxes: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """IoU (K,) with the target that overlaps most, and which that is; 0 without targets."""
    if not len(targets):
        return torch.zeros(len(boxes)), torch.zeros(len(boxes), dtype=torch.int64)
    best = box_iou(boxes, targets).max(dim=1)
    return best.values, best.indices


def _near(overlap: Tensor, target: Tensor, solid: Tensor, rng: np.random.Generator) -> Tensor:
    """Which objects to learn from, all of some extent: the best few near each target, and a few of the others."""
    taken: dict[int, int] = {}
    chosen, others = [], []
    for row in solid.nonzero()[:, 0].tolist():  # by descending score
        if overlap[row] > NEAR_IOU:
            taken[int(target[row])] = taken.get(int(target[row]), 0) + 1
            if taken[int(target[row])] <= MOST_PER_TARGET:
                chosen.append(row)
                continue
        others.append(row)
    return torch.tensor(sorted(chosen + _some(others, MOST_OTHERS, rng)), dtype=torch.int64)


def _any(solid: Tensor, rng: np.random.Generator) -> Tensor:
    return torch.tensor(sorted(_some(solid.nonzero()[:, 0].tolist(), MOST_HELD_OUT, rng)), dtype=torch.int64)


def _some(rows: list[int], most: int, rng: np.random.Generator) -> list[int]:
    return [rows[place] for place in rng.permutation(len(rows))[:most]]


def _truth(masks: npt.NDArray[np.uint8], target: Tensor, boxes: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Masks (T, S, S) of the targets (N,) on the rasters of boxes (N, 4): uint8 (N, R, R), and (N,) cells beyond."""
    if not len(masks):
        return torch.zeros((len(boxes), REFINER_RASTER, REFINER_RASTER), dtype=torch.uint8), torch.zeros(len(boxes))
    chosen = torch.from_numpy(masks)[target][:, None].float()  # (N, 1, S, S)
    sampled = functional.grid_sample(chosen, grid, padding_mode="zeros", align_corners=False)[:, 0]  # (N, R, R)
    cell_px = box_area(boxes) * ((1 + 2 * CORRECTION_MARGIN) / REFINER_RASTER) ** 2
    beyond = chosen.sum(dim=(1, 2, 3)) / 255 / cell_px - sampled.sum(dim=(1, 2)) / 255
    return sampled.round().byte(), beyond.clamp(min=0)


def _trust(composed: Composed, boxes: Tensor) -> Tensor:
    """How completely the picture is labelled inside boxes (N, 4), on average: (N,) 0..1."""
    size = composed.image.shape[0]
    trust = []
    for x0, y0, x1, y1 in boxes.int().clamp(0, size - 1).tolist():
        trust.append(float(composed.background_weight[y0 : y1 + 1, x0 : x1 + 1].mean()) / 255)
    return torch.tensor(trust, dtype=torch.float32)
