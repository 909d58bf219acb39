"""Features of whole images, by which masks are propagated from frame to frame.

Networks may predict an embedding for this purpose. Prototypes differ between parts of the image, because masks are
linear combinations of them, and colours between surfaces that prototypes confuse; both exist for every network.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from streamseg.geometry import Letterbox
from streamseg.modeling.network import PROTOTYPE_STRIDE
from streamseg.structures.arrays import Float32Array, ImageArray
from streamseg.structures.feature_map import FeatureMap

__all__ = ["feature_map"]

COLOUR_WEIGHT: Final = 1.0
"""Length of the colour part, relative to the prototype part of length 1."""
EMBEDDING_WEIGHT: Final = 1.0
"""The same for the embedding."""
SHORT: Final = np.float32(1e-6)
"""Length below which vectors are not scaled to length 1: zero vectors stay zero."""


def feature_map(
    prototypes: Float32Array, embedding: Float32Array | None, input_image: ImageArray, place: Letterbox
) -> FeatureMap:
    """Return the features of one image, on a grid of two prototype cells per side.

    Args:
        prototypes: (P, Mh, Mw), float of any precision, as are embeddings.
        embedding: (E, Mh / 2, Mw / 2), the network's unit vectors for comparing frames; None if it predicts none.
        input_image: uint8 (H, W, 3) RGB, the network's input.
        place: placement of the image in it.

    Returns:
        P + 4 + E channels: prototypes and colours, relative to their means in the image, and the embedding.
    """
    # Channels come first until the end: their sums, and the means of 2 x 2 cells, are then several times as fast.
    maps = _halved(np.asarray(prototypes, np.float32))  # (P, h, w)
    height, width = maps.shape[1:]
    small = cv2.resize(input_image, (width, height), interpolation=cv2.INTER_AREA)
    colours = np.ones((4, height, width), np.float32)
    lab = colours[:3]
    lab[:] = np.moveaxis(np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB)), 2, 0)
    lab -= lab.mean(axis=(1, 2), keepdims=True)
    # One scale for all channels, because a grey image has no colours to enlarge. The constant keeps grey cells, which
    # are near the mean, from being as different from each other as from coloured ones.
    lab /= max(float(lab.std(axis=(1, 2)).mean()), 1.0)
    maps -= maps.mean(axis=(1, 2), keepdims=True)
    maps /= np.maximum(np.sqrt(np.einsum("chw,chw->c", maps, maps) / (height * width)), 1e-6)[:, None, None]
    parts, weights = [maps, colours], [1.0, COLOUR_WEIGHT]
    lengths = [_lengths(maps), _lengths(colours)]
    scales = [np.float32(weight) / np.maximum(length, SHORT) for weight, length in zip(weights, lengths, strict=True)]
    if embedding is not None:
        parts.append(embedding.astype(np.float32, copy=False))
        lengths.append(_lengths(parts[-1]))
        scales.append(np.full_like(lengths[-1], EMBEDDING_WEIGHT))
    squares = [(length * scale) ** 2 for length, scale in zip(lengths, scales, strict=True)]
    total = np.maximum(np.sqrt(sum(squares[1:], squares[0])), SHORT)  # length of all scaled parts together
    values = np.empty((sum(map(len, parts)), height, width), np.float32)
    first = 0
    for part, scale in zip(parts, scales, strict=True):
        np.multiply(part, scale / total, out=values[first : first + len(part)])
        first += len(part)
    cells = np.asarray(cv2.transpose(values.reshape(len(values), -1)), np.float32)
    return FeatureMap(cells.reshape(height, width, -1), place.to_image(2 * PROTOTYPE_STRIDE))


def _halved(maps: Float32Array) -> Float32Array:
    """Return the means (C, ceil(H / 2), ceil(W / 2)) of 2 x 2 cells of maps (C, H, W); see `halved`."""
    _, height, width = maps.shape
    if height % 2 or width % 2:
        maps = np.pad(maps, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    rows: Float32Array = maps[:, ::2] + maps[:, 1::2]
    means: Float32Array = (rows[..., ::2] + rows[..., 1::2]) / np.float32(4)
    return means


def _lengths(values: Float32Array) -> Float32Array:
    """Return the lengths (H, W) of vectors (C, H, W)."""
    lengths: Float32Array = np.sqrt(np.einsum("chw,chw->hw", values, values))
    return lengths
