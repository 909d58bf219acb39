"""Training examples of a refiner: objects of a finished network with their matching targets.

composed images ─► network ─► detections, objects at known places ─► object views, target masks on the same rasters
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from streamseg.errors import DataError, counted
from streamseg.geometry import box_area, box_iou, clip_boxes, nms
from streamseg.modeling.network import PROTOTYPE_STRIDE, Network
from streamseg.modeling.refiner import REFINER_RASTER, ObjectViews, object_views, raster_grid, raster_sides
from streamseg.structures.instances import CORRECTION_MARGIN, Instances
from streamseg.training.compose import ByteArray, ComposedImage, ComposeSettings, Draw, compose
from streamseg.training.known_objects import KnownObjects, known_objects
from streamseg.training.seen_image import SeenImage, see

__all__ = ["MASK_IOU", "NEAR_IOU", "RefineSettings", "RefinerExamples", "collect_examples"]

MIN_SCORE = 0.02
"""Minimum score of a detection. Recall is measured over far more detections than are used, but not over all."""

MASK_IOU = 0.5
"""Minimum box IoU at which a detection matches its target and its mask is trained."""

NEAR_IOU = 0.1
"""Minimum box IoU at which a detection is near a target and its quality known; below, its object may be unlabelled."""

MAX_PER_TARGET = 3
MAX_OTHERS, MAX_HELD_OUT = 6, 60
"""Maximum detections per image: near a target, per target; all others, for training; of any kind, held out.

Detections beyond `MAX_PER_TARGET` count among the others.
"""

KNOWN_EVERY = 2
"""Every so many images for training, objects at known places are added, see `known_objects`; each takes as long as the
detections. These images are those of the network itself if it alternates with one earlier one."""

HELD_OUT = 0.15
"""Share of the images, taken from the end, for calibration and evaluation."""

IMAGE_SCALES = ((1.0, 0.3), (10 / 7, 0.5), (12 / 7, 0.2))
"""Image sides relative to the network's input, with their shares: cameras resolve more than the network's input."""


@dataclass(frozen=True)
class RefineSettings:
    """Settings of the training; two refiners with the same settings, weights and data are identical."""

    num_images: int = 3000
    imgsz: int = 448
    epochs: float = 6.0
    batch_size: int = 64
    learning_rate: float = 7e-3
    known_share: float = 0.15
    """Share of objects whose place is known in a batch, 0..1, see `known_objects`."""
    quality_gain: float = 0.3
    quality_exponent: float = 0.5
    """Exponent of the quality in the score by which objects are ranked. On 41 held-out images of COCO, mask and box AP
    were .155 and .214 with 1, .157 and .222 with 0.5, .155 and .227 with 0."""
    width: int = 32
    seed: int = 0

    def num_steps(self, num_objects: int) -> int:
        """Return the number of steps for this number of training examples."""
        return max(round(self.epochs * num_objects / self.batch_size), 1)


@dataclass(frozen=True, eq=False)
class RefinerExamples:
    """N detections of a network, each with the target that it overlaps most."""

    views: ObjectViews
    """Views with all prototypes as maps, in half precision, and pixels as bytes."""
    truth: Tensor
    """uint8 (N, R, R): mask of the target on the raster of the detection, 0..255."""
    box_iou: Tensor
    """float32 (N,): IoU with the target's box, 0..1."""
    scores: Tensor
    """float32 (N,): scores from the network, 0..1."""
    outside: Tensor
    """float32 (N,): area of the target outside the raster, in raster cells."""
    completeness: Tensor
    """float32 (N,): completeness of the labels around the detection, 0..1."""
    is_known: Tensor
    """bool (N,): the object was followed or prompted, not detected; see `known_objects`."""

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, rows: Tensor) -> RefinerExamples:
        """Return the examples with these indices."""
        chosen = ObjectViews(*(getattr(self.views, name)[rows] for name in ObjectViews.__dataclass_fields__))
        return RefinerExamples(chosen, *(getattr(self, name)[rows] for name in self.tables()))

    @classmethod
    def tables(cls) -> list[str]:
        """Return the names of all fields except `views`."""
        return [name for name in cls.__dataclass_fields__ if name != "views"]


