"""Training examples of objects whose place is known: followed ones, and those in boxes that somebody drew.

The refiner corrects not only detections. A followed object is known by a mask that was propagated from another frame on
coarse cells, or by the network's mask in the box of that mask (`segmentation.second_look`); a prompted one by the
network's mask in a box that was drawn by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor

from streamseg.geometry import clip_boxes
from streamseg.modeling.network import PROTOTYPE_STRIDE, Network
from streamseg.propagation import LabelPropagator, PropagationSettings, enlarged, image_mask
from streamseg.segmentation.candidates import best_fit
from streamseg.segmentation.second_look import agreement
from streamseg.structures.arrays import Float32Array, Float64Array, IndexArray
from streamseg.training.compose import PAD_VALUE, ByteArray, camera_noise
from streamseg.training.seen_image import SeenImage, see

__all__ = ["KnownObjects", "known_objects"]

MAX_FOLLOWED: Final = 6
MAX_DRAWN: Final = 3
"""Maximum number of objects per image that are followed, and that are in drawn boxes."""
MIN_SIDE_PX: Final = 12.0
"""Minimum side of the object's box, in pixels of the network's input."""
MAX_SHIFT: Final = 0.04
MAX_SCALE: Final = 0.1
MAX_TURN: Final = 5.0
"""Largest motion between the two frames: as a fraction of the side, as a logarithm, in degrees."""
NOISE_SHARE: Final = 0.4
"""Share of the earlier frames with another exposure, blur or noise."""
BAD_LABEL_SHARE: Final = 0.7
"""Share of the masks that are inaccurate already in the earlier frame, as after many frames."""
LUMP_SHARE: Final = 0.35
"""Share of these with a lump, and with a hole."""
GIVEN_SHARE: Final = 0.3
"""Share of the objects whose propagated mask is corrected although the network's agrees."""
BOX_JITTER: Final = 0.06
"""Standard deviation of the sides of drawn boxes, as a fraction of the box."""
MIN_SHARE: Final = 0.3
"""Minimum share of the most covered cell to follow an object."""


@dataclass(frozen=True, eq=False)
class KnownObjects:
    """N objects of a composed image."""

    boxes: Tensor
    """float32 (N, 4) xyxy, pixels of the image."""
    mask_logits: Tensor
    """float32 (N, Mh, Mw) on the grid of the prototypes."""
    targets: Tensor
    """int64 (N,): rows of the targets that they show."""


def known_objects(network: Network, seen: SeenImage, rng: np.random.Generator) -> KnownObjects:
    """Follow some of the targets of an image, and draw boxes around some, as people and programs do.

    Args:
        network: the network that has seen the image.
        seen: the image with the network's output.
        rng: source of randomness.
    """
    boxes = seen.composed.boxes
    sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) / seen.place.to_image().scale_x
    large = np.flatnonzero(sides >= MIN_SIDE_PX)
    parts = [
        _followed(network, seen, rng.permutation(large)[:MAX_FOLLOWED], rng),
        _drawn(seen, rng.permutation(large)[:MAX_DRAWN], rng),
    ]
    return KnownObjects(*(torch.cat([getattr(part, name) for part in parts]) for name in KnownObjects.__annotations__))


def _drawn(seen: SeenImage, targets: IndexArray, rng: np.random.Generator) -> KnownObjects:
    exact = seen.composed.boxes[targets]
    sides = np.tile(exact[:, 2:] - exact[:, :2], 2)
    boxes = torch.from_numpy((exact + rng.normal(0, BOX_JITTER, exact.shape) * sides).astype(np.float32))
    boxes = clip_boxes(boxes, seen.place.image_size)
    return KnownObjects(boxes, _fitting(seen, boxes), torch.from_numpy(targets))


def _fitting(seen: SeenImage, boxes: Tensor) -> Tensor:
    """Return the network's mask logits (N, Mh, Mw) in boxes (N, 4), as for prompted boxes."""
    return seen.mask_logits(best_fit(boxes, clip_boxes(seen.boxes, seen.place.image_size), seen.scores, 0.0)[0])


