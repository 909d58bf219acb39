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
from streamseg.structures.feature_map import FeatureMap, halved

__all__ = ["feature_map"]

COLOUR_WEIGHT: Final = 1.0
"""Length of the colour part, relative to the prototype part of length 1."""
EMBEDDING_WEIGHT: Final = 1.0
"""The same for the embedding."""


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
        E + P + 4 channels: embedding, prototypes and colours, the latter two relative to their mean in the image.
    """
    maps = halved(np.ascontiguousarray(np.moveaxis(prototypes, 0, 2), np.float32))  # (h, w, P)
    height, width = maps.shape[:2]
    small = cv2.resize(input_image, (width, height), interpolation=cv2.INTER_AREA)
    colours = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.float32)
    colours = colours - colours.mean(axis=(0, 1))
    # One scale for all channels, because a grey image has no colours to enlarge. The constant keeps grey cells, which
    # are near the mean, from being as different from each other as from coloured ones.
    colours = colours / max(float(colours.std(axis=(0, 1)).mean()), 1.0)
    colours = np.concatenate([colours, np.ones((height, width, 1), np.float32)], axis=2)
    maps = (maps - maps.mean(axis=(0, 1))) / np.maximum(maps.std(axis=(0, 1)), 1e-6)
    parts = [_unit(maps), COLOUR_WEIGHT * _unit(colours)]
    if embedding is not None:
        parts.append(EMBEDDING_WEIGHT * np.moveaxis(embedding, 0, 2).astype(np.float32))
    return FeatureMap(_unit(np.concatenate(parts, axis=2)), place.to_image(2 * PROTOTYPE_STRIDE))


def _unit(values: Float32Array) -> Float32Array:
    """Scale the vectors (H, W, C) to length 1; zero vectors stay zero."""
    lengths = np.sqrt(np.einsum("hwc,hwc->hw", values, values))[..., None]
    unit: Float32Array = values / np.maximum(lengths, 1e-6)
    return unit
