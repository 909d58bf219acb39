"""Appearance of a target: box, velocity and views."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg.prompting.appearance import APPEARANCE_VIEWS, Appearance
from streamseg.prompting.history import NUM_CELLS, FrameRecord, record_frame
from tests.support.shapes import Shape
from tests.support.tracked_shapes import BOX, CUP, frame_of, shifted


def observations_of(shapes: list[Shape], embeddings: list[tuple[float, ...]] | None = None, fps: float = 10.0):
    """Return the observations of one object, alone in each frame."""
    return [
        (
            record_frame(
                frame_of([(1, shape)], None if embeddings is None else {1: embeddings[index]}), index, index / fps
            ),
            0,
        )
        for index, shape in enumerate(shapes)
    ]


def test_single_observation():
    observations: list[tuple[FrameRecord, int]] = observations_of([CUP])
    appearance = Appearance.of(observations)
    assert appearance.velocity == (0.0, 0.0)
    assert (appearance.seen_seconds, appearance.embeddings) == (0.0, None)
    assert appearance.silhouettes.shape == (1, NUM_CELLS)
    assert appearance.areas[0] == pytest.approx(np.pi / 4 * CUP.width * CUP.height, rel=0.08)
    assert appearance.box == pytest.approx((50, 75, 110, 165), abs=3)


@pytest.mark.parametrize("fps", [5.0, 10.0, 30.0])
def test_velocity_is_per_second(fps: float):
    appearance = Appearance.of(
        observations_of([shifted(CUP, 60 * index / fps, -30 * index / fps) for index in range(12)], fps=fps)
    )
    assert appearance.velocity == pytest.approx((60, -30), abs=4)
    assert appearance.seen_seconds == pytest.approx(11 / fps)


def test_views_include_the_last_and_the_largest():
    shapes = [CUP] * 20 + [Shape(80, 120, 60, 40)] * 20
    shapes[7] = Shape(80, 120, 80, 110)
    appearance = Appearance.of(observations_of(shapes))
    assert len(appearance.areas) <= APPEARANCE_VIEWS
    assert appearance.areas.max() == pytest.approx(np.pi / 4 * 80 * 110, rel=0.08)
    assert appearance.areas[0] == pytest.approx(np.pi / 4 * 60 * 40, rel=0.1), "the last view comes first"


def test_half_of_the_views_are_earlier_ones():
    earlier = Appearance.of(observations_of([BOX] * 5, [(1, 0)] * 5))
    later = Appearance.of(observations_of([CUP] * 5, [(0, 1)] * 5), earlier)
    assert later.embeddings is not None
    assert later.embeddings.tolist() == [[0, 1]] * 2 + [[1, 0]] * 2
    assert len(later.areas) == len(later.silhouettes) == APPEARANCE_VIEWS
    assert later.box == pytest.approx((50, 75, 110, 165), abs=3), "the box is the last seen one"


def test_the_first_views_stay():
    first = Appearance.of(observations_of([BOX] * 5, [(1, 0)] * 5))
    second = Appearance.of(observations_of([CUP] * 5, [(0, 1)] * 5), first)
    third = Appearance.of(observations_of([CUP] * 5, [(0.6, 0.8)] * 5), second)
    assert third.embeddings is not None
    assert third.embeddings[-2:].tolist() == [[1, 0]] * 2, "however often it was re-identified since"


@pytest.mark.parametrize(
    "earlier", [pytest.param(None, id="no-embeddings"), pytest.param([(1, 0, 0)] * 5, id="another-length")]
)
def test_incompatible_embeddings_are_dropped(earlier):
    later = Appearance.of(observations_of([CUP] * 5, [(0, 1)] * 5), Appearance.of(observations_of([BOX] * 5, earlier)))
    assert later.embeddings is None
