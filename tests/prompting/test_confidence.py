"""Confidence in selected objects, and the expected IoU of their masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamseg.prompting import PromptSet
from streamseg.prompting.confidence import FEATURES, MASK_WEIGHTS, OBJECT_WEIGHTS, features, rated, with_mask_quality
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import (
    BoxPrompt,
    EverythingPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    Selection,
    TextPrompt,
)

CLICK = PointPrompt("p", ((5.0, 5.0),), (1,))
BOX = BoxPrompt("p", (0, 0, 10, 10))
MASK = MaskPrompt("p", CropMask(np.ones((4, 4), dtype=np.bool_), 0, 0))
SHARES = st.floats(0, 1)


def instances(*scores: float) -> Instances:
    empty = Instances.empty((20, 20), (5, 5))
    return replace(
        empty,
        boxes=torch.zeros((len(scores), 4)),
        scores=torch.tensor(scores),
        mask_logits=torch.zeros((len(scores), 5, 5)),
    )


def rate(prompt: Prompt, scores: Sequence[float], identity: float = 1.0, **changes: object) -> PromptStatus:
    selection = Selection("p", (0,), (identity,), status=PromptStatus("p", "bound", identity, 3))
    (one,) = rated([replace(selection, **changes)], PromptSet.of([prompt]), instances(*scores))  # type: ignore[arg-type]
    assert one.status is not None
    return one.status


def test_weights_have_one_value_per_feature():
    assert len(OBJECT_WEIGHTS) == len(MASK_WEIGHTS) == len(FEATURES) == len(features(CLICK, 0.5))


@pytest.mark.parametrize("prompt", [CLICK, BOX, MASK], ids=["click", "box", "mask"])
@given(scores=st.tuples(SHARES, SHARES), identity=SHARES)
def test_both_are_shares_that_grow_with_the_score(prompt: Prompt, scores: tuple[float, float], identity: float):
    low, high = (rate(prompt, [score], identity) for score in sorted(scores))
    assert low.mask_quality is not None
    assert high.mask_quality is not None
    assert 0 <= low.confidence <= high.confidence <= identity
    assert 0 <= low.mask_quality <= high.mask_quality <= identity


@given(score=SHARES)
def test_a_click_says_less_than_a_box(score: float):
    click, box, mask = (rate(prompt, [score]) for prompt in (CLICK, BOX, MASK))
    assert click.confidence <= box.confidence == mask.confidence
    assert (click.mask_quality or 0) <= (box.mask_quality or 0)


@pytest.mark.parametrize(
    ("identity", "factor"),
    [pytest.param(1.0, 1.0, id="certain"), pytest.param(0.5, 0.5, id="whole"), pytest.param(0.0, 0.0, id="none")],
)
def test_identity_is_a_factor_of_both(identity: float, factor: float):
    certain, one = rate(BOX, [0.7]), rate(BOX, [0.7], identity)
    assert one.confidence == pytest.approx(factor * certain.confidence)
    assert one.mask_quality == pytest.approx(factor * (certain.mask_quality or 0))


def test_prompts_that_are_evaluated_anew_have_no_identity():
    still = replace(BOX, follow=False)
    assert rate(still, [0.7], 0.4) == rate(BOX, [0.7])
    selection = Selection("p", (0,), (0.4,), status=PromptStatus("p", "bound", 0.4))
    (one,) = rated([selection], PromptSet.of([BOX]), instances(0.7), is_tracked=False)
    assert one.status is not None
    assert one.status.confidence == rate(BOX, [0.7]).confidence


def test_the_score_of_the_selected_row_counts():
    assert rate(BOX, [0.2, 0.9], rows=(1,)) == rate(BOX, [0.9])


@pytest.mark.parametrize(
    "selection",
    [
        pytest.param(Selection("p", (), (), status=PromptStatus("p", "none")), id="nothing-found"),
        pytest.param(Selection("p", (), (), status=PromptStatus("p", "lost", 0.0, 3)), id="lost"),
        pytest.param(Selection("p", (0,), (0.5,), status=None), id="no-status"),
        pytest.param(
            Selection("p", (0,), (0.5,), mask=MASK.mask, status=PromptStatus("p", "bound", 0.5)), id="merged-mask"
        ),
    ],
)
def test_selections_that_stay_as_they_are(selection: Selection):
    assert rated([selection], PromptSet.of([BOX]), instances(0.7)) == [selection]
    assert with_mask_quality(selection, TextPrompt("p", "a cup"), [0.7]) == selection


def test_everything_has_no_status():
    everything = Selection("everything", (0, 1), (0.7, 0.6))
    assert rated([everything], PromptSet.of([EverythingPrompt()]), instances(0.7, 0.6)) == [everything]


def test_text_keeps_its_confidence():
    selection = Selection("p", (1, 0), (0.8, 0.6), status=PromptStatus("p", "bound", 0.8))
    status = with_mask_quality(selection, TextPrompt("p", "a cup"), [0.25, 0.75]).status
    assert status == PromptStatus("p", "bound", 0.8, -1, rate(BOX, [0.75]).mask_quality)


def test_no_prompts():
    assert rated([], PromptSet.of([]), instances()) == []