def _followed(network: Network, seen: SeenImage, targets: IndexArray, rng: np.random.Generator) -> KnownObjects:
    size, grid = seen.place.image_size, (seen.prototypes.shape[1], seen.prototypes.shape[2])
    softs = _propagated(network, seen, targets, rng)
    masks = {target: image_mask(soft, seen.features.to_image, size) for target, soft in softs.items()}
    kept = [target for target, mask in masks.items() if mask.crop.size]
    boxes = torch.from_numpy(np.array([masks[target].crop_box for target in kept], np.float32).reshape(-1, 4))
    given = torch.zeros(0, *grid)
    if kept:
        shares = np.stack([enlarged(softs[target], grid) for target in kept]).clip(0.01, 0.99)
        given = torch.from_numpy(np.log(shares / (1 - shares)))  # as `MaskFrame.looks`
    found = _fitting(seen, boxes)
    agrees = agreement(found, given, boxes, seen.place.to_image(PROTOTYPE_STRIDE)) >= PropagationSettings().look_iou
    is_found = agrees & torch.from_numpy(rng.random(len(kept)) >= GIVEN_SHARE)
    logits = torch.where(is_found[:, None, None], found, given)
    return KnownObjects(boxes, logits, torch.tensor([int(target) for target in kept], dtype=torch.int64))


def _propagated(
    network: Network, seen: SeenImage, targets: IndexArray, rng: np.random.Generator
) -> dict[str, Float32Array]:
    """Propagate the masks of targets from an earlier frame, a moved copy of the image; soft masks by target."""
    size = seen.composed.image.shape[0]
    turn, scale = rng.uniform(-MAX_TURN, MAX_TURN), np.exp(rng.uniform(-MAX_SCALE, MAX_SCALE))
    motion = np.asarray(cv2.getRotationMatrix2D((size / 2, size / 2), turn, scale), dtype=np.float64)
    motion[:, 2] += rng.uniform(-MAX_SHIFT, MAX_SHIFT, 2) * size
    image = _warp(seen.composed.image, motion, PAD_VALUE)
    if rng.random() < NOISE_SHARE:
        image = camera_noise(rng, image)
    earlier = see(network, seen.composed, image, max(seen.place.input_size)).features
    labels: dict[str, Float32Array] = {}
    for target in targets.tolist():
        warped = _warp(seen.composed.masks[target], motion, 0)
        small = cv2.resize(warped, earlier.size[::-1], interpolation=cv2.INTER_AREA)
        shares: Float32Array = small.astype(np.float32) / np.float32(255)
        if rng.random() < BAD_LABEL_SHARE:
            shares = _inaccurate(shares, rng)
        if shares.max() > MIN_SHARE:
            labels[str(target)] = shares
    propagator = LabelPropagator()
    propagator.learn(earlier, labels)
    return propagator.propagate(seen.features)


def _inaccurate(shares: Float32Array, rng: np.random.Generator) -> Float32Array:
    """Return shares (H, W), 0..1, with blurred outlines, larger or smaller, and some with a lump or a hole."""
    inside = np.argwhere(shares > 0.5)
    if not len(inside):
        return shares
    side = float(np.sqrt(len(inside)))
    blurred = np.asarray(cv2.GaussianBlur(shares, (0, 0), rng.uniform(0.4, 0.4 + min(side / 8, 1.6))), np.float32)
    level, slope = rng.uniform(0.35, 0.65), rng.uniform(1.2, 4.0)
    result = ((blurred - level) * slope + 0.5).clip(0, 1)
    for value in (1.0, 0.0):
        if rng.random() < LUMP_SHARE:
            y, x = inside[int(rng.integers(len(inside)))] + rng.normal(0, side / 3, 2)
            radius = side * rng.uniform(0.1, 0.35)
            rows, columns = np.ogrid[: shares.shape[0], : shares.shape[1]]
            disc = (1 - (np.hypot(rows - y, columns - x) - radius)).clip(0, 1) * rng.uniform(0.6, 1.0)
            result = result * (1 - disc) + value * disc
    return result.astype(np.float32)


def _warp(image: ByteArray, matrix: Float64Array, fill: int) -> ByteArray:
    warped = cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_LINEAR, borderValue=(fill,) * 3)
    return np.asarray(warped, dtype=np.uint8)
