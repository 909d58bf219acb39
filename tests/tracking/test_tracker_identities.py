"""The life of identities: when they are assigned, kept and dropped."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from streamseg.config import TrackingConfig
from streamseg.tracking import Tracker
from tests.support.movements import absent, follow, identities, moving, still
from tests.support.shapes import Shape, detect_shapes

PERSON = Shape(160, 120, 80, 200, "rectangle")
FACE = Shape(160, 50, 40, 50)

HEAD = Shape(100, 60, 50, 30, "rectangle")
BODY = Shape(100, 90, 50, 90, "rectangle")

KEPT = [
    pytest.param([still(100, 100)], [], 10, id="standing still"),
    pytest.param([moving(Shape(40, 100, 50, 50), 6)], [], 40, id="moving"),
    pytest.param([moving(Shape(20, 100, 16, 16), 12)], [], 23, id="small and fast: little overlap from frame to frame"),
    pytest.param(
        [moving(Shape(40, 110, 40, 40), 5), moving(Shape(280, 130, 40, 40, "rectangle"), -5)],
        [],
        48,
        id="two crossing",
    ),
    pytest.param(
        [moving(PERSON, 2), moving(FACE, 2)],
        [],
        40,
        id="face inside its person",
    ),
    pytest.param(
        [moving(Shape(100, 120, 90, 90, "ring"), 2), moving(Shape(100, 120, 50, 50), 2)],
        [],
        40,
        id="disc inside a ring",
    ),
    pytest.param(
        [still(160, 120, 100, 100, "rectangle"), still(160, 124, 100, 92, "triangle")],
        [],
        20,
        id="nearly the same box, other masks",
    ),
    pytest.param([absent(moving(Shape(40, 100, 50, 50), 4), range(20, 30))], [], 50, id="absent for 10 frames"),
    pytest.param([absent(still(100, 100), range(10, 35))], [], 45, id="still, absent for 25 frames"),
    pytest.param(
        [moving(Shape(40, 120, 60, 60), 4)],
        [still(160, 120, 40, 200, "rectangle")],
        60,
        id="behind a pole narrower than itself",
    ),
    pytest.param(
        [moving(Shape(40, 120, 40, 60), 5)],
        [still(160, 120, 80, 200, "rectangle")],
        50,
        id="entirely behind a pillar",
    ),
    pytest.param(
        [absent(still(100, 100), range(12, 16)), absent(still(106, 100, 30, 30, "rectangle"), range(16, 20))],
        [],
        30,
        id="part and whole missing in turns",
    ),
    pytest.param([moving(Shape(-20, 100, 60, 60), 4)], [], 40, id="entering over the border"),
    pytest.param([lambda frame: HEAD if frame < 10 else BODY], [], 20, id="suddenly fully visible"),
]


class TestIdentities:
    @pytest.mark.slow
    @pytest.mark.parametrize(("objects", "in_front", "num_frames"), KEPT)
    def test_kept(self, objects, in_front, num_frames):
        history = follow(objects, num_frames, in_front=in_front)
        found = [identities(history, index) for index in range(len(objects))]
        assert [len(ids) for ids in found] == [1] * len(objects)
        assert len({ids[0] for ids in found}) == len(objects)

    def test_assigned_in_the_third_consecutive_frame(self):
        history = follow([still(100, 100)], 4)
        assert [ids[0] for ids in history] == [-1, -1, 1, 1]

    def test_assigned_immediately_if_one_frame_is_enough(self):
        assert follow([still(100, 100)], 2, config=TrackingConfig(confirm_frames=1)) == [[1], [1]]

    def test_not_assigned_to_flickering_objects(self):
        history = follow([absent(still(100, 100), range(2, 100, 3))], 30)
        assert identities(history, 0) == []

    def test_not_assigned_to_low_scores_alone(self):
        history = follow([lambda frame: Shape(100, 100, 50, 50, score=0.3)], 10)
        assert identities(history, 0) == []

    def test_kept_through_five_frames_of_low_score(self):
        def dim(frame: int) -> Shape:
            return Shape(60 + 3 * frame, 100, 50, 50, score=0.3 if 10 <= frame < 15 else 0.9)

        history = follow([dim], 25)
        assert [ids[0] for ids in history[2:]] == [1] * 23

    @pytest.mark.parametrize("later", [False, True])
    def test_assigned_later_to_another_outline_of_an_object(self, later):
        """Whether it appears together with the object or later; a smaller part has its identity at once."""
        shown = range(5) if later else range(0)
        outline = absent(moving(Shape(64, 100, 42, 50, score=0.8), 3), shown)
        part = absent(moving(Shape(60, 88, 24, 24), 3), shown)
        history = follow([moving(Shape(60, 100, 50, 50), 3), outline, part], 30)
        first = [next(frame for frame, ids in enumerate(history) if (ids[index] or -1) > 0) for index in range(3)]
        since = len(shown)
        assert first == [2, since + 8, since + 2]

    def test_not_assigned_to_an_outline_that_flickers(self):
        outline = absent(moving(Shape(64, 100, 42, 50, score=0.8), 3), range(7, 30, 8))
        history = follow([moving(Shape(60, 100, 50, 50), 3), outline], 30)
        assert [len(identities(history, index)) for index in range(2)] == [1, 0]

    def test_not_matched_again_after_max_lost_seconds(self):
        config = TrackingConfig(max_lost_seconds=0.5)
        history = follow([absent(still(100, 100), range(10, 30))], 40, config=config)
        assert identities(history, 0) == [1, 2]

    def test_never_matched_again_with_zero_lost_seconds(self):
        config = TrackingConfig(max_lost_seconds=0)
        history = follow([absent(still(100, 100), range(10, 12))], 20, config=config)
        assert identities(history, 0) == [1, 2]

    def test_new_for_another_object_at_the_same_place(self):
        history = follow(
            [absent(still(150, 120, 90, 40), range(10, 99)), absent(still(150, 120, 30, 100), range(12))], 25
        )
        assert identities(history, 0) == [1]
        assert identities(history, 1) == [2]

    @pytest.mark.slow
    def test_new_for_an_object_entering_where_another_left(self):
        leaving = moving(Shape(270, 120, 50, 50), 5)
        entering = moving(Shape(270 + 5 * 40, 120, 50, 50), -5)
        history = follow([leaving, entering], 45)
        assert identities(history, 0) == [1]
        assert identities(history, 1) == [2]

    def test_new_for_a_very_different_object_after_a_gap(self):
        history = follow([absent(lambda frame: HEAD if frame < 10 else BODY, range(10, 11))], 20)
        assert identities(history, 0) == [1, 2]

    def test_kept_by_the_head_when_the_body_appears_beside_it(self):
        history = follow([lambda frame: HEAD, absent(lambda frame: BODY, range(10))], 20)
        assert identities(history, 0) == [1]
        assert identities(history, 1) == [2]

    def test_never_reused(self):
        assigned_ids = []
        tracker = Tracker(TrackingConfig(confirm_frames=1, max_lost_seconds=0.1))
        for frame in range(30):
            place = 40 + 60 * (frame // 5 % 4)
            tracked = tracker.update(detect_shapes([Shape(place, 40 + place / 2, 30, 30)]), frame * 0.2)
            assigned_ids.append(tracked.track_ids.tolist()[0])
        assert assigned_ids == sorted(assigned_ids)
        assert len(set(assigned_ids)) == 6

    def test_keep_counting_after_a_reset(self):
        tracker = Tracker(TrackingConfig(confirm_frames=1))
        scene = detect_shapes([Shape(60, 60, 40, 40), Shape(200, 150, 40, 40)])
        assert tracker.update(scene, 0.0).track_ids.tolist() == [1, 2]
        tracker.reset()
        assert tracker.update(scene, 0.1).track_ids.tolist() == [3, 4]

    def test_of_two_trackers_are_independent(self):
        first, second = Tracker(TrackingConfig(confirm_frames=1)), Tracker(TrackingConfig(confirm_frames=1))
        scene = detect_shapes([Shape(60, 60, 40, 40)])
        assert first.update(scene, 0.0).track_ids.tolist() == [1]
        assert second.update(scene, 0.0).track_ids.tolist() == [1]
        second.reset()
        assert first.update(scene, 0.1).track_ids.tolist() == [1]
        assert second.update(scene, 0.1).track_ids.tolist() == [2]


class TestLooks:
    """Objects that only their embeddings distinguish."""

    @staticmethod
    def follow(shapes, looks):
        """Return the ids of each frame, given the shapes and the embeddings of each frame."""
        tracker = Tracker(TrackingConfig(confirm_frames=1))
        found = []
        for frame, (objects, embeddings) in enumerate(zip(shapes, looks, strict=True)):
            instances = dataclasses.replace(detect_shapes(objects), embeddings=torch.tensor(embeddings))
            found.append(tracker.update(instances, frame / 10).track_ids.tolist())
        return found

    def test_another_object_at_the_same_place_is_not_the_same(self):
        disc = Shape(100, 100, 50, 50)
        red, green = [1.0, 0.0], [0.0, 1.0]
        assert self.follow([[disc]] * 3, [[red], [green], [red]]) == [[1], [2], [1]]

    def test_identities_follow_looks_if_objects_change_places(self):
        left, right = Shape(100, 100, 50, 50), Shape(130, 100, 50, 50)
        red, green = [1.0, 0.0], [0.0, 1.0]
        assert self.follow([[left, right]] * 2, [[red, green], [green, red]]) == [[1, 2], [2, 1]]

    def test_unknown_looks_after_a_change_of_length(self):
        disc = Shape(100, 100, 50, 50)
        assert self.follow([[disc]] * 3, [[[1.0, 0.0]], [[0.0, 1.0, 0.0]], [[0.0, 1.0, 0.0]]]) == [[1], [1], [1]]
