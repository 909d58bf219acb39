"""Pairs of video frames with the object of each cell, composed from single labelled images.

Between the two frames the camera moves, pasted objects move on their own, and exposure, blur and noise change.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.datasets.samples import LabelledObject, Sample
from streamseg.structures.arrays import Float64Array, ImageArray
from streamseg.training.compose import PAD_VALUE, ByteArray, Draw, camera_noise

__all__ = ["CELL", "FramePair", "compose_pair"]

CELL = 8
"""Pixels per cell: the stride of embeddings."""

MIN_PASTED_PX = 400
"""Minimum pixels of an object that is pasted."""

MAX_PASTED = 4
"""Maximum number of objects that are pasted."""

LabelMap = npt.NDArray[np.int16]
"""Number of the visible object at each pixel or cell, 0 for none."""


@dataclass(frozen=True, eq=False)
class FramePair:
    """Two frames of S x S pixels."""

    images: tuple[ImageArray, ImageArray]
    """(S, S, 3) RGB each."""
    labels: tuple[LabelMap, LabelMap]
    """(S / CELL, S / CELL) each: number of the object at the centre of each cell, 0 for none; the same object has the
    same number in both frames."""


@dataclass
class _Frame:
    """A frame in the making."""

    image: ImageArray
    """(S, S, 3) RGB."""
    labels: LabelMap
    """(S, S)."""


@dataclass(frozen=True)
class _Motion:
    """Ranges of the difference between two frames."""

    shift: float
    """Largest shift, as a fraction of the frame's side."""
    scale: float
    """Largest change of size, as a logarithm."""
    turn: float
    """Largest rotation, in degrees."""


CAMERA = _Motion(0.06, 0.12, 6.0)
OBJECT = _Motion(0.12, 0.15, 15.0)


def compose_pair(rng: np.random.Generator, draw: Draw, size: int) -> FramePair:
    """Draw labelled images and compose two frames of `size` x `size` pixels (a multiple of `CELL`)."""
    sample = draw(rng)
    first = _placement(rng, sample.image.shape[:2], size)
    placements = first, _moved(rng, first, size, CAMERA)
    numbers = _label_map(sample)
    frames = [
        _Frame(_warp(sample.image, one, size, fill=PAD_VALUE), _warp_labels(numbers, one, size)) for one in placements
    ]
    for number in range(int(rng.integers(1, MAX_PASTED + 1))):
        _paste(rng, frames, draw(rng), int(numbers.max()) + 1 + number)
    seed = int(rng.integers(2**32))
    # Neighbouring frames mostly have the same exposure.
    seeds = (seed, seed) if rng.random() < 0.7 else (seed, seed + 1)
    images = [camera_noise(np.random.default_rng(one), frame.image) for one, frame in zip(seeds, frames, strict=True)]
    half = CELL // 2
    labels = [np.ascontiguousarray(frame.labels[half::CELL, half::CELL]) for frame in frames]
    return FramePair((images[0], images[1]), (labels[0], labels[1]))


def _label_map(sample: Sample) -> LabelMap:
    """Return the object of each pixel; smaller objects lie on top of larger ones, and crowds count as one object."""
    labels = np.zeros(sample.image.shape[:2], dtype=np.int16)
    wholes = [one for one in sample.objects if not one.is_part]
    for number, labelled in enumerate(sorted(wholes, key=lambda one: -one.mask.area), start=1):
        mask = labelled.mask
        height, width = mask.crop.shape
        labels[mask.y : mask.y + height, mask.x : mask.x + width][mask.crop] = number
    return labels


def _placement(rng: np.random.Generator, image_size: tuple[int, ...], size: int) -> Float64Array:
    """Return a random transform (2, 3) from an image (H, W) to the frame: scale, mirror and position."""
    height, width = image_size
    scale = size / max(height, width) * np.exp(rng.uniform(0.0, np.log(1.8)))
    flip = -1.0 if rng.random() < 0.5 else 1.0
    free_x, free_y = size - width * scale, size - height * scale
    x, y = rng.uniform(min(free_x, 0), max(free_x, 0)), rng.uniform(min(free_y, 0), max(free_y, 0))
    if flip < 0:
        x += width * scale
    return np.array([[flip * scale, 0.0, x], [0.0, scale, y]])


