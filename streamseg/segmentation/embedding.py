"""What objects look like, as vectors whose cosines tell whether two are the same.

No network of its own: colours of the network's input, and the prototypes that the masks are made of anyway, which hold
what the network has learnt to keep objects apart. Both are looked up at a few points on each object.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamseg.geometry import raster_points
from streamseg.structures.instances import Instances

__all__ = ["embed"]

RASTER: Final = 16
"""Points per side of an object's box."""
COLOUR_BINS: Final = (4, 5, 5)
"""Of the histogram along L, a and b of CIELAB: light differs more than what things are painted with."""
COLOUR_RANGE: Final = 40.0
"""Of a and b, both ways; what is more colourful counts as that."""
BLUR_BINS: Final = 0.4
"""Standard deviation by which histograms are blurred, in bins, so that a shade between two bins is near to both."""
PROTOTYPE_WEIGHT: Final = 0.3
"""Length of the prototypes' part, that of the colours being 1."""


def embed(instances: Instances, prototypes: Tensor, picture: npt.NDArray[np.uint8]) -> Tensor:
    """One vector per object, of length 1.

    Args:
        instances: K of them on the host, with the network's own masks; 0 give none.
        prototypes: float32 (P, Mh, Mw), on the grid of their `mask_logits`.
        picture: uint8 (H, W, 3) RGB, the network's input.

    Returns:
        float32 (K, D), D being 100 colours and P.
    """
    num_prototypes, height, width = prototypes.shape
    if not len(instances):
        return torch.zeros((0, _SMOOTHING.shape[0] + num_prototypes))
    cells, inside = _cells(instances)  # (K, R, R) each
    small = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    colours = _colour_histograms(_colour_bins(small).take(cells), inside)
    means = _prototype_means(prototypes.numpy(force=True), cells, inside)
    return torch.from_numpy(_unit(np.concatenate((colours, PROTOTYPE_WEIGHT * means), axis=1)))


def _cells(instances: Instances) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Cells (K, R, R) of the flat grid under the points on each box, and 1 for those on the object, else 0."""
    count, height, width = instances.mask_logits.shape
    scale_x, scale_y, offset_x, offset_y = instances.grid_to_image
    x, y = (side.numpy() for side in raster_points(instances.boxes, RASTER))
    # Not clip(): for so few numbers it takes as long as all of the rest.
    columns = np.minimum(np.maximum(((x - offset_x) / scale_x).astype(np.intp), 0), width - 1)
    rows = np.minimum(np.maximum(((y - offset_y) / scale_y).astype(np.intp), 0), height - 1)
    cells = (rows * width)[:, :, None] + columns[:, None, :]
    places = cells + np.arange(0, count * height * width, height * width)[:, None, None]
    inside = instances.mask_logits.numpy().reshape(-1)[places] > 0
    # Objects smaller than a cell may have no point: then their box speaks for them.
    inside[~inside.reshape(count, -1).any(axis=1)] = True
    return cells, inside.astype(np.float32)


def _colour_bins(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The bin of each pixel, flat."""
    # 8 bits: L over 0..255, a and b around 128.
    lab: npt.NDArray[np.uint8] = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2LAB), np.uint8)
    light, first, second = (table.take(lab[:, :, channel]) for channel, table in enumerate(_TABLES))
    bins: npt.NDArray[np.uint8] = (light + first + second).reshape(-1)
    return bins


def _colour_histograms(bins: npt.NDArray[np.uint8], inside: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Roots of blurred histograms of bins (K, R, R): float32 (K, bins), each of length 1."""
    count, num_bins = len(bins), _SMOOTHING.shape[0]
    places = bins + np.arange(count)[:, None, None] * num_bins
    sums = np.bincount(places.reshape(-1), inside.reshape(-1), count * num_bins).reshape(count, num_bins)
    # The product of roots is the Bhattacharyya coefficient of two histograms.
    return _unit(np.sqrt(sums.astype(np.float32) @ _SMOOTHING))


def _prototype_means(
    prototypes: npt.NDArray[np.float32], cells: npt.NDArray[np.intp], inside: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Means of prototypes (P, Mh, Mw) over each object, against the picture's: float32 (K, P), each of length 1."""
    width = prototypes.shape[2]
    # What changes slowly over the picture needs a quarter of the points and of the cells.
    coarse = prototypes[:, ::2, ::2]
    coarse_width = coarse.shape[2]
    levels = coarse.reshape(len(coarse), -1)  # (P, cells)
    # What all objects share tells none of them apart.
    levels = levels - levels.mean(axis=1, keepdims=True)
    deviations = np.sqrt(np.einsum("pc,pc->p", levels, levels) / levels.shape[1])
    vectors = np.ascontiguousarray(levels.T)  # (cells, P): what is read together lies together
    cells = cells[:, ::2, 1::2].reshape(len(cells), -1)
    weights = inside[:, ::2, 1::2].reshape(len(inside), -1)
    weights = np.where(weights.any(axis=1, keepdims=True), weights, np.float32(1))
    places = cells // width // 2 * coarse_width + cells % width // 2
    sums = (weights[:, None] @ vectors.take(places, axis=0))[:, 0]  # (K, P)
    return _unit(sums / weights.sum(axis=1, keepdims=True) / (deviations + 1e-6))


def _unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Each of length 1; what has none stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = (vectors / np.maximum(lengths, 1e-9)).astype(np.float32)
    return unit


def _tables() -> list[npt.NDArray[np.uint8]]:
    """For each channel, what a value of 8 bits adds to the number of the bin."""
    num_light, num_first, num_second = COLOUR_BINS
    values = np.arange(256)
    tint = ((values - 128 + COLOUR_RANGE) / (2 * COLOUR_RANGE)).clip(0, 1 - 1e-6)
    steps = (
        values * num_light // 256 * num_first * num_second,
        (tint * num_first).astype(np.intp) * num_second,
        (tint * num_second).astype(np.intp),
    )
    return [step.astype(np.uint8) for step in steps]  # 100 bins: their numbers fit


def _smoothing() -> npt.NDArray[np.float32]:
    """(bins, bins) what each bin gives to the others; rows add up to 1."""
    axes = [np.exp(-0.5 * ((np.arange(n)[:, None] - np.arange(n)) / BLUR_BINS) ** 2) for n in COLOUR_BINS]
    light, first, second = (axis / axis.sum(axis=1, keepdims=True) for axis in axes)
    return np.kron(light, np.kron(first, second)).astype(np.float32)


_TABLES: Final = _tables()
_SMOOTHING: Final = _smoothing()
