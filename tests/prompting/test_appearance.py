"""What is remembered of an object."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg.prompting.appearance import MAX_VIEWS, NUM_TILES, Looks, mask_areas, silhouette_ious
from streamseg.prompting.history import Sighting, sight
from tests.support.followed import BOX, CUP, moved, seen
from tests.support.shapes import Shape


def film(shapes: list[Shape], embeddings: list[tuple[float, ...]] | None = None, fps: float = 10.0):
    """One object, alone in each frame, as `Sightings.of` gives it."""
    return [
        (sight(seen([(1, shape)], None if embeddings is None else {1: embeddings[index]}), index, index / fps), 0)
        for index, shape in enumerate(shapes)
    ]


def test_of_one_sighting():
    seen_once: list[tuple[Sighting, int]] = film([CUP])
    looks = Looks.of(seen_once)
    assert looks.velocity == (0.0, 0.0)
    assert (looks.seen_seconds, looks.embeddings) == (0.0, None)
    assert looks.silhouettes.shape == (1, NUM_TILES)
    assert looks.areas[0] == pytest.approx(np.pi / 4 * CUP.width * CUP.height, rel=0.08)
    assert looks.box == pytest.approx((50, 75, 110, 165), abs=3)


@pytest.mark.parametrize("fps", [5.0, 10.0, 30.0])
def test_velocity_is_per_second(fps: float):
    looks = Looks.of(film([moved(CUP, 60 * index / fps, -30 * index / fps) for index in range(12)], fps=fps))
    assert looks.velocity == pytest.approx((60, -30), abs=4)
    assert looks.seen_seconds == pytest.approx(11 / fps)


def test_views_are_few_and_the_largest_is_among_them():
    shapes = [CUP] * 20 + [Shape(80, 120, 60, 40)] * 20
    shapes[7] = Shape(80, 120, 80, 110)
    looks = Looks.of(film(shapes))
    assert len(looks.areas) <= MAX_VIEWS
    assert looks.areas.max() == pytest.approx(np.pi / 4 * 80 * 110, rel=0.08)
    assert looks.areas[0] == pytest.approx(np.pi / 4 * 60 * 40, rel=0.1), "the last one comes first"


def test_half_of_what_was_known_before_stays():
    earlier = Looks.of(film([BOX] * 5, [(1, 0)] * 5))
    later = Looks.of(film([CUP] * 5, [(0, 1)] * 5), earlier)
    assert later.embeddings is not None
    assert later.embeddings.tolist() == [[0, 1]] * 2 + [[1, 0]] * 2
    assert len(later.areas) == len(later.silhouettes) == MAX_VIEWS
    assert later.box == pytest.approx((50, 75, 110, 165), abs=3), "but where it was seen last"


@pytest.mark.parametrize(
    "earlier", [pytest.param(None, id="none-before"), pytest.param([(1, 0, 0)] * 5, id="of-another-length")]
)
def test_embeddings_that_do_not_fit_are_left_away(earlier):
    later = Looks.of(film([CUP] * 5, [(0, 1)] * 5), Looks.of(film([BOX] * 5, earlier)))
    assert later.embeddings is None


def test_areas_of_masks():
    full = np.ones((1, NUM_TILES), np.bool_)
    assert mask_areas(np.array([[0.0, 0, 10, 20]]), full) == pytest.approx([1.3**2 * 200])
    assert mask_areas(np.zeros((0, 4)), np.zeros((0, NUM_TILES), np.bool_)).shape == (0,)


def test_ious_of_silhouettes():
    full, half, none = np.ones(NUM_TILES, bool), np.arange(NUM_TILES) < NUM_TILES / 2, np.zeros(NUM_TILES, bool)
    ious = silhouette_ious(np.stack([full, half, none]), np.stack([half, none]))
    assert ious.tolist() == [[0.5, 0], [1, 0], [0, 0]]
