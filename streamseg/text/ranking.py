"""Vectors to scores: how well each text describes each object, and whether any does."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from streamseg.text.description import EncodersDescription

__all__ = ["NONE_OF_THESE", "best_texts", "default_threshold", "text_scores"]

NONE_OF_THESE: Final = (
    "a photo of something",
    "a photo of the background",
    "a photo of a surface",
    "a blurry photo",
)
"""What competes with the texts asked for, so that an object may go to none of them: softmax alone gives all to the
only text there is. Our choice: an unnamed thing, the places and surfaces that everything-segmentation also finds, and
crops too small to tell."""

THRESHOLDS: Final = {"softmax": 0.5, "sigmoid": 0.1}
"""Lowest score of an answer. Softmax: the text weighs more than all the others together. Sigmoid: SigLIP's scores of
right descriptions are often well below 0.5, while wrong ones are near 0. Both are choices, and not fitted to data."""


def default_threshold(description: EncodersDescription) -> float:
    """Score from which a text describes an object, where nothing else is asked for."""
    return THRESHOLDS[description.activation]


def text_scores(
    images: npt.NDArray[np.float32],
    texts: npt.NDArray[np.float32],
    others: npt.NDArray[np.float32],
    description: EncodersDescription,
) -> npt.NDArray[np.float32]:
    """How well each text describes each object.

    Args:
        images: embeddings (K, D) of length 1.
        texts: embeddings (T, D) of the texts asked for, each once.
        others: embeddings (N, D) of what else an object may be. They compete under softmax; sigmoid needs none.
        description: scale, bias and activation.

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


def best_texts(scores: npt.NDArray[np.float32], threshold: float) -> list[list[tuple[int, float]]]:
    """Give each object to the text that describes it best, or to none.

    Args:
        scores: (K, T), 0..1.
        threshold: lowest score of an answer.

    Returns:
        For each text its objects (row, score), best first.
    """
    answers: list[list[tuple[int, float]]] = [[] for _ in range(scores.shape[1])]
    if not scores.size:
        return answers
    best = scores.argmax(axis=1)
    reached = scores[np.arange(len(scores)), best]
    for row in np.argsort(-reached, kind="stable").tolist():
        if reached[row] >= threshold:
            answers[best[row]].append((row, float(reached[row])))
    return answers
