"""The table of tracks, seen and unseen."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg.structures.instances import TENTATIVE
from streamseg.tracking.appearance import Appearance
from streamseg.tracking.tracks import Tracks
from tests.support.shapes import IMAGE_SIZE, Shape, detect_shapes

WHOLE = Shape(100, 100, 60, 60)
HALF = Shape(85, 100, 30, 60, "rectangle")


def appearance(*shapes: Shape) -> Appearance:
    return Appearance.of(detect_shapes(shapes))


def test_new_tracks_are_tentative_and_seen_once():
    tracks = Tracks.start(appearance(WHOLE, HALF), IMAGE_SIZE)
    assert tracks.ids.tolist() == [TENTATIVE, TENTATIVE]
    assert tracks.num_seen.tolist() == [1, 1]
    assert not tracks.confirmed.any()
    assert not tracks.lost.any()


def test_lost_seconds_count_from_the_first_frame_without_the_track():
    tracks = Tracks.start(appearance(WHOLE), IMAGE_SIZE)
    seconds = []
    for _ in range(3):
        tracks = tracks.advanced(0.2).unseen()
        seconds.append(tracks.lost_seconds[0])
    assert seconds == pytest.approx([0.0, 0.2, 0.4])
    assert tracks.lost.all()
    assert not tracks.advanced(0.2).seen(appearance(WHOLE), 0.2).lost.any()


def test_whole_is_kept_while_half_is_hidden():
    tracks = Tracks.start(appearance(WHOLE), IMAGE_SIZE).advanced(0.1).seen(appearance(HALF), 0.1)
    assert tracks.visible.boxes == pytest.approx(appearance(HALF).boxes)
    assert (tracks.whole_shapes == appearance(WHOLE).shapes).all()
    assert tracks.motion.size[0, 0] > 50


def test_whole_is_updated_while_nothing_is_hidden():
    triangle = appearance(Shape(100, 100, 60, 60, "triangle"))
    tracks = Tracks.start(appearance(WHOLE), IMAGE_SIZE).advanced(0.1).seen(triangle, 0.1)
    assert (tracks.whole_shapes == triangle.shapes).all()


def test_visible_part_moves_with_the_whole():
    tracks = Tracks.start(appearance(WHOLE), IMAGE_SIZE)
    for step in (1, 2, 3):
        tracks = tracks.advanced(0.1).seen(appearance(Shape(100 + 10 * step, 100, 60, 60)), 0.1)
    moved = tracks.advanced(0.1)
    assert moved.visible.boxes[0] == pytest.approx(tracks.visible.boxes[0] + [10, 0, 10, 0], abs=2.5)
    assert (moved.visible.boxes - tracks.visible.boxes)[0] == pytest.approx(
        (moved.motion.boxes - tracks.motion.boxes)[0]
    )


def test_tables_are_indexed_and_concatenated_by_row():
    first, second = Tracks.start(appearance(WHOLE), IMAGE_SIZE), Tracks.start(appearance(HALF, WHOLE), IMAGE_SIZE)
    both = (first + second).with_ids(np.array([4, 5, 6]))
    selected = both[np.array([2, 0])]
    assert len(both) == 3
    assert selected.ids.tolist() == [6, 4]
    assert selected.motion.boxes == pytest.approx(both.motion.boxes[[2, 0]])
    assert (selected.whole_shapes == both.whole_shapes[[2, 0]]).all()
