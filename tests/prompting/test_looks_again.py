"""Second looks: whose turn it is, and what follows from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamseg.prompting.looks_again import MAX_LOOKS, SecondLooks, mean_label
from streamseg.prompting.mask_frame import MaskFrame
from streamseg.propagation import Proposals
from streamseg.structures.mask import CropMask
from streamseg.structures.second_look import Look
from tests.support.followed_masks import SIZE, seen
from tests.support.shapes import Shape

PLACES = [Shape(40 + 60 * number, 120, 32, 48, "rectangle") for number in range(4)]
CERTAINTIES = {"a": 0.9, "b": 0.5, "c": 0.7, "d": 0.5}
"""Of the targets at these places."""


class Recorded:
    """A second look that finds every object in its box, with the boxes that it was asked for."""

    def __init__(self) -> None:
        self.lefts: list[list[int]] = []

    def __call__(self, boxes, logits, min_iou):
        self.lefts.append([round(x0) for x0 in boxes[:, 0].tolist()])
        assert logits.shape == (len(boxes), 2 * SIZE[0], 2 * SIZE[1])
        return [Look(box_mask(box), 0.9, True) for box in boxes]


def box_mask(box):
    mask = np.zeros((240, 320), bool)
    x0, y0, x1, y1 = np.rint(box).astype(int)
    mask[y0:y1, x0:x1] = True
    return CropMask.of(mask)


def soft(shape):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] * 8.0 + 4
    return shape.covers(x, y - 8).astype(np.float32)


SOFTS = {target_id: soft(place) for target_id, place in zip(CERTAINTIES, PLACES, strict=True)}


def frame_of(look) -> MaskFrame:
    tracked, features = seen(PLACES, [], [])
    tracked = replace(tracked, instances=replace(tracked.instances, look=look))
    return MaskFrame(features(), Proposals(tracked.instances), tracked, CERTAINTIES)


def asked(softs, looks, recorded):
    answers = looks.answers(softs, dict.fromkeys(softs, -1), frame_of(recorded))
    return {target_id for target_id, (answer, _) in answers.items() if answer.source == "proposal"}


def test_targets_take_turns_the_least_certain_first():
    looks, recorded = SecondLooks(0.6), Recorded()
    turns = [asked(SOFTS, looks, recorded) for _ in range(5)]
    assert turns == [{"b"}, {"d"}, {"c"}, {"a"}, {"b"}]
    assert [len(lefts) for lefts in recorded.lefts] == [MAX_LOOKS] * 5


def test_a_target_that_is_seen_again_waits_no_longer():
    looks, recorded = SecondLooks(0.6), Recorded()
    asked(SOFTS, looks, recorded)
    asked({"b": SOFTS["b"]}, looks, recorded)
    assert asked(SOFTS, looks, recorded) == {"b"}


def test_what_is_found_is_learnt_and_what_is_propagated_is_not():
    answers = SecondLooks(0.6).answers(SOFTS, dict.fromkeys(SOFTS, -1), frame_of(Recorded()))
    (found, label), (propagated, nothing) = answers["b"], answers["a"]
    assert (found.source, found.quality) == ("proposal", pytest.approx(0.9))
    assert label == pytest.approx(mean_label(SOFTS["b"], found.shares))
    assert (propagated.source, propagated.quality, nothing) == ("propagated", None, None)
    assert np.abs(propagated.shares - SOFTS["a"]).sum() < 0.2 * SOFTS["a"].sum()


def test_without_a_second_look_masks_are_propagated():
    answers = SecondLooks(0.6).answers(SOFTS, dict.fromkeys(SOFTS, -1), frame_of(None))
    assert {answer.source for answer, _ in answers.values()} == {"propagated"}


def test_the_row_of_the_own_track_counts_before_the_propagated_mask():
    tracked, features = seen(PLACES, [0], [1])
    frame = MaskFrame(features(), Proposals(tracked.instances), tracked, CERTAINTIES)
    answer, label = SecondLooks(0.6).answers({"a": SOFTS["a"]}, {"a": 0}, frame)["a"]
    assert (answer.row, answer.mask) == (0, None)
    assert label is not None
    assert label.max() == pytest.approx(1)


def test_an_empty_mask_is_not_looked_at():
    recorded, empty = Recorded(), np.zeros(SIZE, np.float32)
    (answer, label) = SecondLooks(0.6).answers({"a": empty}, {"a": -1}, frame_of(recorded))["a"]
    assert not answer.mask.crop.size
    assert label is None
    assert not recorded.lefts
