"""Appearance embeddings: one vector per object; the cosine of two vectors measures how alike the objects look.

No additional network is needed. An embedding combines the colours of the network's input with the prototypes, which are
computed for the masks anyway and contain features that the network has learnt for separating objects. Both are sampled
at a few points on each object.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamseg.geometry import raster_points
from streamseg.structures.arrays import Float32Array, ImageArray, IndexArray
from streamseg.structures.instances import Instances

__all__ = ["POINTS_PER_SIDE", "PROTOTYPE_WEIGHT", "colour_smoothing", "colour_tables", "embed"]

POINTS_PER_SIDE: Final = 16
"""Sample points per side of an object's box."""
COLOUR_BINS: Final = (4, 5, 5)
"""Histogram bins along L, a and b of CIELAB. L has fewer, because lighting varies more than surface colour."""
COLOUR_RANGE: Final = 40.0
"""Largest absolute value of a and b; more saturated colours are clipped."""
BLUR_BINS: Final = 0.4
"""Standard deviation of the blur of histograms, in bins, so that a shade between two bins is close to both."""
PROTOTYPE_WEIGHT: Final = 0.3
"""Length of the prototype part, relative to the colour part of length 1."""


def embed(instances: Instances, prototypes: Tensor, image: ImageArray) -> Tensor:
    """Compute one embedding of length 1 per object.

    Args:
        instances: K objects on the host, with the network's own masks; K may be 0.
        prototypes: float32 (P, Mh, Mw), on the grid of the `mask_logits`.
        image: uint8 (H, W, 3) RGB, the network's input.

    Returns:
        float32 (K, D), D = 100 + P: the colour bins and the prototypes.
    """
    num_prototypes, height, width = prototypes.shape
    if not len(instances):
        return torch.zeros((0, _SMOOTHING.shape[0] + num_prototypes))
    cells, inside = _cells(instances)  # (K, R, R) each
    small = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    colours = _colour_histograms(_colour_bins(small).take(cells), inside)
    means = _prototype_means(prototypes.numpy(force=True), cells, inside)
    return torch.from_numpy(_unit(np.concatenate((colours, PROTOTYPE_WEIGHT * means), axis=1)))


def _cells(instances: Instances) -> tuple[IndexArray, Float32Array]:
    """Return the flat grid cells (K, R, R) at the points of each box, and 1 for points on the object, else 0."""
    count, height, width = instances.mask_logits.shape
    scale_x, scale_y, offset_x, offset_y = instances.grid_to_image
    x, y = (side.numpy() for side in raster_points(instances.boxes, POINTS_PER_SIDE))
    # Not clip(), which takes as long as everything else for so few values.
    columns = np.minimum(np.maximum(((x - offset_x) / scale_x).astype(np.intp), 0), width - 1)
    rows = np.minimum(np.maximum(((y - offset_y) / scale_y).astype(np.intp), 0), height - 1)
    cells = (rows * width)[:, :, None] + columns[:, None, :]
    places = cells + np.arange(0, count * height * width, height * width)[:, None, None]
    inside = instances.mask_logits.numpy().reshape(-1)[places] > 0
    # Objects smaller than a cell may have no point; use their whole box instead.
    inside[~inside.reshape(count, -1).any(axis=1)] = True
    return cells, inside.astype(np.float32)


def _colour_bins(image: ImageArray) -> npt.NDArray[np.uint8]:
    """Return the bin of each pixel, flattened."""
    # 8 bits: L over 0..255, a and b around 128.
    lab: npt.NDArray[np.uint8] = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), np.uint8)
    light, first, second = (table.take(lab[:, :, channel]) for channel, table in enumerate(_TABLES))
    bins: npt.NDArray[np.uint8] = (light + first + second).reshape(-1)
    return bins


def _colour_histograms(bins: npt.NDArray[np.uint8], inside: Float32Array) -> Float32Array:
    """Return square roots of blurred histograms of bins (K, R, R): float32 (K, bins), each of length 1."""
    count, num_bins = len(bins), _SMOOTHING.shape[0]
    places = bins + np.arange(count)[:, None, None] * num_bins
    sums = np.bincount(places.reshape(-1), inside.reshape(-1), count * num_bins).reshape(count, num_bins)
    # The dot product of square roots is the Bhattacharyya coefficient of two histograms.
    return _unit(np.sqrt(sums.astype(np.float32) @ _SMOOTHING))


def _prototype_means(prototypes: Float32Array, cells: IndexArray, inside: Float32Array) -> Float32Array:
    """Return mean prototypes (P, Mh, Mw) per object, relative to the image mean: float32 (K, P), each of length 1."""
    width = prototypes.shape[2]
    # Prototypes vary slowly over the image: a quarter of the points and of the cells is sufficient.
    coarse = prototypes[:, ::2, ::2]
    coarse_width = coarse.shape[2]
    levels = coarse.reshape(len(coarse), -1)  # (P, cells)
    # Subtract the mean, because a component common to all objects distinguishes none of them.
    levels = levels - levels.mean(axis=1, keepdims=True)
    deviations = np.sqrt(np.einsum("pc,pc->p", levels, levels) / levels.shape[1])
    vectors = np.ascontiguousarray(levels.T)  # (cells, P): values read together are adjacent
    cells = cells[:, ::2, 1::2].reshape(len(cells), -1)
    weights = inside[:, ::2, 1::2].reshape(len(inside), -1)
    weights = np.where(weights.any(axis=1, keepdims=True), weights, np.float32(1))
    places = cells // width // 2 * coarse_width + cells % width // 2
    sums = (weights[:, None] @ vectors.take(places, axis=0))[:, 0]  # (K, P)
    return _unit(sums / weights.sum(axis=1, keepdims=True) / (deviations + 1e-6))


def _unit(vectors: Float32Array) -> Float32Array:
    """Scale each vector to length 1; zero vectors stay zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Float32Array = (vectors / np.maximum(lengths, 1e-9)).astype(np.float32)
    return unit


def colour_tables() -> list[npt.NDArray[np.uint8]]:
    """Return, for each channel, the contribution of each 8-bit value to the bin index."""
    num_light, num_first, num_second = COLOUR_BINS
    values = np.arange(256)
    tint = ((values - 128 + COLOUR_RANGE) / (2 * COLOUR_RANGE)).clip(0, 1 - 1e-6)
    steps = (
        values * num_light // 256 * num_first * num_second,
        (tint * num_first).astype(np.intp) * num_second,
        (tint * num_second).astype(np.intp),
    )
    return [step.astype(np.uint8) for step in steps]  # 100 bins: the indices fit in 8 bits


def colour_smoothing() -> Float32Array:
    """Return the blur matrix (bins, bins): the share of each bin that goes to each other bin; rows sum to 1."""
    axes = [np.exp(-0.5 * ((np.arange(n)[:, None] - np.arange(n)) / BLUR_BINS) ** 2) for n in COLOUR_BINS]
    light, first, second = (axis / axis.sum(axis=1, keepdims=True) for axis in axes)
    return np.kron(light, np.kron(first, second)).astype(np.float32)


_TABLES: Final = colour_tables()
_SMOOTHING: Final = colour_smoothing()
