"""What is remembered of an object."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg.prompting.appearance import APPEARANCE_VIEWS, NUM_CELLS, Appearance, mask_areas, silhouette_ious
from streamseg.prompting.history import FrameRecord, record_frame
from tests.support.shapes import Shape
from tests.support.tracked_shapes import BOX, CUP, frame_of, shifted


def film(shapes: list[Shape], embeddings: list[tuple[float, ...]] | None = None, fps: float = 10.0):
    """One object, alone in each frame, as `FrameHistory.of` gives it."""
    return [
        (
            record_frame(
                frame_of([(1, shape)], None if embeddings is None else {1: embeddings[index]}), index, index / fps
            ),
            0,
        )
        for index, shape in enumerate(shapes)
    ]


def test_of_one_sighting():
    seen_once: list[tuple[FrameRecord, int]] = film([CUP])
    appearance = Appearance.of(seen_once)
    assert appearance.velocity == (0.0, 0.0)
    assert (appearance.seen_seconds, appearance.embeddings) == (0.0, None)
    assert appearance.silhouettes.shape == (1, NUM_CELLS)
    assert appearance.areas[0] == pytest.approx(np.pi / 4 * CUP.width * CUP.height, rel=0.08)
    assert appearance.box == pytest.approx((50, 75, 110, 165), abs=3)


@pytest.mark.parametrize("fps", [5.0, 10.0, 30.0])
def test_velocity_is_per_second(fps: float):
    appearance = Appearance.of(
        film([shifted(CUP, 60 * index / fps, -30 * index / fps) for index in range(12)], fps=fps)
    )
    assert appearance.velocity == pytest.approx((60, -30), abs=4)
    assert appearance.seen_seconds == pytest.approx(11 / fps)


def test_views_are_few_and_the_largest_is_among_them():
    shapes = [CUP] * 20 + [Shape(80, 120, 60, 40)] * 20
    shapes[7] = Shape(80, 120, 80, 110)
    appearance = Appearance.of(film(shapes))
    assert len(appearance.areas) <= APPEARANCE_VIEWS
    assert appearance.areas.max() == pytest.approx(np.pi / 4 * 80 * 110, rel=0.08)
    assert appearance.areas[0] == pytest.approx(np.pi / 4 * 60 * 40, rel=0.1), "the last one comes first"


def test_half_of_what_was_known_before_stays():
    earlier = Appearance.of(film([BOX] * 5, [(1, 0)] * 5))
    later = Appearance.of(film([CUP] * 5, [(0, 1)] * 5), earlier)
    assert later.embeddings is not None
    assert later.embeddings.tolist() == [[0, 1]] * 2 + [[1, 0]] * 2
    assert len(later.areas) == len(later.silhouettes) == APPEARANCE_VIEWS
    assert later.box == pytest.approx((50, 75, 110, 165), abs=3), "but where it was seen last"


@pytest.mark.parametrize(
    "earlier", [pytest.param(None, id="none-before"), pytest.param([(1, 0, 0)] * 5, id="of-another-length")]
)
def test_embeddings_that_do_not_fit_are_left_away(earlier):
    later = Appearance.of(film([CUP] * 5, [(0, 1)] * 5), Appearance.of(film([BOX] * 5, earlier)))
    assert later.embeddings is None


def test_areas_of_masks():
    full = np.ones((1, NUM_CELLS), np.bool_)
    assert mask_areas(np.array([[0.0, 0, 10, 20]]), full) == pytest.approx([1.3**2 * 200])
    assert mask_areas(np.zeros((0, 4)), np.zeros((0, NUM_CELLS), np.bool_)).shape == (0,)


def test_ious_of_silhouettes():
    full, half, none = np.ones(NUM_CELLS, bool), np.arange(NUM_CELLS) < NUM_CELLS / 2, np.zeros(NUM_CELLS, bool)
    ious = silhouette_ious(np.stack([full, half, none]), np.stack([half, none]))
    assert ious.tolist() == [[0.5, 0], [1, 0], [0, 0]]
