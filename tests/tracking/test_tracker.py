"""The rows that a tracker returns, and properties that hold for any movement of objects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.config import TrackingConfig
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from streamseg.tracking import Tracker
from tests.support.movements import FPS, moving
from tests.support.shapes import IMAGE_SIZE, Shape, detect_shapes


class TestRows:
    def test_no_objects(self):
        tracker = Tracker(TrackingConfig())
        for frame in range(3):
            tracked = tracker.update(Instances.empty(IMAGE_SIZE), frame / FPS)
            assert tracked.track_ids.shape == (0,)
            assert tracked.track_ids.dtype == torch.int64

    def test_frame_without_objects_between_others(self):
        tracker = Tracker(TrackingConfig(confirm_frames=1))
        scene = detect_shapes([Shape(60, 60, 40, 40)])
        found = [
            tracker.update(instances, index / FPS).track_ids.tolist()
            for index, instances in enumerate([scene, detect_shapes([]), scene])
        ]
        assert found == [[1], [], [1]]

    def test_rows_are_those_of_the_instances(self):
        scene = detect_shapes([Shape(60, 60, 40, 40), Shape(200, 150, 40, 40, score=0.2)])
        tracked = Tracker(TrackingConfig()).update(scene, 0.0)
        assert tracked.instances is scene
        assert tracked.track_ids.tolist() == [-1, -1]

    def test_objects_without_a_mask_are_matched_by_box(self):
        tracker = Tracker(TrackingConfig())
        boxes = torch.tensor([[100.0, 100.0, 103.0, 103.0]])
        for frame in range(4):
            empty = Instances(
                boxes + frame, torch.tensor([0.9]), torch.full((1, 60, 80), -5.0), GridTransform(4, 4, 0, 0), IMAGE_SIZE
            )
            tracked = tracker.update(empty, frame / FPS)
        assert tracked.track_ids.tolist() == [1]

    def test_objects_without_extent_keep_their_rows(self):
        tracker = Tracker(TrackingConfig())
        for frame in range(4):
            point = Instances(
                torch.tensor([[10.0, 10.0, 10.0, 10.0]]),
                torch.tensor([0.9]),
                torch.full((1, 60, 80), -5.0),
                GridTransform(4, 4, 0, 0),
                IMAGE_SIZE,
            )
            assert len(tracker.update(point, frame / FPS)) == 1

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param({"imgsz": 160}, id="grid"),
            pytest.param({"size": (260, 340)}, id="image size"),
        ],
    )
    def test_identities_survive_a_change_of(self, change):
        tracker = Tracker(TrackingConfig())
        shapes = [Shape(100, 100, 60, 60), Shape(200, 150, 50, 80, "rectangle")]
        for frame in range(3):
            before = tracker.update(detect_shapes(shapes), frame / FPS).track_ids.tolist()
        assert tracker.update(detect_shapes(shapes, **change), 3 / FPS).track_ids.tolist() == before == [1, 2]

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_logits_of_any_precision(self, dtype):
        tracker = Tracker(TrackingConfig(confirm_frames=1))
        scene = detect_shapes([Shape(60, 60, 40, 40)])
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
    @pytest.mark.slow
    @settings(max_examples=40, deadline=None)
    @given(frames=st.lists(shapes_of_a_frame, min_size=1, max_size=6), confirm_frames=st.integers(1, 3))
    def test_rows_are_kept_and_identities_occur_once(self, frames, confirm_frames):
        tracker = Tracker(TrackingConfig(confirm_frames=confirm_frames))
        highest = 0
        for index, shapes in enumerate(frames):
            scene = detect_shapes(shapes)
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

    @pytest.mark.slow
    @settings(max_examples=30, deadline=None)
    @given(data=st.data(), seed=st.integers(0, 2**16))
    def test_identities_belong_to_objects_and_not_to_rows(self, data, seed):
        rng = np.random.default_rng(seed)
        count = data.draw(st.integers(1, 6))
        starts = [
            Shape(*rng.uniform(30, 210, 2), *rng.uniform(15, 80, 2), score=float(rng.uniform(0.3, 0.9)))
            for _ in range(count)
        ]
        speeds = rng.normal(0, 3, (count, 2))
        straight, mixed = Tracker(TrackingConfig()), Tracker(TrackingConfig())
        for frame in range(6):
            scene = detect_shapes([moving(shape, *speed)(frame) for shape, speed in zip(starts, speeds, strict=True)])
            order = data.draw(st.permutations(range(len(scene))))
            expected = straight.update(scene, frame / FPS).track_ids[list(order)]
            assert mixed.update(scene[list(order)], frame / FPS).track_ids.tolist() == expected.tolist()
