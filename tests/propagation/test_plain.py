"""Batches of tiles give the masks that each cell, frame and target has for itself."""

import numpy as np
import pytest

from streamseg.propagation import LabelPropagator, PropagationSettings
from tests.support.feature_maps import distinct_features, moved, rectangle
from tests.support.plain_propagation import PlainPropagator, noisy

SIZE = (20, 27)
"""Not a multiple of the tile, nor of two cells."""
MASKS = {
    "large": rectangle(3, 2, 15, 14, SIZE),
    "small": rectangle(20, 12, 22, 14, SIZE),
    "inside": rectangle(6, 6, 9, 9, SIZE),
    "at the border": rectangle(22, 0, 27, 5, SIZE),
}
LATER = {"later": rectangle(10, 14, 16, 19, SIZE)}


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("num_recent", [0, 1, 2])
def test_batches_equal_the_plain_algorithm(level, num_recent):
    settings = {"radius": 3, "num_votes": 3, "temperature": 0.1, "num_recent": num_recent}
    batched = LabelPropagator(PropagationSettings(**settings, max_tiles=0 if level else 100, num_components=0))
    plain = PlainPropagator(**settings, level=level)
    # Neighbouring cells resemble each other, as in images: labels are then between 0 and 1.
    start = noisy(distinct_features(SIZE, channels=8), seed=1, scale=0.3)
    for index in range(5):
        frame = noisy(moved(start, index // 2, index), seed=index)
        found, expected = batched.propagate(frame), plain.propagate(frame)
        assert list(found) == list(expected)
        for target_id, mask in expected.items():
            np.testing.assert_allclose(found[target_id], mask, atol=1e-4)
        learnt = {0: MASKS, 2: LATER}.get(index, {})
        # One target is not confirmed in each frame: its memory differs from that of the others.
        learnt = learnt | {one: mask for at, (one, mask) in enumerate(found.items()) if (at + index) % 3}
        batched.learn(frame, learnt)
        plain.learn(frame, learnt)


def test_a_target_that_starts_again_does_not_remember_its_earlier_self():
    settings = PropagationSettings(max_tiles=100, num_components=0)
    first, second = rectangle(2, 2, 8, 8, SIZE), rectangle(14, 8, 22, 16, SIZE)
    scene = distinct_features(SIZE)
    again = LabelPropagator(settings)
    again.learn(scene, {"kept": first, "other": first})
    again.retain(["kept"])
    again.learn(moved(scene, 0, 1), {"other": second})
    fresh = LabelPropagator(settings)
    fresh.learn(moved(scene, 0, 1), {"other": second})
    found, expected = (one.propagate(moved(scene, 0, 2))["other"] for one in (again, fresh))
    np.testing.assert_array_equal(found > 0.5, expected > 0.5)
