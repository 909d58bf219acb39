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


def start(*shapes: Shape, look=None) -> Tracks:
    looks = np.zeros((len(shapes), 0), np.float32) if look is None else np.array([look] * len(shapes), np.float32)
    return Tracks.start(appearance(*shapes), looks, np.ones(len(shapes)), IMAGE_SIZE)


def seen(tracks: Tracks, shape: Shape, *, credit=1.0, look=()) -> Tracks:
    return tracks.seen(appearance(shape), np.array([look], np.float32), np.array([credit]), 0.1)


def test_new_tracks_are_tentative_and_seen_once():
    tracks = start(WHOLE, HALF)
    assert tracks.ids.tolist() == [TENTATIVE, TENTATIVE]
    assert tracks.credit.tolist() == [1, 1]
    assert not tracks.confirmed.any()
    assert not tracks.lost.any()


def test_lost_seconds_count_from_the_first_frame_without_the_track():
    tracks = start(WHOLE)
    seconds = []
    for _ in range(3):
        tracks = tracks.advanced(0.2).unseen()
        seconds.append(tracks.lost_seconds[0])
    assert seconds == pytest.approx([0.0, 0.2, 0.4])
    assert tracks.lost.all()
    assert not seen(tracks.advanced(0.1), WHOLE).lost.any()


def test_whole_is_kept_while_half_is_hidden():
    tracks = seen(start(WHOLE).advanced(0.1), HALF)
    assert tracks.visible.boxes == pytest.approx(appearance(HALF).boxes)
    assert (tracks.whole_shapes == appearance(WHOLE).shapes).all()
    assert tracks.motion.size[0, 0] > 50


def test_whole_is_updated_while_nothing_is_hidden():
    triangle = Shape(100, 100, 60, 60, "triangle")
    tracks = seen(start(WHOLE).advanced(0.1), triangle)
    assert (tracks.whole_shapes == appearance(triangle).shapes).all()


def test_visible_part_moves_with_the_whole():
    tracks = start(WHOLE)
    for step in (1, 2, 3):
        tracks = seen(tracks.advanced(0.1), Shape(100 + 10 * step, 100, 60, 60))
    moved = tracks.advanced(0.1)
    assert moved.visible.boxes[0] == pytest.approx(tracks.visible.boxes[0] + [10, 0, 10, 0], abs=2.5)
    assert (moved.visible.boxes - tracks.visible.boxes)[0] == pytest.approx(
        (moved.motion.boxes - tracks.motion.boxes)[0]
    )


def test_tables_are_indexed_and_concatenated_by_row():
    first, second = start(WHOLE), start(HALF, WHOLE)
    both = (first + second).with_ids(np.array([4, 5, 6]))
    selected = both[np.array([2, 0])]
    assert len(both) == 3
    assert selected.ids.tolist() == [6, 4]
    assert selected.motion.boxes == pytest.approx(both.motion.boxes[[2, 0]])
    assert (selected.whole_shapes == both.whole_shapes[[2, 0]]).all()


def test_frames_count_by_their_credit():
    tracks = start(WHOLE)
    for credit in (1.0, 0.25):
        tracks = seen(tracks, WHOLE, credit=credit)
    assert tracks.credit.tolist() == [2.25]


def test_looks_are_averaged_and_reset_if_embeddings_change_length():
    tracks = start(WHOLE, look=(1.0, 0.0))
    mixed = seen(tracks, WHOLE, look=(0.0, 1.0))
    assert mixed.looks[0] == pytest.approx([0.5**0.5, 0.5**0.5])
    assert mixed.with_look_length(2) is mixed
    assert mixed.with_look_length(3).looks.tolist() == [[0.0, 0.0, 0.0]]
    assert mixed.with_look_length(0).looks.shape == (1, 0)


@pytest.mark.parametrize("elapsed", [0.0, 0.1, 5.0])
def test_visible_boxes_are_those_of_the_advanced_tracks(elapsed):
    tracks = start(WHOLE, HALF)
    tracks = tracks.advanced(0.1).seen(appearance(Shape(110, 102, 60, 60), HALF), tracks.looks, np.ones(2), 0.1)
    assert tracks.visible_boxes(elapsed).tolist() == tracks.advanced(elapsed).visible.boxes.tolist()
