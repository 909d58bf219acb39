"""Principal components of features."""

import numpy as np
import pytest

from streamseg.propagation.basis import FeatureBasis
from streamseg.structures.feature_map import FeatureMap
from tests.support.feature_maps import TO_IMAGE, distinct_features


def of_rank(rank, *, seed=0):
    """Features of 24 channels that vary in few of them, in any direction."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(np.random.default_rng(7).normal(size=(24, rank)))[0]
    values = (rng.normal(size=(6, 8, rank)) @ directions.T).astype(np.float32)
    return FeatureMap(values / np.linalg.norm(values, axis=2, keepdims=True), TO_IMAGE)


def products(first, second):
    return first.values.reshape(48, -1) @ second.values.reshape(48, -1).T


def test_scalar_products_of_two_frames_stay():
    basis, first, second = FeatureBasis(5), of_rank(5), of_rank(5, seed=1)
    reduced = basis.reduced(first), basis.reduced(second)
    assert [one.values.shape for one in reduced] == [(6, 8, 5)] * 2
    np.testing.assert_allclose(products(*reduced), products(first, second), atol=1e-5)


@pytest.mark.parametrize("num_components", [pytest.param(0, id="all"), pytest.param(32, id="no-more-than-there-are")])
def test_few_channels_stay_as_they_are(num_components):
    features = distinct_features((6, 8), channels=24)
    assert FeatureBasis(num_components).reduced(features) is features


def test_the_same_frame_is_reduced_once():
    basis, features = FeatureBasis(4), of_rank(5)
    assert basis.reduced(features) is basis.reduced(features)
