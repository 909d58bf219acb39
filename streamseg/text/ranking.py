"""Scores of texts and objects from their embeddings, and assignment of objects to texts."""

from __future__ import annotations

from typing import Final

import numpy as np

from streamseg.structures.arrays import Float32Array
from streamseg.text.description import EncodersDescription

__all__ = ["NONE_OF_THESE", "best_texts", "default_threshold", "text_scores"]

NONE_OF_THESE: Final = (
    "a photo of something",
    "a photo of the background",
    "a photo of a surface",
    "a blurry photo",
)
"""Distractors that compete with the prompted texts, so that an object may match none of them: with a single text,
softmax alone would assign everything to it. Our choice: an unnamed object, the background and surfaces that
segmentation of everything also finds, and crops too small to recognise."""

THRESHOLDS: Final = {"softmax": 0.5, "sigmoid": 0.1}
"""Default minimum score of a match. Softmax: the text outweighs all others combined. Sigmoid: SigLIP scores of correct
descriptions are often well below 0.5, while incorrect ones are near 0. Both are choices, not fitted to data."""


def default_threshold(description: EncodersDescription) -> float:
    """Return the default minimum score of a match for these encoders."""
    return THRESHOLDS[description.activation]


def text_scores(
    images: Float32Array,
    texts: Float32Array,
    others: Float32Array,
    description: EncodersDescription,
) -> Float32Array:
    """Score how well each text describes each object.

    Args:
        images: embeddings (K, D) of length 1.
        texts: embeddings (T, D) of the distinct prompted texts.
        others: embeddings (N, D) of distractors. They compete under softmax; sigmoid requires none.
        description: description of the encoders, for scale, bias and activation.

    Returns:
        float32 (K, T), 0..1; K and T may be 0. Under softmax the sum over the texts is at most 1.
    """
    if description.activation == "sigmoid":
        logits = (images @ texts.T).astype(np.float64) * description.logit_scale + description.logit_bias
        scores = np.exp(-np.logaddexp(0, -logits))
    else:
        logits = (images @ np.concatenate([texts, others]).T).astype(np.float64) * description.logit_scale
        logits -= logits.max(axis=1, keepdims=True, initial=-np.inf)
        weights = np.exp(logits)
        scores = weights[:, : len(texts)] / np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
    return scores.astype(np.float32)


def best_texts(scores: Float32Array, threshold: float) -> list[list[tuple[int, float]]]:
    """Assign each object to the text that describes it best, or to none.

    Args:
        scores: (K, T), 0..1.
        threshold: minimum score of a match.

    Returns:
        The objects (row, score) of each text, best first.
    """
    matches: list[list[tuple[int, float]]] = [[] for _ in range(scores.shape[1])]
    if not scores.size:
        return matches
    best = scores.argmax(axis=1)
    best_scores = scores[np.arange(len(scores)), best]
    for row in np.argsort(-best_scores, kind="stable").tolist():
        if best_scores[row] >= threshold:
            matches[best[row]].append((row, float(best_scores[row])))
    return matches
