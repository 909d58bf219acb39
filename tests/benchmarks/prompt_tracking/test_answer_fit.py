"""The fit of the confidence in answers: it finds the weights that made the outcomes, and judges others as worse."""

import numpy as np
import pytest

from benchmarks.prompt_tracking.answer_fit import IN_USE, MIN_IDENTITY, Row, fit, log_losses
from streamseg.evaluation.claims import Answer
from streamseg.structures.message import PromptStatus

TRUE = np.array([0.5, -1.0, 1.5])


def rows_of(count: int = 1500, *, identity: float = 1.0, flipped: bool = False) -> list[Row]:
    generator = np.random.default_rng(3)
    rows = []
    for number in range(count):
        evidence = (1.0, float(number % 2), float(generator.normal()))
        is_right = (generator.random() < 1 / (1 + np.exp(-np.dot(TRUE, evidence)))) != flipped
        iou = 0.9 if is_right else 0.1
        rows.append(Row(f"trajectory {number // 3}", evidence, identity, Answer(PromptStatus("p", "bound"), iou)))
    return rows


def test_fit_finds_the_weights_of_the_outcomes():
    fitted = fit(rows_of())
    assert fitted["OBJECT_WEIGHTS"] == pytest.approx(TRUE.tolist(), abs=0.3)
    assert fitted.keys() == IN_USE.keys()


def test_answers_of_doubtful_identity_are_left_out():
    rows = rows_of()
    misleading = rows_of(900, identity=MIN_IDENTITY - 0.01, flipped=True)
    assert fit([*rows, *misleading]) == fit(rows)
    assert log_losses([*rows, *misleading], IN_USE) == log_losses(rows, IN_USE)


def test_fitted_weights_lose_least():
    rows = rows_of()
    fitted = log_losses(rows, fit(rows))
    for other in (dict.fromkeys(IN_USE, (0.0, 0.0, 0.0)), dict.fromkeys(IN_USE, (-0.5, 1.0, -1.5))):
        losses = log_losses(rows, other)
        assert all(fitted[name] < losses[name] for name in IN_USE)
    # A coin has log 2.
    nothing = log_losses(rows, dict.fromkeys(IN_USE, (0.0, 0.0, 0.0)))
    assert nothing["OBJECT_WEIGHTS"] == pytest.approx(np.log(2), abs=1e-3)
