"""Lost targets among the tracks that started later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from streamseg.prompting.appearance import Appearance
from streamseg.prompting.history import FirstSeen, FrameRecord, record_frame
from streamseg.prompting.reid import (
    CONSISTENT_FRAMES,
    FEATURES,
    MAX_SECONDS,
    MIN_GONE_SECONDS,
    SPURIOUS_SECONDS,
    LostTarget,
    features,
    reidentify,
    row_log_odds,
)
from tests.support.shapes import Shape
from tests.support.tracked_shapes import BOX, CUP, HANDLE, KITE, Objects, frame_of, shifted

RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
EMBEDDINGS = {1: RED, 2: RED, 3: RED, 4: GREEN, 5: BLUE}


def frame(objects: Objects, seconds: float, *, embedded: bool = True) -> FrameRecord:
    return record_frame(frame_of(objects, EMBEDDINGS if embedded and objects else None), round(seconds * 10), seconds)


def appearance_of(shape: Shape, *, embedded: bool = True) -> Appearance:
    return Appearance.of([(frame([(1, shape)], index / 10, embedded=embedded), 0) for index in range(5)])


def reidentified(
    objects: Objects, *, before: Sequence[int] = (), frames: int = CONSISTENT_FRAMES, embedded: bool = True
):
    """Return the track id matched with the cup, last seen at 0.4 s, if these objects are visible from 1 s on."""
    lost, first_seen = LostTarget(appearance_of(CUP, embedded=embedded), 5.0), FirstSeen()
    first_seen.update({1, *before}, 0.4)
    match = None
    for index in range(frames):
        record = frame(objects, 1.0 + index / 10, embedded=embedded)
        first_seen.update(record.rows.keys(), record.time_seconds)
        (match,) = reidentify([lost], record, first_seen)
    return None if match is None else match.track_id


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        pytest.param([(2, CUP)], 2, id="same-position"),
        pytest.param([(2, shifted(CUP, 25))], 2, id="slightly-away"),
        pytest.param([(4, CUP)], None, id="another-appearance"),
        pytest.param([(4, CUP), (2, shifted(CUP, 60))], 2, id="appearance-before-position"),
        pytest.param([(2, CUP), (3, shifted(CUP, 4))], None, id="two-alike"),
        pytest.param([(2, HANDLE)], None, id="part"),
        pytest.param([(5, BOX), (4, KITE)], None, id="other-objects"),
        pytest.param([], None, id="no-objects"),
    ],
)
def test_by_position_shape_and_appearance(objects: Objects, expected: int | None):
    assert reidentified(objects) == expected


def test_without_embeddings_by_position_and_shape():
    assert reidentified([(2, CUP), (5, shifted(BOX, -60))], embedded=False) == 2
    assert reidentified([(5, shifted(BOX, -170, 60))], embedded=False) is None


def test_embeddings_of_another_network_are_ignored():
    longer = {track_id: (*embedding, 0.0) for track_id, embedding in EMBEDDINGS.items()}
    views = [record_frame(frame_of([(1, CUP)], longer), index, index / 10) for index in range(5)]
    first_seen = FirstSeen()
    first_seen.update({1}, 0.4)
    lost = [
        LostTarget(appearance, 5.0)
        for appearance in (Appearance.of([(view, 0) for view in views]), appearance_of(CUP, embedded=False))
    ]
    for index in range(CONSISTENT_FRAMES):
        record = frame([(2, shifted(CUP, 5))], 1.0 + index / 10)
        first_seen.update(record.rows.keys(), record.time_seconds)
        matches = reidentify(lost, record, first_seen)
    assert matches[0] == matches[1] is not None


def test_track_older_than_the_loss_is_another_object():
    assert reidentified([(2, CUP)], before=[2]) is None


def test_one_frame_is_not_enough():
    assert reidentified([(2, CUP)], frames=CONSISTENT_FRAMES - 1) is None


def test_frames_must_be_consecutive():
    lost, first_seen = LostTarget(appearance_of(CUP), 5.0), FirstSeen()
    first_seen.update({1}, 0.4)
    matches = []
    for index, objects in enumerate([[(2, CUP)], [], [(2, CUP)], [(3, CUP)], [(2, CUP)]]):
        record = frame(objects, 1 + index / 10)
        first_seen.update(record.rows.keys(), record.time_seconds)
        matches += reidentify([lost], record, first_seen)
    assert matches == [None] * 5


def test_targets_are_independent():
    first_seen = FirstSeen()
    first_seen.update({2, 5}, 1.0)
    record = frame([(2, CUP), (5, BOX)], 1.0)
    assert reidentify([], record, first_seen) == []
    two = [LostTarget(appearance_of(CUP), 5.0, 2, CONSISTENT_FRAMES - 1), LostTarget(appearance_of(KITE), 5.0)]
    first, second = reidentify(two, record, first_seen)
    assert first is not None
    assert (first.track_id, second) == (2, None)
    assert 0.5 < first.probability < 1


def test_features():
    later = frame([(2, CUP), (4, shifted(BOX, 20))], 0.9)
    values = dict(zip(FEATURES, features([appearance_of(CUP)], later, [0, 1])[0].T, strict=True))
    assert values["constant"].tolist() == [1, 1]
    assert values["appearance"] == pytest.approx([1, 0], abs=1e-5)
    assert values["seconds"] == pytest.approx([0.5, 0.5])
    assert values["shape"][0] > 0.95 > values["shape"][1]
    assert values["size"] == pytest.approx([0, 0.1], abs=0.1)
    assert values["distance"][0] < 0.05 < values["distance"][1] <= 4


def test_a_part_may_not_grow_into_its_whole():
    later = frame([(2, CUP), (5, HANDLE)], 0.9)
    growth = features([appearance_of(CUP), appearance_of(HANDLE)], later, [0, 1])[..., FEATURES.index("growth")]
    assert growth[0] == pytest.approx([0, 0], abs=0.05), "a cup of which only the handle is visible"
    assert growth[1, 0] > 0.3
    assert growth[1, 1] == pytest.approx(0, abs=0.05)


def test_the_gallery_is_compared():
    known, later = appearance_of(CUP), frame([(2, CUP), (4, BOX), (5, KITE)], 0.9)
    galleries = [None, np.array([GREEN, BLUE], np.float32), np.ones((1, 7), np.float32)]
    values = features([replace(known, gallery=one) for one in galleries], later, [0, 1, 2])
    own, other, incompatible = values[..., FEATURES.index("gallery")].tolist()
    assert own == incompatible == pytest.approx([1, 0, 0], abs=1e-5), "else, the last views count"
    assert other == pytest.approx([0, 1, 1], abs=1e-5)


def test_lost_targets_know_the_log_odds_of_all_rows():
    first_seen, lost = FirstSeen(), LostTarget(appearance_of(CUP), 5.0)
    first_seen.update({1, 2, 4}, 0.4)
    record = frame([(4, BOX), (2, CUP)], 1.0)
    assert reidentify([lost], record, first_seen) == [None], "both tracks are older"
    assert lost.log_odds is not None
    other, same = lost.log_odds.tolist()
    assert same > 0 > other
    assert row_log_odds([lost.appearance], record).tolist() == [[other, same]]
    assert row_log_odds([lost.appearance], frame([], 1.1)).shape == (1, 0)


def test_features_after_a_long_time_without_embeddings():
    values = features([appearance_of(CUP)], frame([(2, shifted(CUP, 200))], 100.0, embedded=False), [0])[0, 0]
    assert values[5] == MAX_SECONDS
    assert values[1] == pytest.approx(0, abs=1e-6), "after so long the position has no weight"
    assert np.isnan(values[4])


@pytest.mark.parametrize(
    ("observed", "gone", "expected"),
    [
        pytest.param(0.2, MIN_GONE_SECONDS + 0.01, True, id="seen-briefly"),
        pytest.param(0.2, 0.1, False, id="missed-briefly"),
        pytest.param(0.8, 0.5, False, id="gone-for-less-than-it-was-seen"),
        pytest.param(SPURIOUS_SECONDS, 60.0, False, id="seen-for-long"),
    ],
)
def test_is_spurious(observed: float, gone: float, expected: bool):
    assert LostTarget(appearance_of(CUP), observed).is_spurious(0.4 + gone) == expected
