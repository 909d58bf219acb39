"""Targets whose masks are propagated, beside the proposals of the network."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from streamseg.prompting import PromptSet, PromptTracker
from streamseg.prompting.looks_again import MAX_LOOKS
from streamseg.prompting.turns import MAX_PROPAGATED
from streamseg.propagation import LabelPropagator, PropagationSettings
from streamseg.structures.instances import Tracked
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import BoxPrompt, PointPrompt
from streamseg.structures.second_look import Look
from tests.support.followed_masks import CountedFeatures, features_of, seen
from tests.support.shapes import Shape, detect_shapes

CAR, POLE = Shape(80, 120, 80, 64, "rectangle"), Shape(260, 120, 32, 160, "rectangle")
HORSE, RIDER = Shape(100, 160, 112, 64, "rectangle"), Shape(100, 96, 48, 64, "rectangle")
CLICK = PointPrompt("p", ((80.0, 120.0),), (1,))
BOX = BoxPrompt("p", (40.0, 88.0, 120.0, 152.0))
BOX_OF_BOTH = BoxPrompt("p", (44.0, 64.0, 156.0, 192.0))


def right(shape, pixels):
    return replace(shape, x=shape.x + pixels)


def run(frames, prompt):
    """The selection in each frame; a frame is (shapes, detected, track ids)."""
    tracker, prompts = PromptTracker(), PromptSet.of((prompt,))
    selections = []
    for index, (shapes, detected, track_ids) in enumerate(frames):
        tracked, _ = seen(shapes, detected, track_ids, seed=index)
        (selection,) = tracker.update(tracked, prompts, frame_index=index, time_seconds=index / 25)
        selections.append(selection)
    return selections


def iou(mask, shapes):
    """IoU of a mask with the union of shapes."""
    y, x = np.mgrid[:240, :320] + 0.5
    expected = np.any([shape.covers(x, y) for shape in shapes], axis=0)
    return (mask() & expected).sum() / (mask() | expected).sum()


def moving(num_frames, detected_until):
    """A car that moves by a cell per frame, and that is not detected from some frame on."""
    for index in range(num_frames):
        shapes = [POLE, right(CAR, 8 * index)]
        yield (shapes, [0, 1], [1, 2]) if index < detected_until else (shapes, [0], [1])


@pytest.mark.parametrize("prompt", [pytest.param(CLICK, id="click"), pytest.param(BOX, id="box")])
def test_a_target_without_a_proposal_has_its_propagated_mask(prompt):
    selections = run(moving(8, detected_until=4), prompt)
    assert [one.rows for one in selections] == [(1,)] * 4 + [()] * 4
    assert {one.status.mask_source for one in selections[:4]} == {"proposal"}
    for index in range(4, 8):
        status = selections[index].status
        assert (status.state, status.track_id, status.mask_source) == ("bound", 2, "propagated")
        assert 0 < status.confidence < 1
        assert iou(selections[index].mask, [right(CAR, 8 * index)]) > 0.75


def test_a_proposal_that_agrees_is_selected_under_any_track_id():
    frames = [*moving(4, detected_until=4), ([POLE, right(CAR, 32)], [0, 1], [1, 7]), *moving(0, 0)]
    selections = run([*frames, ([POLE, right(CAR, 40)], [0], [1]), ([POLE, right(CAR, 48)], [0, 1], [1, 7])], CLICK)
    assert [one.rows for one in selections[4:]] == [(1,), (), (1,)]
    assert selections[4].status.track_id == 7
    assert selections[6].status.track_id == 7


def test_a_proposal_that_has_leaked_is_not_selected():
    stain = Shape(160, 120, 300, 200, "rectangle")
    car = right(CAR, 32)
    tracked, _ = seen([POLE, car], [0], [1])
    leaked = detect_shapes([POLE, stain])
    frames = list(moving(4, detected_until=4))
    tracker, prompts = PromptTracker(), PromptSet.of((CLICK,))
    for index, frame in enumerate(frames):
        tracker.update(seen(*frame)[0], prompts, frame_index=index, time_seconds=index / 25)
    # The track of the car continues on the stain.
    wrong = replace(
        tracked,
        instances=replace(leaked, features=tracked.instances.features),
        track_ids=tracked.track_ids.new_tensor([1, 2]),
    )
    (selection,) = tracker.update(wrong, prompts, frame_index=4, time_seconds=4 / 25)
    assert selection.rows == ()
    assert iou(selection.mask, [car]) > 0.75


def test_a_target_that_leaves_is_lost():
    gone = ([POLE], [0], [1])
    selections = run([*moving(4, detected_until=4), gone, gone], CLICK)
    assert [one.status.state for one in selections[4:]] == ["lost", "lost"]
    assert [one.mask for one in selections[4:]] == [None, None]
    assert [one.status.mask_source for one in selections[4:]] == [None, None]


class Looks:
    """A second look that shows the same for every object, and the boxes that it was asked for."""

    def __init__(self, shape, *, is_found=True):
        self.look = Look(mask_of(shape), 0.8, is_found)
        self.boxes = []

    def __call__(self, boxes, logits, min_iou):
        assert logits.shape == (len(boxes), 64, 80)
        assert 0 < min_iou < 1
        self.boxes.append(boxes.tolist())
        return [self.look] * len(boxes)


def mask_of(shape):
    y, x = np.mgrid[:240, :320] + 0.5
    return CropMask.of(shape.covers(x, y))


def looked_at(looks, prompts, *, track=1):
    """The selections in a frame in which the car has moved and is not detected."""
    tracker = PromptTracker()
    for index, frame in enumerate(moving(4, detected_until=4)):
        tracker.update(seen(*frame)[0], prompts, frame_index=index, time_seconds=index / 25)
    tracked, _ = seen([POLE, right(CAR, 32)], [0], [track], seed=9)
    tracked = replace(tracked, instances=replace(tracked.instances, look=looks))
    return tracker.update(tracked, prompts, frame_index=4, time_seconds=4 / 25)


@pytest.mark.parametrize(
    ("shape", "is_found", "answer", "source", "quality"),
    [
        pytest.param(right(CAR, 30), True, right(CAR, 30), "proposal", 0.8, id="found-in-the-box"),
        pytest.param(right(CAR, 30), False, right(CAR, 30), "propagated", 0.8, id="found-something-else"),
        pytest.param(POLE, True, right(CAR, 32), "propagated", 0.6, id="found-and-corrected-to-something-else"),
        pytest.param(POLE, False, right(CAR, 32), "propagated", 0.6, id="corrected-to-something-else"),
    ],
)
def test_a_second_look_that_agrees_is_the_answer(shape, is_found, answer, source, quality):
    (selection,) = looked_at(Looks(shape, is_found=is_found), PromptSet.of((CLICK,)))
    assert selection.rows == ()
    assert iou(selection.mask, [answer]) > 0.75
    assert (selection.status.state, selection.status.mask_source) == ("bound", source)
    assert selection.status.mask_quality == pytest.approx(quality, abs=0.05)


def test_the_next_hypothesis_of_a_click_is_not_compared_with_the_one_that_was_gone_at_once():
    # A reflection on the car, which is gone before it has a track id.
    shine = Shape(80, 120, 32, 24, "rectangle")
    frames = [([CAR, shine], [0, 1], [-1, -1]), *[([right(CAR, 4 * index)], [0], [5]) for index in range(1, 8)]]
    selections = run(frames, CLICK)
    assert [one.rows for one in selections] == [(1,)] + [(0,)] * 7
    assert {(one.status.state, one.status.track_id) for one in selections[1:]} == {("bound", 5)}


def test_few_targets_are_looked_at_again():
    looks = Looks(right(CAR, 32))
    given = PromptSet.of(tuple(replace(CLICK, prompt_id=str(number)) for number in range(MAX_LOOKS + 3)))
    selections = looked_at(looks, given)
    assert [len(boxes) for boxes in looks.boxes] == [MAX_LOOKS]
    assert all(iou(one.mask, [right(CAR, 32)]) > 0.75 for one in selections)


def test_a_box_around_several_objects_is_their_group():
    frames = [([right(HORSE, 4 * i), right(RIDER, 4 * i)], [0, 1], [1, 2]) for i in range(4)]
    selections = run(frames, BOX_OF_BOTH)
    for index, selection in enumerate(selections):
        assert selection.status.state == "bound"
        assert iou(selection.mask, [right(HORSE, 4 * index), right(RIDER, 4 * index)]) > 0.75


def test_a_group_whose_members_are_not_found_is_an_instance_that_looks_more_like_it():
    # It jumps farther than propagation follows, which therefore sees much of the background.
    tracker, prompts = PromptTracker(PropagationSettings(radius=1)), PromptSet.of((BOX_OF_BOTH,))
    both = Shape(148, 128, 112, 128, "rectangle")
    frames = [([HORSE, RIDER], detect_shapes([HORSE, RIDER]))] * 4
    frames.append(([right(HORSE, 48), right(RIDER, 48)], detect_shapes([both])))
    rows = []
    for index, (shapes, instances) in enumerate(frames):
        tracked = Tracked(
            replace(instances, features=CountedFeatures(features_of(shapes, seed=index))),
            torch.arange(len(instances)) + 2 * (index == 4),
        )
        (selection,) = tracker.update(tracked, prompts, frame_index=index, time_seconds=index / 25)
        rows.append(selection.rows)
    assert rows == [(), (), (), (), (0,)]


def test_a_box_around_one_object_is_no_group():
    part = Shape(80, 140, 40, 20, "rectangle")
    (selection,) = run([([CAR, part], [0, 1], [1, 2])], BOX)
    assert selection.rows == (0,)


def test_without_features_only_track_ids_count():
    tracker, prompts = PromptTracker(), PromptSet.of((CLICK,))
    for index, frame in enumerate(moving(6, detected_until=4)):
        tracked, _ = seen(*frame)
        plain = replace(tracked, instances=replace(tracked.instances, features=None))
        (selection,) = tracker.update(plain, prompts, frame_index=index, time_seconds=index / 25)
    assert (selection.rows, selection.mask, selection.status.state) == ((), None, "lost")


@pytest.mark.parametrize(
    ("prompts", "num_calls"),
    [
        pytest.param((), 0, id="no-prompt"),
        pytest.param((replace(CLICK, follow=False),), 0, id="not-followed"),
        pytest.param((replace(CLICK, point_coords=((5.0, 5.0),)),), 0, id="background"),
        pytest.param((CLICK,), 1, id="one"),
        pytest.param(tuple(replace(CLICK, prompt_id=str(number)) for number in range(20)), 1, id="twenty"),
    ],
)
def test_features_are_computed_once_and_only_if_something_is_followed(prompts, num_calls):
    tracker, given = PromptTracker(), PromptSet.of(prompts)
    for index, frame in enumerate(moving(3, detected_until=3)):
        tracked, features = seen(*frame)
        tracker.update(tracked, given, frame_index=index, time_seconds=index / 25)
        # In the third frame, all targets rest.
        assert features.num_calls == (num_calls if index < 2 else 0)


def test_a_changed_prompt_forgets_the_mask():
    tracker = PromptTracker()
    frames = list(moving(6, detected_until=4))
    other = replace(CLICK, point_coords=((260.0, 120.0),))
    for index, frame in enumerate(frames):
        prompts = PromptSet.of((CLICK if index < 3 else other,))
        (selection,) = tracker.update(seen(*frame)[0], prompts, frame_index=index, time_seconds=index / 25)
    assert selection.rows == (0,)


def test_a_restart_forgets_the_masks():
    tracker, prompts = PromptTracker(), PromptSet.of((CLICK,))
    frames = list(moving(6, detected_until=4))
    for index, frame in enumerate(frames[:4]):
        tracker.update(seen(*frame)[0], prompts, frame_index=index, time_seconds=index / 25)
    tracker.restart()
    (selection,) = tracker.update(seen(*frames[4])[0], prompts, frame_index=4, time_seconds=4 / 25)
    assert (selection.status.state, selection.mask) == ("lost", None)


class Counted:
    """Frames with as many prompts on one car, and the number of masks that propagation found in each."""

    def __init__(self, number, monkeypatch):
        self.prompts = PromptSet.of(tuple(replace(CLICK, prompt_id=str(one)) for one in range(number)))
        self.tracker, self.numbers, self.index = PromptTracker(), [], 0
        propagate = LabelPropagator.propagate

        def counted(propagator, features, resting=None):
            found = propagate(propagator, features, resting)
            self.numbers.append(len(found))
            return found

        monkeypatch.setattr(LabelPropagator, "propagate", counted)

    def show(self, shapes, detected, track_ids):
        tracked, _ = seen(shapes, detected, track_ids, seed=self.index)
        self.index += 1
        return self.tracker.update(tracked, self.prompts, frame_index=self.index, time_seconds=self.index / 25)


def test_many_targets_that_are_found_take_turns(monkeypatch):
    run = Counted(2 * MAX_PROPAGATED, monkeypatch)
    for frame in moving(6, detected_until=6):
        selections = run.show(*frame)
        assert [(one.rows, one.status.state, one.status.track_id) for one in selections] == [((1,), "bound", 2)] * len(
            selections
        )
    # In the third and fifth frame, all of them rest.
    assert run.numbers == [0, 2 * MAX_PROPAGATED, MAX_PROPAGATED, MAX_PROPAGATED]


def test_a_target_that_rested_is_propagated_at_once_when_it_is_missing(monkeypatch):
    run = Counted(2 * MAX_PROPAGATED, monkeypatch)
    for index, frame in enumerate(moving(8, detected_until=6)):
        selections = run.show(*frame)
        if index >= 6:
            assert run.numbers[-1] == len(selections)
            assert all(iou(one.mask, [right(CAR, 8 * index)]) > 0.75 for one in selections)
