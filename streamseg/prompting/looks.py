"""What a target looks like, beside what else: by this it is found anywhere in an image.

Propagation knows where a target was. If it has moved farther than expected, or was hidden, something else is at its
place; the features of the image, which propagation compares cell by cell, tell the two apart by their means.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
import torch

from streamseg.propagation import largest
from streamseg.structures.arrays import BoolArray, Float32Array
from streamseg.structures.feature_map import FeatureMap

__all__ = ["TargetLooks", "mean_features", "shares_within"]

MAX_VIEWS: Final = 4
"""Maximum number of views of a target: the first one and the latest ones."""
NOVEL_COSINE: Final = 0.95
"""Cosine similarity with a known view from which another one adds nothing."""
MAX_OTHER_TRACKS: Final = 256
"""Maximum number of tracks beside a target that are remembered."""
SWITCHED_GAIN: Final = 0.1
"""Difference of cosine similarities from which a track looks more like the target than like itself before."""
VOTE_WEIGHT: Final = 0.5
"""Weight of the IoU with the mask by votes in a rating."""
NUM_VOTES: Final = 5
"""Number of most similar cells that a cell takes its label from, in `TargetLooks.votes`."""
MAX_VOTERS: Final = 160
"""Maximum number of cells that vote; of larger masks, every second or third cell does."""
TEMPERATURE: Final = 0.07
"""Temperature of the softmax over their similarities."""


class TargetLooks:
    """The looks of one target, and of the objects beside it when it was last seen for certain.

    A look is a mean of features (C,), of length 1.
    """

    def __init__(self) -> None:
        self._views: Float32Array = np.zeros((0, 0), np.float32)
        """(V, C), the first one and the latest ones."""
        self._others: Float32Array | None = None
        self._other_tracks: dict[int, Float32Array] = {}
        """What tracks that were seen beside the target looked like (C,), by track id; the latest ones last."""
        self._frames: list[tuple[Float32Array, Float32Array]] = []
        """Coarse features (cells, C) and labels (cells,) of the first and of the latest frame."""
        self._voters: tuple[Float32Array, Float32Array] | None = None
        """The same of both frames together, on first use."""

    @property
    def is_known(self) -> bool:
        """True once the target has been learnt."""
        return bool(len(self._views))

    def learn(self, look: Float32Array, features: FeatureMap, shares: Float32Array) -> None:
        """Learn the target in one frame.

        Args:
            look: (C,).
            features: the features of the frame.
            shares: (H, W), 0..1: how much of each cell belongs to the target.
        """
        if not len(self._views):
            self._views = look[None]
        elif float(self._cosines(look[None])[0]) < NOVEL_COSINE:
            # The first one stays: it shows what the prompt selected.
            kept = self._views if len(self._views) < MAX_VIEWS else np.delete(self._views, 1, axis=0)
            self._views = np.concatenate((kept, look[None]))
        coarse = features.coarser
        cells = coarse.values.reshape(-1, coarse.values.shape[2])
        self._frames = [*self._frames[:1], (cells, _resized(shares, coarse.size).reshape(-1))]
        self._voters = None

    def learn_others(self, looks: Float32Array, track_ids: Sequence[int]) -> None:
        """Learn the objects beside the target: their looks (N, C) now, besides those known under other track ids.

        Args:
            looks: (N, C).
            track_ids: track id of each; `TENTATIVE` for none.
        """
        if len(looks):
            self._others = looks
        for track_id, look in zip(track_ids, looks, strict=True):
            self._other_tracks.pop(track_id, None)
            if track_id >= 0:
                self._other_tracks[track_id] = look
        for track_id in list(self._other_tracks)[:-MAX_OTHER_TRACKS]:
            del self._other_tracks[track_id]

    def are_others(self, looks: Float32Array, track_ids: Sequence[int]) -> BoolArray:
        """Return which of K rows, with looks (K, C) and track ids, are objects that were seen beside the target.

        A track that was seen there, but looks more like the target now than like itself, has switched to the target.
        """
        are_others = np.zeros(len(looks), np.bool_)
        known = [row for row, track_id in enumerate(track_ids) if track_id in self._other_tracks]
        if known:
            before = np.stack([self._other_tracks[track_ids[row]] for row in known])
            as_before = np.einsum("kc,kc->k", looks[known], before)
            are_others[known] = self._cosines(looks[known]) < as_before + SWITCHED_GAIN
        return are_others

    def ratings(self, looks: Float32Array) -> Float32Array:
        """Rate looks (K, C): twice the similarity with the target, minus that with the objects beside it; at most 2."""
        own = 2 * self._cosines(looks)
        if self._others is None or not len(looks):
            return own
        rated: Float32Array = own - np.maximum((looks @ self._others.T).max(axis=1), 0)
        return rated

    def votes(self, features: FeatureMap, shares: Float32Array) -> Float32Array:
        """Return what is added to the ratings of masks: the weighted IoU (K,) with the target's mask by votes.

        Each coarse cell of the masks takes its label from the most similar cells anywhere in the frames learnt.

        Args:
            features: the features of the image.
            shares: (K, H, W), 0..1: how much of each cell belongs to each mask. Cells of none of them do not count.
        """
        coarse = features.coarser
        channels = coarse.values.shape[2]
        masks = np.stack([_resized(one, coarse.size).reshape(-1) for one in shares])  # (K, cells)
        asked = np.flatnonzero(masks.any(axis=0))
        asked = asked[:: -(-len(asked) // MAX_VOTERS) or 1]
        masks = masks[:, asked]
        if self._voters is None:
            cells, labels = (np.concatenate(one) for one in zip(*self._frames, strict=True))
            self._voters = cells, labels
        cells, labels = self._voters
        # By torch: OpenBLAS spins, see `FeatureBasis`.
        queries = torch.from_numpy(coarse.values.reshape(-1, channels)[asked])
        similarities: Float32Array = torch.mm(queries, torch.from_numpy(cells).T).numpy()  # (Q, M)
        places, found = largest(similarities, NUM_VOTES)
        weights = np.exp((found - found.max(axis=1, keepdims=True, initial=-1)) / TEMPERATURE)
        soft = (weights * labels[places]).sum(axis=1) / weights.sum(axis=1)
        shared, union = np.minimum(masks, soft).sum(axis=1), np.maximum(masks, soft).sum(axis=1)
        ious: Float32Array = (VOTE_WEIGHT * shared / np.maximum(union, 1e-6)).astype(np.float32)
        return ious

    def _cosines(self, looks: Float32Array) -> Float32Array:
        cosines: Float32Array = (looks @ self._views.T).max(axis=1)
        return cosines


def mean_features(features: FeatureMap, shares: Sequence[Float32Array] | Float32Array) -> Float32Array:
    """Return the looks (K, C) of masks, given as shares (K, H, W) of cells; zero for an empty mask."""
    values = features.values.reshape(-1, features.values.shape[2])
    stacked = np.asarray(shares, np.float32).reshape(len(shares), len(values))
    sums = stacked @ values
    looks: Float32Array = sums / np.maximum(np.sqrt(np.einsum("kc,kc->k", sums, sums)), 1e-9)[:, None]
    return looks


def shares_within(shares: Float32Array, areas: Float32Array, mask: Float32Array, min_share: float) -> BoolArray:
    """Return which masks (K, H, W) share at least `min_share` of the smaller of both with another one (H, W).

    Args:
        shares: 0..1.
        areas: (K,), their sums.
        mask: 0..1.
        min_share: 0..1.
    """
    x, y, width, height = cv2.boundingRect((mask > 0).view(np.uint8))  # nothing is shared elsewhere
    window = slice(y, y + height), slice(x, x + width)
    shared = np.minimum(shares[:, *window], mask[window]).sum(axis=(1, 2))
    within: BoolArray = shared >= min_share * np.minimum(areas, mask.sum()).clip(1e-6)
    return within


def _resized(shares: Float32Array, size: tuple[int, int]) -> Float32Array:
    return np.asarray(cv2.resize(shares, size[::-1], interpolation=cv2.INTER_AREA), np.float32)