def collect_examples(
    network: Network,
    draw: Draw,
    settings: RefineSettings,
    *,
    earlier: Sequence[Network] = (),
    on_image: Callable[[int, int], None] = lambda done, num_objects: None,
) -> tuple[RefinerExamples, int]:
    """Run the network on composed images and collect its detections near targets, and some that are near none.

    The held-out part is a representative sample of all detections of the network itself.

    Args:
        network: frozen, in eval mode.
        draw: draws labelled images.
        settings: number and size of the images.
        earlier: the same network at earlier steps of its training, which alternate with it. A network makes fewer
            errors on images that it was trained on than on others, and a refiner that saw only these errors corrects
            less. Earlier networks make more errors of the same kind.
        on_image: called with the number of finished images and the number of detections so far.

    Returns:
        The examples, in the order of the images, and the number of them for training. The rest are held out; their
        number and their distances from targets are as in use.

    Raises:
        DataError: there are no examples for training, or none held out.
    """
    compose_settings = ComposeSettings(scale=(0.8, 1.4), mosaic=0.1)
    scales, shares = zip(*IMAGE_SCALES, strict=True)
    networks = (network, *earlier)
    parts: list[RefinerExamples] = []
    count, num_training = 0, 0
    last_training = round(settings.num_images * (1 - HELD_OUT))
    for index in range(settings.num_images):
        rng = np.random.default_rng((settings.seed, index, 2))
        size = round(settings.imgsz * float(rng.choice(scales, p=shares)) / 32) * 32
        composed = compose(rng, draw, size, compose_settings, grid=1)
        held_out = index >= last_training
        detector = network if held_out else networks[index % len(networks)]
        seen = see(detector, composed, composed.image, settings.imgsz)
        found = [_detect(seen, rng, held_out=held_out)]
        if len(found[0]) and not held_out and index % KNOWN_EVERY == 0:
            found.append(_known(detector, seen, rng))
        parts += [part for part in found if len(part)]
        count += sum(map(len, found))
        if index < last_training:
            num_training = count
        on_image(index + 1, count)
    if not num_training or num_training == count:
        raise DataError(
            f"the network found {counted(count, 'object')} near a target in"
            f" {counted(settings.num_images, 'image')}, too few to train"
            " a refiner; provide more images or better weights"
        )
    joined = [torch.cat([getattr(part.views, name) for part in parts]) for name in ObjectViews.__dataclass_fields__]
    tables = [torch.cat([getattr(part, name) for part in parts]) for name in RefinerExamples.tables()]
    return RefinerExamples(ObjectViews(*joined), *tables), num_training


@torch.inference_mode()
def _detect(seen: SeenImage, rng: np.random.Generator, *, held_out: bool) -> RefinerExamples:
    """Return the examples from one image: those for training, or a held-out sample of any kind."""
    candidates = (seen.scores > MIN_SCORE).nonzero()[:, 0]
    kept = candidates[nms(seen.boxes[candidates], seen.scores[candidates], 0.7, max_kept=150)]
    boxes = clip_boxes(seen.boxes[kept], seen.place.image_size)
    overlap, target = _best_targets(boxes, torch.from_numpy(seen.composed.boxes))
    scale_x = seen.place.to_image().scale_x
    solid = (boxes[:, 2:] - boxes[:, :2]).min(dim=1).values > 4 * scale_x if len(boxes) else overlap > 0
    chosen = _sample_any(solid, rng) if held_out else _sample_near(overlap, target, solid, rng)
    rows = kept[chosen]
    objects = KnownObjects(boxes[chosen], seen.mask_logits(rows), target[chosen])
    return _examples(seen, objects, seen.scores[rows], is_known=False)


@torch.inference_mode()
def _known(network: Network, seen: SeenImage, rng: np.random.Generator) -> RefinerExamples:
    """Return the examples of objects whose place is known."""
    objects = known_objects(network, seen, rng)
    return _examples(seen, objects, torch.ones(len(objects.boxes)), is_known=True)


