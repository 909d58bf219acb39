"""Distillation: a network learns from another one's boxes and scores what the labels leave out.

Many images are labelled only in part: one person, or some classes. A teacher that detects the rest prevents the network
from forgetting it, and the loss is one-sided, so that what the labels add is not taken away.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from streamseg.modeling.network import Predictions

__all__ = ["teacher_loss"]

MIN_PROBABILITY = 0.1
"""Scores of the teacher below this are ignored, 0..1."""

SCORE_GAIN = 0.5
SIDES_GAIN = 1.5
"""Weights of the two parts, as those of the scores and box distributions in the loss on labels."""


def teacher_loss(predictions: Predictions, taught: Predictions) -> Tensor:
    """Return the loss of scores below the teacher's, and of box sides that differ from it where it detects an object.

    Args:
        predictions: predictions of the network in training.
        taught: the teacher's predictions for the same images, without gradients; it has as many bins per side.

    Returns:
        A scalar, divided by the sum of the teacher's scores; 0 if it detects nothing.
    """
    probability = taught.score_logits.float().amax(dim=1).sigmoid()  # (B, A)
    probability = probability * (probability > MIN_PROBABILITY)
    logits = predictions.score_logits.float().amax(dim=1)
    entropy = functional.binary_cross_entropy_with_logits(logits, probability, reduction="none")
    least = functional.binary_cross_entropy(probability, probability, reduction="none")
    scores = ((entropy - least) * (probability > logits.sigmoid())).sum()

    ours, theirs = (_sides(one.box_logits).log_softmax(dim=2) for one in (predictions, taught))  # (B, 4, R, A)
    sides = ((theirs.exp() * (theirs - ours)).sum(dim=2).mean(dim=1) * probability).sum()
    loss: Tensor = (SCORE_GAIN * scores + SIDES_GAIN * sides) / probability.sum().clamp(min=1)
    return loss


def _sides(box_logits: Tensor) -> Tensor:
    batch, channels, num_anchors = box_logits.shape
    return box_logits.float().reshape(batch, 4, channels // 4, num_anchors)
