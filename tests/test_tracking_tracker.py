"""The life of identities: tables of what happens to objects, and what holds whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import PICTURE, Shape, look

from streamseg.config import TrackingConfig
from streamseg.structures.instances import GridTransform, Instances
from streamseg.tracking import Tracker

FPS = 30.0
At = Callable[[int], Shape | None]
"""An object: what it looks like in a frame, None where it is not there."""


def still(x: float, y: float, width: float = 60, height: float = 60, kind: str = "ellipse") -> At:
    return lambda frame: Shape(x, y, width, height, kind)


def moving(shape: Shape, x_px: float, y_px: float = 0.0) -> At:
    """Moves by so many pixels per frame."""
    return lambda frame: Shape(
        shape.x + x_px * frame, shape.y + y_px * frame, shape.width, shape.height, shape.kind, shape.score
    )


def absent(at: At, frames: range) -> At:
    return lambda frame: None if frame in frames else at(frame)


def follow(
    objects: Sequence[At],
    num_frames: int,
    *,
    config: TrackingConfig | None = None,
    fps: float = FPS,
    in_front: Sequence[At] = (),
) -> list[list[int | None]]:
    """The identity of each object in each frame: (frame, object), None where it was not to be seen."""
    tracker = Tracker(config or TrackingConfig())
    history: list[list[int | None]] = []
    for frame in range(num_frames):
        shapes = [at(frame) for at in objects]
        poles = [pole for at in in_front if (pole := at(frame)) is not None]
        seen = [index for index, shape in enumerate(shapes) if shape and len(look([shape], in_front=poles))]
        instances = look([shape for shape in shapes if shape], in_front=poles)
        tracked = tracker.update(instances, frame / fps)
        ids = dict(zip(seen, tracked.track_ids.tolist(), strict=True))
        history.append([ids.get(index) for index in range(len(objects))])
    return history


def identities(history: Sequence[Sequence[int | None]], index: int) -> list[int]:
    """The different identities of an object, in the order of time, without the tentative frames."""
    found: list[int] = []
    for ids in history:
        identity = ids[index]
        if identity is not None and identity >= 0 and (not found or found[-1] != identity):
            found.append(identity)
    return found


PERSON = Shape(160, 120, 80, 200, "rectangle")
FACE = Shape(160, 50, 40, 50)

HEAD = Shape(100, 60, 50, 30, "rectangle")
BODY = Shape(100, 90, 50, 90, "rectangle")

KEPT = [
    pytest.param([still(100, 100)], [], 10, id="one that stands still"),
    pytest.param([moving(Shape(40, 100, 50, 50), 6)], [], 40, id="one that moves"),
    pytest.param([moving(Shape(20, 100, 16, 16), 12)], [], 23, id="small and fast: little overlap from frame to frame"),
    pytest.param(
        [moving(Shape(40, 110, 40, 40), 5), moving(Shape(280, 130, 40, 40, "rectangle"), -5)],
        [],
        48,
        id="two that cross",
    ),
    pytest.param(
        [moving(PERSON, 2), moving(FACE, 2)],
        [],
        40,
        id="a face inside its person",
    ),
    pytest.param(
        [moving(Shape(100, 120, 90, 90, "ring"), 2), moving(Shape(100, 120, 50, 50), 2)],
        [],
        40,
        id="a disc inside a ring",
    ),
    pytest.param(
        [still(160, 120, 100, 100, "rectangle"), still(160, 124, 100, 92, "triangle")],
        [],
        20,
        id="nearly the same box, other masks",
    ),
    pytest.param([absent(moving(Shape(40, 100, 50, 50), 4), range(20, 30))], [], 50, id="gone for 10 frames"),
    pytest.param([absent(still(100, 100), range(10, 35))], [], 45, id="still, gone for 25 frames"),
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
        id="wholly behind a pillar",
    ),
    pytest.param(
        [absent(still(100, 100), range(12, 16)), absent(still(106, 100, 30, 30, "rectangle"), range(16, 20))],
        [],
        30,
        id="part and whole missing in turns",
    ),
    pytest.param([moving(Shape(-20, 100, 60, 60), 4)], [], 40, id="comes in over the border"),
    pytest.param([lambda frame: HEAD if frame < 10 else BODY], [], 20, id="seen whole all at once"),
]


class TestIdentities:
    @pytest.mark.parametrize(("objects", "in_front", "num_frames"), KEPT)
    def test_kept(self, objects, in_front, num_frames):
        history = follow(objects, num_frames, in_front=in_front)
        found = [identities(history, index) for index in range(len(objects))]
        assert [len(ids) for ids in found] == [1] * len(objects)
        assert len({ids[0] for ids in found}) == len(objects)

    def test_given_in_the_third_frame_in_a_row(self):
        history = follow([still(100, 100)], 4)
        assert [ids[0] for ids in history] == [-1, -1, 1, 1]

    def test_given_at_once_when_one_frame_is_enough(self):
        assert follow([still(100, 100)], 2, config=TrackingConfig(confirm_frames=1)) == [[1], [1]]

    def test_not_given_to_what_flickers(self):
        history = follow([absent(still(100, 100), range(2, 100, 3))], 30)
        assert identities(history, 0) == []

    def test_not_given_to_low_scores_alone(self):
        history = follow([lambda frame: Shape(100, 100, 50, 50, score=0.3)], 10)
        assert identities(history, 0) == []

    def test_kept_through_five_frames_of_low_score(self):
        def dim(frame: int) -> Shape:
            return Shape(60 + 3 * frame, 100, 50, 50, score=0.3 if 10 <= frame < 15 else 0.9)

        history = follow([dim], 25)
        assert [ids[0] for ids in history[2:]] == [1] * 23

    def test_not_found_again_after_max_lost_seconds(self):
        config = TrackingConfig(max_lost_seconds=0.5)
        history = follow([absent(still(100, 100), range(10, 30))], 40, config=config)
        assert identities(history, 0) == [1, 2]

    def test_not_found_again_at_all_with_zero_lost_seconds(self):
        config = TrackingConfig(max_lost_seconds=0)
        history = follow([absent(still(100, 100), range(10, 12))], 20, config=config)
        assert identities(history, 0) == [1, 2]

    def test_new_for_another_object_at_the_same_place(self):
        history = follow(
            [absent(still(150, 120, 90, 40), range(10, 99)), absent(still(150, 120, 30, 100), range(12))], 25
        )
        assert identities(history, 0) == [1]
        assert identities(history, 1) == [2]

    def test_new_for_what_comes_in_where_another_left(self):
        leaving = moving(Shape(270, 120, 50, 50), 5)
        entering = moving(Shape(270 + 5 * 40, 120, 50, 50), -5)
        history = follow([leaving, entering], 45)
        assert identities(history, 0) == [1]
        assert identities(history, 1) == [2]

    def test_new_for_what_looks_very_different_after_a_gap(self):
        history = follow([absent(lambda frame: HEAD if frame < 10 else BODY, range(10, 11))], 20)
        assert identities(history, 0) == [1, 2]

    def test_kept_by_the_head_when_the_body_comes_beside_it(self):
        history = follow([lambda frame: HEAD, absent(lambda frame: BODY, range(10))], 20)
        assert identities(history, 0) == [1]
        assert identities(history, 1) == [2]

    def test_never_used_again(self):
        given_ids = []
        tracker = Tracker(TrackingConfig(confirm_frames=1, max_lost_seconds=0.1))
        for frame in range(30):
            place = 40 + 60 * (frame // 5 % 4)
            tracked = tracker.update(look([Shape(place, 40 + place / 2, 30, 30)]), frame * 0.2)
            given_ids.append(tracked.track_ids.tolist()[0])
        assert given_ids == sorted(given_ids)
        assert len(set(given_ids)) == 6

    def test_count_on_after_a_reset(self):
        tracker = Tracker(TrackingConfig(confirm_frames=1))
        scene = look([Shape(60, 60, 40, 40), Shape(200, 150, 40, 40)])
        assert tracker.update(scene, 0.0).track_ids.tolist() == [1, 2]
        tracker.reset()
        assert tracker.update(scene, 0.1).track_ids.tolist() == [3, 4]

    def test_of_two_trackers_are_independent(self):
        first, second = Tracker(TrackingConfig(confirm_frames=1)), Tracker(TrackingConfig(confirm_frames=1))
        scene = look([Shape(60, 60, 40, 40)])
        assert first.update(scene, 0.0).track_ids.tolist() == [1]
        assert second.update(scene, 0.0).track_ids.tolist() == [1]
        second.reset()
        assert first.update(scene, 0.1).track_ids.tolist() == [1]
        assert second.update(scene, 0.1).track_ids.tolist() == [2]


class TestTime:
    @pytest.mark.parametrize(
        "times",
        [
            pytest.param([0.0, 0.1, 0.2, 0.9, 1.0, 1.05, 1.3], id="frames at any distance"),
            pytest.param([5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0], id="a clock that stands"),
            pytest.param([5.0, 5.1, 5.2, 1.0, 1.1, 1.2, 1.3], id="a clock that steps back"),
            pytest.param([0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0], id="frames farther apart than lost tracks wait"),
            pytest.param([1.7e9 + 0.1 * frame for frame in range(7)], id="seconds since the epoch"),
            pytest.param([0.0, 0.1, 0.2, 60.0, 60.1, 60.2, 60.3], id="a stall of a minute"),
        ],
    )
    def test_of_frames_may_be(self, times):
        tracker = Tracker(TrackingConfig())
        ids = [tracker.update(look([Shape(100, 100, 50, 50)]), time).track_ids.tolist()[0] for time in times]
        assert ids == [-1, -1, 1, 1, 1, 1, 1]

    def test_speed_is_per_second_and_not_per_frame(self):
        tracker = Tracker(TrackingConfig())
        seconds = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.9, 1.0, 1.4]
        ids = [tracker.update(look([Shape(40 + 150 * at, 100, 24, 24)]), at).track_ids.tolist()[0] for at in seconds]
        assert ids[2:] == [1] * 7

    @pytest.mark.parametrize("time_seconds", [float("nan"), float("inf"), float("-inf")])
    def test_that_is_no_time(self, time_seconds):
        with pytest.raises(ValueError, match="time_seconds must be finite"):
            Tracker(TrackingConfig()).update(look([]), time_seconds)


class TestExpected:
    """Where tracks should be in a frame that is still to come."""

    @staticmethod
    def seen(num_frames: int, *, speed: float = 90.0) -> Tracker:
        """A tracker that saw one thing move, the last time at `num_frames - 1` tenths of a second."""
        tracker = Tracker(TrackingConfig())
        for frame in range(num_frames):
            tracker.update(look([Shape(60 + speed * frame / 10, 100, 50, 50)]), frame / 10)
        return tracker

    def test_a_confirmed_track_where_it_moves_to(self):
        ((x0, y0, x1, y1),) = self.seen(8).expected(0.8).tolist()
        assert (x0 + x1) / 2 == pytest.approx(60 + 90 * 0.8, abs=4)
        assert (y0, y1) == pytest.approx((75, 125), abs=3)

    @pytest.mark.parametrize("num_frames", [0, 1, 2])
    def test_nothing_while_none_is_confirmed(self, num_frames):
        assert self.seen(num_frames).expected(1.0).shape == (0, 4)

    def test_asking_changes_nothing_and_time_does_not_run_backwards(self):
        tracker = self.seen(8)
        assert tracker.expected(0.0).tolist() == tracker.expected(0.7).tolist()
        twice = [tracker.expected(0.9).tolist() for _ in range(2)]
        assert twice[0] == twice[1]

    @pytest.mark.parametrize(("lost_seconds", "count"), [(0.1, 1), (0.4, 1), (0.7, 0)])
    def test_what_was_lost_long_ago_is_not_expected(self, lost_seconds, count):
        tracker = self.seen(8)
        tracker.update(look([]), 0.8)
        assert len(tracker.expected(0.8 + lost_seconds)) == count


class TestRows:
    def test_none_at_all(self):
        tracker = Tracker(TrackingConfig())
        for frame in range(3):
            tracked = tracker.update(Instances.empty(PICTURE), frame / FPS)
            assert tracked.track_ids.shape == (0,)
            assert tracked.track_ids.dtype == torch.int64

    def test_none_between_some(self):
        tracker = Tracker(TrackingConfig(confirm_frames=1))
        scene = look([Shape(60, 60, 40, 40)])
        found = [
            tracker.update(given_, index / FPS).track_ids.tolist()
            for index, given_ in enumerate([scene, look([]), scene])
        ]
        assert found == [[1], [], [1]]

    def test_are_the_ones_given(self):
        scene = look([Shape(60, 60, 40, 40), Shape(200, 150, 40, 40, score=0.2)])
        tracked = Tracker(TrackingConfig()).update(scene, 0.0)
        assert tracked.instances is scene
        assert tracked.track_ids.tolist() == [-1, -1]

    def test_without_a_mask_follow_their_boxes(self):
        tracker = Tracker(TrackingConfig())
        boxes = torch.tensor([[100.0, 100.0, 103.0, 103.0]])
        for frame in range(4):
            empty = Instances(
                boxes + frame, torch.tensor([0.9]), torch.full((1, 60, 80), -5.0), GridTransform(4, 4, 0, 0), PICTURE
            )
            tracked = tracker.update(empty, frame / FPS)
        assert tracked.track_ids.tolist() == [1]

    def test_without_extent_are_rows_all_the_same(self):
        tracker = Tracker(TrackingConfig())
        for frame in range(4):
            point = Instances(
                torch.tensor([[10.0, 10.0, 10.0, 10.0]]),
                torch.tensor([0.9]),
                torch.full((1, 60, 80), -5.0),
                GridTransform(4, 4, 0, 0),
                PICTURE,
            )
            assert len(tracker.update(point, frame / FPS)) == 1

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param({"imgsz": 160}, id="another grid"),
            pytest.param({"size": (260, 340)}, id="another picture"),
        ],
    )
    def test_survive_a_change_of(self, change):
        tracker = Tracker(TrackingConfig())
        shapes = [Shape(100, 100, 60, 60), Shape(200, 150, 50, 80, "rectangle")]
        for frame in range(3):
            before = tracker.update(look(shapes), frame / FPS).track_ids.tolist()
        assert tracker.update(look(shapes, **change), 3 / FPS).track_ids.tolist() == before == [1, 2]

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_of_logits_of_any_precision(self, dtype):
        tracker = Tracker(TrackingConfig(confirm_frames=1))
        scene = look([Shape(60, 60, 40, 40)])
        rough = Instances(scene.boxes, scene.scores, scene.mask_logits.to(dtype), scene.grid_to_image, scene.image_size)
        assert tracker.update(rough, 0.0).track_ids.tolist() == [1]


shapes_of_a_frame = st.lists(
    st.builds(
        Shape,
        x=st.floats(10, 310),
        y=st.floats(10, 230),
        width=st.floats(8, 150),
        height=st.floats(8, 150),
        kind=st.sampled_from(["ellipse", "rectangle", "triangle", "ring"]),
        score=st.floats(0.1, 0.99),
    ),
    max_size=6,
)


class TestProperties:
    @settings(max_examples=40, deadline=None)
    @given(frames=st.lists(shapes_of_a_frame, min_size=1, max_size=6), confirm_frames=st.integers(1, 3))
    def test_rows_are_kept_and_identities_occur_once(self, frames, confirm_frames):
        tracker = Tracker(TrackingConfig(confirm_frames=confirm_frames))
        highest = 0
        for index, shapes in enumerate(frames):
            scene = look(shapes)
            tracked = tracker.update(scene, index * 0.1)
            ids = tracked.track_ids.tolist()
            named = [identity for identity in ids if identity != -1]
            assert tracked.instances is scene
            assert len(ids) == len(scene)
            assert len(set(named)) == len(named)
            assert all(identity >= 1 for identity in named)
            fresh = sorted(identity for identity in named if identity > highest)
            highest = max(named, default=highest) if fresh else highest
            assert fresh == list(range(highest - len(fresh) + 1, highest + 1))

    @settings(max_examples=30, deadline=None)
    @given(data=st.data(), seed=st.integers(0, 2**16))
    def test_identities_go_with_the_objects_and_not_with_the_rows(self, data, seed):
        rng = np.random.default_rng(seed)
        count = data.draw(st.integers(1, 6))
        starts = [
            Shape(*rng.uniform(30, 210, 2), *rng.uniform(15, 80, 2), score=float(rng.uniform(0.3, 0.9)))
            for _ in range(count)
        ]
        speeds = rng.normal(0, 3, (count, 2))
        straight, mixed = Tracker(TrackingConfig()), Tracker(TrackingConfig())
        for frame in range(6):
            scene = look([moving(shape, *speed)(frame) for shape, speed in zip(starts, speeds, strict=True)])
            order = data.draw(st.permutations(range(len(scene))))
            expected = straight.update(scene, frame / FPS).track_ids[list(order)]
            assert mixed.update(scene[list(order)], frame / FPS).track_ids.tolist() == expected.tolist()