def _examples(seen: SeenImage, objects: KnownObjects, scores: Tensor, *, is_known: bool) -> RefinerExamples:
    instances = Instances(
        boxes=objects.boxes,
        scores=scores,
        mask_logits=objects.mask_logits,
        grid_to_image=seen.place.to_image(PROTOTYPE_STRIDE),
        image_size=seen.place.image_size,
    )
    composed = seen.composed
    views = object_views(instances, seen.prototypes, composed.image, seen.place, input_image=seen.input_image)
    grid = torch.from_numpy(raster_grid(raster_sides(instances.boxes.numpy()), seen.place))
    truth, outside = _target_masks(composed.masks, objects.targets, instances.boxes, grid)
    return RefinerExamples(
        ObjectViews(views.logits.half(), views.maps.half(), views.pixels, views.sides),
        truth,
        _overlaps(instances.boxes, torch.from_numpy(composed.boxes), objects.targets),
        scores,
        outside,
        _completeness(composed, instances.boxes),
        torch.full((len(scores),), is_known),
    )


def _overlaps(boxes: Tensor, targets: Tensor, chosen: Tensor) -> Tensor:
    """Return the IoU (N,) of boxes (N, 4) with one of the targets (T, 4) each; 0 without targets."""
    return box_iou(boxes, targets).gather(1, chosen[:, None])[:, 0] if len(targets) else torch.zeros(len(boxes))


def _best_targets(boxes: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest IoU (K,) with any target, and the index of that target (K,); both 0 without targets."""
    if not len(targets):
        return torch.zeros(len(boxes)), torch.zeros(len(boxes), dtype=torch.int64)
    best = box_iou(boxes, targets).max(dim=1)
    return best.values, best.indices


def _sample_near(overlap: Tensor, target: Tensor, solid: Tensor, rng: np.random.Generator) -> Tensor:
    """Select detections for training among the solid ones: the best few near each target, and a few of the others."""
    taken: dict[int, int] = {}
    chosen, others = [], []
    for row in solid.nonzero()[:, 0].tolist():  # by descending score
        if overlap[row] > NEAR_IOU:
            taken[int(target[row])] = taken.get(int(target[row]), 0) + 1
            if taken[int(target[row])] <= MAX_PER_TARGET:
                chosen.append(row)
                continue
        others.append(row)
    return torch.tensor(sorted(chosen + _draw_rows(others, MAX_OTHERS, rng)), dtype=torch.int64)


def _sample_any(solid: Tensor, rng: np.random.Generator) -> Tensor:
    return torch.tensor(sorted(_draw_rows(solid.nonzero()[:, 0].tolist(), MAX_HELD_OUT, rng)), dtype=torch.int64)


def _draw_rows(rows: list[int], most: int, rng: np.random.Generator) -> list[int]:
    return [rows[place] for place in rng.permutation(len(rows))[:most]]


def _target_masks(masks: ByteArray, target: Tensor, boxes: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Sample the masks (T, S, S) of targets (N,) on the rasters of boxes (N, 4).

    Returns:
        uint8 (N, R, R), and the area outside each raster in cells (N,).
    """
    if not len(masks):
        return torch.zeros((len(boxes), REFINER_RASTER, REFINER_RASTER), dtype=torch.uint8), torch.zeros(len(boxes))
    chosen = torch.from_numpy(masks)[target][:, None].float()  # (N, 1, S, S)
    sampled = functional.grid_sample(chosen, grid, padding_mode="zeros", align_corners=False)[:, 0]  # (N, R, R)
    cell_px = box_area(boxes) * ((1 + 2 * CORRECTION_MARGIN) / REFINER_RASTER) ** 2
    outside = chosen.sum(dim=(1, 2, 3)) / 255 / cell_px - sampled.sum(dim=(1, 2)) / 255
    return sampled.round().byte(), outside.clamp(min=0)


def _completeness(composed: ComposedImage, boxes: Tensor) -> Tensor:
    """Return the mean completeness of the labels inside boxes (N, 4): (N,) 0..1."""
    size = composed.image.shape[0]
    completeness = []
    for x0, y0, x1, y1 in boxes.int().clamp(0, size - 1).tolist():
        completeness.append(float(composed.background_weight[y0 : y1 + 1, x0 : x1 + 1].mean()) / 255)
    return torch.tensor(completeness, dtype=torch.float32)
