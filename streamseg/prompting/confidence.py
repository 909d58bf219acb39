"""Confidence in the objects that prompts select, and the expected IoU of their masks.

Following knows whether an object is still the one that a prompt selected at first (identity). Whether that one was
meant depends on the prompt and on the object's score: a box determines an object, a click may mean a part, its whole or
the object behind; and a low score means a stain more often than an object. Both are combined here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from streamseg.prompting.prompt_set import PromptSet
from streamseg.structures.instances import Instances
from streamseg.structures.prompt import PointPrompt, Prompt, Selection

__all__ = ["FEATURES", "MASK_WEIGHTS", "OBJECT_WEIGHTS", "features", "object_probability", "rated", "with_mask_quality"]

FEATURES: Final = ("constant", "points", "score")
"""Names of the evidence, see `features`."""
OBJECT_WEIGHTS: Final = (2.10, -1.90, 0.85)
"""Log odds per feature that the selected mask has an IoU of at least 0.5 with the object that was meant."""
MASK_WEIGHTS: Final = (1.04, -0.95, 0.44)
"""The same for the expected IoU, as a logit. Both are near the fits on 329 held-out COCO objects and on 42 frames of
films-dev, with a box and a click each: fitted on either, the log loss on the other was lower than that of the former
weights, which a former network had got from ten sequences. `scripts/bench prompt_answers --fit` repeats the fit; run it
after a change of the network. The estimates grow with the score, so that other networks' scores keep their order."""
MIN_SHARE: Final = 1e-4
"""Limit of scores, and of one minus them, for finite logits."""


def features(prompt: Prompt, score: float) -> tuple[float, float, float]:
    """Return the evidence about an object that a prompt selects.

    Args:
        prompt: the prompt; a text counts as a box, because both name a whole object.
        score: score of the object, 0..1: the expected IoU of its mask if the weights include a refiner.

    Returns:
        1; 1 for points and 0 for other prompts; and the logit of the score.
    """
    share = min(max(score, MIN_SHARE), 1 - MIN_SHARE)
    return 1.0, float(isinstance(prompt, PointPrompt)), math.log(share / (1 - share))


def rated(
    selections: Sequence[Selection], prompts: PromptSet, instances: Instances, *, is_tracked: bool = True
) -> list[Selection]:
    """Rate the selections of spatial prompts in one frame: their confidence, and the expected IoU of their masks.

    The confidence is the probability that the object is still the one that was selected, times the probability that
    this is the one that was meant. The scores of the selections are unchanged.

    Args:
        selections: P selections of `prompts`, in order. The confidence in their statuses is the identity's, for prompts
            that follow; others are evaluated in each frame anew, so that it is 1 for them.
        prompts: P prompts without texts.
        instances: the instances of the frame, K of them.
        is_tracked: False if no prompt follows its target, because tracking is disabled.
    """
    scores = instances.scores.tolist()
    ratings = []
    for selection, prompt in zip(selections, prompts.prompts, strict=True):
        status = selection.status
        if status is not None and _is_rateable(selection):
            evidence = features(prompt, scores[selection.rows[0]])
            identity = status.confidence if is_tracked and getattr(prompt, "follow", False) else 1.0
            confidence = identity * object_probability(prompt, scores[selection.rows[0]])
            # Another object shares nothing with the intended one.
            quality = identity * _estimate(MASK_WEIGHTS, evidence)
            selection = replace(selection, status=replace(status, confidence=confidence, mask_quality=quality))
        ratings.append(selection)
    return ratings


def object_probability(prompt: Prompt, score: float) -> float:
    """Return the probability that an object of this score is the one that a prompt means, see `features`."""
    return _estimate(OBJECT_WEIGHTS, features(prompt, score))


def with_mask_quality(selection: Selection, prompt: Prompt, scores: Sequence[float]) -> Selection:
    """Add the expected IoU of the selected mask to a selection's status, without a change of its confidence.

    Args:
        selection: with several rows, the first one counts. Without a row or a status, and with a merged mask, nothing
            changes.
        prompt: its prompt.
        scores: (K,) of the frame's instances.
    """
    if selection.status is None or not _is_rateable(selection):
        return selection
    quality = _estimate(MASK_WEIGHTS, features(prompt, scores[selection.rows[0]]))
    return replace(selection, status=replace(selection.status, mask_quality=quality))


def _is_rateable(selection: Selection) -> bool:
    """Return whether a selection has a mask of one instance, not one merged from several."""
    return bool(selection.rows) and selection.mask is None


def _estimate(weights: Sequence[float], evidence: Sequence[float]) -> float:
    odds = sum(weight * value for weight, value in zip(weights, evidence, strict=True))
    return 1 / (1 + math.exp(-odds))
