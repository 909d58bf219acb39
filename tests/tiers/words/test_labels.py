"""Labels of tracks, carried between detections."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.tiers.words.join import Joined
from streamseg.tiers.words.labels import MAX_TRACKS, TrackLabels

TEXTS = ("cup", "mug")


def after(*scores: float, threshold: float = 0.3) -> tuple[str, float] | None:
    """Return the label of a track that was detected as a cup with these scores; 0: not detected."""
    labels = TrackLabels()
    for score in scores:
        joined = [Joined(0, 0, score)] if score else []
        labels.update([5], TEXTS, joined, [5])
    return labels.best(5, TEXTS, threshold)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        pytest.param((), None, id="never-seen"),
        pytest.param((0.0,), None, id="not-detected"),
        pytest.param((0.4,), ("cup", 0.4), id="detected"),
        pytest.param((0.4, 0.0), ("cup", 0.2), id="survives-one-miss"),
        pytest.param((0.4, 0.0, 0.0), None, id="but-not-two"),
        pytest.param((0.8, 0.0, 0.0), ("cup", 0.2), id="a-certain-one-survives-two"),
        pytest.param((0.8, 0.0, 0.0, 0.0), None, id="but-not-three"),
        pytest.param((0.4, 0.6), ("cup", 0.5), id="mean"),
    ],
)
def test_scores(scores: tuple[float, ...], expected: tuple[str, float] | None):
    assert (
        after(*scores) == pytest.approx(expected)
        if expected is None
        else after(*scores)
        == (
            expected[0],
            pytest.approx(expected[1]),
        )
    )


def test_the_best_of_several_texts_is_the_label():
    labels = TrackLabels()
    labels.update([5], TEXTS, [Joined(0, 0, 0.5), Joined(0, 1, 0.7)], [5])
    assert labels.best(5, TEXTS, 0.3) == ("mug", 0.7)
    assert labels.best(5, ("cup",), 0.3) == ("cup", 0.5)
    assert labels.best(5, ("plate",), 0.3) is None


def test_a_track_that_is_not_visible_keeps_its_label():
    labels = TrackLabels()
    labels.update([5], TEXTS, [Joined(0, 0, 0.5)], [5])
    labels.update([6], TEXTS, [], [6])
    assert labels.best(5, TEXTS, 0.3) == ("cup", 0.5)


def test_objects_without_a_track_id_are_not_remembered():
    labels = TrackLabels()
    labels.update([-1, -1], TEXTS, [Joined(0, 0, 0.5)], [-1, -1])
    assert labels.best(-1, TEXTS, 0.3) is None


def test_the_number_of_tracks_is_bounded():
    labels = TrackLabels()
    for track_id in range(MAX_TRACKS + 10):
        labels.update([track_id], ("cup",), [Joined(0, 0, 0.5)], [track_id])
    assert labels.best(0, ("cup",), 0.3) is None
    assert labels.best(MAX_TRACKS + 9, ("cup",), 0.3) == ("cup", 0.5)


@given(st.lists(st.floats(0, 1), max_size=20), st.floats(0.01, 1))
def test_a_label_reaches_half_the_threshold(scores: list[float], threshold: float):
    best = after(*scores, threshold=threshold)
    assert best is None or 0.5 * threshold <= best[1] <= 1
