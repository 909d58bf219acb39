"""Tracking methods on sequences of drawn discs."""

import numpy as np
import pytest

from streamseg.evaluation.prompt_tracking import (
    best_masks,
    first_prompts,
    guided_tracking,
    keep_track_id,
    select_every_frame,
    track_prompt,
)
from streamseg.structures.prompt import BoxPrompt
from tests.support.images import crop_of, disc, rectangle
from tests.support.sequences import OTHER, SIZE, full, instances_of, moving, sequence


@pytest.mark.parametrize("track", [select_every_frame, keep_track_id, track_prompt])
@pytest.mark.parametrize("kind", ["box", "1 point"])
def test_object_is_tracked(track, kind):
    truth = moving()
    prompt = first_prompts(truth[0])[kind]
    masks = full(track(prompt, sequence([[OTHER, mask] for mask in truth])))
    assert all((mask == true).all() for mask, true in zip(masks, truth, strict=True))


@pytest.mark.parametrize("track", [select_every_frame, keep_track_id, track_prompt])
def test_absent_object_gives_empty_masks_and_is_found_again(track):
    truth = moving(step=1)
    answers = [[OTHER, mask] if index not in (4, 5) else [OTHER] for index, mask in enumerate(truth)]
    masks = full(track(first_prompts(truth[0])["box"], sequence(answers)))
    assert [bool(mask.any()) for mask in masks] == [True] * 4 + [False] * 2 + [True] * 4
    assert (masks[-1] == truth[-1]).all()


def test_identities_distinguish_an_object_that_takes_its_place():
    """A second disc moves to the position of the first: the box selects it, but its identity differs."""
    passing = moving(14, step=-4, start=74)
    answers = [[disc(SIZE, 20, 30, 11), other] if index < 9 else [other] for index, other in enumerate(passing)]
    prompt = first_prompts(answers[0][0])["box"]
    assert full(select_every_frame(prompt, sequence(answers)))[-1].any()
    for track in (keep_track_id, track_prompt):
        assert not any(mask.any() for mask in full(track(prompt, sequence(answers)))[9:])


def test_prompt_without_match_gives_empty_masks():
    far = BoxPrompt("far", (80, 45, 99, 59))
    for track in (select_every_frame, keep_track_id, track_prompt):
        assert not any(mask.any() for mask in full(track(far, sequence([[OTHER]] * 4))))
        assert not any(mask.any() for mask in full(track(far, sequence([[]] * 4))))


def test_best_masks_returns_the_closest_mask():
    truth = moving(4)
    near = rectangle(SIZE, 10, 18, 40, 42)
    shifted = [np.roll(mask, 2, axis=1) for mask in truth]
    frames = sequence([[near, mask, OTHER] for mask in shifted])
    masks = full(best_masks([crop_of(mask) for mask in truth], frames))
    assert all((mask == expected).all() for mask, expected in zip(masks, shifted, strict=True))


def test_first_prompts():
    prompts = first_prompts(disc(SIZE, 40.5, 30.5, 10) | rectangle(SIZE, 0, 0, 3, 60))
    assert prompts["box"].box == (0, 0, 50, 60)
    assert prompts["1 point"].point_coords[0] == pytest.approx((40.5, 30.5), abs=1)


def test_point_of_a_ring_lies_on_the_ring():
    ring = disc(SIZE, 50, 30, 25) & ~disc(SIZE, 50, 30, 15)
    ((x, y),) = first_prompts(ring)["1 point"].point_coords
    assert ring[int(y), int(x)]


# ---- search regions


class RegionSegmenter:
    """Find the disc without regions in some frames, in the others only in an expected region."""

    def __init__(self, truth, found):
        self.truth, self.found, self.calls = truth, found, 0

    def __call__(self, images, regions=None):
        assert regions is not None, "no search regions were passed"
        (region,) = regions
        mask, is_found = self.truth[self.calls], self.found[self.calls]
        self.calls += 1
        (box,) = instances_of([mask]).boxes.tolist()
        expected = any(np.abs(one - box).max() < 4 for one in region.expected)
        return [instances_of([OTHER, mask] if is_found or expected else [OTHER])]


def test_guided_tracking_finds_objects_by_search_regions():
    truth = moving(12, step=2)
    segmenter = RegionSegmenter(truth, [index < 4 or index > 9 for index in range(12)])
    prompt = first_prompts(truth[0])["box"]
    masks = full(guided_tracking(segmenter)(prompt, sequence([[OTHER]] * 12)))
    assert all((mask == true).all() for mask, true in zip(masks, truth, strict=True))
