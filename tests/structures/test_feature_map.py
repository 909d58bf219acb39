"""Features of one image on a grid."""

import numpy as np
import pytest

from streamseg.structures.feature_map import FeatureMap, halved
from streamseg.structures.grid import GridTransform

TO_IMAGE = GridTransform(8.0, 4.0, -2.0, 1.0)


@pytest.mark.parametrize(("size", "half"), [((4, 6), (2, 3)), ((3, 5), (2, 3)), ((1, 1), (1, 1))])
def test_coarser_features_are_unit_vectors_over_the_same_area(size, half):
    values = np.random.default_rng(0).normal(size=(*size, 3)).astype(np.float32)
    coarser = FeatureMap(values, TO_IMAGE).coarser
    assert coarser.size == half
    assert coarser.to_image == (16.0, 8.0, -2.0, 1.0)
    np.testing.assert_allclose(np.linalg.norm(coarser.values, axis=2), 1, rtol=1e-5)


def test_halving_repeats_the_last_row_and_column():
    grid = np.arange(9, dtype=np.float32).reshape(3, 3, 1)
    assert halved(grid)[..., 0].tolist() == [[2.0, 3.5], [6.5, 8.0]]


@pytest.mark.parametrize("shape", [(4, 4), (0, 4, 3), (4, 4, 0)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"shape \(H, W, C\)"):
        FeatureMap(np.zeros(shape, np.float32), TO_IMAGE)
