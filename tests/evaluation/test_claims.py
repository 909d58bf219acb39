"""Reliability of confidence and mask quality."""

import math

import pytest

from streamseg.evaluation.claims import CLAIM, Answer, score_claims
from streamseg.structures.message import PromptStatus


def answer(confidence: float, mask_quality: float | None, iou: float) -> Answer:
    return Answer(PromptStatus("p", "bound", confidence, 1, mask_quality), iou)


@pytest.mark.parametrize(
    ("answers", "confidence", "mask_quality"),
    [
        pytest.param([], (0, 0, math.nan), (0, 0, math.nan), id="no-answers"),
        pytest.param([answer(0.5, 0.5, 0.9)], (1, 0, math.nan), (1, 0, math.nan), id="no-claims"),
        pytest.param([answer(CLAIM, 0.2, 0.5)] * 3, (3, 3, 1.0), (3, 0, math.nan), id="all-right-on-the-border"),
        pytest.param(
            [answer(1.0, 0.95, 0.8), answer(1.0, 0.95, 0.49), answer(1.0, 0.3, 0.2)],
            (3, 3, 1 / 3),
            (3, 2, 0.5),
            id="some-wrong",
        ),
        pytest.param([answer(1.0, None, 0.8)], (1, 1, 1.0), (1, 0, math.nan), id="unknown-quality-claims-nothing"),
    ],
)
def test_claims(answers, confidence, mask_quality):
    scores = score_claims(answers)
    for name, expected in (("confidence", confidence), ("mask_quality", mask_quality)):
        of = scores[name]
        assert (of.num_answers, of.num_claims, of.share_correct) == pytest.approx(expected, nan_ok=True)
        assert of.calibration.num_proposals == len(answers)
