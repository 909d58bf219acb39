"""What prompts claim about their objects, against the ground truth: of those that claim much, how many are right?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamseg.evaluation.scores import CORRECT_IOU, Calibration, calibration
from streamseg.structures.arrays import Float64Array
from streamseg.structures.message import PromptStatus

__all__ = ["CLAIM", "Answer", "ClaimScores", "score_claims"]

CLAIM: Final = 0.9
"""A confidence or mask quality from which an answer claims to be right."""


@dataclass(frozen=True)
class Answer:
    """The object that a prompt selected in one frame."""

    status: PromptStatus
    iou: float
    """IoU of its mask with the object that was meant, 0..1."""


@dataclass(frozen=True)
class ClaimScores:
    """Reliability of one quantity, the confidence or the mask quality."""

    num_answers: int
    num_claims: int
    """Number of answers from `CLAIM` on."""
    share_correct: float
    """Share of the claims whose mask has an IoU of at least 0.5; nan without claims."""
    calibration: Calibration
    """Of all answers; `calibration_error` fits the mask quality, `calibration_error_50` the confidence."""


def score_claims(answers: Sequence[Answer]) -> dict[str, ClaimScores]:
    """Score `confidence` and `mask_quality`, by these names; there may be no answers.

    An answer without a mask quality claims nothing: its quality counts as 0.
    """
    ious = np.array([one.iou for one in answers], dtype=np.float64)
    by_name = {
        "confidence": [one.status.confidence for one in answers],
        "mask_quality": [one.status.mask_quality or 0.0 for one in answers],
    }
    return {name: _score(np.array(values, dtype=np.float64), ious) for name, values in by_name.items()}


def _score(values: Float64Array, ious: Float64Array) -> ClaimScores:
    claims = ious[values >= CLAIM]
    return ClaimScores(
        num_answers=len(values),
        num_claims=len(claims),
        share_correct=float(np.mean(claims >= CORRECT_IOU)) if len(claims) else float("nan"),
        calibration=calibration(values, ious),
    )
