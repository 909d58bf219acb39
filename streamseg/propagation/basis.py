"""Principal components of features: nearly the same scalar products, in fewer channels."""

from __future__ import annotations

import numpy as np
import torch

from streamseg.structures.arrays import Float32Array
from streamseg.structures.feature_map import FeatureMap

__all__ = ["FeatureBasis"]


class FeatureBasis:
    """The components of the first features, which all later ones are reduced to, so that they can be compared.

    No linear map to as few channels preserves the scalar products of the first features better (Eckart and Young).

    Args:
        num_components: maximum number of channels of the results; 0 keeps the features as they are.
    """

    def __init__(self, num_components: int) -> None:
        self._num_components = num_components
        self._components: Float32Array | None = None
        self._newest: tuple[FeatureMap, FeatureMap] | None = None

    def reduced(self, features: FeatureMap) -> FeatureMap:
        """Return features (H, W, C) with at most `num_components` channels; those of the same frame are kept.

        Args:
            features: of the same shape in each call.
        """
        channels = features.values.shape[2]
        if not 0 < self._num_components < channels:
            return features
        if self._newest is not None and self._newest[0] is features:
            return self._newest[1]
        cells = features.values.reshape(-1, channels)
        if self._components is None:
            _, vectors = np.linalg.eigh(cells.T @ cells)  # in ascending order of the values
            self._components = np.ascontiguousarray(vectors[:, -self._num_components :], np.float32)  # (C, N)
        # By torch: OpenBLAS distributes the product over threads that wait for each other by spinning.
        product = torch.mm(torch.from_numpy(cells), torch.from_numpy(self._components))
        values: Float32Array = product.numpy().reshape(*features.size, -1)
        self._newest = features, FeatureMap(values, features.to_image)
        return self._newest[1]
