import numpy as np
import pytest
import torch

from streamseg.structures.instances import Instances, Tracked
from streamseg.text.embedding_cache import (
    EVICTION_SECONDS,
    FIRST_INTERVAL_SECONDS,
    LONGEST_INTERVAL_SECONDS,
    CropKey,
    EmbeddingCache,
    crop_keys,
    has_changed,
)
from tests.support.shapes import Shape, detect_shapes

FULL, HALF = np.ones((4, 4), np.bool_), np.tri(4, dtype=np.bool_)
NORTH, EAST = np.eye(2, dtype=np.float32)


def turned(degrees):
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], np.float32)


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        pytest.param(CropKey(100, NORTH, None), CropKey(100, NORTH, None), False, id="equal"),
        pytest.param(CropKey(100, turned(0), None), CropKey(100, turned(30), None), False, id="slightly turned"),
        pytest.param(CropKey(100, turned(0), None), CropKey(100, turned(60), None), True, id="turned"),
        pytest.param(CropKey(100, NORTH, None), CropKey(190, NORTH, None), False, id="slightly closer"),
        pytest.param(CropKey(100, NORTH, None), CropKey(210, NORTH, None), True, id="closer"),
        pytest.param(CropKey(210, NORTH, None), CropKey(100, NORTH, None), True, id="farther"),
        pytest.param(CropKey(0, NORTH, None), CropKey(100, NORTH, None), True, id="from area 0"),
        pytest.param(CropKey(0, None, FULL), CropKey(0, None, FULL), False, id="area 0"),
        pytest.param(CropKey(100, None, FULL), CropKey(100, None, FULL), False, id="same silhouette"),
        pytest.param(CropKey(100, None, FULL), CropKey(100, None, HALF), False, id="silhouette 10 of 16"),
        pytest.param(CropKey(100, None, FULL), CropKey(100, None, np.eye(4) > 0), True, id="different silhouette"),
        pytest.param(CropKey(100, None, ~FULL), CropKey(100, None, ~FULL), False, id="empty silhouettes"),
        pytest.param(CropKey(100, NORTH, None), CropKey(100, None, FULL), True, id="not comparable"),
    ],
)
def test_has_changed(before, after, changed):
    assert has_changed(before, after) is changed


def test_keys_hold_embeddings_or_else_silhouettes():
    instances = detect_shapes([Shape(60, 60, 50, 50), Shape(200, 120, 100, 40, "rectangle")])
    disc, square = crop_keys(instances)
    assert (disc.appearance, square.appearance) == (None, None)
    assert not disc.silhouette[0, 0]
    assert square.silhouette.all()
    assert square.area == pytest.approx(100 * 40, rel=0.1)
    embedded = Instances(
        instances.boxes,
        instances.scores,
        instances.mask_logits,
        instances.grid_to_image,
        instances.image_size,
        embeddings=torch.eye(2),
    )
    np.testing.assert_array_equal([key.appearance for key in crop_keys(embedded)], np.eye(2))
    assert crop_keys(Instances.empty((10, 10))) == []


def tracked(*track_ids):
    num = len(track_ids)
    return Tracked(
        Instances(torch.zeros(num, 4), torch.ones(num), torch.zeros(num, 2, 2), (1, 1, 0, 0), (10, 10)),
        torch.tensor(track_ids, dtype=torch.int64),
    )


def plain(*areas):
    return [CropKey(area, NORTH, None) for area in areas]


def rows_at(cache, seconds, track_ids, keys, budget=None, priorities=None):
    return cache.select_rows(tracked(*track_ids), keys, seconds, budget=budget, priorities=priorities)


def test_object_is_embedded_once_and_then_at_growing_intervals():
    cache, embedded_at = EmbeddingCache(), []
    for frame in range(2 * 100):
        seconds = frame / 2
        if rows_at(cache, seconds, [7], plain(100)):
            embedded_at.append(seconds)
            cache.add(7, NORTH, plain(100)[0], seconds)
    assert embedded_at == [0, 1, 3, 7, 15, 31, 63, 95]
    assert embedded_at[-1] - embedded_at[-2] == LONGEST_INTERVAL_SECONDS


def test_changed_object_is_embedded_at_once_and_its_interval_restarts():
    cache = EmbeddingCache()
    for seconds in (0, 1, 3):
        cache.add(7, NORTH, CropKey(100, NORTH, None), seconds)
    other = [CropKey(100, EAST, None)]
    assert rows_at(cache, 3.1, [7], plain(100)) == []
    assert rows_at(cache, 3.1, [7], other) == [0]
    cache.add(7, NORTH, other[0], 3.1)
    assert rows_at(cache, 3.2, [7], other) == []
    assert rows_at(cache, 3.2 + FIRST_INTERVAL_SECONDS, [7], other) == [0]


@pytest.mark.parametrize(
    ("track_ids", "areas", "priorities", "budget", "rows"),
    [
        pytest.param([1, 2, 3], [10, 30, 20], {}, 2, [1, 2], id="largest new objects"),
        pytest.param([1, 2, 3], [10, 30, 20], {1: 0.9}, 2, [0, 1], id="priority before size"),
        pytest.param([1, 2, 3], [10, 30, 20], {}, None, [1, 2, 0], id="no budget"),
        pytest.param([-1, 2, -1], [90, 30, 20], {}, 2, [1, 0], id="tentative objects last"),
        pytest.param([-1, -1], [20, 90], {}, 1, [1], id="only tentative objects"),
        pytest.param([50, 60, 4], [100, 250, 1], {}, 3, [2, 1, 0], id="new, then changed, then due"),
        pytest.param([51, 4], [100, 1], {}, 3, [1], id="known and not due"),
        pytest.param([], [], {}, 4, [], id="no objects"),
    ],
)
def test_rows_within_the_budget(track_ids, areas, priorities, budget, rows):
    cache = EmbeddingCache()
    cache.add(50, NORTH, plain(100)[0], 0.0)  # due
    cache.add(60, NORTH, plain(100)[0], 9.9)
    cache.add(51, NORTH, plain(100)[0], 9.9)
    assert rows_at(cache, 10.0, track_ids, plain(*areas), budget, priorities) == rows


def test_clock_that_was_set_back_is_tolerated():
    cache = EmbeddingCache()
    cache.add(7, NORTH, plain(100)[0], 1000.0)
    assert rows_at(cache, 0.0, [7], plain(100)) == [0]
    cache.add(7, NORTH, plain(100)[0], 0.0)
    assert rows_at(cache, 0.5, [7], plain(100)) == []


def test_mean_embedding_follows_new_views():
    cache = EmbeddingCache()
    assert cache.embedding(7) is None
    cache.add(7, NORTH, plain(100)[0], 0)
    np.testing.assert_allclose(cache.embedding(7), NORTH)
    cache.add(7, EAST, plain(100)[0], 1)
    np.testing.assert_allclose(cache.embedding(7), turned(45), atol=1e-6)
    for seconds in range(2, 30):
        cache.add(7, EAST, plain(100)[0], seconds)
        assert np.linalg.norm(cache.embedding(7)) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(cache.embedding(7), EAST, atol=0.01)
    cache.add(7, -cache.embedding(7), plain(100)[0], 30)  # opposite views
    assert np.isfinite(cache.embedding(7)).all()


def test_unseen_tracks_are_evicted():
    cache = EmbeddingCache()
    for track_id in (1, 2):
        cache.add(track_id, NORTH, plain(100)[0], 0)
    rows_at(cache, EVICTION_SECONDS, [1], plain(100))
    cache.evict(EVICTION_SECONDS + 1)
    assert len(cache) == 1
    assert cache.embedding(2) is None
