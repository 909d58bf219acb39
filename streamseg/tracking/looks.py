"""Looks of objects: the appearance embeddings of tracks, compared with those of detections.

Boxes and masks cannot tell two objects that cross each other, or an object from the mask that spans both. Their colours
and textures can. On the rendered scene, 99 % of the objects keep a cosine of at least 0.89 to the next frame, and 95 %
of the pairs of different objects are below 0.68.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from streamseg.structures.arrays import Float32Array, Float64Array
from streamseg.structures.instances import Instances

__all__ = ["look_costs", "looks_of", "mixed_looks"]

LOOK_WEIGHT: Final = 2.5
"""Cost per unit of cosine. Different objects differ by 0.3 to 0.8, so that a pair of them costs more than any pair that
may match."""
USUAL_LOOK: Final = 0.92
"""Cosine at which the look of a pair neither adds to its cost nor reduces it: that of an object after a second. A
closer resemblance permits a larger movement, as at low frame rates."""
LOOK_RATE: Final = 0.2
"""Weight of the newest embedding in that of a track. One bad mask, such as that of two objects, changes it little."""


def looks_of(instances: Instances) -> Float32Array:
    """Return the embeddings (K, D) of `instances`, of unit length; D is 0 if they were not computed."""
    if instances.embeddings is None:
        return np.zeros((len(instances), 0), dtype=np.float32)
    return instances.embeddings.cpu().numpy().astype(np.float32, copy=False)


def look_costs(tracks: Float32Array, detections: Float32Array) -> Float64Array:
    """Return the costs (T, K) by which looks (T, D) and (K, D) change the cost of a pair; negative for a resemblance.

    0 for tracks whose row is 0: their look is unknown. D may be 0.
    """
    costs: Float64Array = LOOK_WEIGHT * (USUAL_LOOK - (tracks @ detections.T).astype(np.float64))
    costs[~tracks.any(axis=1)] = 0.0
    return costs


def mixed_looks(tracks: Float32Array, seen: Float32Array, credit: Float64Array) -> Float32Array:
    """Return the looks (T, D) of tracks after each was seen as its row of `seen`.

    Args:
        tracks: (T, D) so far; 0 if unknown.
        seen: (T, D) embeddings in this frame.
        credit: (T,) number of frames that `tracks` is the mean of; young tracks learn faster.
    """
    rate = np.maximum(LOOK_RATE, 1 / (credit + 1))[:, None]
    mean = (1 - rate) * tracks + rate * seen
    length = np.sqrt((mean * mean).sum(axis=1, keepdims=True))
    mixed: Float32Array = (mean / np.maximum(length, np.finfo(np.float32).tiny)).astype(np.float32)
    return mixed
