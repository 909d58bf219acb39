"""Statuses of prompts."""

from __future__ import annotations

import pytest

from streamseg.prompting.prompt_tracker import TENTATIVE_CONFIDENCE, selection_for
from streamseg.prompting.select import with_status
from streamseg.prompting.target import Hypothesis, Target
from streamseg.structures.instances import TENTATIVE
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import Selection
from tests.support.tracked_shapes import CLICK


@pytest.mark.parametrize(
    ("selection", "status"),
    [
        pytest.param(Selection("p", (), ()), PromptStatus("p", "none"), id="no-match"),
        pytest.param(Selection("p", (1, 0), (0.4, 0.9)), PromptStatus("p", "bound", 0.9, 6), id="first-row"),
        pytest.param(Selection("p", (0,), (1.2,)), PromptStatus("p", "bound", 1.0, 5), id="confidence-at-most-1"),
    ],
)
def test_status_of_an_unfollowed_prompt(selection: Selection, status: PromptStatus):
    assert with_status(selection, [5, 6]).status == status


def bound(track_id: int, **settings: object) -> Target:
    return Target(CLICK, [Hypothesis(track_id)], **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "row", "expected"),
    [
        pytest.param(Target(CLICK), -1, PromptStatus("p", "none"), id="no-hypotheses"),
        pytest.param(bound(4), 2, PromptStatus("p", "bound", 1.0, 4), id="bound"),
        pytest.param(bound(4), -1, PromptStatus("p", "lost", 0.0, 4), id="lost"),
        pytest.param(bound(TENTATIVE), 0, PromptStatus("p", "bound", TENTATIVE_CONFIDENCE, -1), id="tentative"),
        pytest.param(bound(-3), -1, PromptStatus("p", "lost", 0.0, -1), id="from-an-earlier-run-and-not-found"),
        pytest.param(
            bound(4, matched_id=6, confidence=0.8),
            0,
            PromptStatus("p", "reacquired", 0.8, 6),
            id="reidentified",
        ),
        pytest.param(bound(4, matched_id=6, confidence=0.8), -1, PromptStatus("p", "lost", 0.0, 6), id="lost-again"),
    ],
)
def test_selection_of_a_target(target: Target, row: int, expected: PromptStatus):
    selection = selection_for("p", target, row)
    assert selection.status == expected
    assert (selection.rows, selection.scores) == (((row,), (expected.confidence,)) if row >= 0 else ((), ()))