def _moved(rng: np.random.Generator, placement: Float64Array, size: int, motion: _Motion) -> Float64Array:
    """Return the placement after a random motion about the frame's centre."""
    scale = np.exp(rng.uniform(-motion.scale, motion.scale))
    turn = rng.uniform(-motion.turn, motion.turn)
    matrix = np.asarray(cv2.getRotationMatrix2D((size / 2, size / 2), turn, scale), dtype=np.float64)
    matrix[:, 2] += rng.uniform(-motion.shift, motion.shift, 2) * size
    moved: Float64Array = matrix @ np.vstack([placement, [0.0, 0.0, 1.0]])
    return moved


def _paste(rng: np.random.Generator, frames: list[_Frame], source: Sample, number: int) -> None:
    """Cut one object out of a sample and paste it into both frames, at different places."""
    candidates = [one for one in source.objects if _can_be_pasted(one)]
    if not candidates:
        return
    mask = candidates[int(rng.integers(len(candidates)))].mask
    height, width = mask.crop.shape
    pixels = source.image[mask.y : mask.y + height, mask.x : mask.x + width]
    coverage = mask.crop.astype(np.uint8) * 255
    size = frames[0].image.shape[0]
    scale = min(size * np.exp(rng.uniform(np.log(0.12), np.log(0.7))) / max(height, width), 1.5)
    x, y = rng.uniform(-0.2 * width * scale, size - 0.8 * width * scale), rng.uniform(0, size - 0.8 * height * scale)
    # The object turns about its own centre.
    centre = np.array([x + width * scale / 2, y + height * scale / 2]) - size / 2
    placement = np.array([[scale, 0.0, x - centre[0]], [0.0, scale, y - centre[1]]])
    placements = placement, _moved(rng, placement, size, OBJECT)
    for frame, one in zip(frames, placements, strict=True):
        back = one + np.array([[0.0, 0.0, centre[0]], [0.0, 0.0, centre[1]]])
        cut, alpha = _warp(pixels, back, size), _warp(coverage, back, size)
        soft = np.asarray(cv2.GaussianBlur(alpha, (3, 3), 0), dtype=np.uint16)[..., None]
        frame.image = ((cut * soft + frame.image * (255 - soft)) // 255).astype(np.uint8)
        frame.labels[alpha > 127] = number


def _can_be_pasted(labelled: LabelledObject) -> bool:
    return not labelled.is_part and not labelled.is_crowd and labelled.mask.area > MIN_PASTED_PX


def _warp(image: ByteArray, matrix: Float64Array, size: int, *, fill: int = 0) -> ByteArray:
    # Shrunk first: interpolation alone would alias.
    shrink = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if shrink < 0.75:
        height, width = max(round(image.shape[0] * shrink), 1), max(round(image.shape[1] * shrink), 1)
        scales = image.shape[1] / width, image.shape[0] / height
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        matrix = matrix @ np.diag([scales[0], scales[1], 1.0])
    warped = cv2.warpAffine(image, _for_opencv(matrix), (size, size), flags=cv2.INTER_LINEAR, borderValue=(fill,) * 3)
    return np.asarray(warped, dtype=np.uint8)


def _warp_labels(labels: LabelMap, matrix: Float64Array, size: int) -> LabelMap:
    return np.asarray(
        cv2.warpAffine(labels, _for_opencv(matrix), (size, size), flags=cv2.INTER_NEAREST), dtype=np.int16
    )


def _for_opencv(matrix: Float64Array) -> Float64Array:
    """Convert a transform of continuous coordinates, with pixel centres at halves, to one with centres at integers."""
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5
    return shifted
