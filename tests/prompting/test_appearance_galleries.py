"""Identities that turn out to be other objects."""

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


def turned(cosine: float) -> tuple[float, float, float]:
    """Looks that are so much like red."""
    return (cosine, math.sqrt(1 - cosine**2), 0.0)


def frame(appearance: dict[int, tuple[float, float, float]], seconds: float = 0.0) -> FrameRecord:
    return record_frame(
        frame_of([(identity, shifted(CUP, 30 * identity)) for identity in appearance], appearance), 0, seconds
    )


def known(*cosines: float) -> EmbeddingGallery:
    gallery = EmbeddingGallery()
    for cosine in (1.0,) * MIN_VIEWS + cosines:
        gallery.reject(frame({1: turned(cosine)}), [1])
    return gallery


@pytest.mark.parametrize(
    ("cosines", "rejected"),
    [
        pytest.param([1.0] * 3, [False] * 3, id="itself"),
        pytest.param([0.1] * 3, [False] * (PATIENT_FRAMES - 1) + [True] * (4 - PATIENT_FRAMES), id="another"),
        pytest.param([0.1, 1.0, 0.1, 1.0], [False] * 4, id="what-passes-in-front"),
        pytest.param([0.1, 0.1, 1.0], [False, True, False], id="itself-again"),
        pytest.param([0.1, 0.1, (MIN_COSINE + SURE_COSINE) / 2], [False, True, True], id="half-like-itself-again"),
        pytest.param([0.97, 0.92, 0.84, 0.73, 0.6], [False] * 5, id="changes-slowly"),
    ],
)
def test_one_identity(cosines: list[float], rejected: list[bool]):
    gallery = known()
    assert [bool(gallery.reject(frame({1: turned(cosine)}), [1])) for cosine in cosines] == rejected


def test_what_looks_like_it_goes_before_what_does_not():
    assert known().reject(frame({1: BLUE, 2: RED}), [1, 2]) == {1}
    assert known().reject(frame({1: RED, 2: BLUE}), [1, 2]) == {2}
    assert known().reject(frame({1: BLUE, 2: GREEN}), [1, 2]) == frozenset()
    assert known().reject(record_frame(frame_of([]), 0, 0.0), [1, 2]) == frozenset()


def test_too_little_is_known_to_deny_anything():
    gallery = EmbeddingGallery()
    appearance = [RED, GREEN, BLUE, RED]
    assert [gallery.reject(frame({1: one}), [1]) for one in appearance] == [frozenset()] * 4
    assert len(gallery.views) == MIN_VIEWS


def test_without_embeddings_nothing_is_denied():
    bare = record_frame(frame_of([(1, BOX)]), 0, 0.0)
    gallery = known()
    assert [gallery.reject(bare, [1]) for _ in range(4)] == [frozenset()] * 4


def test_what_another_network_saw_is_forgotten():
    gallery = EmbeddingGallery([view[:2] for view in known().views[:2]])
    for _ in range(MIN_VIEWS):
        gallery.reject(frame({1: RED}), [1])
    assert [view.shape for view in gallery.views] == [(3,)] * MIN_VIEWS


def test_views_are_few_and_the_first_stay():
    gallery = known(*[math.cos(step / 2.5) for step in range(1, 40)])
    assert len(gallery.views) <= GALLERY_SIZE
    assert [view.tolist() for view in gallery.views[:MIN_VIEWS]] == [list(RED)] * MIN_VIEWS


def test_when_it_was_last_itself():
    gallery = EmbeddingGallery()
    for index, appearance in enumerate([RED, RED, RED, RED, BLUE, BLUE]):
        gallery.reject(frame({1: appearance}, index / 10), [1])
    assert gallery.verified_seconds == pytest.approx(0.3)


# ---- in the life of a prompt


def lives(run: Run, frames: list[tuple[Objects, dict[int, tuple[float, float, float]]]]) -> list[tuple[str, int]]:
    return [status_of(run(frame_of(objects, appearance), ON_CUP)[0]) for objects, appearance in frames]


ITSELF = ([(1, CUP), (9, KITE)], {1: RED, 9: GREEN})
TAKEN = ([(1, shifted(BOX, -170, 60)), (9, KITE)], {1: BLUE, 9: GREEN})
"""The tracker went on with the box under the identity of the cup."""


def test_an_identity_that_the_tracker_hands_on_is_lost_and_the_object_found_again():
    run = Run()
    assert lives(run, [ITSELF] * 6) == [("bound", 1)] * 6
    assert lives(run, [TAKEN] * 4)[PATIENT_FRAMES - 1 :] == [("lost", 1)] * (5 - PATIENT_FRAMES)
    found = ([*TAKEN[0], (2, shifted(CUP, 20))], {**TAKEN[1], 2: RED})
    assert lives(run, [found] * 4)[-2:] == [("reacquired", 2)] * 2, "and not the one that is older"
    assert lives(run, [ITSELF]) == [("bound", 1)], "but its own where that is itself again"


def test_it_is_remembered_as_it_was_before():
    run = Run()
    lives(run, [ITSELF] * 6 + [TAKEN] * 6)
    later = Run(run.tracker.state_dict())
    both = ([(5, CUP), (6, shifted(BOX, 0, 90))], {5: RED, 6: BLUE})
    assert lives(later, [both] * 3)[-1] == ("reacquired", 5)
    run.tracker.restart()
    assert lives(run, [both] * 3)[-1] == ("reacquired", 5)


def test_what_a_click_meant_is_known_from_the_frames_before_it():
    run = Run()
    for _ in range(4):
        run(frame_of(*ITSELF))
    assert lives(run, [ITSELF, TAKEN, TAKEN])[-1] == ("lost", 1)
