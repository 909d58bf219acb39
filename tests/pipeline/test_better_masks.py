"""Better masks in the message: mask, box, score and status of the objects that get one."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg.pipeline.better_masks import with_better_masks
from streamseg.pipeline.compose import Matches
from streamseg.structures.mask import CropMask, MaskSpace
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import Selection
from streamseg.tiers import BetterMask
from tests.support.messages import make_object

SIZE = (48, 64)
FULL = MaskSpace.of(SIZE)


def square(x: int, y: int, side: int, space: MaskSpace = FULL) -> CropMask:
    return CropMask(np.ones((side, side), np.bool_), x, y, space)


def make_matches(space: MaskSpace = FULL) -> Matches:
    first = make_object(np.ones((8, 8), np.bool_), 4, 4, score=0.8, prompt_ids=("a", "t"), track_id=1)
    second = make_object(np.ones((8, 8), np.bool_), 20, 20, score=0.6, prompt_ids=("t", "everything"), track_id=2)
    selections = (
        Selection("a", (0,), (0.8,), status=PromptStatus("a", "bound", 0.8, 1, mask_quality=0.7)),
        Selection("t", (0, 1), (0.8, 0.6), status=PromptStatus("t", "bound", 0.8)),
        Selection("everything", (1,), (0.6,)),
        Selection("gone", (), (), status=PromptStatus("gone", "lost")),
    )
    return Matches(selections, (first, second), space)


def test_nothing_changes_without_any():
    matches = make_matches()
    assert with_better_masks(matches, {}, "quality") is matches


def test_the_mask_replaces_that_of_the_object():
    matches = with_better_masks(make_matches(), {1: BetterMask(square(18, 19, 10), 0.95)}, "quality")
    best, other = matches.objects
    assert (best.track_id, best.score, best.box, best.area) == (2, 0.95, (18.0, 19.0, 28.0, 29.0), 100)
    assert other.track_id == 1
    sources = {one.prompt_id: one.status.mask_source for one in matches.selections if one.status is not None}
    assert sources == {"a": "proposal", "t": "proposal", "gone": None}, "the best object of t has its old mask"


def test_the_status_of_its_prompts_says_so():
    matches = with_better_masks(make_matches(), {0: BetterMask(square(4, 4, 9), 0.93)}, "quality")
    statuses = {one.prompt_id: one.status for one in matches.selections if one.status is not None}
    for prompt_id in ("a", "t"):
        assert (statuses[prompt_id].mask_source, statuses[prompt_id].mask_quality) == ("quality", 0.93)
    assert statuses["gone"].mask_source is None


@pytest.mark.parametrize("scale", [0.5, 0.25])
def test_masks_in_a_smaller_space(scale: float):
    space = MaskSpace.of(SIZE, (round(48 * scale), round(64 * scale)))
    matches = with_better_masks(make_matches(space), {0: BetterMask(square(8, 8, 16), 0.9)}, "quality")
    improved = next(one for one in matches.objects if one.track_id == 1)
    assert improved.mask.space == space
    assert improved.area == round(256 * scale * scale)
    assert improved.box == (8.0, 8.0, 24.0, 24.0), "boxes are in pixels of the image"
