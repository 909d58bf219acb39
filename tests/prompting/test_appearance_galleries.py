"""Embedding galleries: tracks that switch to another object are rejected."""

from __future__ import annotations

import math

import pytest

from streamseg.prompting.appearance import (
    GALLERY_SIZE,
    MIN_COSINE,
    MIN_VIEWS,
    PATIENT_FRAMES,
    SURE_COSINE,
    EmbeddingGallery,
)
from streamseg.prompting.history import FrameRecord, record_frame
from tests.support.tracked_shapes import BOX, CUP, KITE, Objects, Run, click, frame_of, shifted, status_of

RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
ON_CUP = click(CUP.x, CUP.y)


def rotated(cosine: float) -> tuple[float, float, float]:
    """Return an embedding with this cosine similarity to red."""
    return (cosine, math.sqrt(1 - cosine**2), 0.0)


def frame(embeddings: dict[int, tuple[float, float, float]], seconds: float = 0.0) -> FrameRecord:
    return record_frame(
        frame_of([(track_id, shifted(CUP, 30 * track_id)) for track_id in embeddings], embeddings), 0, seconds
    )


def gallery_of(*cosines: float) -> EmbeddingGallery:
    gallery = EmbeddingGallery()
    for cosine in (1.0,) * MIN_VIEWS + cosines:
        gallery.reject(frame({1: rotated(cosine)}), [1])
    return gallery


@pytest.mark.parametrize(
    ("cosines", "rejected"),
    [
        pytest.param([1.0] * 3, [False] * 3, id="the-target"),
        pytest.param([0.1] * 3, [False] * (PATIENT_FRAMES - 1) + [True] * (4 - PATIENT_FRAMES), id="another-object"),
        pytest.param([0.1, 1.0, 0.1, 1.0], [False] * 4, id="occlusion"),
        pytest.param([0.1, 0.1, 1.0], [False, True, False], id="the-target-again"),
        pytest.param([0.1, 0.1, (MIN_COSINE + SURE_COSINE) / 2], [False, True, True], id="half-similar-again"),
        pytest.param([0.97, 0.92, 0.84, 0.73, 0.6], [False] * 5, id="slow-change"),
    ],
)
def test_one_track(cosines: list[float], rejected: list[bool]):
    gallery = gallery_of()
    assert [bool(gallery.reject(frame({1: rotated(cosine)}), [1])) for cosine in cosines] == rejected


def test_similar_track_takes_precedence():
    assert gallery_of().reject(frame({1: BLUE, 2: RED}), [1, 2]) == {1}
    assert gallery_of().reject(frame({1: RED, 2: BLUE}), [1, 2]) == {2}
    assert gallery_of().reject(frame({1: BLUE, 2: GREEN}), [1, 2]) == frozenset()
    assert gallery_of().reject(record_frame(frame_of([]), 0, 0.0), [1, 2]) == frozenset()


def test_too_few_views_reject_nothing():
    gallery = EmbeddingGallery()
    embeddings = [RED, GREEN, BLUE, RED]
    assert [gallery.reject(frame({1: one}), [1]) for one in embeddings] == [frozenset()] * 4
    assert len(gallery.views) == MIN_VIEWS


def test_without_embeddings_nothing_is_rejected():
    bare = record_frame(frame_of([(1, BOX)]), 0, 0.0)
    gallery = gallery_of()
    assert [gallery.reject(bare, [1]) for _ in range(4)] == [frozenset()] * 4


def test_views_of_another_network_are_dropped():
    gallery = EmbeddingGallery([view[:2] for view in gallery_of().views[:2]])
    for _ in range(MIN_VIEWS):
        gallery.reject(frame({1: RED}), [1])
    assert [view.shape for view in gallery.views] == [(3,)] * MIN_VIEWS


def test_views_are_limited_and_the_first_stay():
    gallery = gallery_of(*[math.cos(step / 2.5) for step in range(1, 40)])
    assert len(gallery.views) <= GALLERY_SIZE
    assert [view.tolist() for view in gallery.views[:MIN_VIEWS]] == [list(RED)] * MIN_VIEWS


def test_time_of_the_last_verification():
    gallery = EmbeddingGallery()
    for index, embedding in enumerate([RED, RED, RED, RED, BLUE, BLUE]):
        gallery.reject(frame({1: embedding}, index / 10), [1])
    assert gallery.verified_seconds == pytest.approx(0.3)


# ---- with a prompt tracker


def statuses(run: Run, frames: list[tuple[Objects, dict[int, tuple[float, float, float]]]]) -> list[tuple[str, int]]:
    return [status_of(run(frame_of(objects, appearance), ON_CUP)[0]) for objects, appearance in frames]


ORIGINAL = ([(1, CUP), (9, KITE)], {1: RED, 9: GREEN})
SWITCHED = ([(1, shifted(BOX, -170, 60)), (9, KITE)], {1: BLUE, 9: GREEN})
"""The box has taken over the track of the cup."""


def test_identity_switch_is_detected_and_the_target_reidentified():
    run = Run()
    assert statuses(run, [ORIGINAL] * 6) == [("bound", 1)] * 6
    assert statuses(run, [SWITCHED] * 4)[PATIENT_FRAMES - 1 :] == [("lost", 1)] * (5 - PATIENT_FRAMES)
    found = ([*SWITCHED[0], (2, shifted(CUP, 20))], {**SWITCHED[1], 2: RED})
    assert statuses(run, [found] * 4)[-2:] == [("reacquired", 2)] * 2, "not the older track"
    assert statuses(run, [ORIGINAL]) == [("bound", 1)], "its own track takes precedence once it is the target again"


def test_saved_appearance_is_from_before_the_switch():
    run = Run()
    statuses(run, [ORIGINAL] * 6 + [SWITCHED] * 6)
    later = Run(run.tracker.state_dict())
    both = ([(5, CUP), (6, shifted(BOX, 0, 90))], {5: RED, 6: BLUE})
    assert statuses(later, [both] * 3)[-1] == ("reacquired", 5)
    run.tracker.restart()
    assert statuses(run, [both] * 3)[-1] == ("reacquired", 5)


def test_gallery_starts_with_the_frames_before_the_click():
    run = Run()
    for _ in range(4):
        run(frame_of(*ORIGINAL))
    assert statuses(run, [ORIGINAL, SWITCHED, SWITCHED])[-1] == ("lost", 1)
